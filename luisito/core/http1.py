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
    b"SOURCE QUERY".split()
)
"""What is passed on; the rest is answered with 501."""

IDEMPOTENT: Final = frozenset(
    b"GET HEAD PUT DELETE OPTIONS TRACE PROPFIND REPORT SEARCH QUERY".split()
)
"""What may be sent a second time (RFC 9110 section 9.2.2)."""

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_VALUE: Final = rb"[\t -~\x80-\xff]"
# `"`, `#`, `<` and `>` never stand raw in a target (RFC 3986), and parsers disagree about them.
_TARGET_CHAR: Final = rb"[!$-;=?-~\x80-\xff]"

# Patterns are linear in time: what repeats one character is possessive, and a line can be read in
# one way only. No group is repeated possessively: CPython before 3.11.5 takes such a group for
# matched where it was matched in part (gh-106052).
_LINE: Final = _TOKEN + rb"++:" + _VALUE + rb"*+\r\n"
_LINES: Final = rb"(?:" + _LINE + rb")*"

_request_line = re.compile(
    rb"([A-Z]++(?:-[A-Z]++)?) (/" + _TARGET_CHAR + rb"*+) HTTP/1\.([01])\r\n"
).match
_any_request_line = re.compile(rb"(" + _TOKEN + rb"++) ([^ \r\n]++) HTTP/(\d)\.(\d)\r\n").match
_absolute = re.compile(
    rb"(?i:https?)://([^\x00- \"#/<>?@\x7f]++)(/"
    + _TARGET_CHAR
    + rb"*+|\?"
    + _TARGET_CHAR
    + rb"*+)?"
).fullmatch
_field_lines = re.compile(rb"\r\n" + _LINES).fullmatch
_field_line = re.compile(_TOKEN + rb"++:" + _VALUE + rb"*+").fullmatch
_content_length = re.compile(rb"0|[1-9]\d{0,17}").fullmatch

_STATUS_LINE: Final = rb"HTTP/1\.[01] [1-5]\d\d(?: " + _VALUE + rb"*+)?\r\n"
_status_line = re.compile(_STATUS_LINE).match
_response_head = re.compile(_STATUS_LINE + _LINES).fullmatch
# Lines that say nothing about the framing or the connection.
_OTHER_LINES: Final = (
    rb"(?:(?!(?:[Cc](?i:ontent-length|onnection)|[Kk](?i:eep-alive)|[Pp](?i:roxy-connection)"
    rb"|[Tt](?i:ransfer-encoding|e)|[Uu](?i:pgrade)):)" + _LINE + rb")*"
)
_CONNECTION_LINES: Final = (
    rb"(?:((?i:connection: ?+(close|keep-alive)\r\n(?:keep-alive:" + _VALUE + rb"*+\r\n)?))"
    + _OTHER_LINES + rb")?"
)  # fmt: skip
_usual_response = re.compile(
    rb"HTTP/1\.1 ([2-5]\d\d) " + _VALUE + rb"*+\r\n" + _OTHER_LINES + _CONNECTION_LINES
    + rb"(?i:content-length: ?+(0|[1-9]\d{0,17})|transfer-encoding: ?+chunked)\r\n"
    + _OTHER_LINES + _CONNECTION_LINES
).fullmatch  # fmt: skip
_event_stream = re.compile(rb"\r\ncontent-type:[ \t]*+text/event-stream", re.IGNORECASE).search
_coding_line = re.compile(rb"\r\ntransfer-encoding:[^\r]*+", re.IGNORECASE)
_not_of_101 = re.compile(
    rb"\r\n(?:content-length|keep-alive|proxy-connection):[^\r]*+", re.IGNORECASE
)

# Fields that one hop keeps to itself (RFC 9110 section 7.6.1), and `Proxy`, which CGI-like app
# servers would turn into HTTP_PROXY.
_ONE_HOP: Final = frozenset(
    [b"keep-alive", b"te", b"proxy-connection", b"proxy-authorization", b"proxy", b"http2-settings"]
)
_ONE_HOP_BACK: Final = frozenset([b"keep-alive", b"te", b"proxy-connection", b"upgrade"])
_FORWARDED: Final = frozenset([b"forwarded", b"x-real-ip"])
# What routes, frames or types a message comes once, and goes on in the one way that every parser
# reads alike.
_ONCE: Final = {
    b"host": b"Host",
    b"content-type": b"Content-Type",
    b"content-length": b"Content-Length",
    b"transfer-encoding": b"Transfer-Encoding",
}
# Connection cannot take these away: the message would be read as another one.
_STAYS: Final = frozenset([*_ONCE, b"content-encoding", b"content-range", b"expect"])


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
            # what NamedTuple.__new__ does, without its frame
            return tuple.__new__(
                RequestLine, (method, target, minor[0] - 48, match.end() - 2, None)
            )
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


def _malformed(block: bytes) -> bytes:
    """The beginning of the first of these lines that is none."""
    lines = block.split(b"\r\n")[1:]
    return next((line[:64] for line in lines if _field_line(line) is None), b"")


def _once(seen: dict[bytes, bytes], name: bytes, value: bytes, status: int) -> bytes:
    """Keeps the value of one of _ONCE; returns the line to pass on."""
    if name in seen:
        raise BadMessage(
            status,
            f"{_ONCE[name].decode()} was sent twice: {seen[name][:64]!r} and {value[:64]!r}",
        )
    seen[name] = value
    return _ONCE[name] + b": " + value


def _tokens(value: bytes) -> list[bytes]:
    return [token for part in value.lower().split(b",") if (token := part.strip(b" \t"))]


def _is_forwarded(name: bytes) -> bool:
    return name in _FORWARDED or name.startswith(b"x-forwarded-")


def _collides(name: bytes) -> bool:
    """Whether a name with underscores reads, to a CGI-like app server, as one that is ours."""
    dashed = name.replace(b"_", b"-")
    return dashed in _ONCE or dashed in _ONE_HOP or _is_forwarded(dashed)


def request_fields(block: bytes) -> RequestFields:
    """Reads the header lines of a request.

    Args:
        block: from the CRLF of the request line to the CRLF of the last header line.

    Raises:
        BadMessage: 400, or 501 for a transfer coding other than chunked.
    """
    if _field_lines(block) is None:
        raise BadMessage(400, f"a header line is malformed: {_malformed(block)!r}")
    _llhttp(block)
    once: dict[bytes, bytes] = {}
    nominated: list[bytes] = []
    offered: list[bytes] = []
    forwarded: list[tuple[bytes, bytes]] = []
    kept: list[tuple[bytes, bytes]] = []
    expects = json = False
    for line in block[2:-2].split(b"\r\n"):
        raw_name, _, raw_value = line.partition(b":")
        name, value = raw_name.lower(), raw_value.strip(b" \t")
        if name in _ONE_HOP or (b"_" in name and _collides(name)):
            continue
        if name in _ONCE:
            line = _once(once, name, value, 400)
        elif name == b"connection":
            nominated += _tokens(value)
            continue
        elif name == b"upgrade":
            offered += value.split(b",")
            continue
        elif _is_forwarded(name):
            forwarded.append((name, value))
            continue
        elif name == b"expect":
            expects = expects or b"100-continue" in _tokens(value)
        elif name == b"accept":
            json = _prefers_json(value.lower())
        kept.append((name, line))
    host = once.get(b"host")
    if host is None:
        raise BadMessage(400, "Host is missing: send the name of a site")
    fields = RequestFields()
    try:
        fields.site = normalize(host)
    except BadHost as error:
        raise BadMessage(400, str(error)) from None
    fields.host = host
    fields.length = _request_length(once)
    fields.close = True if b"close" in nominated else False if b"keep-alive" in nominated else None
    protocols = _protocols(offered) if b"upgrade" in nominated and not fields.length else b""
    fields.upgrade = bool(protocols)
    fields.expects_continue = expects
    fields.json = json
    # Connection cannot take these away either: they show that the client came through a proxy.
    fields.forwarded = tuple(forwarded)
    dropped = frozenset(nominated) - _STAYS
    lines = [b"", *(line for name, line in kept if name not in dropped)]
    if protocols:
        lines += [b"Connection: Upgrade", b"Upgrade: " + protocols]
    fields.lines = b"\r\n".join(lines) + b"\r\n"
    return fields


def _length(once: dict[bytes, bytes], status: int) -> int | None:
    """What Content-Length says; None where it was not sent, CHUNKED for a transfer coding."""
    length = once.get(b"content-length")
    if b"transfer-encoding" in once:
        if length is not None:
            raise BadMessage(status, "Content-Length and Transfer-Encoding were both sent")
        return CHUNKED
    if length is None:
        return None
    if _content_length(length) is None:
        raise BadMessage(status, f"Content-Length is {length[:64]!r}: send a number of bytes")
    return int(length)


def _request_length(once: dict[bytes, bytes]) -> int:
    length = _length(once, 400)
    if length == CHUNKED:
        coding = once[b"transfer-encoding"]
        if coding.lower() != b"chunked":
            # RFC 9112 section 6.1: 501; what does not end in chunked once cannot be framed at all
            codings = _tokens(coding)
            framed = codings[-1:] == [b"chunked"] and codings.count(b"chunked") == 1
            raise BadMessage(
                501 if framed else 400, f"Transfer-Encoding is {coding[:64]!r}: send only chunked"
            )
    return length or 0


def _protocols(offered: list[bytes]) -> bytes:
    """What to offer to the app server; h2c would make it speak past this proxy."""
    names = [part.strip(b" \t") for part in offered]
    return b", ".join(name for name in names if name and not name.lower().startswith(b"h2c"))


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
    usual = None if to_head else _usual_response(head)
    if usual is None:
        return _any_response(head, to_head=to_head)
    digits, before, option, size, after, other_option = usual.groups()
    status = int(digits)
    if status in _BODILESS or (before and after):
        return _any_response(head, to_head=to_head)
    keep = True
    if before or after:
        start, end = usual.span(2 if before else 5)
        head = head[:start] + head[end:]
        keep = (option or other_option).lower() != b"close"
    if size is None:
        return Response(status, CHUNKED, keep, head, _event_stream(head) is not None)
    # what NamedTuple.__new__ does, without its frame
    return tuple.__new__(Response, (status, int(size), keep, head, False))


_BODILESS: Final = frozenset([204, 304])


def _any_response(head: bytes, *, to_head: bool) -> Response:
    if _response_head(head) is None:
        if not _status_line(head):
            raise BadMessage(502, f"its status line is malformed: {head[:64]!r}")
        raise BadMessage(502, f"a line of its head is malformed: {_malformed(head)!r}")
    status, current = int(head[9:12]), head[7:8] == b"1"
    first, *lines = head[:-2].split(b"\r\n")
    once: dict[bytes, bytes] = {}
    nominated: list[bytes] = []
    kept: list[tuple[bytes, bytes]] = []
    for line in lines:
        raw_name, _, raw_value = line.partition(b":")
        name, value = raw_name.lower(), raw_value.strip(b" \t")
        if name == b"content-length" or name == b"transfer-encoding":
            line = _once(once, name, value, 502)
        elif name == b"connection":
            nominated += _tokens(value)
            continue
        elif name in _ONE_HOP_BACK:
            continue
        kept.append((name, line))
    size = _response_length(once, status=status, current=current)
    dropped = frozenset(nominated) - _STAYS
    if status < 200 or status == 204:
        dropped |= {b"content-length"}  # RFC 9110 section 8.6
    if to_head or status < 200 or status in _BODILESS:
        dropped |= {b"transfer-encoding"}
        size = 0
    # a reason phrase may be missing, but not the space before it (RFC 9112 section 4)
    lines = [b"HTTP/1.1 %d " % status + first[13:]]
    lines += [line for name, line in kept if name not in dropped]
    stays = b"close" not in nominated and (current or b"keep-alive" in nominated)
    passed = b"\r\n".join(lines) + b"\r\n"
    return Response(
        status, size, stays and size != TO_EOF, passed, size < 0 and _event_stream(head) is not None
    )


def _response_length(once: dict[bytes, bytes], *, status: int, current: bool) -> int:
    length = _length(once, 502)
    if length == CHUNKED:
        coding = once[b"transfer-encoding"]
        if coding.lower() != b"chunked":
            raise BadMessage(502, f"Transfer-Encoding is {coding[:64]!r}: send only chunked")
        if not current:
            raise BadMessage(502, "Transfer-Encoding was sent in HTTP/1.0: answer in HTTP/1.1")
        if status < 200 or status == 204:
            raise BadMessage(502, f"Transfer-Encoding was sent with status {status}: leave it out")
    return TO_EOF if length is None else length


def without_coding(lines: bytes) -> bytes:
    """The lines without Transfer-Encoding, for a client that does not know it."""
    return _coding_line.sub(b"", lines)


def upgraded(head: bytes) -> bytes:
    """The lines of a 101 to pass on, which keep their Upgrade and Connection."""
    return b"HTTP/1.1" + _not_of_101.sub(b"", head[8:])
