"""Words and variables as systemd splits and replaces them (systemd.service(5), COMMAND LINES)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORD: Final = re.compile(
    r"""\s*((?: [^\s"'\\] | \\. | "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' )+)""",
    re.VERBOSE | re.DOTALL,
)
_PART: Final = re.compile(r""""((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|\\(.)""", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_MEANT: Final = {"n": "\n", "t": "\t", "r": "\r", "s": " "}
_VARIABLE: Final = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$([A-Za-z_][A-Za-z0-9_]*)")


def split(text: str) -> list[str] | None:
    """Splits words, quotes and escapes taken away; None where a quote is not closed."""
    words, at = [], 0
    text = text.strip()
    while at < len(text):
        match = _WORD.match(text, at)
        if match is None:
            return None
        words.append(_PART.sub(_plain, match[1]))
        at = match.end()
    return words


def _plain(match: re.Match[str]) -> str:
    inside = match[1] if match[1] is not None else match[2]
    if inside is None:
        return _MEANT.get(match[3], match[3])
    return _ESCAPED.sub(_character, inside)


def _character(match: re.Match[str]) -> str:
    if len(match[1]) == 3:
        return chr(int(match[1][1:], 16))
    return _MEANT.get(match[1], match[1])


def variables(words: list[str], env: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Puts in what variables stand for.

    Args:
        words: of a command.
        env: what is known of its environment.

    Returns:
        The words, and the names of variables that are not known, which stay as they are.
    """
    unknown: list[str] = []

    def put(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name is None:
            return "$"
        if name not in env:
            unknown.append(name)
        return env.get(name, match[0])

    result: list[str] = []
    for word in words:
        whole = _VARIABLE.fullmatch(word)
        if whole is not None and whole[2] in env:
            result += env[whole[2]].split()  # $NAME alone is as many words as it has
        else:
            result.append(_VARIABLE.sub(put, word))
    return result, unknown
