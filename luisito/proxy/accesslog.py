"""Writes access lines in batches, so that no request waits for a disk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from luisito.proxy.counters import Counters

_EVERY: Final = 0.5
_BATCH: Final = 512
_WARN_EVERY: Final = 60.0


class AccessLog:
    """Keeps lines for at most half a second, or 64 of them, then writes them with one call."""

    _log = Logger()

    def __init__(self, fd: int, clock: IReactorTime, counters: Counters) -> None:
        """Writes to `fd`, opened with O_APPEND, which it owns from now on."""
        self._fd, self._clock, self._counters = fd, clock, counters
        self._lines: list[bytes] = []
        self._call: IDelayedCall | None = None
        self._warned = -_WARN_EVERY

    def add(self, line: bytes) -> None:
        """Adds one line, with its newline."""
        lines = self._lines
        lines.append(line)
        if self._call is None:
            self._call = self._clock.callLater(_EVERY, self._due)
        elif len(lines) >= _BATCH:
            self.flush()

    def _due(self) -> None:
        self._call = None
        self.flush()

    def flush(self) -> None:
        """Writes what is kept; what cannot be written is counted and dropped."""
        lines, self._lines = self._lines, []
        if not lines:
            return
        data = memoryview(b"".join(lines))
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            self._counters.dropped_lines += bytes(data).count(b"\n")
            now = self._clock.seconds()
            if now - self._warned >= _WARN_EVERY:
                self._warned = now
                self._log.error(
                    "Cannot write the access log: {error}. Requests go on; {dropped} lines were"
                    " dropped so far.",
                    error=error,
                    dropped=self._counters.dropped_lines,
                )

    def close(self) -> None:
        """Writes what is kept and closes the file."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self.flush()
        os.close(self._fd)
