"""Tables, times and other text for people at a terminal."""

from __future__ import annotations

import pwd
import time
from typing import TYPE_CHECKING, Any, Final

from luisito.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LONGEST: Final = 400  # characters of an error, which ends with the mend
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str]) -> str:
    """Aligns columns.

    Args:
        head: their names.
        rows: their cells.
        right: names of columns that are aligned at the right, as numbers are.
    """
    lines = [head, *([visible(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if name in right else cell.ljust(width)
            for cell, width, name in zip(line, widths, head, strict=True)
        ).rstrip()
        for line in lines
    )


def named(row: Mapping[str, Any]) -> str:
    """What a row is of: a site or its server, or a worker of it."""
    worker: str | None = row.get("worker")
    name: str = row["site"]
    return name if worker is None else f"{name} ({worker})"


def duration(seconds: float | None) -> str:
    """A time in its two largest units: `1.5 s`, `42 s`, `3 min 5 s`, `2 d 7 h`."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds >= 0.1 else f"{seconds * 1000:.0f} ms"
    left = round(seconds)
    parts: list[str] = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if not part.startswith("0 "))


def user(uid: int | None) -> str:
    """The name of a user, or the number where there is no name."""
    if uid is None:
        return "-"
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def moment(at: float) -> str:
    """A time in seconds since the epoch, as a clock here shows it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def in_short(words: str) -> str:
    """An error in one line: of a server's output, the last one that says something."""
    first, *output = [line.strip() for line in words.split("\n") if line.strip()] or [""]
    text = visible(" ".join([first, *output[-1:]]))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
