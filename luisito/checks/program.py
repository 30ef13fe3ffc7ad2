"""The program of a command: where it is, what interprets it, whether a user may run it."""

from __future__ import annotations

import os
import select
import shlex
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from luisito.checks.eyes import Eyes, reach
from luisito.checks.files import exposed
from luisito.checks.report import Mend, Problem
from luisito.checks.whom import present
from luisito.core.permissions import EXECUTE, READ
from luisito.core.program import HEAD, Shim, shebang, shim, started_by_env
from luisito.settings.sites.toml import assignment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luisito.spawner.render import Rendered

_INTERPRETERS: Final = 5  # an interpreter may be a script, so often (execve(2))
_SHIM_SIZE: Final = 8192  # bytes; shims are shorter
_WHICH_TIMEOUT: Final = 10.0  # seconds
_WHICH_SIZE: Final = 8192  # bytes; a path is shorter (PATH_MAX)
_VENVS: Final = ("venv/bin", ".venv/bin", "env/bin")


class Program(NamedTuple):
    """What a command runs.

    Attributes:
        paths: the program, its interpreter, and so on.
        problems: what keeps them from being run.
    """

    paths: list[str]
    problems: list[Problem]


def program(
    command: str | Sequence[str], rendered: Rendered, folder: str, eyes: Eyes, said_by: str
) -> Program:
    """Follow a command to the program that is run in the end.

    Args:
        command: as it was written.
        rendered: the command and its environment.
        folder: that it is run in.
        eyes: of the server's user.
        said_by: the setting, or the key of a site file, that is the command.
    """
    words = shlex.split(command) if isinstance(command, str) else list(command)
    search = _Search(rendered, folder, eyes, said_by)
    search.follow(rendered.argv, words, said_by, _INTERPRETERS)
    return Program(search.paths, search.problems)


class _Search:
    """Follows a command from program to interpreter.

    Attributes:
        paths: found so far.
        problems: found so far.
    """

    def __init__(self, rendered: Rendered, folder: str, eyes: Eyes, said_by: str) -> None:
        self._rendered, self._folder, self._eyes = rendered, folder, eyes
        self._said_by = said_by
        self._before: list[str] = []  # words of the template that start the rest by env(1)
        self.paths: list[str] = []
        self.problems: list[Problem] = []

    def follow(self, argv: Sequence[str], words: Sequence[str], named: str, left: int) -> None:
        """Look at what a command runs.

        Args:
            argv: the command.
            words: the template that would write it so, for a mend.
            named: the setting or the script that names it.
            left: how many more interpreters the kernel would go on to.
        """
        path = self._find(argv[0], words, named)
        if path is None:
            return
        self.paths.append(path)
        head = _head(path)
        # what is interpreted is also read
        want = READ | EXECUTE if head is not None and head.startswith(b"#!") else EXECUTE
        problem = reach(path, self._eyes, want)
        if problem is not None:
            self.problems.append(problem)
        if head is None:
            self.problems.append(
                Problem(path, "you may not read it", Mend("do", "run this as root"))
            )
        elif head.startswith(b"#!"):
            self._script(path, head, argv, words, left)
        elif head.startswith(b"\x7fELF"):
            self._env(path, argv[1:], words)
        elif b"\0" not in head:
            what = "has no first line #! that names its interpreter, so that it cannot be executed"
            mend = Mend("run", f"sed -i '1i #!/bin/sh' {shlex.quote(path)}")
            self.problems.append(Problem(path, what, mend))

    def _env(self, path: str, arguments: Sequence[str], words: Sequence[str]) -> None:
        """Look at the program that env(1) starts."""
        started = started_by_env(arguments) if os.path.basename(path) == "env" else None
        if started is not None and started in arguments:
            at = arguments.index(started) + 1
            self._before += words[:at]
            self.follow([started, *arguments[at:]], words[at:], self._said_by, _INTERPRETERS)

    def _script(
        self, path: str, head: bytes, argv: Sequence[str], words: Sequence[str], left: int
    ) -> None:
        found = shebang(head[:HEAD])
        recognised = shim(head.decode("utf-8", "replace"), os.path.basename(path))
        if recognised is not None:
            self._shim(path, recognised, argv, words)
            return
        if found is None or not left:
            return
        interpreter, argument = found
        if found.ends_in_cr_lf:
            what = "has lines that end in CR LF, so that its interpreter is not found"
            mend = Mend("run", f"sed -i 's/\\r$//' {shlex.quote(path)}")
            self.problems.append(Problem(path, what, mend))
            return
        # a script is handed over by the path at which it was found
        script = words[0] if "/" in argv[0] else _escaped(path)
        rest, more = [path, *argv[1:]], [script, *words[1:]]
        if os.path.basename(interpreter) == "env" and (started := started_by_env([argument])):
            self.paths.append(interpreter)
            self.follow([started, *rest], [_escaped(started), *more], path, left - 1)
            return
        between = [argument] if argument else []
        self.follow(
            [interpreter, *between, *rest],
            [*map(_escaped, [interpreter, *between]), *more],
            path,
            left - 1,
        )

    # -- where it is

    def _find(self, name: str, words: Sequence[str], named: str) -> str | None:
        """The file that a name stands for, as execvpe finds it; None where there is none."""
        path = self._rendered.environ["PATH"]
        places = [name] if "/" in name else [os.path.join(at, name) for at in path.split(":")]
        places = [os.path.join(self._folder, place) for place in places]
        there = [place for place in places if os.path.isfile(place)]
        if not there:
            hidden = reach(places[0], self._eyes, EXECUTE) if "/" in name else None
            self.problems.append(hidden or self._missing(name, path, words, named))
            return None
        usable = (place for place in there if reach(place, self._eyes, EXECUTE) is None)
        return next(usable, there[0])

    def _missing(self, name: str, path: str, words: Sequence[str], named: str) -> Problem:
        where = "" if "/" in name else f" (PATH={path})"
        if named == self._said_by:
            what = f"no such program: {name!r}{where}"
            for venv in _VENVS:
                if "/" not in name and os.path.isfile(f"{self._folder}/{venv}/{name}"):
                    return Problem(named, what, self._written([f"%PATH/{venv}/{name}", *words[1:]]))
            if any(os.path.isfile(f"{at}/{name}3") for at in path.split(":")):
                return Problem(named, what, self._written([f"{name}3", *words[1:]]))
            return Problem(named, what, Mend("do", "install it, or write where it is"))
        what = f"its first line names the interpreter {name!r}, which is not there{where}"
        return Problem(named, what, Mend("do", "install that, or mend the line"))

    def _written(self, words: Sequence[str]) -> Mend:
        command = [*self._before, *words]
        if self._said_by.isupper():
            return Mend("write", f"{self._said_by} = {command!r}")
        return Mend("do", assignment((self._said_by,), command))

    # -- version managers

    def _shim(self, path: str, found: Shim, argv: Sequence[str], words: Sequence[str]) -> None:
        manager = os.path.basename(found.manager)
        what = f"is a shim: {manager} looks for the program at each start, which takes some 100 ms"
        real = self._which(found)
        if real is None:
            mend = Mend(
                "do", f"write what `{manager} which {found.program}` says into {self._said_by}"
            )
            self.problems.append(Problem(path, what, mend))
            return
        self.problems.append(
            Problem(path, f"{what} and finds {real}", self._written([_escaped(real), *words[1:]]))
        )
        self.follow([real, *argv[1:]], [_escaped(real), *words[1:]], path, _INTERPRETERS)

    def _which(self, found: Shim) -> str | None:
        """Ask the version manager, as the server's user in its folder and environment.

        A tenant's file names it, so it is run only where root or whoever types this owns it, and
        away from the terminal, into which a program can type (TIOCSTI of ioctl_tty(2)).
        """
        identity = self._eyes.identity
        environ = {**self._rendered.environ, **found.environ}
        manager = self._manager(found.manager, environ["PATH"])
        if manager is None:
            return None
        as_user = (
            {"user": identity.uid, "group": identity.gid, "extra_groups": identity.groups}
            if os.geteuid() == 0
            else {}
        )
        try:
            process = subprocess.Popen(  # type: ignore[call-overload]  # of as_user's values  # noqa: S603
                [manager, "which", found.program],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=self._folder,
                env=environ,
                start_new_session=True,
                bufsize=0,
                **as_user,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        with process:
            try:
                said = _output(process.stdout.fileno(), time.monotonic() + _WHICH_TIMEOUT)
            finally:  # with all that it has started; not reaped yet, it still has its number
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        real = os.fsdecode(said or b"").strip()
        return real if os.path.isfile(real) else None

    def _manager(self, name: str, path: str) -> str | None:
        """The executable of a version manager; None where a stranger may have written it."""
        found = shutil.which(os.path.join(self._folder, name) if "/" in name else name, path=path)
        if found is None:
            return None
        real = os.path.realpath(os.path.join(self._folder, found))
        starter = present()
        try:
            opened = os.stat(real)
        except OSError:
            return None
        return None if exposed(real, starter, opened) is not None else real


def _output(descriptor: int, deadline: float) -> bytes | None:
    """What comes from a pipe to its end; None where it is too much, or not at its end in time."""
    said = b""
    while len(said) <= _WHICH_SIZE:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        more = os.read(descriptor, _WHICH_SIZE)
        if not more:
            return said
        said += more
    return None


def _head(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(_SHIM_SIZE)
    except OSError:
        return None


def _escaped(text: str) -> str:
    """A text as it stands in a template."""
    return text.replace("%", "%%")
