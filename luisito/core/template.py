"""Command templates: %-words in a command are replaced once, never through a shell."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from luisito.errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NAMES = ("HOST", "PORT", "SOCKET", "FD", "UID", "GID", "PATH")  # of words, without the sign
_WORD = re.compile(f"%({'|'.join(NAMES)}|%)")
WAYS = {"PORT": "port", "SOCKET": "socket", "FD": "fd"}  # how a server is reached, by the words


class Template:
    """A command, or one text, in which %HOST, %PORT, %SOCKET, %FD, %UID, %GID, %PATH and %% stand.

    Other % sequences stay as they are, so that ``%(levelname)s`` and ``date +%s`` need no care.

    Attributes:
        words: the names of the words that are used, without the per cent sign.
    """

    __slots__ = ("_parts", "words")

    def __init__(self, parts: Sequence[str]) -> None:
        for part in parts:
            if "\0" in part:
                raise TemplateError(f"{part!r} holds a NUL character; remove it")
        self._parts = tuple(parts)
        found = {word for part in parts for word in _WORD.findall(part)}
        self.words = frozenset(found - {"%"})

    @classmethod
    def parse(cls, command: str | Sequence[str]) -> Template:
        """Read a command: a string is split once as a shell would, a sequence is taken as it is.

        Raises:
            TemplateError: an unbalanced quote, an empty command or an empty program name.
        """
        if isinstance(command, str):
            try:
                parts: Sequence[str] = shlex.split(command)
            except ValueError as error:
                raise TemplateError(
                    f"command {command!r}: {str(error).lower()}; balance the quotes"
                ) from None
        else:
            parts = command
        if not parts or not parts[0]:
            raise TemplateError(f"command {command!r} names no program; write one")
        return cls(parts)

    @classmethod
    def text(cls, text: str) -> Template:
        """Read one text that is not split, such as a value of ENV or a path."""
        return cls((text,))

    @property
    def texts(self) -> tuple[str, ...]:
        """Its parts, as they are written."""
        return self._parts

    @property
    def program(self) -> str:
        """The first part, as it is written."""
        return self._parts[0]

    def render(self, values: Mapping[str, str]) -> list[str]:
        """Put the values in, in one pass: a value is never looked at for words again.

        Args:
            values: from names of words, without the per cent sign, to what they stand for.

        Raises:
            TemplateError: a word has no value, or a value that could become an option, a path
                or the end of a C string.
        """
        for name in self.words:
            value = values.get(name)
            if value is None:
                raise TemplateError(f"%{name} has no value here; remove it from {self._parts!r}")
            # A host is validated long before; this is the last line of defence.
            unsafe_host = name == "HOST" and ("/" in value or value.startswith(("-", ".")))
            if "\0" in value or not value or unsafe_host:
                raise TemplateError(f"%{name} may not stand for {value!r}")
        return [
            _WORD.sub(lambda found: "%" if found[1] == "%" else values[found[1]], part)
            for part in self._parts
        ]


def way(words: Iterable[str]) -> str:
    """Tell how connections reach a server whose templates use these words.

    Returns:
        "port", "socket" or "fd"; "fd" also when none of the three is used.

    Raises:
        TemplateError: two of them are used.
    """
    found = sorted(WAYS.keys() & set(words))
    if len(found) > 1:
        named = " and ".join(f"%{name}" for name in found)
        raise TemplateError(f"{named} exclude each other; keep one of them")
    return WAYS[found[0]] if found else "fd"
