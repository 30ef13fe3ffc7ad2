"""What stands in the file of a site's output: Luisito's own lines, and where a file may end."""

from __future__ import annotations

from luisito.core.text import visible

LONGEST = 4000  # characters of a line of ours
MOST = 128 * 1024
"""Bytes of a file that are told at a time."""


def line(time: str, words: str) -> bytes:
    """Compose a line of Luisito's own, as one line whatever is in it.

    Args:
        time: of the event.
        words: what happened.
    """
    shown = visible(words)
    if len(shown) > LONGEST:
        shown = shown[: LONGEST - 3] + "..."
    return f"{time} luisito: {shown}\n".encode()


def rotates(size: int, limit: int) -> bool:
    """Tell whether a file is large enough for another to be begun; both in bytes."""
    return 2 * size >= limit


def fitting(held: bytes | bytearray, size: int, limit: int) -> int:
    """Tell how much of what is to be written still goes into a file.

    A file ends with a whole line, unless that would leave half of it empty.

    Args:
        held: what is to be written; not empty.
        size: of the file so far, in bytes.
        limit: the largest size of a file.

    Returns:
        A number of bytes; 0 where another file must be begun first, for which `rotates` is true.
    """
    room = max(0, limit - size)
    if len(held) <= room:
        return len(held)
    whole = held.rfind(b"\n", 0, room) + 1
    return whole if whole or rotates(size, limit) else room


def part(size: int, after: int | None) -> tuple[int, int]:
    """Tell which part of a file is told: from where to where, in bytes.

    Args:
        size: of the file.
        after: what is before that is known already; beyond the end, as another file was begun
            since, it counts for nothing. None for the end of the file.
    """
    if after is None:
        return max(0, size - MOST), size
    start = after if after <= size else 0
    return start, min(size, start + MOST)


def told(
    data: bytes, end: int, after: int | None, most: int, *, over: bool = False
) -> tuple[list[str], int]:
    """Tell the lines of such a part, and what of the file is known then.

    Of what is told after something else, the last line waits until it is whole, if it can be and
    there is room for the rest of it in the next part.

    Args:
        data: of the part.
        end: of it, in the file.
        after: see `part`.
        most: so many lines, the last ones, of the end of a file.
        over: nothing more will come into the file.
    """
    if after is not None and over:
        return _lines(data), end
    if after is not None:
        whole = data.rfind(b"\n") + 1
        if whole or len(data) < MOST:
            end -= len(data) - whole
            data = data[:whole]
        return _lines(data), end
    if len(data) == MOST < end:
        data = data[data.find(b"\n") + 1 :]  # it begins within a line
    return _lines(data)[-most:], end


def _lines(data: bytes) -> list[str]:
    text = data.decode("utf-8", "replace").removesuffix("\n")
    return text.split("\n") if data else []
