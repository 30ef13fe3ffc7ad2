"""Keeps what becomes of sites in STATE_DIR, a batch at a time, and never waits for the disk."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.defer import TimeoutError as TookLong
from twisted.internet.task import deferLater
from twisted.logger import Logger

from luisito.core.accounts import Accounts
from luisito.process.database import LATER, Database
from luisito.process.desk import Desk
from luisito.process.sqlitefile import ASIDE, NAME
from luisito.process.unsaved import Unsaved

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from typing import TypeAlias

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from luisito.core.accounts import Batch, Counted
    from luisito.core.events import Event
    from luisito.pool.pool import Pool

    Wait: TypeAlias = Generator[Deferred[Any], Any, Any]

_EVERY: Final = 5.0  # seconds from one writing to the next
_MANY: Final = 1000  # events that are written at once
_LIVED: Final = 60.0  # seconds after which it is also written how long servers have lived
_TELL: Final = 60.0  # seconds from one word of trouble to the next
_SITES: Final = 100  # that are looked at in one turn of the reactor
_LAST_WAIT: Final = 2.0  # seconds for the disk at the end
_LOST: Final = "what became of sites in the last seconds could not be written"
_IN_MEMORY: Final = 5_000  # events, without a file


class History:
    """The events and the statistics of all sites: in history.sqlite, or in memory.

    What could not be written is tried again; meanwhile the requests of sites are added up, and of
    the events the last ones wait.

    Args:
        clock: the reactor.
        pool: has the servers, and tells of events.
        counted: what is known of requests, by the keys of sites, since this process serves; none
            where that is no more than when it was asked last.
        folder: STATE_DIR; None where nothing is kept.
        call: see Desk.

    Attributes:
        path: of the file; None for one in memory.
        began: when this process began to serve, in seconds since the epoch.
        desk: where it is written and read.
        trouble: why it could not be written; "" where it could.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        pool: Pool,
        counted: Callable[[], Mapping[str, Counted]],
        folder: str | None,
        call: Callable[..., object],
    ) -> None:
        self._clock, self._pool, self._counted = clock, pool, counted
        self.path = None if folder is None else f"{folder}/{NAME}"
        self._database = Database(None, _IN_MEMORY) if folder is None else Database(folder)
        self.desk = Desk(self._database, call)
        self.began = time.time()
        self.trouble = ""
        self._written_at = self.began
        self._accounts = Accounts(clock.seconds())
        self._lived_at = clock.seconds()
        self._sending: Batch | None = None
        self._begun = self._flushing = False
        self._waiting: list[Deferred[None]] = []
        self._call: IDelayedCall | None = None
        self._failures = 0  # in a row
        self._told_at: float | None = None
        pool.chronicle.tellers.append(self._heard)

    # -- from the beginning to the end

    def take_over(self) -> None:
        """Counts how long servers live from now on; until now the process before, if any, did."""
        self._lived_at = self._clock.seconds()
        self._accounts.lived((), self._lived_at)

    def begin(self) -> None:
        """Opens it, and writes from now on."""
        self._begun = True
        self._later()
        if self.path is not None:
            looked = self.desk.ask(Database.look)
            looked.addErrback(lambda _: None).addCallback(lambda _: self._tell_of_asides())

    def account(self) -> None:
        """Counts how long servers have lived until now: after it another process may do so."""
        now = self._lived_at = self._clock.seconds()
        servers = self._pool.policy.servers.values()
        self._accounts.lived(((server.site, server.started_at) for server in servers), now)

    def stop(self) -> None:
        """Writes no more but by `end`."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def end(self) -> Deferred[None]:
        """Writes what is left, and closes it; called back when that is done, or takes long."""
        self.stop()
        if self.path is None or not self._begun:
            return succeed(None)
        done = self.flush().addCallback(self._close)
        return done.addTimeout(_LAST_WAIT, self._clock).addErrback(self._takes_long)

    def _close(self, _result: None) -> Deferred[None]:
        if self.trouble:
            self._tell()
        return self.desk.ask(Database.close)

    def _takes_long(self, failure: Failure) -> None:
        failure.trap(TookLong)
        self.trouble = "the disk does not answer"
        self._tell()

    def _later(self) -> None:
        self._call = self._clock.callLater(_EVERY, self._look)

    def _look(self) -> None:
        self._call = None
        self._later()
        if not self._flushing:
            if self._clock.seconds() >= self._lived_at + _LIVED:
                self.account()
            self._flush()

    # -- what is to be written

    def _heard(self, event: Event) -> None:
        self._accounts.event(event, self._clock.seconds())
        if len(self._accounts.waiting) >= _MANY and self._begun and not self.trouble:
            self._flush()

    @property
    def unwritten(self) -> list[Event]:
        """Events that could not be written as yet."""
        if not self.trouble:
            return []
        sending = () if self._sending is None else self._sending.waiting
        return [*sending, *self._accounts.waiting]

    def unsaved(self) -> Unsaved | None:
        """What could not be written as yet of sites; exact in the turn in which `flush` is over."""
        if not self.trouble:
            return None
        return Unsaved(self._sending, self._accounts.of_sites(), self._written_at)

    def flush(self) -> Deferred[None]:
        """Called back when all that was until now is written, or cannot be."""
        told: Deferred[None] = Deferred(self._forget)
        self._waiting.append(told)
        self._flush()
        return told

    def _forget(self, told: Deferred[None]) -> None:
        with suppress(ValueError):
            self._waiting.remove(told)

    def _flush(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._write_all().addErrback(self._broken)

    def _broken(self, failure: Failure) -> None:
        self._flushing = False
        self._log.failure(_LOST, failure)

    @inlineCallbacks
    def _write_all(self) -> Wait:
        while True:
            waiting, self._waiting = self._waiting, []
            if waiting:
                self.account()
            yield from self._collect()
            while self._sending is not None or self._accounts:
                if self._sending is None:
                    self._sending = self._accounts.take(time.time())
                if not (yield from self._write(self._sending)):
                    break
                self._sending = None
            for each in waiting:
                if not each.called:
                    each.callback(None)
            if not self._waiting:
                self._flushing = False
                return

    def _collect(self) -> Wait:
        for number, (site, counted) in enumerate(list(self._counted().items()), 1):
            self._accounts.requests(site, counted)
            if not number % _SITES:
                yield deferLater(self._clock, 0.0)  # others have their turn

    def _write(self, batch: Batch) -> Wait:
        """Returns whether it is done with, for good or ill."""
        try:
            yield self.desk.ask(lambda database: database.add(batch))
        except LATER as error:
            self._failures += 1
            self.trouble = str(error)
            if self._failures > 1:  # one may pass by itself
                self._tell()
            return False
        except Exception:  # noqa: BLE001 - it must not be in the way of others for ever
            self._log.failure(_LOST)
        finally:
            self._tell_of_asides()
        if self._told_at is not None:
            self._log.info("{path}: is written again", path=self.path)
        self._failures, self._told_at, self.trouble = 0, None, ""
        self._written_at = time.time()
        return True

    def _tell(self) -> None:
        now = self._clock.seconds()
        if self._told_at is None or now >= self._told_at + _TELL:
            self._told_at = now
            self._log.warn(
                "{path}: cannot be written: {why}. All else goes on; {dropped} events were lost",
                path=self.path,
                why=self.trouble,
                dropped=self._accounts.dropped,
            )

    def _tell_of_asides(self) -> None:
        while self._database.asides:
            self._log.warn(
                "{path}: {why}; it is now {aside}, and another one is begun",
                path=self.path,
                why=self._database.asides.pop(0),
                aside=ASIDE,
            )
