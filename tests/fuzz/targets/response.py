"""Heads of responses: read alike by all, with and without a memory, and so is what is passed on.

An input is a list of heads, which go through one memory. HEAD before one says what it answers.
"""

import re

from luisito.core.http1 import CHUNKED, TO_EOF
from luisito.core.response import LinesMemo, Response, response, without_coding
from luisito.errors import BadMessage
from tests.fuzz.cuts import MARK, pieces
from tests.fuzz.readers import Message, h11_response, llhttp_response

WORDS = (
    b"HTTP/1.1 200 OK\r\n|HTTP/1.0 200 OK\r\n|HTTP/1.1 204 No Content\r\n|HTTP/1.1 304 \r\n|"
    b"HTTP/1.1 100 |HTTP/1.1 101 |HTTP/1.1 103 Early Hints\r\n|HTTP/1.1 500|HTTP/1.1 599 x|HEAD |"
    b"\r\n|\x1e\n|Content-Length: 3\r\n|content-length: 3\r\n|Content-Length: 0\r\n|"
    b"Content-Length: 99999999\r\n|Transfer-Encoding: chunked\r\n|transfer-encoding:\tCHUNKED\r\n|"
    b"gzip, chunked|Connection: close\r\n|Connection: keep-alive\r\n|Connection: x, close\r\n|"
    b"Keep-Alive: timeout=5\r\n|Upgrade: x\r\n|Connection: upgrade\r\n|Set-Cookie: a\r\n|"
    b"ETag: b\r\n|"
    b"Content-Type: text/event-stream\r\n|Date: c\r\n|Proxy-Connection: x\r\n|Trailer: a\r\n|"
    b"TE: b\r\n|"
    b"X: \xff| \t|03|3, 3|:"
).split(b"|")  # fmt: skip

_SIZE = 80  # lines and heads that are remembered; more than one head may have
_BODY = b"abc" * 400
_CODING_AND_TAB = re.compile(rb"\r\ntransfer-encoding:[^\r]*\t *\r\n", re.IGNORECASE)
_CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"


def run(data: bytes) -> None:
    memo = LinesMemo(size=_SIZE, longest=64)
    for piece in pieces(data):
        to_head = piece.startswith(b"HEAD ")
        head = piece.removeprefix(b"HEAD ")
        head = head[: (head + b"\r\n\r\n").find(b"\r\n\r\n")] + b"\r\n"
        found = _judged(head, to_head)
        for _ in range(2):  # what it has just learned, too
            try:
                remembered: Response | None = memo.response(head, to_head=to_head)
            except BadMessage:
                remembered = None
            assert remembered == found, f"with a memory {remembered}, without {found}"
        assert max(len(memo._seen), len(memo._heads), len(memo._marks)) <= _SIZE
        if found is not None:
            _check(head, found, to_head)


def from_message(kind: str, raw: bytes) -> bytes | None:
    return raw.partition(b"\r\n\r\n")[0] if kind == "response" and MARK not in raw else None


def _judged(head: bytes, to_head: bool) -> Response | None:
    try:
        return response(head, to_head=to_head)
    except BadMessage as refused:
        assert refused.status == 502
        assert str(refused).isprintable()
        return None


def _check(head: bytes, found: Response, to_head: bool) -> None:
    method = b"HEAD" if to_head else b"GET"
    body, payload = _body(found)
    _compare(head, found, body, payload, method, "as it came")
    close = b"Connection: close\r\n" if found.status >= 200 else b""
    _compare(found.lines + close, found, body, payload, method, "as it is passed on")
    if found.length == CHUNKED:
        # for a client of HTTP/1.0
        plain = without_coding(found.lines) + close
        _compare(plain, found, payload, payload, method, "decoded", to_eof=True)
    fields = [line.partition(b":")[0].lower() for line in found.lines.split(b"\r\n")[1:-1]]
    for name in (b"connection", b"keep-alive", b"upgrade", b"proxy-connection", b"te"):
        assert name not in fields, found
    if found.status < 200 or found.status == 204:
        assert b"content-length" not in fields, found
    assert fields.count(b"content-length") + fields.count(b"transfer-encoding") <= 1, found


def _body(found: Response) -> tuple[bytes, bytes]:
    """A body that fits, as it comes, and what is in it."""
    if found.length == CHUNKED:
        return _CHUNKS, b"abc"
    payload = _BODY if found.length == TO_EOF else _BODY[: found.length]
    return payload, payload


def _compare(
    head: bytes,
    found: Response,
    body: bytes,
    payload: bytes,
    method: bytes,
    what: str,
    *,
    to_eof: bool = False,
) -> None:
    """Whoever does not refuse it reads it as we do; and somebody does."""
    data = head + b"\r\n" + body
    whole = found.length <= len(_BODY)
    readings = {"h11": h11_response(data, method, ended=True)}
    # RFC 9112 section 6.3: these have no body, though llhttp takes one where there is a length.
    # It is left out of what is passed on.
    length = b"\r\ncontent-length:" in head.lower() and (found.status < 200 or found.status == 204)
    # RFC 9110 section 5.5: no part of the value, though llhttp takes it for one. It goes, too.
    tab = what == "as it came" and _CODING_AND_TAB.search(head) is not None
    if method != b"HEAD" and not length and not tab:
        readings["llhttp"] = llhttp_response(data)
    for name, reading in readings.items():
        if reading.refused and not reading.whole and (whole or not reading.messages):
            continue
        expected = Message((found.status,), (), payload, whole)
        if name == "llhttp" and (to_eof or found.length == TO_EOF):
            expected = expected._replace(whole=False)  # it cannot be told of the end
        seen = [message._replace(fields=()) for message in reading.messages]
        assert seen == [expected], f"{what}, {name}: {reading}, expected {expected}"
        assert not reading.left or found.status == 101, f"{what}, {name}: {reading}"
    refused = [reading.refused for reading in readings.values() if not reading.messages]
    assert len(refused) < len(readings), f"{what}: only we accept {data!r}: {refused}"
