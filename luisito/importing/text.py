"""Lines of `NAME = VALUE` under `[SECTION]`, as systemd, supervisord and uWSGI have them.

configparser tells no lines, and holds no name twice, which units and vassals may have.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECTION: Final = re.compile(r"\[([^\]]+)\]")


class Line(NamedTuple):
    """One assignment.

    Attributes:
        section: in which it is.
        name: what is set.
        value: what it is set to.
        number: of the line where it begins, from 1.
    """

    section: str
    name: str
    value: str
    number: int


def lines(text: str, *, indented: bool = False) -> Iterator[Line]:
    """Reads assignments; what is none is left out.

    Args:
        text: with comments after # or ; at the beginning of lines.
        indented: a line that begins with white space goes on with the one before (supervisord,
            where a comment may also end a line, after " ;"); else a backslash at the end of a
            line says that the next one does (systemd.syntax(7), uWSGI).
    """
    section = ""
    for number, line in _joined(text, indented=indented):
        if line.startswith(("#", ";")):
            continue
        match = _SECTION.fullmatch(line)
        if match is not None:
            section = match[1].strip()
            continue
        name, equals, value = line.partition("=")
        if not equals and indented:
            name, equals, value = line.partition(":")
        if equals and name.strip():
            yield Line(section, name.strip(), value.strip(), number)


def _joined(text: str, *, indented: bool) -> Iterator[tuple[int, str]]:
    """Whole lines, without white space around them, each with the number of its first one."""
    parts: list[str] = []
    began = 0
    more = False
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not indented and more and stripped.startswith(("#", ";")):
            continue
        if indented:
            stripped = re.split(r"\s;", stripped, maxsplit=1)[0].rstrip()
            more = bool(parts) and line[:1] in (" ", "\t") and bool(stripped)
        if not more:
            if parts:
                yield began, " ".join(parts)
            parts, began = [], number
        more = not indented and stripped.endswith("\\")
        if stripped:
            parts.append(stripped[:-1].rstrip() if more else stripped)
    if parts:
        yield began, " ".join(parts)


def sections(text: str) -> list[str]:
    """The names of its sections, in order."""
    found = (_SECTION.fullmatch(line.strip()) for line in text.split("\n"))
    return [match[1].strip() for match in found if match is not None]
