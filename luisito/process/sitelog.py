"""One site's output on its way into the site's file: what is held, written, rotated, dropped."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from twisted.logger import formatTime

from luisito.core.sitelog import fitting, line

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from luisito.process.sitelogs import SiteLogs
    from luisito.process.told import LogFile

_EVERY: Final = 0.1  # seconds: through the thread a write costs 27 us, not 1
_AT_ONCE: Final = 64 << 10  # bytes that are written without waiting for more
_A_WRITE: Final = 256 << 10  # bytes at most
_AGAIN: Final = 1.0  # seconds after a write that failed, which costs nearly nothing
_ASK_AGAIN: Final = 10.0  # seconds after a file that could not be opened, which costs a fork


class SiteLog:
    """What one site's servers write, on its way into the site's file.

    Nothing here waits. What cannot be written yet is held, up to a bound; what comes after that is
    dropped and counted, until there is room again. At any time one thing is under way: a write, or
    a question for another file.
    """

    def __init__(self, logs: SiteLogs, site: str) -> None:
        self.site = site
        self.users = 0
        self._logs = logs
        self._held = bytearray()
        self._midline = False  # what was appended last has no end of line
        self._gap = 0  # bytes that were dropped since then
        self._fd = -1
        self._size = 0
        self._busy = False
        self._in_flight = 0  # bytes of what is held that are being written
        self._stale = False  # the file is to be opened anew
        self._failing = False
        self._ended = False
        self._call: IDelayedCall | None = None

    def append(self, data: bytes) -> None:
        """Takes what a server wrote; never nothing."""
        logs, held = self._logs, self._held
        if len(held) + len(data) > logs.most or logs.held + len(data) > logs.most_of_all:
            self._gap += len(data)
            logs.count(data)
            logs.complain(self, "too much waits for a disk that is full or slow")
            return
        if self._gap:
            gap, self._gap = self._gap, 0
            self._hold(self._own_line(f"{gap} bytes of output were dropped here"))
        self._hold(data)
        self._arm()

    def say(self, words: str) -> None:
        """Takes what Luisito has to say, as a line of its own."""
        self.append(self._own_line(words))

    def release(self) -> None:
        """One of those who write here does so no more."""
        self.users -= 1
        if not self.users:
            self.go_on()

    def reopen(self) -> None:
        """Goes over to whatever file has its name now."""
        if self._busy or self._fd >= 0:
            self._stale = True
            self.go_on()

    def close(self) -> None:
        """Writes what still fits into the file, without waiting for the result, and closes it."""
        self._cancel()
        self._let_go(self._in_flight)
        if self._fd >= 0 and self._held:
            count = fitting(self._held, self._size + self._in_flight, self._logs.max_size)
            self._logs.writer.write(self._fd, bytes(self._held[:count]), lambda *_: None)
            self._let_go(count)
        if self._held:
            self._drop()
        self._end()

    @property
    def quiet(self) -> bool:
        """Nothing is held, or under way."""
        return not self._held and not self._busy

    def _own_line(self, words: str) -> bytes:
        text = line(formatTime(time.time()), words)
        return b"\n" + text if self._midline else text

    def _hold(self, data: bytes) -> None:
        self._held += data
        self._logs.held += len(data)
        self._midline = data[-1] != 0x0A

    # -- one thing at a time

    def _arm(self) -> None:
        if self._busy:
            return
        if len(self._held) >= _AT_ONCE and not self._failing:
            self.go_on()
        elif self._call is None:
            self._call = self._logs.clock.callLater(_EVERY, self.go_on)

    def _cancel(self) -> None:
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def go_on(self) -> None:
        """Does what is next: opens a file, writes, rotates or ends."""
        if self._busy:
            return
        self._cancel()
        if self._stale or (self._held and self._fd < 0):
            self._ask(rotate=False)
        elif self._held:
            count = fitting(self._held, self._size, self._logs.max_size)
            if count:
                self._write(min(count, _A_WRITE))
            else:
                self._ask(rotate=True)
        elif not self.users:
            self._end()

    def _ask(self, *, rotate: bool) -> None:
        self._busy, self._stale = True, False
        self._logs.ask(self.site, rotate).addCallbacks(
            self._opened, self._not_opened, errbackKeywords={"rotate": rotate}
        )

    def _opened(self, file: LogFile) -> None:
        if self._ended:
            self._logs.writer.close(file.fd)
            return
        if self._fd >= 0:
            self._logs.writer.close(self._fd)
        elif file.midline:
            # left by whoever wrote there before us
            self._held[:0] = b"\n"
            self._logs.held += 1
        self._fd, self._size = file.fd, file.size
        self._busy = self._failing = False
        self.go_on()
        self._logs.check()

    def _not_opened(self, failure: Failure, *, rotate: bool) -> None:
        if self._ended:
            return
        self._logs.complain(self, failure.getErrorMessage())
        if self._fd >= 0 and not rotate:
            self._done()  # the old file goes on
        else:
            self._fail(_ASK_AGAIN)

    def _write(self, count: int) -> None:
        self._busy, self._in_flight = True, count
        self._logs.writer.write(self._fd, bytes(self._held[:count]), self._written)

    def _written(self, count: int, error: OSError | None) -> None:
        if self._ended:
            return
        self._in_flight = 0
        self._size += count
        self._let_go(count)
        if error is None:
            self._done()
        else:
            self._logs.complain(self, f"{error.strerror} ({self._logs.folder})")
            self._fail(_AGAIN)

    def _done(self) -> None:
        self._busy = self._failing = False
        if self._stale or not self.users:
            self.go_on()
        elif self._held:
            self._arm()
        self._logs.check()

    def _fail(self, pause: float) -> None:
        self._busy, self._failing = False, True
        if self.users:
            self._call = self._logs.clock.callLater(pause, self.go_on)
        else:
            self._drop()
            self._end()
        self._logs.check()

    def _let_go(self, count: int) -> None:
        del self._held[:count]
        self._logs.held -= count

    def _drop(self) -> None:
        self._logs.count(self._held)
        self._let_go(len(self._held))

    def _end(self) -> None:
        self._ended = True
        self._logs.forget(self)
        if self._fd >= 0:
            self._logs.writer.close(self._fd)
            self._fd = -1
