"""The heads of responses: what they say, checked strictly, and how they are passed on.

The lines of responses come again and again, one by one: Server, Content-Type, Cache-Control, the
status line, and Date within its second. What a line is, is remembered (`LinesMemo`), so that the
usual head costs a look-up a line.
"""

from __future__ import annotations

import re
from itertools import repeat
from typing import Final, NamedTuple

from luisito.core.http1 import (
    CHUNKED,
    LINES,
    STAYS,
    TO_EOF,
    VALUE,
    body_length,
    content_length,
    field_line,
    keep_once,
    malformed,
    tokens,
)
from luisito.errors import BadMessage

_STATUS_LINE: Final = rb"HTTP/1\.[01] [1-5]\d\d(?: " + VALUE + rb"*+)?\r\n"
_status_line = re.compile(_STATUS_LINE).match
_response_head = re.compile(_STATUS_LINE + LINES).fullmatch
_event_stream = re.compile(rb"\r\ncontent-type:[ \t]*+text/event-stream", re.IGNORECASE).search
_coding_line = re.compile(rb"\r\ntransfer-encoding:[^\r]*+", re.IGNORECASE)
_not_of_101 = re.compile(
    rb"\r\n(?:content-length|keep-alive|proxy-connection):[^\r]*+", re.IGNORECASE
)


_ONE_HOP_BACK: Final = frozenset([b"keep-alive", b"te", b"proxy-connection", b"upgrade"])

_BODILESS: Final = frozenset([204, 304])


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
        if not _status_line(head):
            raise BadMessage(502, f"its status line is malformed: {head[:64]!r}")
        raise BadMessage(502, f"a line of its head is malformed: {malformed(head)!r}")
    status, current = int(head[9:12]), head[7:8] == b"1"
    first, *lines = head[:-2].split(b"\r\n")
    once: dict[bytes, bytes] = {}
    nominated: list[bytes] = []
    kept: list[tuple[bytes, bytes]] = []
    for line in lines:
        raw_name, _, raw_value = line.partition(b":")
        name, value = raw_name.lower(), raw_value.strip(b" \t")
        if name == b"content-length" or name == b"transfer-encoding":
            line = keep_once(once, name, value, 502)
        elif name == b"connection":
            nominated += tokens(value)
            continue
        elif name in _ONE_HOP_BACK:
            continue
        kept.append((name, line))
    size = _response_length(once, status=status, current=current)
    dropped = frozenset(nominated) - STAYS
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


# What a line is, with what it says: the first of these where it says nothing of the framing or the
# connection, UNUSUAL where `response` is to judge the head as a whole.
_Mark = tuple[int, int, bytes]
_PLAIN: Final = None
_STATUS, _LENGTH, _CODING, _KEEP, _CLOSE, _STREAM, _UNUSUAL, _UNKNOWN = range(8)
_NEW: Final[_Mark] = (_UNKNOWN, 0, b"")
_ODD: Final[_Mark] = (_UNUSUAL, 0, b"")

_usual_status = re.compile(rb"HTTP/1\.1 ([2-5]\d\d) " + VALUE + rb"*+").fullmatch
# Nobody sends these again, and they are nobody else's business.
_PRIVATE: Final = frozenset([b"set-cookie", b"etag", b"location"])


class LinesMemo:
    """Reads heads by what their lines were found to be before.

    At most `size` lines of `longest` bytes each; when full it starts afresh, which costs one
    reading of each line and needs no order to be kept.
    """

    __slots__ = ("_longest", "_seen", "_size")

    def __init__(self, size: int = 4096, longest: int = 256) -> None:
        self._seen: dict[bytes, _Mark | None] = {b"": _PLAIN}
        self._size, self._longest = size, longest

    def response(self, head: bytes, *, to_head: bool) -> Response:
        """As `response`."""
        if to_head or head[:9] != b"HTTP/1.1 ":
            return response(head, to_head=to_head)
        lines = head.split(b"\r\n")
        # without a Python frame for each line; what is plain is filtered out
        marks = list(filter(None, map(self._seen.get, lines, repeat(_NEW))))
        found = _usual(head, marks)
        if found is None and _NEW in marks:
            found = _usual(head, self._learn(lines))
        return found or response(head, to_head=False)

    def _learn(self, lines: list[bytes]) -> list[_Mark]:
        seen = self._seen
        if len(seen) + len(lines) > self._size:
            seen.clear()
            seen[b""] = _PLAIN
        marks = []
        for line in lines:
            mark = seen.get(line, _NEW)
            if mark is _NEW:
                mark = _mark(line)
                name = line.partition(b":")[0].lower()
                if mark is not _ODD and len(line) <= self._longest and name not in _PRIVATE:
                    seen[line] = mark
            if mark is not None:
                marks.append(mark)
        return marks


def _usual(head: bytes, marks: list[_Mark]) -> Response | None:
    """The head, where its marks are of the usual kinds and each comes once."""
    kind, status, _ = marks[0]
    if kind != _STATUS:
        return None
    size, keep, streams = TO_EOF, True, False
    for kind, number, removed in marks[1:]:
        if kind == _LENGTH and size == TO_EOF:
            size = number
        elif kind == _KEEP:
            head = head.replace(removed, b"\r\n", 1)
        elif kind == _CODING and size == TO_EOF:
            size = CHUNKED
        elif kind == _CLOSE:
            keep = False
            head = head.replace(removed, b"\r\n", 1)
        elif kind == _STREAM:
            streams = True
        else:
            return None
    if size == TO_EOF:
        return None
    # what NamedTuple.__new__ does, without its frame
    return tuple.__new__(Response, (status, size, keep, head, streams and size == CHUNKED))


def _mark(line: bytes) -> _Mark | None:
    """What a line is, as far as it can be told by itself."""
    if field_line(line) is None:
        status = _usual_status(line)
        if status is None or int(status[1]) in _BODILESS:
            return _ODD
        return _STATUS, int(status[1]), b""
    name, _, value = line.partition(b":")
    name, value = name.lower(), value.strip(b" \t")
    if name == b"content-length" and content_length(value) and line == b"Content-Length: " + value:
        return _LENGTH, int(value), b""
    if name == b"transfer-encoding" and line == b"Transfer-Encoding: chunked":
        return _CODING, 0, b""
    if name == b"keep-alive":
        return _KEEP, 0, b"\r\n" + line + b"\r\n"
    if name == b"connection" and value.lower() in (b"keep-alive", b"close"):
        kind = _KEEP if value.lower() == b"keep-alive" else _CLOSE
        return kind, 0, b"\r\n" + line + b"\r\n"
    if name == b"content-type" and value.lower().startswith(b"text/event-stream"):
        return _STREAM, 0, b""
    if name in _ONE_HOP_BACK or name in (b"content-length", b"transfer-encoding", b"connection"):
        return _ODD
    return _PLAIN


def _response_length(once: dict[bytes, bytes], *, status: int, current: bool) -> int:
    length = body_length(once, 502)
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
