"""What the first bytes of a program say: who interprets it, and whether it only finds another."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD = 255  # bytes that the kernel looks at (BINPRM_BUF_SIZE of linux/binfmts.h, less a NUL)

_SHIM = re.compile(
    r"""^exec\s+(?P<quote>["']?)(?P<manager>[^\s"']*\b(?:pyenv|rbenv|nodenv|asdf))(?P=quote)"""
    r"""\s+exec\s+["']?(?P<program>[^\s"']+)""",
    re.MULTILINE,
)
_EXPORT = re.compile(r"""^export\s+(\w+)=(["']?)([^"'$`\n]*)\2$""", re.MULTILINE)
_VARIABLE = re.compile(r"\w+=")


class Shebang(NamedTuple):
    """The first line of a script (execve(2)).

    Attributes:
        interpreter: the program that is run.
        argument: the one that it gets before the path of the script; "" where there is none.
    """

    interpreter: str
    argument: str

    @property
    def ends_in_cr_lf(self) -> bool:
        """Whether the kernel takes a CR of the line's end for a part of it, and finds nothing."""
        return "\r" in self.interpreter + self.argument


def shebang(head: bytes) -> Shebang | None:
    """Read the first line of a script.

    Args:
        head: the first HEAD bytes of a program.

    Returns:
        None where it is no script with an interpreter.
    """
    if not head.startswith(b"#!"):
        return None
    line = head[2:].partition(b"\n")[0].strip(b" \t").decode("utf-8", "surrogateescape")
    interpreter, argument = re.fullmatch(r"([^ \t]*)[ \t]*(.*)", line, re.DOTALL).groups()  # type: ignore[union-attr]  # it matches anything
    return Shebang(interpreter, argument)


def started_by_env(arguments: Sequence[str]) -> str | None:
    """Tell which program env(1) starts.

    Args:
        arguments: of env; the one of a first line is one word, unless it begins with -S.

    Returns:
        None where it starts none, or takes an option that is not understood here.
    """
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word in ("-S", "--split-string") and words:
            words = [*_split(words[0]), *words[1:]]
        elif word.startswith("-S"):
            words = [*_split(word[2:]), *words]
        elif word in ("-i", "-", "--", "--ignore-environment") or _VARIABLE.match(word):
            continue
        elif word.startswith("-"):
            return None
        else:
            return word
    return None


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return []


class Shim(NamedTuple):
    """A script of a version manager, which looks for the real program at each start.

    Attributes:
        manager: the program of the manager: a path, or a name to be found on PATH.
        program: whose real path the manager's `which` tells.
        environ: what the script adds to the environment of the manager.
    """

    manager: str
    program: str
    environ: dict[str, str]


def shim(text: str, name: str) -> Shim | None:
    """Recognise a shim of pyenv, rbenv, nodenv or asdf.

    Args:
        text: of the script.
        name: of its file.

    Returns:
        None for any other script.
    """
    match = _SHIM.search(text)
    if match is None:
        return None
    program = match["program"]
    exports = {variable: value for variable, _, value in _EXPORT.findall(text)}
    return Shim(match["manager"], name if program == "$program" else program, exports)
