"""Finds the end of a chunked body without taking it apart (RFC 9112 section 7.1)."""

from __future__ import annotations

import re
from typing import Final

from luisito.core.http1 import TOKEN, VALUE
from luisito.errors import BadMessage

MAX_LINE: Final = 4096
"""A chunk's size line with its extensions, or one trailer line, in bytes."""
MAX_OVERHEAD: Final = 65536
"""All extensions and trailers of one body together, in bytes."""

# Hex digits only: int(x, 16) would take "1_0", "+5" and "0x5". No white space before an extension:
# parsers disagree about it. Nor within one, though the grammar has it in quotes and for the sake of
# old senders: an app server that does not know the chunked coding, and reads the body as its next
# request, would take "43;a /b HTTP/1.1" for a request line.
_size_line = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[!-~\x80-\xff]*+)?\r\n").fullmatch
_trailer_line = re.compile(rb"(" + TOKEN + rb"++):" + VALUE + rb"*+\r\n").fullmatch
# What may yet become one of these. A line goes on as it comes in, before its end is seen: what is
# none must not reach an app server that takes a CR alone for that end.
_size_begun = re.compile(rb"[0-9A-Fa-f]{1,15}(?:;[!-~\x80-\xff]*+)?\r?").fullmatch
_trailer_begun = re.compile(TOKEN + rb"++(?::" + VALUE + rb"*+\r?)?|\r").fullmatch
# A recipient that merged these into the head would read another message (RFC 9110 section 6.5.1).
_NO_TRAILER: Final = frozenset(
    b"host content-length transfer-encoding connection keep-alive trailer te upgrade expect "
    b"content-type content-encoding content-range authorization cookie proxy proxy-authorization "
    b"proxy-connection forwarded x-real-ip".split()
)

_SIZE, _DATA, _DATA_END, _TRAILER = range(4)
_BEGUN: Final = {
    _SIZE: _size_begun,
    _DATA_END: re.compile(rb"\r").fullmatch,
    _TRAILER: _trailer_begun,
}
_MALFORMED: Final = {
    _SIZE: "a chunk's size line is malformed",
    _DATA_END: "a chunk does not end where its size says",
    _TRAILER: "a trailer line is malformed",
}


class ChunkScanner:
    """Follows a chunked body through the pieces in which it arrives.

    Attributes:
        payload: where set, the decoded bytes of the piece last fed are appended to it; for
            clients that do not know the chunked coding.
    """

    __slots__ = ("_left", "_overhead", "_part", "_state", "payload")

    def __init__(self, *, decode: bool = False) -> None:
        self._state = _SIZE
        self._left = 0
        self._part = b""
        self._overhead = 0
        self.payload: list[bytes] | None = [] if decode else None

    @property
    def left(self) -> int:
        """Bytes of the current chunk's data that are still to come."""
        return self._left if self._state == _DATA else 0

    def passed(self, count: int) -> None:
        """`count` bytes of the current chunk's data, at most `left`, went by unseen."""
        self._left -= count
        if not self._left:
            self._state = _DATA_END

    def feed(self, data: bytes, start: int = 0) -> int:
        """Reads on.

        Args:
            data: the next piece.
            start: where in it the body goes on.

        Returns:
            The index just past the end of the body, or -1 while it goes on.

        Raises:
            BadMessage: 400 for whatever two parsers could read differently.
        """
        at, size = start, len(data)
        while at < size:
            if self._state == _DATA:
                step = min(self._left, size - at)
                if self.payload is not None:
                    self.payload.append(data[at : at + step])
                self.passed(step)
                at += step
                continue
            line, at = self._line(data, at)
            if line is None:
                return -1
            if self._take(line):
                return at
        return -1

    def _line(self, data: bytes, at: int) -> tuple[bytes | None, int]:
        end = data.find(b"\n", at) + 1
        piece = data[at:end] if end else data[at:]
        if self._part:
            piece = self._part + piece
            self._part = b""
        if len(piece) > MAX_LINE:
            raise BadMessage(400, f"a chunk's size line or trailer is over {MAX_LINE} bytes")
        if not end:
            if _BEGUN[self._state](piece) is None:
                raise self._malformed(piece)
            self._part = piece
            return None, len(data)
        return piece, end

    def _take(self, line: bytes) -> bool:
        if self._state == _SIZE:
            match = _size_line(line)
            if match is None:
                raise self._malformed(line)
            digits = match.group(1)
            self._count(len(line) - len(digits) - 2)
            self._left = int(digits, 16)
            self._state = _DATA if self._left else _TRAILER
        elif self._state == _DATA_END:
            if line != b"\r\n":
                raise self._malformed(line)
            self._state = _SIZE
        elif line == b"\r\n":
            return True
        else:
            match = _trailer_line(line)
            if match is None:
                raise self._malformed(line)
            name = match.group(1).lower().replace(b"_", b"-")
            if name in _NO_TRAILER or name.startswith(b"x-forwarded-"):
                raise BadMessage(400, f"{name.decode()} was sent as a trailer: send it as a header")
            self._count(len(line))
        return False

    def _malformed(self, line: bytes) -> BadMessage:
        # up to what makes it so, which does not hang on how much of it has come in
        begun = _BEGUN[self._state]
        shown = next((line[:end] for end in range(1, 64) if not begun(line[:end])), line[:64])
        return BadMessage(400, f"{_MALFORMED[self._state]}: {shown!r}")

    def _count(self, overhead: int) -> None:
        self._overhead += overhead
        if self._overhead > MAX_OVERHEAD:
            raise BadMessage(400, f"chunk extensions and trailers are over {MAX_OVERHEAD} bytes")
