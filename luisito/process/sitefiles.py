"""The site files as the network process knows them: their public records, and which are broken."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from luisito.core.members import each
from luisito.errors import SettingsError, SpawnerLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from luisito.core.directory import Directory, Record

_AGAIN: Final = 2.0  # seconds from a look that failed to the next one
_AT_A_TIME: Final = 100  # changes; then the sites have a turn
_NAMED: Final = 10  # sites of which each change is logged


class Change(NamedTuple):
    """What has become of a site's file, of one of its mounts, or of one more server of either.

    Attributes:
        site: its key.
        before: its public record before; None where it is new.
        now: the same now; None where it has gone.
    """

    site: str
    before: Record | None
    now: Record | None


def _site_of(path: str) -> str:
    """Which site a file is of."""
    return os.path.basename(path).removesuffix(".toml")


def _each(change: Change) -> Iterator[Change]:
    """A change of a site, of its mounts, and of each server where one of them has several."""
    before, now = (
        {}
        if record is None
        else {one["site"]: one for of in (record, *record.get("mounts", ())) for one in each(of)}
        for record in (change.before, change.now)
    )
    for key in before | now:
        yield Change(key, before.get(key), now.get(key))


class SiteFiles:
    """Asks the spawner to have SITES_DIR looked through, and knows what was found.

    Args:
        clock: the reactor.
        ask: has it looked through; answers as Questions.sites.
        directory: is told of all changes.
        changed: is told of each change after that.
        settled: is told when all that one look has found has been told.

    Attributes:
        records: public records by the names of sites.
        by_key: the same, and those of their mounts and of each server, by their keys.
        broken: what is wrong with files, by their paths.
        failed: why the last look was none; "" where it was one.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        ask: Callable[[], Deferred[dict[str, Any]]],
        directory: Directory,
        changed: Callable[[Change], None],
        settled: Callable[[], None],
    ) -> None:
        self._clock, self._ask = clock, ask
        self._directory, self._changed, self._settled = directory, changed, settled
        self.records: dict[str, Record] = {}
        self.by_key: dict[str, Record] = {}
        self.broken: dict[str, str] = {}
        self.failed = ""
        self._looking = self._once_more = self._closed = self._begun = False
        self._next: list[Deferred[None]] = []  # of who waits for a look that is still to begin
        self._waiting: list[Deferred[None]] = []  # and for the one that is under way
        self._call: IDelayedCall | None = None

    @property
    def never_right(self) -> dict[str, tuple[str, str]]:
        """The files that are wrong and have no good version, by site: path, and what is wrong."""
        return self._wrong(served=False)

    @property
    def as_before(self) -> dict[str, tuple[str, str]]:
        """The like of those of which the last good version goes on."""
        return self._wrong(served=True)

    def wrong_of(self, site: str) -> str | None:
        """What is wrong with the file of a site; None where nothing is, or it has none."""
        found = self._named().get(site)
        return None if found is None else found[1]

    def _wrong(self, *, served: bool) -> dict[str, tuple[str, str]]:
        return {
            name: one for name, one in self._named().items() if (name in self.records) == served
        }

    def _named(self) -> dict[str, tuple[str, str]]:
        return {_site_of(path): (path, why) for path, why in self.broken.items()}

    def first(self) -> Deferred[None]:
        """Looks for the first time.

        Raises:
            SettingsError: (in the Deferred) the folder cannot be read.
            SpawnerLost: (in the Deferred) there is nobody to ask.
        """
        self._looking = True
        return self._ask().addCallback(self._take).addCallback(self._tell_first)

    def look(self) -> None:
        """Looks again: something may have changed."""
        if self._closed:
            return
        if self._looking:
            self._once_more = True
            return
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._looking, self._waiting = True, self._next
        self._next = []
        self._ask().addCallback(self._take).addErrback(self._not_looked)

    def looked(self) -> Deferred[None]:
        """Looks again; called back when a look is over that has begun from now on."""
        done: Deferred[None] = Deferred()
        if self._closed:
            done.callback(None)
        else:
            self._next.append(done)
            self.look()
        return done

    def close(self) -> None:
        """Looks no more."""
        self._closed = True
        self._tell_over()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    # -- what was found

    def _take(self, found: Mapping[str, Any]) -> Deferred[None]:
        changes = [Change(name, self.records.get(name), None) for name in found["gone"]]
        changes += [
            Change(record["site"], self.records.get(record["site"]), record)
            for record in found["sites"]
        ]
        if self._begun:
            self._tell(changes)
        done: Deferred[None] = Deferred()
        done.addCallback(lambda _: self._taken(found["broken"]))
        self._apply(changes, done)
        return done

    def _apply(self, changes: Sequence[Change], done: Deferred[None]) -> None:
        """Has the first changes count, and the others in the next turns of the reactor."""
        if self._closed:
            return
        now, later = changes[:_AT_A_TIME], changes[_AT_A_TIME:]
        try:
            self._count(now)
        except Exception:  # noqa: BLE001 - whatever it is, the next look must come
            done.errback()
            return
        if later:
            self._clock.callLater(0, self._apply, later, done)
        else:
            done.callback(None)

    def _count(self, changes: Sequence[Change]) -> None:
        for site, _, record in changes:
            if record is None:
                self.records.pop(site, None)
            else:
                self.records[site] = record
        self._directory.change(
            [change.now for change in changes if change.now is not None],
            [change.site for change in changes if change.now is None],
        )
        for change in changes:
            for one in _each(change):
                if one.now is None:
                    self.by_key.pop(one.site, None)
                else:
                    self.by_key[one.site] = one.now
                self._changed(one)

    def _taken(self, broken: Sequence[list[str]]) -> None:
        before, self.broken = self.broken, dict(broken)
        names = {path: _site_of(path) for path in self.broken}
        self._directory.withhold(name for name in names.values() if name not in self.records)
        for path, message in self.broken.items():
            if before.get(path) != message:
                name = names[path]
                served = name in self.records
                then = "is served as its file was before" if served else "is not served"
                self._log.warn("{message} ({site} {then})", message=message, site=name, then=then)
        for path in before.keys() - self.broken.keys():
            self._log.info("{path}: is not wrong any more", path=path)
        self._settled()
        if self.failed:
            self.failed = ""
            self._log.info("The site files can be read again")
        self._looked()

    def _not_looked(self, failure: Failure) -> None:
        if failure.check(SpawnerLost) is not None:
            return  # which is told elsewhere, and the end
        if failure.check(SettingsError) is None:
            self._log.failure("What was found in SITES_DIR could not be dealt with", failure)
        elif self.failed != str(failure.value):
            self._log.error("{why}; all sites stay as they were", why=str(failure.value))
        self.failed = failure.getErrorMessage()
        self._looked()
        if not (self._closed or self._looking or self._call is not None):
            self._call = self._clock.callLater(_AGAIN, self._look_again)

    def _look_again(self) -> None:
        self._call = None
        self.look()

    def _tell_over(self) -> None:
        """The look is over, or there will be none."""
        waiting, self._waiting = self._waiting, []
        if self._closed:
            waiting, self._next = [*waiting, *self._next], []
        for done in waiting:
            done.callback(None)

    def _looked(self) -> None:
        self._looking = False
        self._tell_over()
        if self._once_more:
            self._once_more = False
            self.look()

    # -- what the log is told

    def _tell_first(self, _: object) -> None:
        self._begun = True
        self._log.info(
            "Site files: {good} sites; wrong files: {broken}",
            good=len(self.records),
            broken=len(self.broken),
        )

    def _tell(self, changes: Sequence[Change]) -> None:
        for change in changes[:_NAMED]:
            what = "has changed" if change.before is not None else "is new"
            self._log.info(
                "{site}: its site file {what}",
                site=change.site,
                what="has gone" if change.now is None else what,
            )
        if len(changes) > _NAMED:
            self._log.info("and {count} other site files", count=len(changes) - _NAMED)
