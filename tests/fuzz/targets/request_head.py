"""Heads of requests: what is accepted, all readers read alike; so they do what is passed on."""

import re

from luisito.core.forwarded import forwarded_lines
from luisito.core.http1 import CHUNKED
from luisito.core.request import (
    RequestFields,
    RequestLine,
    request_fields,
    request_line,
    with_host,
    without_upgrade,
)
from luisito.errors import BadMessage
from tests.fuzz.aside import Aside
from tests.fuzz.readers import REQUESTS, Message, Reading

WORDS = (
    b"GET |HEAD |POST |OPTIONS * |CONNECT a:1 |http://b:80|HTTPS://a/?|/|*|?| HTTP/1.1\r\n|"
    b" HTTP/1.0|"
    b"\r\n|Host: a\r\n|Host: [::1]:80\r\n|Content-Length: 3\r\n|Content-Length: 0\r\n|"
    b"Content-Length:|Transfer-Encoding: chunked\r\n|Transfer-Encoding:|chunked|identity|gzip, |"
    b"Connection: |close|keep-alive|Connection: Upgrade\r\nUpgrade: websocket\r\n|Upgrade|h2c|"
    b"Expect: 100-continue\r\n|X-Forwarded-For: 1.1.1.1\r\n|Forwarded: for=\"|"
    b"content_length: 5\r\n|"
    b"Transfer_Encoding: chunked\r\n|host_: b\r\n|Proxy: x\r\n|TE: trailers\r\n|Keep-Alive: 5\r\n|"
    b"Content-Type: a\r\n|Accept: application/json\r\n|, | \t|0x3|+3|3, 3|03|Host, Content-Length"
).split(b"|")  # fmt: skip

# Why we refuse what both others accept. What is refused for another reason, one of them refuses.
STRICTER = re.compile(
    r"Host is missing"  # as HTTP/1.0 allows; but it names the site
    r"|host b"  # no site can be called that
    r"|Content-Type was sent twice"  # an app takes the first or the last
    r"|Content-Length is b'0"  # which reads as octal to some
    r"|the request target is malformed"  # quotes and angles, userinfo, other schemes
    r"|the target \* goes with OPTIONS only"
    r"|this method is not implemented"
    r"|only HTTP/1.0 and HTTP/1.1 are spoken here"  # the others know 0.9 and 2.0
)

SENTINEL = b"GET /sentinel HTTP/1.1\r\nHost: sentinel\r\n\r\n"
_BODY = b"abc" * 400
_CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"
_not_ascii = re.compile(rb"[\x80-\xff]")
_PEER = b"192.0.2.1"
_ONCE = frozenset(
    b"host content-length transfer-encoding content-type forwarded x-forwarded-for"
    b" x-forwarded-proto x-forwarded-host x-forwarded-port".split()
)

aside = Aside()


def run(data: bytes) -> None:
    end = data.find(b"\r\n\r\n")
    head = (data if end < 0 else data[:end]) + b"\r\n\r\n"
    head = head[: head.find(b"\r\n\r\n") + 4]
    try:
        line, fields = _accepted(head)
    except BadMessage as refused:
        _check_refusal(head, refused)
        return
    target = _ascii(head).split(b" ", 2)[1]
    readings = _readings(_ascii(head), fields.length)
    _check_readings(readings, (line.method, target), fields.length)
    if line.minor == 0 and fields.length == CHUNKED:
        return  # refused by the exchange
    for sent in ((), fields.forwarded):
        _check_passed(data, line, fields, sent)


def from_message(kind: str, raw: bytes) -> bytes | None:
    return raw if kind == "request" else None


def _accepted(head: bytes) -> tuple[RequestLine, RequestFields]:
    """As Downstream reads it."""
    start = head.find(b"\r\n")
    line, block = request_line(head[:start]), head[start:-2]
    fields = request_fields(block)
    if line.authority is not None:
        fields = request_fields(with_host(block, line.authority))
    return line, fields


def _check_refusal(head: bytes, refused: BadMessage) -> None:
    assert refused.status in {400, 501, 505}, refused.status
    assert str(refused).isprintable(), str(refused)
    if not STRICTER.match(str(refused)):
        readings = [read(head) for read in REQUESTS.values()]
        assert any(reading.refused for reading in readings), f"only we refuse {head!r}: {refused}"


def _ascii(head: bytes) -> bytes:
    """The head with an x for each byte of its target that is not ASCII.

    We pass them on as they are, since old clients send them; the readers refuse them.
    """
    line, end, rest = head.partition(b"\r\n")
    return _not_ascii.sub(b"x", line) + end + rest


def _body(length: int) -> bytes:
    """A body of so many bytes, or the beginning of a long one."""
    if length == CHUNKED:
        return _CHUNKS
    return _BODY[:length] if length <= len(_BODY) else _BODY


def _readings(head: bytes, length: int) -> dict[str, Reading]:
    connection = head + _body(length) + SENTINEL
    return {name: read(connection) for name, read in REQUESTS.items()}


def _expected(first: tuple[bytes, bytes], length: int) -> list[tuple[object, ...]]:
    """(first line, body, whether it is whole) of the requests on a connection."""
    if length == CHUNKED:
        return [(first, b"abc", True), ((b"GET", b"/sentinel"), b"", True)]
    if length > len(_BODY):
        return [(first, (_BODY + SENTINEL)[:length], length <= len(_BODY + SENTINEL))]
    return [(first, _BODY[:length], True), ((b"GET", b"/sentinel"), b"", True)]


def _told(messages: list[Message]) -> list[tuple[object, ...]]:
    return [(message.first, message.body, message.whole) for message in messages]


def _check_readings(readings: dict[str, Reading], first: tuple[bytes, bytes], length: int) -> None:
    """Whoever does not refuse reads it as we do; and somebody does."""
    expected = _expected(first, length)
    refused = 0
    for name, reading in readings.items():
        found = _told(reading.messages)
        if not found and reading.refused:
            refused += 1
        elif reading.left:
            # all that follows an upgrade, a body too, it leaves to the new protocol
            assert found == [(first, b"", True)], f"{name}: {reading}, expected {expected}"
            assert reading.left == _body(length) + SENTINEL, f"{name}: {reading}"
        elif reading.refused and found[0][2]:
            # behind `close` it does not read on
            assert found == expected[:1], f"{name}: {reading}, expected {expected}"
        else:
            assert found == expected, f"{name}: {reading}, expected {expected}"
    assert refused < len(readings), f"only we accept it: {readings}"


def _check_passed(
    data: bytes, line: RequestLine, fields: RequestFields, sent: tuple[tuple[bytes, bytes], ...]
) -> None:
    """What goes to the app server."""
    added = forwarded_lines(_PEER, b"http", fields.host, 80, sent)
    passed = line.passed + fields.lines + added + b"\r\n"
    if fields.upgrade and not line.minor:
        passed = line.passed + without_upgrade(fields.lines + added) + b"\r\n"
    passed = _ascii(passed)
    first = (line.method, passed.split(b" ", 2)[1])
    readings = _readings(passed, fields.length)
    _check_readings(readings, first, fields.length)
    if fields.length <= len(_BODY):
        expected = _expected(first, fields.length)
        if b"\r\nConnection: " in passed:
            expected = expected[:1]
        aside.ask(data, passed + _body(fields.length) + SENTINEL, expected)
    # as RFC 9112 has it: a line is what CRLF ends, a name what stands before the first colon
    lines = [part.partition(b":") for part in passed[:-4].split(b"\r\n")[1:]]
    ours = tuple((name.lower(), value.strip(b" \t")) for name, _, value in lines)
    for name, reading in readings.items():
        if reading.messages:
            assert reading.messages[0].fields == ours, f"{name}: {reading}, passed {passed!r}"
    # as app servers name them that are like CGI
    names = [name.replace(b"_", b"-") for name, _ in ours]
    assert not [name for name, _ in ours if b"_" in name and name.replace(b"_", b"-") in _ONCE]
    assert all(names.count(name) <= 1 for name in _ONCE), passed
    assert b"host" in names
    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1, passed
    upgrade = fields.upgrade and bool(line.minor)
    assert names.count(b"connection") == names.count(b"upgrade") == upgrade, passed
    # read again, it is what it was
    again_line, again = _accepted(passed)
    assert (again_line.method, again_line.target) == first
    assert (again.site, again.host, again.length) == (fields.site, fields.host, fields.length)
    assert (again.expects_continue, again.json) == (fields.expects_continue, fields.json)
