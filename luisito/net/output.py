"""Reads the output of an app server, so that it is never blocked by us nor we by it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from luisito.net.switchboard import IN

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from luisito.net.switchboard import Switchboard

_READ: Final = 65536
_TAIL: Final = 4096
# Bytes a second of one server: whoever writes more waits for us, and nobody else does.
_RATE: Final = 1 << 20
_PAUSE: Final = 0.1


class Output:
    """The reading end of a server's output.

    Args:
        board: where it is registered.
        clock: for pauses.
        fd: non-blocking; owned by this from now on.
    """

    def __init__(self, board: Switchboard, clock: IReactorTime, fd: int) -> None:
        self._board, self._clock, self._fd = board, clock, fd
        self._tail = b""
        self._log_fd: int | None = None
        self._early: list[bytes] | None = []
        self._resume: IDelayedCall | None = None
        self._budget = _RATE * _PAUSE
        self._since = clock.seconds()
        board.register(fd, self, IN)

    @property
    def tail(self) -> str:
        """The last output, for people."""
        text = self._tail.decode("utf-8", "replace").strip()
        # what a terminal would obey is shown instead
        return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)

    def to_file(self, fd: int | None) -> None:
        """Appends the output to an open file, which is owned from now on; None: to no file."""
        if self._fd < 0:
            if fd is not None:
                self._log_fd = fd
                self._write(b"".join(self._early or []))
                self._log_fd = None
                os.close(fd)
            return
        self._log_fd = fd
        early, self._early = self._early, None
        if early:
            self._write(b"".join(early))

    def readable(self) -> None:
        """See Handler."""
        self._read()
        if self._fd >= 0 and self._budget <= 0 and self._resume is None:
            self._board.unregister(self._fd)
            self._resume = self._clock.callLater(_PAUSE, self._go_on)

    def writable(self) -> None:
        """See Handler."""

    def gone(self) -> None:
        """See Handler: the last writer has gone."""
        self.close()

    def failed(self) -> None:
        """See Handler."""
        self.close()

    def close(self) -> None:
        """Takes what is still in the pipe, and closes it."""
        if self._fd < 0:
            return
        for _ in range(16):
            if not self._read():
                break
        if self._fd < 0:
            return
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        else:
            self._board.unregister(self._fd)
        self._shut()

    def _shut(self) -> None:
        os.close(self._fd)
        self._fd = -1
        if self._log_fd is not None:
            os.close(self._log_fd)
            self._log_fd = None

    def _go_on(self) -> None:
        self._resume = None
        self._board.register(self._fd, self, IN)

    def _read(self) -> bool:
        try:
            data = os.read(self._fd, _READ)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            if self._resume is None:
                self._board.unregister(self._fd)
            else:
                self._resume.cancel()
                self._resume = None
            self._shut()
            return False
        now = self._clock.seconds()
        self._budget = min(_RATE, self._budget + (now - self._since) * _RATE) - len(data)
        self._since = now
        self._tail = (self._tail + data)[-_TAIL:]
        if self._log_fd is not None:
            self._write(data)
        elif self._early is not None and len(self._early) < 16:
            self._early.append(data)
        return True

    def _write(self, data: bytes) -> None:
        if self._log_fd is None or not data:
            return
        try:
            os.write(self._log_fd, data)
        except OSError:
            pass  # a full disk costs log lines, never a request
