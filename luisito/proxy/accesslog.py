"""Counts requests and writes their access lines in batches, so that no request waits for a disk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from luisito.core import access
    from luisito.proxy.counters import Counters

_EVERY: Final = 0.5
# Written while they are still in the processor's cache.
_MANY: Final = 256
_WARN_EVERY: Final = 60.0


class AccessLog:
    """Keeps what lines are made of for at most half a second, then writes them with one call.

    Args:
        clock: for timers.
        counters: where lines are counted that could not be written.
        form: of the lines.
        count: hears of each batch, also where there is no file, or it cannot be written.

    Attributes:
        add: takes what one line is made of. It is the list's own method: a frame less for each
            request. `turn` and `arm` see to it that what was added is written.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        counters: Counters,
        form: access.Form,
        count: Callable[[list[access.Entry]], None],
    ) -> None:
        self._fd: int | None = None
        self._clock, self._counters = clock, counters
        self._line, self._count = form.line, count
        self._entries: list[access.Entry] = []
        self.add = self._entries.append
        self._call: IDelayedCall | None = None
        self._warned = -_WARN_EVERY
        self._torn = False  # the file ends in the middle of a line

    def turn(self) -> None:
        """The events that had come are dealt with: writes the lines if there are many."""
        if len(self._entries) >= _MANY:
            self.flush()

    def arm(self) -> None:
        """There are connections, so lines will come: writes them from time to time."""
        if self._call is None:
            self._call = self._clock.callLater(_EVERY, self._due)

    def _due(self) -> None:
        self._call = None
        self.flush()
        if self._counters.open:
            self.arm()

    def flush(self) -> None:
        """Counts and writes what is kept; what cannot be written is counted as dropped."""
        entries = self._entries
        if not entries:
            return
        self._count(entries)
        if self._fd is not None:
            self._write(self._fd, b"".join(map(self._line, entries)))
        entries.clear()

    def _write(self, fd: int, data: bytes) -> None:
        if self._torn:
            data = b"\n" + data
        written = 0
        try:
            while written < len(data):
                written += os.write(fd, memoryview(data)[written:])
            self._torn = False
        except OSError as error:
            # what was written of the line that follows a torn one is an end of that one
            self._counters.dropped_lines += data.count(b"\n", max(written, self._torn))
            self._torn = data[written - 1 : written] != b"\n" if written else self._torn
            now = self._clock.seconds()
            if now - self._warned >= _WARN_EVERY:
                self._warned = now
                self._log.error(
                    "Cannot write the access log: {error}. Requests go on; {dropped} lines were"
                    " dropped so far.",
                    error=error,
                    dropped=self._counters.dropped_lines,
                )

    def write_to(self, fd: int) -> None:
        """Writes to this file from now on, also what is kept.

        Args:
            fd: opened with O_APPEND; it belongs to the log from now on.
        """
        if self._fd is not None:
            os.close(self._fd)
        self._fd = fd
        self._torn = self._torn and os.fstat(fd).st_size > 0

    def close(self) -> None:
        """Writes what is kept and closes the file, if there is one."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self.flush()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
