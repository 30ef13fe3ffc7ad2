"""Puts a name before each line of output, whatever pieces it comes in."""

from __future__ import annotations

from typing import Final

_LONGEST: Final = 8192  # bytes of a line that are waited for


class Prefixed:
    """Output in pieces, made into whole lines with a name before each.

    A line that is longer than some thousand bytes is cut, since nobody may have more of our memory.

    Args:
        name: of whoever writes.
    """

    __slots__ = ("_held", "_prefix")

    def __init__(self, name: str) -> None:
        self._prefix = name.encode() + b": "
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Take a piece; returns the lines that are whole by now."""
        *lines, self._held = (self._held + data).split(b"\n")
        while len(self._held) > _LONGEST:
            lines.append(self._held[:_LONGEST])
            self._held = self._held[_LONGEST:]
        return b"".join(self._prefix + line + b"\n" for line in lines)

    def end(self) -> bytes:
        """Tell what is left: a last line without an end, which it gets; b"" for none."""
        held, self._held = self._held, b""
        return self._prefix + held + b"\n" if held else b""
