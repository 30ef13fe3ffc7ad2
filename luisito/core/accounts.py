"""What each site has done since that was last written down, from events and counted requests."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import attrs

from luisito.core.events import Kind
from luisito.core.members import first_of
from luisito.core.tally import NOWHERE, OTHERS
from luisito.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from luisito.core.events import Event

MAX_SITES: Final = 10_000
"""So many sites have an account of their own; all others have one together."""
MAX_EVENTS: Final = 5_000
"""So many events wait to be written; of more, the oldest are dropped."""
LONGEST: Final = 1_500
"""Characters of an event's words."""
CLASSES: Final = ("cut_off", "c1xx", "c2xx", "c3xx", "c4xx", "c5xx")
"""What is counted of answers, in the order of SiteTally.by_class."""
_AT_ONCE: Final = 250  # sites, and events, of a batch
ADDED: Final = (
    "requests", *CLASSES, "alive", "stays", "stayed", "starts", "readies", "started", "failures",
    "evictions", "refused",
)  # fmt: skip
"""What is counted of a site, in the order of `Batch.sites`, behind its name, the time and a uid:

requests, and those of each class; seconds in which it had servers, each of them counted; how many
of these have ended, and how many seconds they lived; starts that were ordered, those that became
ready, and how many seconds that took; failures; evictions; requests that got no server.
"""
WARM: Final = 0
COLD: Final = 1


class Counted(Protocol):
    """What is known of the requests of a site, since this process serves: see SiteTally."""

    @property
    def by_class(self) -> Sequence[int]:
        """See there."""

    @property
    def warm(self) -> Sequence[int]:
        """See there."""

    @property
    def cold(self) -> Sequence[int]:
        """See there."""


_Sparse = tuple[tuple[int, int], ...]  # places and their numbers, but for those that are 0


class Batch(NamedTuple):
    """What is to be written, in JSON.

    Attributes:
        sites: rows of a name, seconds since the epoch, a uid or null, ADDED, and the words of the
            last exit and of the last failure, or null.
        buckets: rows of a name, WARM or COLD, a place in SiteTally.warm or cold, and a number.
        events: rows of events' attributes, in their order.
        waiting: the events themselves.
    """

    sites: str
    buckets: str
    events: str
    waiting: Sequence[Event]


@attrs.define
class _Account:
    counts: dict[str, float] = attrs.field(factory=dict)
    uid: int | None = None
    last_exit: str | None = None
    last_failure: str | None = None
    buckets: dict[tuple[int, int], int] = attrs.field(factory=dict)

    def copy(self) -> _Account:
        counts, buckets = self.counts.copy(), self.buckets.copy()
        return _Account(counts, self.uid, self.last_exit, self.last_failure, buckets)

    def add(self, what: str, count: float = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + count


def _sparse(counts: Sequence[int]) -> _Sparse:
    return tuple((place, count) for place, count in enumerate(counts) if count)


class Accounts:
    """Adds up what is new.

    Args:
        now: seconds of a monotonic clock; what was before is somebody else's to count.
        most: how many sites have an account of their own.
    """

    def __init__(self, now: float, most: int = MAX_SITES) -> None:
        self._most, self._since = most, now
        self._accounts: dict[str, _Account] = {}
        self._events: list[Event] = []
        self._seen: dict[str, tuple[Sequence[int], _Sparse, _Sparse]] = {}
        self.dropped = 0
        """Events that could not wait."""

    def __bool__(self) -> bool:
        """Whether there is anything to be written."""
        return bool(self._accounts or self._events)

    @property
    def waiting(self) -> Sequence[Event]:
        """Events that are to be written."""
        return self._events

    # -- what is told

    def event(self, event: Event, now: float) -> None:
        """Take an event.

        Args:
            event: of a server, or of a worker, which counts for nothing.
            now: seconds of a monotonic clock.
        """
        self._events.append(event)
        if len(self._events) > MAX_EVENTS:
            self._events.pop(0)
            self.dropped += 1
        account = self._account(event.site)
        if event.uid is not None:
            account.uid = event.uid
        if event.worker is not None:
            return
        kind, seconds = event.kind, event.seconds
        if kind in (Kind.EXITED, Kind.FAILED) and seconds is not None:
            account.add("alive", min(seconds, max(0.0, now - self._since)))
        if kind is Kind.WAKE:
            account.add("starts")
        elif kind is Kind.READY:
            account.add("readies")
            account.add("started", seconds or 0.0)
        elif kind is Kind.EVICTED:
            account.add("evictions")
        elif kind is Kind.REFUSED:
            account.add("refused", event.count)
        elif kind is Kind.FAILED:
            account.add("failures")
            account.last_failure = _first_line(event.words)
        elif kind is Kind.EXITED:
            account.last_exit = _first_line(event.words)
            if seconds is not None:
                account.add("stays")
                account.add("stayed", seconds)

    def lived(self, servers: Iterable[tuple[str, float]], now: float) -> None:
        """Count the time since this was called last.

        Args:
            servers: that there are: site, and seconds of a monotonic clock at its start.
            now: on the same clock.
        """
        since, self._since = self._since, now
        for site, started_at in servers:
            self._account(first_of(site)).add("alive", max(0.0, now - max(since, started_at)))

    def requests(self, site: str, counted: Counted) -> None:
        """Take what was counted of a site since the beginning, if it is more than before."""
        if site == NOWHERE:
            return
        by_class = counted.by_class
        before = self._seen.get(site)
        if before is None:
            before = (0,) * len(by_class), (), ()
        elif before[0] == by_class:
            return
        warm, cold = _sparse(counted.warm), _sparse(counted.cold)
        self._seen[site] = by_class, warm, cold
        account = self._account(first_of(site))
        for name, count, former in zip(CLASSES, by_class, before[0], strict=True):
            if count != former:
                account.add(name, count - former)
                account.add("requests", count - former)
        for warmth, earlier, now in ((WARM, before[1], warm), (COLD, before[2], cold)):
            counts = dict(earlier)
            for place, count in now:
                if more := count - counts.get(place, 0):
                    key = warmth, place
                    account.buckets[key] = account.buckets.get(key, 0) + more

    def _account(self, site: str) -> _Account:
        found = self._accounts.get(site)
        if found is None:
            if len(self._accounts) >= self._most:
                site = OTHERS
            found = self._accounts.setdefault(site, _Account())
        return found

    # -- what is to be written

    def of_sites(self) -> Accounts:
        """Return the same without events, for who asks in another thread."""
        same = Accounts(self._since, self._most)
        same._accounts = {name: account.copy() for name, account in self._accounts.items()}
        return same

    def take(self, at: float) -> Batch:
        """Return what is new, so many sites and events of it that it takes but milliseconds.

        Args:
            at: seconds since the epoch, now.
        """
        names = list(islice(self._accounts, _AT_ONCE))
        events, self._events = self._events[:_AT_ONCE], self._events[_AT_ONCE:]
        sites: list[list[Any]] = []
        buckets: list[tuple[str, int, int, int]] = []
        for name in names:
            account = self._accounts.pop(name)
            counts = [account.counts.get(what, 0) for what in ADDED]
            last = account.last_exit, account.last_failure
            sites.append([name, at, account.uid, *counts, *last])
            buckets += [(name, *key, count) for key, count in account.buckets.items()]
        rows = [list(cut(event).as_dict().values()) for event in events]
        return Batch(json.dumps(sites), json.dumps(buckets), json.dumps(rows), events)


def cut(event: Event) -> Event:
    """An event as it is written: its words are not too long, and hold no controls but newlines."""
    words = visible(event.words, "\n")[:LONGEST]
    return event if words == event.words else attrs.evolve(event, words=words)


def _first_line(words: str) -> str:
    """Without the output that stands behind it."""
    return visible(words.partition("\n")[0].removesuffix("; its last output:"))[:LONGEST]
