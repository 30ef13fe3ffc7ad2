"""Commands that go into the background: which word of theirs sends them there, and the mend."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class _Program(NamedTuple):
    """How a program is kept in the foreground.

    Attributes:
        flags: options that send it into the background.
        instead: what to write where it goes there by itself, or "".
    """

    flags: tuple[str, ...]
    instead: str = ""


_PROGRAMS = {
    "gunicorn": _Program(("-D", "--daemon")),
    "uwsgi": _Program(("-d", "--daemonize", "--daemonize2")),
    "php-fpm": _Program(("-D", "--daemonize"), "--nodaemonize"),
    "apache": _Program((), "-D FOREGROUND"),
    "httpd": _Program((), "-D FOREGROUND"),
    "nginx": _Program((), "-g 'daemon off;'"),
    "lighttpd": _Program((), "-D"),
}
# They mean the same to whatever program.
_ANYWHERE = ("--daemon", "--daemonize", "--daemonise", "--background", "--detach")
_SHELLS = ("sh", "bash", "dash", "ash", "zsh", "ksh")
_VERSION = re.compile(r"[0-9.]*$")
# One & alone: not of &&, &>, >& or <&.
_AMPERSAND = re.compile(r"(?<![&<>])&(?![&>])")
_MOST_SHOWN = 60  # characters of a shell's script


def went(pid: int, argv: Sequence[str]) -> str:
    """Say that a command went into the background, and what to do about it.

    Args:
        pid: of a process that the command left behind.
        argv: the command.
    """
    return (
        f"the command went into the background (it exited with code 0 while its child pid {pid}"
        f" lived on); it must stay in the foreground: {mend(argv)}"
    )


def mend(argv: Sequence[str]) -> str:
    """Tell what to change in a command that goes into the background."""
    script = _script(argv)
    if script is not None and _AMPERSAND.search(script):
        shown = script if len(script) <= _MOST_SHOWN else script[: _MOST_SHOWN - 3] + "..."
        return f"remove the & from {shown!r}, and put exec before the server's command"
    words = [*argv, *_split(script or "")]
    for name, rest in _programs(words):
        program = _PROGRAMS[name]
        flag = _first(rest, program.flags)
        if flag is not None:
            also = f" and add {program.instead}" if program.instead else ""
            return f"remove {flag}{also}"
        if program.instead:
            start = " in the place of -k start" if "-k" in rest and "start" in rest else ""
            return f"add {program.instead}{start}"
    flag = _first(words, _ANYWHERE)
    if flag is not None:
        return f"remove {flag}"
    return (
        "remove what sends it there (-D, --daemon, --daemonize, &, or a line of its configuration"
        " file), and end a shell script with exec"
    )


def _script(argv: Sequence[str]) -> str | None:
    """Find the script in `sh -c SCRIPT`."""
    for at, word in enumerate(argv):
        if word.rpartition("/")[2] in _SHELLS:
            for option, script in zip(argv[at + 1 :], argv[at + 2 :], strict=False):
                if re.fullmatch("-[a-z]*c", option):
                    return script
    return None


def _split(script: str) -> list[str]:
    try:
        return shlex.split(script)
    except ValueError:  # quotes that are not shlex's
        return script.split()


def _programs(words: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """List the known programs in a command (`env A=1 gunicorn`, `python -m gunicorn`)."""
    for at, word in enumerate(words):
        name = _VERSION.sub("", word.rpartition("/")[2])
        if name in _PROGRAMS:
            yield name, words[at + 1 :]


def _first(words: Sequence[str], flags: Sequence[str]) -> str | None:
    """Find the first word that is one of the flags, alone or with `=value`."""
    return next((flag for word in words if (flag := word.partition("=")[0]) in flags), None)
