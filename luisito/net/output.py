"""Reads the output of an app server at a bounded rate, so that it slows at most itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from luisito.core.bucket import Bucket
from luisito.core.text import visible
from luisito.net.switchboard import IN

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from luisito.net.switchboard import Switchboard

_READ: Final = 65536  # bytes; what a pipe holds (pipe(7))
_LAST_READS: Final = 16  # a pipe may have been made to hold 1 MiB (F_SETPIPE_SZ)
_TAIL: Final = 4096  # bytes
_PAUSE: Final = 0.05  # seconds, at least: each costs two system calls and a timer


class Output:
    """The reading end of a server's output.

    Where more comes than the rate, the pipe fills, and then the server waits for us, in its own
    write.

    Args:
        board: where it is registered.
        clock: for pauses.
        fd: non-blocking; owned by this from now on.
        rate: bytes that are read each second, with a burst of as many.
        sink: is called with what was read, never with nothing; None where nobody wants it.
        heard: the last output that somebody else has read.
    """

    def __init__(
        self,
        board: Switchboard,
        clock: IReactorTime,
        fd: int,
        rate: float,
        sink: Callable[[bytes], None] | None,
        heard: str = "",
    ) -> None:
        self._board, self._clock, self._fd = board, clock, fd
        self._bucket = Bucket(rate, clock.seconds())
        self._sink = sink
        self._tail = heard.encode("utf-8", "replace")
        self._registered = False
        self._resume: IDelayedCall | None = None

    @property
    def heard(self) -> str:
        """The last output."""
        return self._tail.decode("utf-8", "replace")

    @property
    def tail(self) -> str:
        """The last output, for people."""
        return visible(self.heard.strip(), "\n\t")

    def start(self) -> None:
        """Begins to read; what has been written before waits in the pipe."""
        self._resume = None
        if self._fd >= 0 and not self._registered:
            self._board.register(self._fd, self, IN)
            self._registered = True

    def readable(self) -> None:
        """See Handler."""
        data = self._read()
        if data is None:
            return
        if not data:
            self._shut()
            return
        wait = self._bucket.take(len(data), self._clock.seconds())
        if wait:
            self._pause(max(wait, _PAUSE))

    def writable(self) -> None:
        """See Handler."""

    def gone(self) -> None:
        """See Handler: the last writer has gone."""
        self.close()

    def failed(self) -> None:
        """See Handler."""
        self.close()

    def close(self) -> None:
        """Takes what is still in the pipe, at whatever rate, and closes it."""
        if self._fd < 0:
            return
        for _ in range(_LAST_READS):
            if not self._read():
                break
        self._shut()

    def let_go(self) -> None:
        """Closes it for somebody else to read on."""
        if self._fd >= 0:
            self._shut()

    def _read(self) -> bytes | None:
        """Reads once; nothing is the end, and None that there is nothing now."""
        try:
            data = os.read(self._fd, _READ)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        if data:
            self._tail = (self._tail + data)[-_TAIL:] if len(data) < _TAIL else data[-_TAIL:]
            if self._sink is not None:
                self._sink(data)
        return data

    def _pause(self, seconds: float) -> None:
        self._unregister()
        self._resume = self._clock.callLater(seconds, self.start)

    def _unregister(self) -> None:
        if self._registered:
            self._board.unregister(self._fd)
            self._registered = False

    def _shut(self) -> None:
        self._unregister()
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        os.close(self._fd)
        self._fd = -1
