"""The text of nginx's configuration: from characters to directives (nginx.org, "Beginner's Guide").

There is a parser by nginx's own makers, crossplane; its last release is of 2022, and it opens what
files include by itself, whatever that is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import attrs

from luisito.errors import ImportFailed
from luisito.importing.found import Place, in_short

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEEPEST: Final = 50  # blocks in each other
_TOKEN: Final = re.compile(
    r"""
    (?P<space> \s+ | \#[^\n]* )
    | (?P<mark> [;{}] )
    | " (?P<double> (?: [^"\\] | \\. )* ) "
    | ' (?P<single> (?: [^'\\] | \\. )* ) '
    | (?P<open> ["'] )
    | (?P<bare> (?: \\. | \$\{ | [^\s;{}"'\\] ) (?: \\. | \$\{ | [^\s;{\\] | \\ )* | \\ )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_MEANT: Final = {"n": "\n", "r": "\r", "t": "\t"}


@attrs.define
class Directive:
    """One directive.

    Attributes:
        words: its name, and its arguments.
        place: where it begins.
        block: what is in its braces; None where it has none.
    """

    words: list[str]
    place: Place
    block: list[Directive] | None = None

    @property
    def name(self) -> str:
        """What it sets."""
        return self.words[0]

    @property
    def args(self) -> list[str]:
        """What it sets that to."""
        return self.words[1:]

    def __str__(self) -> str:
        return in_short(self.words)

    def all(self, *names: str) -> Iterator[Directive]:
        """The directives of these names in its block."""
        return (one for one in self.block or () if one.name in names)


def parse(path: str, text: str) -> list[Directive]:
    """Reads the directives of a file.

    Args:
        path: of it, for messages.
        text: of it.

    Raises:
        ImportFailed: braces, quotes or semicolons are missing; with path and line.
    """
    top: list[Directive] = []
    blocks = [top]
    opened: list[Directive] = []
    words: list[str] = []
    began = 0
    for kind, word, line in _tokens(path, text):
        if kind == "word":
            began = began if words else line
            words.append(word)
            continue
        place = Place(path, began)
        if word == "}":
            if words:
                raise ImportFailed(f'{place}: {words[0]} has no ";" at its end; write one')
            if not opened:
                raise ImportFailed(f'{path}:{line}: "}}" closes nothing; remove it')
            blocks.pop()
            opened.pop()
            continue
        if not words:
            if word == ";":
                continue
            raise ImportFailed(f'{path}:{line}: "{{" has no name before it; remove it')
        directive = Directive(words, place, [] if word == "{" else None)
        blocks[-1].append(directive)
        words = []
        if directive.block is not None:
            if len(opened) == _DEEPEST:
                raise ImportFailed(f"{place}: is nested too deeply; no block needs that")
            blocks.append(directive.block)
            opened.append(directive)
    if words:
        raise ImportFailed(f'{Place(path, began)}: {words[0]} has no ";" at its end; write one')
    if opened:
        what = f'the "{{" of {opened[-1].name} is not closed'
        raise ImportFailed(f"{opened[-1].place}: {what}; close it")
    return top


def _tokens(path: str, text: str) -> Iterator[tuple[str, str, int]]:
    line, at = 1, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup == "open":
            raise ImportFailed(f"{path}:{line}: a quote is not closed; close it")
        kind = match.lastgroup
        if kind == "mark":
            yield "mark", match[0], line
        elif kind == "bare":
            yield "word", match[0], line
        elif kind != "space":
            inside = match["double"] if match["double"] is not None else match["single"]
            yield "word", _ESCAPED.sub(_escaped, inside), line
        line += match[0].count("\n")
        at = match.end()


def _escaped(match: re.Match[str]) -> str:
    """What stands for a backslash and a character: only quotes, backslashes and n, r, t."""
    return _MEANT.get(match[1], match[1] if match[1] in "\"'\\" else match[0])
