"""A Procfile (devcenter.heroku.com, "The Procfile"), as foreman and honcho read it."""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING, Final

from luisito.importing.commands import literal, server_of
from luisito.importing.files import is_there
from luisito.importing.found import EnvFile, Place, Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from luisito.importing.files import Source
    from luisito.importing.found import Findings

_LINE: Final = re.compile(r"([A-Za-z0-9_-]+):\s*(.+)")
_SETS: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=([A-Za-z0-9_./:@%+-]*)\s+")
_SETS_SO: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_PORT: Final = re.compile(r"\$(?:PORT\b|\{PORT(?::?-[^}]*)?\})")
_SHELL: Final = re.compile(r"[|&;<>()`$*?\[\]~#!]")
_QUOTED: Final = re.compile(r"""'[^']*'|"[^"$`\\]*\"""")


def is_procfile(source: Source) -> bool:
    """Whether a file is one: each line is `NAME: COMMAND`, a comment or empty."""
    found = [line for line in source.text.split("\n") if line.strip() and line[0] != "#"]
    return bool(found) and all(_LINE.fullmatch(line.strip()) for line in found)


def programs(source: Source, found: Findings) -> Iterator[Program]:
    """The programs of a Procfile: `web`, and those without a socket, whose names are `NAME:`.

    Args:
        source: of it.
        found: gets notes.
    """
    for number, line in enumerate(source.text.split("\n"), 1):
        match = _LINE.fullmatch(line.strip())
        if match is None:
            continue
        place = Place(source.path, number)
        if match[1] == "release":
            why = "is run once before a new version, and not by a site"
            found.lost(place, "release", why, f"run it by hand: {match[2]}")
            continue
        program = _program(source, place, match[1], match[2].strip())
        if program is not None:
            yield program
        else:
            why = "a quote is not closed"
            found.lost(place, match[1], why, "mend that line, and import again")


def _program(source: Source, place: Place, name: str, command: str) -> Program | None:
    folder = os.path.dirname(os.path.abspath(source.path))
    program = Program(f"{name}:", place, [], sources=[source.path], hidden=source.hidden)
    program.values["folder"] = folder
    if is_there(os.path.join(folder, ".env")):
        program.env_file = EnvFile(place, ".env", False)
    while (sets := _SETS.match(command)) is not None:
        program.env[sets[1]] = sets[2]
        command = command[sets.end() :]
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    known = server_of(words) is not None
    if not words or _SHELL.search(_PORT.sub("", _QUOTED.sub("", command))):
        program.argv = program.command = _by_shell(command)
    elif known:
        # it is told another place to listen anyway
        program.argv = [_PORT.sub("8000", word) for word in words]
    else:
        program.argv = program.command = [_put(word) for word in words]
    if name == "web" and program.command and "%PORT" not in " ".join(program.command):
        program.words["PORT"] = "%PORT"
    return program


def _put(text: str) -> str:
    """A text as a template: %PORT where it has $PORT, on this machine only, as not on Heroku."""
    put = "%PORT".join(literal(part) for part in _PORT.split(text))
    return re.sub(r"(?<![0-9.])0\.0\.0\.0:%PORT", "127.0.0.1:%PORT", put)


def _by_shell(command: str) -> list[str]:
    """A command as a shell runs it, whose last part takes the place of the shell."""
    before, mark, last = command.rpartition("&&")
    last = last.strip()
    try:
        plain = not _SETS_SO.match(shlex.split(last)[0]) and not re.search(
            r"[|&;()]", _QUOTED.sub("", last)
        )
    except (ValueError, IndexError):
        return ["sh", "-c", _put(command)]  # it is in a quote
    if plain and not last.startswith("exec "):
        last = f"exec {last}"
    return ["sh", "-c", _put(f"{before}{mark} {last}" if mark else last)]
