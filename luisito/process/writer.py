"""Writes to files in a thread of its own, where a disk that hangs holds up nobody else."""

from __future__ import annotations

import os
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from luisito.process.threads import begin

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread

    _Told = Callable[[int, OSError | None], None]

_LAST_WAIT: Final = 2.0  # seconds for what is still to be written at the end


class Writer:
    """One thread that writes and closes, in the order it was told to.

    It is begun with the first write, which is after privileges were dropped: what a thread may do
    is its own. Where the disk hangs, the thread does, and ends with the process at the latest.

    Args:
        call: calls a function with arguments in the thread of the reactor
            (IReactorFromThreads.callFromThread).
    """

    def __init__(self, call: Callable[..., object]) -> None:
        self._call = call
        # a descriptor, what to write there, whom to tell; to be closed where that is nobody
        self._jobs: SimpleQueue[tuple[int, bytes, _Told | None] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def write(self, fd: int, data: bytes, told: _Told) -> None:
        """Writes, then calls `told` with how many bytes were written, and with the error if any."""
        if self._thread is None:
            try:
                self._thread = begin("luisito-logs", self._work)
            except OSError as error:
                # Later, as if it had been tried.
                self._call(told, 0, error)
                return
        self._jobs.put((fd, data, told))

    def close(self, fd: int) -> None:
        """Closes a file after what was written to it before."""
        if self._thread is None:
            os.close(fd)
        else:
            self._jobs.put((fd, b"", None))

    def stop(self) -> None:
        """Ends the thread, when it has done all that it was told to; waits a moment for that."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join(_LAST_WAIT)
            self._thread = None

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            fd, data, told = job
            if told is None:
                with suppress(OSError):  # NFS tells of lost writes here; nobody can do any more
                    os.close(fd)
            else:
                self._call(told, *_write(fd, data))


def _write(fd: int, data: bytes) -> tuple[int, OSError | None]:
    written = 0
    try:
        while written < len(data):
            written += os.write(fd, data[written:] if written else data)
    except OSError as error:
        return written, error
    return written, None
