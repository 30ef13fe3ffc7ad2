"""The log files of the network process: opened through the spawner, and again at SIGUSR1."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TextIO

from twisted.logger import Logger

from luisito.errors import SpawnerLost

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from luisito.process.client import Spawner
    from luisito.proxy.accesslog import AccessLog


class Logs:
    """What is to be opened again once somebody has renamed it.

    The spawner opens the files: we may have given up the right to.

    Args:
        spawner: who opens them.
    """

    _log = Logger()

    def __init__(self, spawner: Spawner) -> None:
        self._spawner = spawner
        self._reopens: list[_AtATime] = []

    def add(self, reopen: Callable[[], Deferred[None]]) -> None:
        """Has something called at each SIGUSR1, that opens a log file again.

        Args:
            reopen: returns what is called when it is open, or cannot be.
        """
        self._reopens.append(_AtATime(reopen))

    def reopen(self) -> None:
        """Opens each of them again."""
        self._log.info("SIGUSR1: opening the log files again")
        for reopen in self._reopens:
            reopen()

    def write_own_to(self, file: TextIO) -> None:
        """Our own log is written to this file."""
        self.add(partial(self._ask_own, file))

    def _ask_own(self, file: TextIO) -> Deferred[None]:
        opened = partial(self._open_own, file)
        failed = partial(self._failed, "Luisito's own log")
        return self._spawner.own_log().addCallback(opened).addErrback(failed)

    def _open_own(self, file: TextIO, fd: int) -> None:
        with suppress(OSError):  # the disk was full: what is kept goes to the new file
            file.flush()
        try:
            os.dup2(fd, file.fileno(), inheritable=False)
        finally:
            os.close(fd)

    def write_access_to(self, access_log: AccessLog) -> Deferred[None]:
        """Opens the access log's file.

        Returns:
            What is called when it is open, or cannot be.
        """
        ask = partial(self._ask_access, access_log)
        self.add(ask)
        return ask()

    def _ask_access(self, access_log: AccessLog) -> Deferred[None]:
        access_log.flush()  # what was before goes to the old file
        failed = partial(self._failed, "ACCESS_LOG")
        return self._spawner.log(None).addCallback(access_log.write_to).addErrback(failed)

    def _failed(self, name: str, failure: Failure) -> None:
        if failure.check(SpawnerLost) is None:  # which is said elsewhere, and the end
            self._log.error("{name}: {error}", name=name, error=failure.getErrorMessage())


class _AtATime:
    """Opens one file again and again, but never twice at once.

    The answers of the spawner may overtake each other, and the last one must be the newest file.
    """

    def __init__(self, reopen: Callable[[], Deferred[None]]) -> None:
        self._reopen = reopen
        self._busy = self._again = False

    def __call__(self) -> None:
        if self._busy:
            self._again = True
            return
        self._busy, self._again = True, False
        self._reopen().addBoth(self._done)

    def _done(self, result: None) -> None:
        self._busy = False
        if self._again:
            self()
        return result
