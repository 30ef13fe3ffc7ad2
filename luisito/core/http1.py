"""HTTP/1 heads: what a request or a response says, checked strictly, and how it is passed on.

A recipient that reads a message otherwise than the one behind it can be made to smuggle (RFC 9112
section 11.2), so whatever two parsers could read differently is refused here, before the app
server sees a byte of it. Request heads are judged twice, by these rules and by llhttp.

Browsers send the same header lines over and over, only the request line differs, so what the lines
say is remembered (`FieldsMemo`); the request line is judged each time.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import httptools

from luisito.core.host import normalize
from luisito.errors import BadHost, BadMessage

CHUNKED: Final = -1
"""The length of a body in the chunked coding (RFC 9112 section 7.1)."""
TO_EOF: Final = -2
"""The length of a response body that ends with its connection (RFC 9112 section 6.3)."""

METHODS: Final = frozenset(
    b"GET HEAD POST PUT DELETE OPTIONS PATCH TRACE "
    b"PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK REPORT SEARCH MKCALENDAR ACL BIND UNBIND "
    b"REBIND CHECKOUT MERGE MKACTIVITY M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PURGE LINK UNLINK "
    b"SOURCE".split()
)
"""What is passed on; the rest is answered with 501."""

IDEMPOTENT: Final = frozenset(b"GET HEAD PUT DELETE OPTIONS TRACE PROPFIND REPORT SEARCH".split())
"""What may be sent a second time (RFC 9110 section 9.2.2)."""

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_VALUE: Final = rb"[\t -~\x80-\xff]"
# `"`, `#`, `<` and `>` never stand raw in a target (RFC 3986), and parsers disagree about them.
_TARGET_CHAR: Final = rb"[!$-;=?-~\x80-\xff]"

_request_line = re.compile(
    rb"([A-Z]++(?:-[A-Z]++)?) (/" + _TARGET_CHAR + rb"*+) HTTP/1\.([01])\r\n"
).match
_any_request_line = re.compile(rb"(" + _TOKEN + rb"++) ([^ \r\n]++) HTTP/(\d)\.(\d)\r\n").match
_absolute = re.compile(
    rb"(?i:https?)://([^/?#@]++)(/" + _TARGET_CHAR + rb"*+|\?" + _TARGET_CHAR + rb"*+)?"
).fullmatch
_field_lines = re.compile(rb"\r\n(?:" + _TOKEN + rb"++:" + _VALUE + rb"*+\r\n)*+").fullmatch
_response_head = re.compile(
    rb"HTTP/1\.[01] [1-5]\d\d(?: "
    + _VALUE
    + rb"*+)?\r\n(?:"
    + _TOKEN
    + rb"++:"
    + _VALUE
    + rb"*+\r\n)*+"
).fullmatch
_content_length = re.compile(rb"0|[1-9]\d{0,17}").fullmatch
_hop_by_hop = re.compile(
    rb"\r\n(?:connection|keep-alive|te|upgrade|proxy-connection|transfer-encoding):[^\r]*",
    re.IGNORECASE,
)
_hop_by_hop_lines = re.compile(
    rb"\r\n(?:connection|keep-alive|te|upgrade|proxy-connection):[^\r]*", re.IGNORECASE
)

# Fields that one hop keeps to itself (RFC 9110 section 7.6.1), and `Proxy`, which CGI-like app
# servers would turn into HTTP_PROXY.
_ONE_HOP: Final = frozenset(
    [b"keep-alive", b"te", b"proxy-connection", b"proxy-authorization", b"proxy", b"http2-settings"]
)
_FORWARDED: Final = frozenset([b"forwarded", b"x-real-ip"])
_FRAMING: Final = frozenset([b"host", b"content-length", b"transfer-encoding", b"connection"])
_NOT_NOMINABLE: Final = _FRAMING | {b"close", b"keep-alive", b"upgrade", b"expect"}


class RequestLine(NamedTuple):
    """The request line (RFC 9112 section 3).

    Attributes:
        method: one of METHODS.
        target: in origin-form, or `*`.
        minor: the minor version, 0 or 1.
        end: the index of the CRLF that ends it.
        authority: the host of an absolute-form target, which wins over Host; else None.
    """

    method: bytes
    target: bytes
    minor: int
    end: int
    authority: bytes | None


def request_line(data: bytes) -> RequestLine:
    """Reads the request line at the beginning of `data`, which holds at least one CRLF.

    Raises:
        BadMessage: 400, 501 for a method or 505 for a version that is not spoken here.
    """
    match = _request_line(data)
    if match is not None:
        method, target, minor = match.groups()
        if method in METHODS:
            return RequestLine(method, target, minor[0] - 48, match.end() - 2, None)
    return _unusual_request_line(data)


def _unusual_request_line(data: bytes) -> RequestLine:
    match = _any_request_line(data)
    if match is None:
        raise BadMessage(400, "the request line is malformed")
    method, target, major, minor = match.groups()
    if major != b"1" or minor not in (b"0", b"1"):
        raise BadMessage(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
    if method not in METHODS:
        raise BadMessage(501, "this method is not implemented")
    end = match.end() - 2
    if target == b"*":
        if method != b"OPTIONS":
            raise BadMessage(400, "the target * goes with OPTIONS only")
        return RequestLine(method, target, int(minor), end, None)
    absolute = _absolute(target)
    if absolute is None:
        raise BadMessage(400, "the request target is malformed")
    authority, path = absolute.groups()
    if not path:
        path = b"*" if method == b"OPTIONS" else b"/"
    elif path[:1] == b"?":
        path = b"/" + path
    return RequestLine(method, path, int(minor), end, authority)


class RequestFields:
    """What the header lines of a request say.

    Attributes:
        host: Host as it was sent, without white space around it.
        site: the host that it names, normalised: the key of the site.
        length: of the body in bytes, or CHUNKED.
        close: True for `Connection: close`, False for `keep-alive`, None where neither was sent.
        upgrade: there is an upgrade to pass on.
        expects_continue: for `Expect: 100-continue`.
        lines: the header lines to pass on, each ended by CRLF, with a CRLF before the first;
            without hop-by-hop and forwarded fields.
        forwarded: (lower-case name, value) of the forwarded fields that were sent.
        json: the client asked for JSON before HTML.
    """

    __slots__ = (
        "close", "expects_continue", "forwarded", "host", "json", "length", "lines", "site",
        "upgrade",
    )  # fmt: skip

    host: bytes
    site: str
    length: int
    close: bool | None
    upgrade: bool
    expects_continue: bool
    lines: bytes
    forwarded: tuple[tuple[bytes, bytes], ...]
    json: bool


class _Callbacks:
    """llhttp is asked for its verdict only."""


_CALLBACKS: Final = _Callbacks()


def _llhttp(block: bytes) -> None:
    try:
        httptools.HttpRequestParser(_CALLBACKS).feed_data(b"GET / HTTP/1.1" + block + b"\r\n")
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise BadMessage(400, f"a header line is malformed: {error}") from None


def _one(value: bytes | None, new: bytes, name: str) -> bytes:
    if value is not None:
        raise BadMessage(400, f"{name} was sent twice")
    return new


def _tokens(value: bytes) -> list[bytes]:
    return [token for part in value.lower().split(b",") if (token := part.strip(b" \t"))]


def _is_forwarded(name: bytes) -> bool:
    return name in _FORWARDED or name.startswith(b"x-forwarded-")


def _collides(name: bytes) -> bool:
    """Whether a name with underscores reads, to a CGI-like app server, as one that is ours."""
    dashed = name.replace(b"_", b"-")
    return dashed in _FRAMING or dashed in _ONE_HOP or _is_forwarded(dashed)


def request_fields(block: bytes) -> RequestFields:
    """Reads the header lines of a request.

    Args:
        block: from the CRLF of the request line to the CRLF of the last header line.

    Raises:
        BadMessage: 400, or 501 for a transfer coding other than chunked.
    """
    if _field_lines(block) is None:
        raise BadMessage(400, "a header line is malformed")
    _llhttp(block)
    host = length = coding = upgrade = None
    nominated: list[bytes] = []
    forwarded: list[tuple[bytes, bytes]] = []
    kept: list[tuple[bytes, bytes]] = []
    expects = json = False
    for line in block[2:-2].split(b"\r\n"):
        raw_name, _, raw_value = line.partition(b":")
        name, value = raw_name.lower(), raw_value.strip(b" \t")
        if b"_" in name and _collides(name):
            continue
        if name == b"host":
            host = _one(host, value, "Host")
        elif name == b"content-length":
            length = _one(length, value, "Content-Length")
        elif name == b"transfer-encoding":
            coding = _one(coding, value, "Transfer-Encoding")
        elif name == b"connection":
            nominated += _tokens(value)
            continue
        elif name == b"upgrade":
            upgrade = value if upgrade is None else upgrade + b", " + value
            continue
        elif _is_forwarded(name):
            forwarded.append((name, value))
            continue
        elif name in _ONE_HOP:
            continue
        elif name == b"expect":
            expects = value.lower() == b"100-continue"
        elif name == b"accept":
            json = _prefers_json(value.lower())
        kept.append((name, line))
    if host is None:
        raise BadMessage(400, "Host is missing")
    fields = RequestFields()
    try:
        fields.site = normalize(host)
    except BadHost as error:
        raise BadMessage(400, str(error)) from None
    fields.host = host
    fields.length = _request_length(length, coding)
    fields.close = True if b"close" in nominated else False if b"keep-alive" in nominated else None
    protocols = _upgrade(nominated, upgrade) if not fields.length else b""
    fields.upgrade = bool(protocols)
    fields.expects_continue = expects
    fields.json = json
    fields.forwarded = tuple(forwarded)
    dropped = frozenset(nominated) - _NOT_NOMINABLE
    if dropped:
        fields.forwarded = tuple(pair for pair in forwarded if pair[0] not in dropped)
    lines = [b"", *(line for name, line in kept if name not in dropped)]
    if protocols:
        lines += [b"Connection: Upgrade", b"Upgrade: " + protocols]
    fields.lines = b"\r\n".join(lines) + b"\r\n"
    return fields


def _request_length(length: bytes | None, coding: bytes | None) -> int:
    if coding is not None:
        if length is not None:
            raise BadMessage(400, "Content-Length and Transfer-Encoding were both sent")
        if coding.lower() != b"chunked":
            # RFC 9112 section 6.1: 501; what does not end in chunked cannot be framed at all
            status = 501 if coding.lower().endswith(b"chunked") else 400
            raise BadMessage(status, "no transfer coding but chunked is understood")
        return CHUNKED
    if length is None:
        return 0
    if _content_length(length) is None:
        raise BadMessage(400, "Content-Length is malformed")
    return int(length)


def _upgrade(nominated: list[bytes], upgrade: bytes | None) -> bytes:
    """The protocols to offer to the app server; h2c would make it speak past this proxy."""
    if upgrade is None or b"upgrade" not in nominated:
        return b""
    offered = [part.strip(b" \t") for part in upgrade.split(b",")]
    return b", ".join(name for name in offered if name and name.lower() != b"h2c")


def _prefers_json(accept: bytes) -> bool:
    json, html = accept.find(b"json"), accept.find(b"text/html")
    return json >= 0 and (html < 0 or json < html)


def with_host(block: bytes, authority: bytes) -> bytes:
    """The header lines with `authority` in place of each Host (RFC 9112 section 3.2.2)."""
    lines = block.split(b"\r\n")
    for index, line in enumerate(lines):
        if line[:5].lower() == b"host:":
            lines[index] = b"Host: " + authority
    return b"\r\n".join(lines)


class FieldsMemo:
    """Remembers what header lines say, for the lines that come again.

    At most `size` entries of `longest` bytes each; when full it starts afresh, which costs one
    reading of each head and needs no order to be kept.
    """

    __slots__ = ("_longest", "_seen", "_size")

    def __init__(self, size: int = 2048, longest: int = 4096) -> None:
        self._seen: dict[bytes, RequestFields] = {}
        self._size, self._longest = size, longest

    def get(self, block: bytes) -> RequestFields:
        """As `request_fields`."""
        fields = self._seen.get(block)
        if fields is None:
            fields = request_fields(block)
            if len(block) <= self._longest:
                if len(self._seen) >= self._size:
                    self._seen.clear()
                self._seen[block] = fields
        return fields


class Response(NamedTuple):
    """The head of a response, checked and made ready for the client.

    Attributes:
        status: 100 to 599.
        length: of the body in bytes, CHUNKED or TO_EOF.
        keep: the app server keeps its connection open after this response.
        lines: status line and header lines to pass on, each ended by CRLF, without any field of
            the connection.
        streams: an event stream, which may be silent for as long as it likes.
    """

    status: int
    length: int
    keep: bool
    lines: bytes
    streams: bool


def response(head: bytes, *, to_head: bool) -> Response:
    """Reads the head of a response, up to and including the CRLF of its last header line.

    Args:
        head: the bytes from the status line on.
        to_head: it answers a HEAD request, so that it has no body (RFC 9112 section 6.3).

    Raises:
        BadMessage: 502; the message says why.
    """
    if _response_head(head) is None:
        raise BadMessage(502, "the head of its response is malformed")
    low = head.lower()
    find = low.find
    status = int(head[9:12])
    current = low[7] == 49
    keep = current
    streams = False
    length = TO_EOF
    at = find(b"\r\ncontent-length:")
    if at >= 0:
        end = find(b"\r", at + 17)
        value = low[at + 17 : end].strip(b" \t")
        if _content_length(value) is None:
            raise BadMessage(502, "its Content-Length is malformed")
        if find(b"\r\ncontent-length:", end) >= 0:
            raise BadMessage(502, "it sent Content-Length twice")
        length = int(value)
    coded = find(b"\r\ntransfer-encoding:")
    if coded >= 0:
        _check_coding(low, coded, status=status, current=current, sized=at >= 0)
        length = CHUNKED
    if find(b"\r\nconnection:") >= 0 or find(b"\r\nupgrade:") >= 0 or find(b"\r\nkeep-alive:") >= 0:
        tokens = _tokens(b",".join(_connection_values(low)))
        keep = b"close" not in tokens and (current or b"keep-alive" in tokens)
        head = _without_connection_fields(head, tokens)
    if to_head or status in (204, 304) or status < 200:
        if coded >= 0:
            head = _hop_by_hop.sub(b"", head)
        length = 0
    elif length == TO_EOF:
        keep = False
    if length < 0:
        streams = find(b"text/event-stream") >= 0
    if not current:
        head = b"HTTP/1.1" + head[8:]
    return Response(status, length, keep, head, streams)


def _check_coding(low: bytes, at: int, *, status: int, current: bool, sized: bool) -> None:
    end = low.find(b"\r", at + 20)
    if low[at + 20 : end].strip(b" \t") != b"chunked":
        raise BadMessage(502, "its Transfer-Encoding is not chunked")
    if low.find(b"\r\ntransfer-encoding:", end) >= 0:
        raise BadMessage(502, "it sent Transfer-Encoding twice")
    if sized:
        raise BadMessage(502, "it sent Content-Length and Transfer-Encoding")
    if not current:
        raise BadMessage(502, "it sent Transfer-Encoding in HTTP/1.0")
    if status < 200 or status == 204:
        raise BadMessage(502, f"it sent Transfer-Encoding with status {status}")


_connection_values = re.compile(rb"\r\nconnection:([^\r]*)").findall


def _without_connection_fields(head: bytes, tokens: list[bytes]) -> bytes:
    head = _hop_by_hop_lines.sub(b"", head)
    named = set(tokens) - _NOT_NOMINABLE
    if not named:
        return head
    first, *lines = head.split(b"\r\n")
    return b"\r\n".join([first, *(x for x in lines if x.partition(b":")[0].lower() not in named)])


def without_coding(lines: bytes) -> bytes:
    """The lines without Transfer-Encoding, for a client that does not know it."""
    return _hop_by_hop.sub(b"", lines)


def upgraded(head: bytes) -> bytes:
    """The lines of a 101 to pass on, which keep their Upgrade and Connection."""
    return b"HTTP/1.1" + head[8:]
