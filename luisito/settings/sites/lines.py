"""Where in a text of TOML each key stands, which tomllib does not tell."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple[str | int, ...]
"""Keys, and indices of arrays: `("env", "LANG")`, `("aliases", 0)`."""

_TOKEN: Final = re.compile(
    r'''
    (?P<space> [ \t\r]+ | \#[^\n]* )
    | (?P<string>
        """ (?: [^"\\] | \\. | "(?!"") )* "{3,5}
        | \'\'\' (?: [^'] | '(?!\'\') )* '{3,5}
        | " (?: [^"\\\n] | \\. )* "
        | ' [^'\n]* '
      )
    | (?P<bare> [A-Za-z0-9_-]+ )
    | (?P<mark> . )
    ''',
    re.VERBOSE | re.DOTALL,
)


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def lines(text: str) -> dict[Path, list[int]]:
    """Finds the lines of keys outside of inline tables, and of what stands in their arrays.

    Args:
        text: TOML, which may set a key twice; of any other text not all is found.

    Returns:
        For each path the lines where it is set, from 1; of an array of tables (`[[...]]`) that of
        the first one.
    """
    found: dict[Path, list[int]] = {}
    sizes: Counter[Path] = Counter()  # of arrays of tables
    table: Path = ()
    statement: list[_Token] = []
    depth = 0
    for token in _tokens(text):
        depth += (token.text in ("[", "{")) - (token.text in ("]", "}"))
        if token.text != "\n" or depth > 0:
            statement.append(token)
            continue
        depth = 0  # where it was less, it is no TOML
        if statement and statement[0].text == "[":
            table = _table(statement, found, sizes)
        elif statement:
            _note(statement, table, found)
        statement = []
    if statement:  # it is not closed
        _note(statement, table, found)
    return found


def _table(statement: list[_Token], found: dict[Path, list[int]], sizes: Counter[Path]) -> Path:
    """The path of a table, which it notes; one of an array has its index at the end."""
    table: Path = ()
    for key in _key(statement):  # what is below an array is in the last table of it so far
        table = (*table, sizes[table] - 1, key) if table in sizes else (*table, key)
    at = statement[0].line
    if [token.text for token in statement[:2]] == ["[", "["]:
        found.setdefault(table, [at])
        sizes[table] += 1
        table = (*table, sizes[table] - 1)
    found.setdefault(table, []).append(at)
    return table


def long_key(text: str, parts: int) -> int | None:
    """Finds a dotted key of more parts than anybody writes; tomllib's time grows by their square.

    Args:
        text: TOML, or not.
        parts: that a key may have.

    Returns:
        The line of the first one; None where there is none.
    """
    if text.count(".") < parts:
        return None
    dots = 0
    for token in _tokens(text):
        if token.text == ".":
            dots += 1
            if dots >= parts:
                return token.line
        elif token.kind == "mark":
            dots = 0
    return None


def _tokens(text: str) -> Iterator[_Token]:
    line = 1
    for match in _TOKEN.finditer(text + "\n"):
        kind, written = str(match.lastgroup), match[0]
        if kind != "space":
            yield _Token(kind, written, line)
        line += written.count("\n")


def _note(statement: list[_Token], table: Path, found: dict[Path, list[int]]) -> None:
    """Notes the key of a statement, and the elements of its value where that is an array."""
    at = next((at for at, token in enumerate(statement) if token.text == "="), len(statement))
    path = (*table, *_key(statement[:at]))
    for end in range(len(table) + 1, len(path)):  # a.b = 1 makes a, too, and may do so again
        found.setdefault(path[:end], [statement[0].line])
    found.setdefault(path, []).append(statement[0].line)
    value = statement[at + 1 :]
    if not value or value[0].text != "[":
        return
    depth = index = 0
    for token in value:
        if depth == 1 and token.text not in ("\n", "]", ","):
            found.setdefault((*path, index), [token.line])
        depth += (token.text in ("[", "{")) - (token.text in ("]", "}"))
        index += depth == 1 and token.text == ","


def _key(tokens: list[_Token]) -> Iterator[str]:
    """The parts of a dotted key, in brackets or not."""
    for token in tokens:
        if token.kind == "bare":
            yield token.text
        elif token.kind == "string":
            try:
                yield str(tomllib.loads(f"key = {token.text}")["key"])
            except tomllib.TOMLDecodeError:
                yield token.text
