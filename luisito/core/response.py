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


# What a line says: its kind, a number, and what to take out of the head. Of a line that says
# nothing of the framing or the connection: None. ODD: `response` is to judge the head as a whole.
_Mark = tuple[int, int, bytes]
_PLAIN: Final = None
_STATUS, _LENGTH, _CODING, _KEEP, _CLOSE, _STREAM, _UNUSUAL = range(7)
_ODD: Final[_Mark] = (_UNUSUAL, 0, b"")
_NEW_LINES: Final = repeat(1)  # the number of a line that has not been seen
# status, length, keep, what to take out, streams
_Found = tuple[int, int, bool, tuple[bytes, ...], bool]

_usual_status = re.compile(rb"HTTP/1\.1 ([2-5]\d\d) " + VALUE + rb"*+").fullmatch
# A longer head would cost much to keep.
_MOST_LINES: Final = 64
# Nobody sends these again, and they are nobody else's business.
_PRIVATE: Final = frozenset([b"set-cookie", b"etag", b"location"])


class LinesMemo:
    """Reads heads by what their lines were found to be before.

    Each line that says something of the framing or the connection has a number, and the numbers of
    a head say what the head says. At most `size` lines of `longest` bytes and as many heads; when
    full it starts afresh, which costs one reading of each and needs no order to be kept.
    """

    __slots__ = ("_heads", "_longest", "_marks", "_seen", "_size")

    def __init__(self, size: int = 4096, longest: int = 256) -> None:
        self._size, self._longest = size, longest
        self._seen: dict[bytes, int] = {}
        self._marks: list[_Mark] = []
        self._heads: dict[tuple[int, ...], _Found] = {}
        self._clear()

    def response(self, head: bytes, *, to_head: bool) -> Response:
        """As `response`, of a head that was cut out of a connection before its first empty line."""
        lines = head.split(b"\r\n")
        # without a Python frame for each line; what is plain, 0, is filtered out
        found = self._heads.get(tuple(filter(None, map(self._seen.get, lines, _NEW_LINES))))
        # no field name has a slash: the status line is where it belongs
        if found is None or to_head or head[:5] != b"HTTP/":
            return self._other(head, lines, to_head=to_head)
        status, length, keep, removed, streams = found
        for line in removed:
            head = head.replace(line, b"\r\n", 1)
        # what NamedTuple.__new__ does, without its frame
        return tuple.__new__(Response, (status, length, keep, head, streams))

    def _other(self, head: bytes, lines: list[bytes], *, to_head: bool) -> Response:
        """Reads a head whole, and remembers what can be remembered of it."""
        found = response(head, to_head=to_head)
        usual = not to_head and head[:9] == b"HTTP/1.1 " and found.length != TO_EOF
        if usual and len(lines) <= _MOST_LINES:
            self._learn(lines)
        return found

    def _learn(self, lines: list[bytes]) -> None:
        if len(self._seen) + len(lines) > self._size or len(self._heads) >= self._size:
            self._clear()
        numbers = []
        for line in lines:
            number = self._seen.get(line)
            if number is None:
                number = self._number(line)
                if number is None:
                    return
            if number:
                numbers.append(number)
        self._heads[tuple(numbers)] = _usual([self._marks[number] for number in numbers])

    def _number(self, line: bytes) -> int | None:
        """The number of a new line; None where it is not to be remembered."""
        mark = _mark(line)
        if mark is _ODD or len(line) > self._longest or line.partition(b":")[0].lower() in _PRIVATE:
            return None
        number = 0
        if mark is not None:
            number = len(self._marks)
            self._marks.append(mark)
        self._seen[line] = number
        return number

    def _clear(self) -> None:
        self._seen.clear()
        self._heads.clear()
        # the line after the last CRLF; and the number of what has not been seen
        self._seen[b""] = 0
        self._marks[:] = [_ODD, _ODD]


def _usual(marks: list[_Mark]) -> _Found:
    """What a head says whose lines are of the usual kinds; `response` has let it pass."""
    length, keep, streams = TO_EOF, True, False
    removed = []
    for kind, number, line in marks[1:]:
        if kind in (_LENGTH, _CODING):
            length = number
        elif kind == _STREAM:
            streams = True
        else:
            keep = keep and kind == _KEEP
            removed.append(line)
    return marks[0][1], length, keep, tuple(removed), streams and length == CHUNKED


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
        return _CODING, CHUNKED, b""
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
        if coding != b"chunked":
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
