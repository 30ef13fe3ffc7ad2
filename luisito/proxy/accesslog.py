"""Writes access lines in batches, so that no request waits for a disk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from luisito.core import access
    from luisito.proxy.counters import Counters

_EVERY: Final = 0.5
# Written while they are still in the processor's cache.
_MANY: Final = 256
_WARN_EVERY: Final = 60.0


class AccessLog:
    """Keeps lines for at most half a second, then writes them with one call.

    Attributes:
        add: takes what one line is made of. It is the list's own method: a frame less for each
            request. `turn` and `arm` see to it that what was added is written.
    """

    _log = Logger()

    def __init__(self, fd: int, clock: IReactorTime, counters: Counters, form: access.Form) -> None:
        """Writes to `fd`, opened with O_APPEND, which it owns from now on."""
        self._fd, self._clock, self._counters = fd, clock, counters
        self._line = form.line
        self._lines: list[access.Entry] = []
        self.add = self._lines.append
        self._call: IDelayedCall | None = None
        self._warned = -_WARN_EVERY
        self._torn = False  # the file ends in the middle of a line

    def turn(self) -> None:
        """The events that had come are dealt with: writes the lines if there are many."""
        if len(self._lines) >= _MANY:
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
        """Writes what is kept; what cannot be written is counted and dropped."""
        if not self._lines:
            return
        data = b"".join(map(self._line, self._lines))
        self._lines.clear()
        if self._torn:
            data = b"\n" + data
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, memoryview(data)[written:])
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

    def reopen(self, fd: int) -> None:
        """Goes on in another file, opened like the first; lines that are kept go there."""
        os.close(self._fd)
        self._fd = fd
        self._torn = self._torn and os.fstat(fd).st_size > 0

    def close(self) -> None:
        """Writes what is kept and closes the file."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self.flush()
        os.close(self._fd)
