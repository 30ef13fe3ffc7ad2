"""What stands in the file of a site's output: Luisito's own lines, and where a file may end."""

from __future__ import annotations

from luisito.core.text import visible

LONGEST = 4000  # characters of a line of ours


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
