"""Who a site's server runs as, where RUN_AS is a function: keeps the process that calls it.

It has loaded the settings file and calls the function in a fork for each question. Nobody but the
child that becomes the server asks it, and waits for the answer: the spawner never does.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
from typing import TYPE_CHECKING, Final

from luisito.errors import LuisitoError
from luisito.spawner import channel
from luisito.spawner.containment import kill
from luisito.spawner.forking import fork
from luisito.spawner.reader import become_reader

if TYPE_CHECKING:
    from luisito.core.recipe import Recipe

DEADLINE: Final = 5.0  # seconds for an answer
LOADING: Final = 20.0  # seconds to load the settings file
_AGAIN: Final = 1.0  # seconds from one start of the process to the next
_MAX_ANSWER: Final = 4096  # bytes; a pipe takes so much at once


class NoAnswerError(LuisitoError):
    """RUN_AS did not say who a server runs as; the message says why.

    Args:
        what: went wrong.
        mend: what to do about it, as far as that is not in `what`.
    """

    def __init__(self, what: str, mend: str | None = None) -> None:
        super().__init__(what if mend is None else f"{what}: {mend}")
        self.what, self.mend = what, mend


class Chooser:
    """The process that calls RUN_AS, started again whenever it has ended.

    Args:
        file: the settings file.
        cwd: where Luisito was started.
        parent: what getppid() answers in a child of ours as long as we live.
        recipe: how Luisito was started: it loads the file with the same environment.

    Attributes:
        pid: of the process; 0 while there is none.
        questions: our end of the pair, for the children that ask; questions outlive the process.
    """

    __slots__ = (
        "_cwd", "_file", "_parent", "_recipe", "_sockets", "_start_at", "pid", "questions",
    )  # fmt: skip

    def __init__(self, file: str, cwd: str, parent: int, recipe: Recipe | None) -> None:
        self._file, self._cwd, self._parent, self._recipe = file, cwd, parent, recipe
        self._sockets = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.questions = self._sockets[0].fileno()
        self.pid = 0
        self._start_at = 0.0

    def tick(self, now: float) -> None:
        """Start it, where there is none and it is time."""
        if self.pid or now < self._start_at:
            return
        self._start_at = now + _AGAIN
        try:
            self.pid = fork()
        except OSError:
            return  # tried again
        if self.pid == 0:
            self._become()

    def deadline(self) -> float | None:
        """Tell when tick is worth calling next."""
        return None if self.pid else self._start_at

    def reaped(self, pid: int) -> bool:
        """Note the end of a process; tell whether it was this one."""
        if pid != self.pid:
            return False
        self.pid = 0
        return True

    def close(self) -> None:
        """End it for good."""
        if self.pid:
            kill(self.pid, signal.SIGKILL)
        for sock in self._sockets:
            sock.close()

    def _become(self) -> None:
        """Be that process; never returns."""
        become_reader(
            ["luisito.settings.chooser", self._file],
            [self._sockets[1].fileno()],
            self._cwd,
            self._parent,
            self._recipe,
        )


def ask(questions: int, site: str) -> str | int | None:
    """Ask who a site's server runs as; called in the child that will be the server.

    Args:
        questions: of the Chooser.
        site: its name.

    Returns:
        What RUN_AS has returned: a user's name or uid, or None for the default.

    Raises:
        NoAnswerError: it has raised, returned something else, or did not return in time.
    """
    answer, end = os.pipe2(os.O_CLOEXEC)
    late = time.monotonic() + DEADLINE
    with socket.socket(fileno=questions) as sock:
        sock.settimeout(DEADLINE)
        try:
            channel.send(sock, site.encode(), (end,))
        except TimeoutError:
            late = 0.0
    os.close(end)
    return await_answer(answer, site, late)


def await_answer(descriptor: int, site: str, late: float) -> str | int | None:
    """Wait for what is said at the other end of a pipe.

    Args:
        descriptor: of the pipe; it is closed here.
        site: who runs its server is the question.
        late: when to give up, by the monotonic clock.

    Returns:
        What RUN_AS has returned.

    Raises:
        NoAnswerError: as `ask` does.
    """
    with open(descriptor, "rb", buffering=0) as pipe:
        poller = select.poll()
        poller.register(pipe, select.POLLIN)
        if not poller.poll(max(0.0, late - time.monotonic()) * 1000):
            what = f"RUN_AS({site!r}) did not return within {DEADLINE:g} s"
            raise NoAnswerError(what, "mend it, or what it waits for")
        data = pipe.read(_MAX_ANSWER)
    if not data:
        what = f"RUN_AS({site!r}) has ended its process instead of returning"
        raise NoAnswerError(what, "mend it")
    said = json.loads(data)
    if "error" in said:
        raise NoAnswerError(str(said["error"]))
    user: str | int | None = said["user"]
    return user


def answer(descriptor: int, said: dict[str, str | int | None]) -> None:
    """Answer a question, on the descriptor that came with it; whoever asked may have gone.

    Args:
        descriptor: the pipe.
        said: {"user": ...} or {"error": ...}, which is cut where it is long.
    """
    cut = {
        key: value.encode("ascii", "backslashreplace")[: _MAX_ANSWER // 4].decode()
        if isinstance(value, str)
        else value
        for key, value in said.items()
    }
    try:
        os.write(descriptor, json.dumps(cut).encode())
    except BrokenPipeError:
        pass
