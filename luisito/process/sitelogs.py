"""The files of all sites' output: who writes there, and what is said of what was dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, DeferredSemaphore, succeed
from twisted.logger import Logger

from luisito.process.sitelog import SiteLog
from luisito.process.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from luisito.process.told import LogFile

_HELD_SECONDS: Final = 2  # seconds' worth of a site's output: its burst, and a second more
_LEAST_HELD: Final = 256 << 10  # bytes; some whole pipes
_HELD_OF_ALL: Final = 32 << 20  # bytes
_ASKS: Final = 8  # at a time; each is a process of the spawner's
_WARN_EVERY: Final = 60.0  # seconds
_SETTLE: Final = 5.0  # seconds


class SiteLogs:
    """The files of all sites that have servers.

    Args:
        clock: for pauses.
        call: calls a function in the thread of the reactor (IReactorFromThreads.callFromThread).
        open_file: asks the spawner for a site's file, rotated where that is asked for and due.
        folder: of the files.
        max_size: of a file, in bytes.
        rate: of one server's output, in bytes a second (core.bucket).

    Attributes:
        most: bytes that are held of one site, for a disk that is full or slow.
        most_of_all: the same of all sites together.
        held: bytes that wait to be written.
        dropped_bytes: of output that could not be written.
        dropped_lines: how many ends of line were among them.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        call: Callable[..., object],
        open_file: Callable[[str, bool], Deferred[LogFile]],
        folder: str,
        max_size: int,
        rate: int,
    ) -> None:
        self.clock, self.folder, self.max_size = clock, folder, max_size
        self.most, self.most_of_all = max(_LEAST_HELD, _HELD_SECONDS * rate), _HELD_OF_ALL
        self.writer = Writer(call)
        self.held = self.dropped_bytes = self.dropped_lines = 0
        self._open_file = open_file
        self._asks = DeferredSemaphore(_ASKS)
        self._by_site: dict[str, SiteLog] = {}
        self._warned = -_WARN_EVERY
        self._settled: Deferred[None] | None = None

    def open(self, site: str) -> SiteLog:
        """Returns the log of a site for one more who writes there and will release it."""
        log = self._by_site.get(site)
        if log is None:
            log = self._by_site[site] = SiteLog(self, site)
        log.users += 1
        return log

    def reopen(self) -> Deferred[None]:
        """Goes over to the files that have the sites' names now: the old ones were renamed.

        Nothing is lost: what is held goes into the new files.

        Returns:
            What has been called already: it may be asked for again at any time.
        """
        for log in list(self._by_site.values()):
            log.reopen()
        return succeed(None)

    def settle(self) -> Deferred[None]:
        """Called back when all that is held has been written, or after some seconds."""
        settled: Deferred[None] = Deferred()
        late = self.clock.callLater(_SETTLE, self._give_up)
        settled.addBoth(lambda _: late.cancel() if late.active() else None)
        self._settled = settled
        for log in list(self._by_site.values()):
            log.go_on()
        self.check()
        return settled

    def close(self) -> None:
        """Writes what fits into the open files, and closes them; waits a moment for that."""
        for log in list(self._by_site.values()):
            log.close()
        self.writer.stop()
        if self.dropped_bytes:
            self._log.info(
                "{bytes} bytes ({lines} lines) of the sites' output were dropped in all",
                bytes=self.dropped_bytes,
                lines=self.dropped_lines,
            )

    # -- for the logs

    def ask(self, site: str, rotate: bool) -> Deferred[LogFile]:
        """Asks for a file when it is this site's turn."""
        return self._asks.run(self._open_file, site, rotate)

    def forget(self, log: SiteLog) -> None:
        """Nobody writes to it any more."""
        del self._by_site[log.site]

    def check(self) -> None:
        """Something has been done."""
        if self._settled is not None and all(log.quiet for log in self._by_site.values()):
            self._give_up()

    def _give_up(self) -> None:
        settled, self._settled = self._settled, None
        if settled is not None:
            settled.callback(None)

    def count(self, dropped: bytes | bytearray) -> None:
        """Counts output that is dropped."""
        self.dropped_bytes += len(dropped)
        self.dropped_lines += dropped.count(b"\n")

    def complain(self, log: SiteLog, why: str) -> None:
        """Says, once a minute at most, that output is not written, and how much was dropped."""
        now = self.clock.seconds()
        if now - self._warned < _WARN_EVERY:
            return
        self._warned = now
        self._log.error(
            "{site}: its output cannot be written to a file: {why}. The site goes on; {bytes} bytes"
            " ({lines} lines) of the output of all sites were dropped so far.",
            site=log.site,
            why=why,
            bytes=self.dropped_bytes,
            lines=self.dropped_lines,
        )
