"""A file in STATE_DIR that tells a later Luisito what this one has seen: whole, or as it was."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, succeed

from luisito.process.threads import begin

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST: Final = 4 * 1024 * 1024  # bytes; what is longer is none of ours
_MODE: Final = 0o640
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class StateFile:
    """Reads and writes it, once the process is the user whose folder it is.

    It is written aside, and renamed when it is all on the disk: whenever we are killed, or the
    machine is, there is the old one or the new one. That is done in a thread of its own, since a
    disk may take its time.

    Args:
        folder: STATE_DIR.
        name: of the file there.
        call: calls a function with arguments in the thread of the reactor
            (IReactorFromThreads.callFromThread).

    Attributes:
        path: of the file.
    """

    def __init__(self, folder: str, name: str, call: Callable[..., object]) -> None:
        self.path = f"{folder}/{name}"
        self._call = call
        self._writing = False
        self._waiting: list[Deferred[None]] = []

    def read(self) -> bytes:
        """Returns what is there; b"" where there is no file.

        Raises:
            OSError: it cannot be read.
            ValueError: it is no file of ours.
        """
        try:
            with open(self.path, "rb", opener=_open) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST:
                    raise ValueError("it is no file, or too long")
                return file.read()
        except FileNotFoundError:
            return b""

    @property
    def busy(self) -> bool:
        """Whether it is being written."""
        return self._writing

    def idle(self) -> Deferred[None]:
        """Called back when it is not being written any more."""
        if not self._writing:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def write(self, data: bytes) -> Deferred[str]:
        """Puts it there, if it is not `busy`; called back with why it could not, or with ""."""
        told: Deferred[str] = Deferred()
        self._writing = True
        try:
            begin("luisito-state", self._work, data, told)
        except OSError as error:
            self._done(told, str(error.strerror))
        return told

    def _work(self, data: bytes, told: Deferred[str]) -> None:
        why = ""
        try:
            _replace(self.path, data)
        except OSError as error:
            why = error.strerror or str(error)
        self._call(self._done, told, why)

    def _done(self, told: Deferred[str], why: str) -> None:
        self._writing = False
        told.callback(why)
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:
                each.callback(None)


def _open(path: str, _flags: int) -> int:
    return os.open(path, _READ)


def _replace(path: str, data: bytes) -> None:
    aside = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(aside)  # of one that was killed while it wrote
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, _MODE)  # whatever the umask is
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    os.rename(aside, path)
