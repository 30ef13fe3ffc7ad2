"""Tells the pool what limits each site has and how it is kept, with room for others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import attrs
from twisted.logger import Logger

from luisito.core.keeping import NEVER_ENDED, Keep, allot, complaint
from luisito.core.maintenance import closed
from luisito.core.members import first_of, is_further, keys_of
from luisito.core.orders import SiteLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from luisito.core.directory import Record
    from luisito.pool.pool import Pool
    from luisito.process.sitefiles import Change

_OF_SITES: Final = frozenset(field.name for field in attrs.fields(SiteLimits))


class How(NamedTuple):
    """How a site is kept.

    Attributes:
        keep: pinned or always.
        on_failure: it is not started anew after an end with status 0.
    """

    keep: Keep
    on_failure: bool


class KeptSites:
    """Hears of changed files, and of sites that operators have pinned, and tells the pool.

    Args:
        pool: that is told.
        max_servers: the setting.
        is_site: whether a key is that of a site, as far as that is known at once.

    Attributes:
        problem: why not all are kept as their files say; "" where they are.
        mend: of that.
    """

    _log = Logger()

    def __init__(self, pool: Pool, max_servers: int, is_site: Callable[[str], bool]) -> None:
        self._pool, self._max_servers, self._is_site = pool, max_servers, is_site
        self._records: Mapping[str, Record] = {}
        self._pins: frozenset[str] = frozenset()
        self._wishes: dict[str, Record] = {}  # public records of those that are to be kept
        self._told: dict[str, How] = {}
        self._stale = False
        self._again: set[str] = set()  # whose file has changed: they rest no longer
        self._more: dict[str, int] = {}  # sites that have so many servers with the next `settle`
        self.problem = self.mend = ""

    def __getitem__(self, site: str) -> Keep:
        """How a site is kept; always or pinned only where there is room for that."""
        told = self._told.get(site)
        return Keep.DEMAND if told is None else told.keep

    def change(self, change: Change) -> None:
        """Hears of a change; how sites are kept, and more servers, count with the next `settle`."""
        site, before, now = change
        down = None if now is None else closed(now.get("maintenance", False))
        self._stale |= self._wishes.pop(site, None) is not None or first_of(site) in self._pins
        self._again.add(site)
        if not is_further(site):
            count = 1 if now is None or down is not None else now.get("members", 1)
            self._share(site, count)
        self._pool.crew.files(site, now if down is None else None, self._stop_timeout(now))
        if now is None:
            self._told.pop(site, None)
            self._pool.limit(site, None)
            self._pool.removed(site)
            return
        if down is not None:
            self._limit(site, now)
            self._pool.close_site(site, down.retry_after)
            return
        self._pool.open_site(site)
        if Keep(now["keep"]) is not Keep.DEMAND:
            self._wishes[site] = now
            self._stale = True
        self._limit(site, now)
        if before is None or before["digest"] != now["digest"]:
            self._pool.changed(site)

    def _share(self, site: str, count: int) -> None:
        """How many servers a site has now.

        What is started for more of them is started when all that the file says of them is known:
        else it would have changed while they start, which begins their starts anew.
        """
        self._more.pop(site, None)
        if count > len(self._pool.policy.keys(site)):
            self._more[site] = count
        else:
            self._pool.share(site, count)

    def _stop_timeout(self, record: Record | None) -> float:
        own = {} if record is None else record["limits"]
        seconds: float = own.get("stop_timeout", self._pool.policy.limits.stop_timeout)
        return seconds

    def settle(self, records: Mapping[str, Record]) -> None:
        """Has counted all that was found in one look; sees who may be kept, and has more servers.

        Args:
            records: public records of all sites that have files, and of their mounts.
        """
        again, self._again = self._again, set()
        self._records = records
        if self._stale:
            self._stale = False
            self._allot(again)
        more, self._more = self._more, {}
        for site, count in more.items():
            self._pool.share(site, count)

    def pin(self, sites: frozenset[str]) -> None:
        """These are the sites that are pinned now, by their keys."""
        self._pins = sites
        self._allot(set())

    def no_room_for(self, site: str) -> str:
        """Why a site cannot be pinned beside all others that are kept; "" where it can."""
        needed = allot(self._wanted(self._pins | {site}), self._max_servers).needed
        if needed <= self._max_servers:
            return ""
        return (
            f"{site} cannot be kept: with all others that are kept it would leave no room in"
            f" MAX_SERVERS = {self._max_servers}; raise it to {needed}"
        )

    def _wanted(self, pins: frozenset[str]) -> dict[str, Keep]:
        """How sites are to be kept, by files and pins."""
        wanted = {site: Keep(record["keep"]) for site, record in self._wishes.items()}
        for pin in filter(self._is_site, pins):
            for key in keys_of(pin, self._records.get(pin, {}).get("members", 1)):
                wanted.setdefault(key, Keep.PINNED)
        return wanted

    def _allot(self, again: set[str]) -> None:
        """Sees who may be kept, and tells the pool what is new of it."""
        allotment = allot(self._wanted(self._pins), self._max_servers)
        now = {
            site: How(keep, self._wishes.get(site, {}).get("restart") == "on-failure")
            for site, keep in allotment.kept.items()
        }
        before, self._told = self._told, now
        for site in [*before, *(site for site in now if site not in before)]:
            if before.get(site) != now.get(site) or site in again:
                self._limit(site, self._records.get(site, {}))
                self._pool.keep(site, *self._how(site))
        problem = complaint(allotment, self._max_servers, pins=bool(self._pins))
        self._complain(problem, allotment.needed)

    def _how(self, site: str) -> tuple[bool, bool]:
        """Whether a site is kept up, and whether only after failures."""
        told = self._told.get(site)
        return told is not None and told.keep is Keep.ALWAYS, told is not None and told.on_failure

    def _limit(self, site: str, record: Record) -> None:
        own = {name: each for name, each in record.get("limits", {}).items() if name in _OF_SITES}
        if record.get("pre_stop") is not None:
            own["pre_stop"] = record["pre_stop"]
        if record.get("hibernate") is not None:
            own["hibernate"] = record["hibernate"]
        if site in self._told:
            own |= NEVER_ENDED
        self._pool.limit(site, own or None)

    def _complain(self, problem: str, needed: int) -> None:
        if problem == self.problem:
            return
        self.problem, self.mend = problem, f"raise MAX_SERVERS to {needed}" if problem else ""
        if problem:
            self._log.warn("{problem}; {mend}", problem=problem, mend=self.mend)
        else:
            self._log.info("All sites are kept as their files say")
