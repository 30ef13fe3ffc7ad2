"""Calls RUN_AS of a settings file, in a process of its own below the spawner.

`python -m luisito.settings.chooser FILE DESCRIPTOR` loads the file once and then forks for each
question, so that a call that hangs, crashes or leaks harms no other.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from typing import Final

from luisito.errors import SettingsError
from luisito.settings.load import load, raised
from luisito.settings.values import Function, Wrong, optional, shown, user
from luisito.spawner import channel, privileges
from luisito.spawner.chooser import DEADLINE, LOADING, answer, await_answer

# Seconds from the moment when whoever asked gave up, and says so, to the end of the call.
_AFTER: Final = 1.0
# Seconds from one kill to the next: in an uninterruptible sleep it has no effect yet.
_AGAIN: Final = 1.0


def main(file: str, descriptor: int) -> None:
    """Answers questions until it is killed; returns where the file has no such function.

    Args:
        file: the settings file.
        descriptor: where questions come from, each a site's name with a pipe for the answer.
    """
    sock = socket.socket(fileno=descriptor)
    sock.set_inheritable(False)
    signal.alarm(int(LOADING))  # a file that hangs is loaded anew
    try:
        run_as = load(file).run_as
        if not isinstance(run_as, Function):
            raise SettingsError(f"{file}: RUN_AS is no function any more; send SIGHUP to Luisito")
    except SettingsError as error:
        signal.alarm(0)
        _refuse(sock, f"RUN_AS cannot be asked: {error}")
        return
    signal.alarm(0)
    _Calls(sock, run_as).serve()


def _refuse(sock: socket.socket, reason: str) -> None:
    """Answers one question so; the next one finds a new process, and a file mended perhaps."""
    _site, pipes = channel.receive(sock)
    for pipe in pipes:
        answer(pipe, {"error": reason})


class _Calls:
    """The forks at work; this process itself never waits for the function."""

    def __init__(self, sock: socket.socket, run_as: Function) -> None:
        self._sock, self._run_as = sock, run_as
        self._late: dict[int, float] = {}  # when each has to be killed, by its pid

    def serve(self) -> None:
        """Never returns."""
        ended, wakeup = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poller = select.poll()
        poller.register(ended, select.POLLIN)
        poller.register(self._sock, select.POLLIN)
        while True:
            for descriptor, _events in poller.poll(self._timeout()):
                if descriptor == ended:
                    os.read(ended, 4096)
                else:
                    self._take()
            self._reap()
            self._kill_late()

    def _timeout(self) -> float | None:
        """In milliseconds."""
        first = min(self._late.values(), default=None)
        return None if first is None else max(0.0, first - time.monotonic()) * 1000

    def _take(self) -> None:
        site, pipes = channel.receive(self._sock)
        if not site:
            os._exit(0)  # the spawner has gone
        try:
            pid = os.fork()
            if pid == 0:
                _call(self._run_as, site.decode(), *pipes)
            self._late[pid] = time.monotonic() + DEADLINE + _AFTER
        except OSError as error:
            for pipe in pipes:
                answer(pipe, {"error": f"RUN_AS cannot be asked: no process: {error.strerror}"})
        channel.close(pipes)

    def _reap(self) -> None:
        while self._late:
            pid, _status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._late.pop(pid, None)

    def _kill_late(self) -> None:
        now = time.monotonic()
        for pid, late in self._late.items():
            if now >= late:
                os.kill(pid, signal.SIGKILL)
                self._late[pid] = now + _AGAIN


def _call(run_as: Function, site: str, pipe: int) -> None:
    """Calls the function in a fork, and answers; never returns."""
    try:
        privileges.set_parent_death_signal(signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        answer(pipe, _said(run_as, site))
    finally:
        os._exit(0)


def asked(run_as: Function, site: str) -> str | int | None:
    """Calls the function as a running Luisito would: in a fork, without capabilities.

    Returns:
        What it has returned.

    Raises:
        NoAnswerError: what a running Luisito would say of the call.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    # A KeyboardInterrupt that is raised while Python comes back from fork(2) would be lost.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    pid = os.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C is no error of the function
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            privileges.set_no_new_privs()
            privileges.drop_bounding_set()
            privileges.clear_capabilities()
            _call(run_as, site, writer)
        finally:
            os._exit(0)
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(writer)
        return await_answer(reader, site, time.monotonic() + DEADLINE)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _said(run_as: Function, site: str) -> dict[str, str | int | None]:
    """Calls the function, here and now.

    Returns:
        {"user": ...}, or {"error": ...} where it raised or returned no user.
    """
    try:
        returned = run_as.call(site)
    except BaseException as error:  # noqa: BLE001 - whatever it raises is told
        return {"error": f"RUN_AS({site!r}) has raised {raised(error, run_as.file)}"}
    try:
        return {"user": optional(user)(returned)}
    except Wrong as wrong:
        return {"error": f"RUN_AS({site!r}) has returned {shown(returned)}: {wrong.must}"}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
