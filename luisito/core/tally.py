"""Counts requests by site, class and time, from what lines of the access log are made of.

They are counted in batches, so that it costs each as little as can be.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from itertools import accumulate
from operator import add
from typing import TYPE_CHECKING, Any, Final

from luisito.core.directory import REDIRECT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from luisito.core.access import Entry, Form

OTHERS: Final = "(others)"
"""All sites that are too many to be counted by name; no host looks like that."""
NOWHERE: Final = "(no site)"
"""Hosts that are no site as far as it is known, and heads that cannot be read."""
MAX_SITES: Final = 10_000

_DIGITS: Final = ("1", "1.2", "1.5", "2", "2.5", "3", "4", "5", "6", "8")
BOUNDS: Final = (*(float(f"{x}e{power}") for power in range(-4, 2) for x in _DIGITS), 100.0)
"""Seconds. A time counts at the first of these that is not less, or behind the last."""
COARSE: Final = tuple(bound for at, bound in enumerate(BOUNDS) if at % 10 in (0, 4, 7))
"""Those of them that Prometheus is told."""

# What an answer of a server's may have for a reason (access.Form.how).
_SERVED: Final = (b"", b"unnoticed")
# An answer of Luisito's with any other reason tells of a site.
_OF_ANY: Final = (b"", b"refused", b"no_site")
_REMEMBERED: Final = 4096


class Times:
    """How often something took how long.

    Attributes:
        total: seconds of all together.
    """

    __slots__ = ("_counts", "total")

    def __init__(self) -> None:
        self._counts: defaultdict[int, int] = defaultdict(int)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Counts one."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def include(self, other: Times) -> None:
        """Counts all of another's, too."""
        for at, count in other._counts.items():
            self._counts[at] += count
        self.total += other.total

    @property
    def counts(self) -> list[int]:
        """By BOUNDS, and one more for what took longer."""
        return [self._counts.get(at, 0) for at in range(len(BOUNDS) + 1)]


class SiteTally:
    """The requests of a site that are over.

    Nearly all are answered at once and in one piece, by a server that is awake: these are counted
    once, and added to the others when somebody asks.
    """

    __slots__ = ("_classes", "_cold", "_rest", "_warm", "plain")

    def __init__(self) -> None:
        # By class: how many by BOUNDS, how many behind them, and the seconds of all.
        self.plain: dict[int, list[float]] = {}
        self._classes = [0] * 6
        self._warm, self._cold, self._rest = Times(), Times(), Times()

    def add(self, status: int, total: float) -> None:
        """Counts one that is not plain."""
        self._classes[status // 100] += 1
        self._rest.add(total)

    def served(self, first_byte: float, *, cold: bool) -> None:
        """It had a whole answer of a server."""
        (self._cold if cold else self._warm).add(first_byte)

    def include(self, other: SiteTally) -> None:
        """Counts all of another's, too."""
        for one, counts in other.plain.items():
            mine = self.plain.setdefault(one, [0] * len(counts))
            mine[:] = map(add, mine, counts)
        self._classes[:] = map(add, self._classes, other._classes)
        self._warm.include(other._warm)
        self._cold.include(other._cold)
        self._rest.include(other._rest)

    @property
    def requests(self) -> int:
        """How many."""
        return sum(self.by_class)

    @property
    def by_class(self) -> list[int]:
        """How many whose status is 1xx to 5xx; at 0 those cut off before there was an answer."""
        classes = self._classes.copy()
        for one, counts in self.plain.items():
            classes[one] += int(sum(counts[:-1]))
        return classes

    @property
    def warm(self) -> list[int]:
        """Whole answers of servers that were awake, by the time until their first byte."""
        return self._with_plain(self._warm)

    @property
    def cold(self) -> list[int]:
        """The like of those that had to be started, or for whom room had to be made."""
        return self._cold.counts

    @property
    def duration(self) -> list[int]:
        """All requests, by the time until their end."""
        return self._with_plain(self._rest)

    @property
    def warm_sum(self) -> float:
        """Seconds until the first byte of all in `warm`."""
        return self._warm.total + self._plain_sum

    @property
    def cold_sum(self) -> float:
        """Of all in `cold`."""
        return self._cold.total

    @property
    def first_byte_sum(self) -> float:
        """Of both."""
        return self.warm_sum + self.cold_sum

    @property
    def duration_sum(self) -> float:
        """Seconds until the end of all in `duration`."""
        return self._rest.total + self._plain_sum

    @property
    def _plain_sum(self) -> float:
        return sum(counts[-1] for counts in self.plain.values())

    def _with_plain(self, times: Times) -> list[int]:
        columns = zip(times.counts, *self.plain.values(), strict=False)
        return [int(sum(column)) for column in columns]


class Tally:
    """The requests of all sites that are over.

    Args:
        form: of the access log, which has made what is counted.
        most: how many sites are counted by name.

    Attributes:
        by_site: by the keys of sites and mounts, those that came first before the others; also
            OTHERS and NOWHERE, where there were such.
        queued: how long those waited for room, or for a connection, who did.
        own: answers in the place of a server, by their reason (access.Form.how).
    """

    def __init__(self, form: Form, most: int = MAX_SITES) -> None:
        self._form, self._most = form, most
        self._named = 0
        self.by_site: dict[str, SiteTally] = {}
        self.queued = Times()
        self.own: Counter[str] = Counter()
        # of SiteTally, by who asks for which site
        self._plain: dict[Any, dict[int, list[float]]] = {}

    def add(self, entries: Iterable[Entry]) -> None:
        """Counts requests."""
        at_once, plain = self._form.at_once, self._plain
        for _, who, _, status, _, _, first_byte, total, how in entries:
            if how is at_once and first_byte == total:
                try:
                    counts = plain[who][status // 100]
                except KeyError:
                    counts = self._find(who, status // 100)
                counts[bisect_left(BOUNDS, total)] += 1
                counts[-1] += total
            else:
                self._add(who, status, first_byte, total, how)

    def _find(self, who: Any, status_class: int) -> list[float]:  # noqa: ANN401 - the form's own
        if len(self._plain) >= _REMEMBERED:
            self._plain.clear()
        self._plain[who] = plain = self._named_by(who, is_site=True).plain
        return plain.setdefault(status_class, [0] * (len(BOUNDS) + 2))

    def _add(self, who: Any, status: int, first_byte: float, total: float, how: Any) -> None:  # noqa: ANN401 - as above
        start, queued, _, end, reason = self._form.ending(how)
        served = bool(start) and not end and reason in _SERVED
        if queued:
            self.queued.add(queued)
        if reason not in _SERVED and not end:
            self.own[reason.decode("ascii")] += 1
        # of what was cut off, only a server can have begun the answer
        known = bool(start and status) if end else served or _tells_of_one(status, start, reason)
        tally = self._named_by(who, is_site=known)
        tally.add(status, total)
        if served:
            tally.served(first_byte, cold=start == b"cold")

    def _named_by(self, who: Any, *, is_site: bool) -> SiteTally:  # noqa: ANN401 - as above
        site = self._form.site(who).decode("ascii")
        found = self.by_site.get(site)
        if found is not None:
            return found
        if not is_site or not site:
            return self.by_site.setdefault(NOWHERE, SiteTally())
        if self._named >= self._most:
            return self.by_site.setdefault(OTHERS, SiteTally())
        self._named += 1
        self.by_site[site] = found = SiteTally()
        return found


def _tells_of_one(status: int, start: bytes, reason: bytes) -> bool:
    """Whether an answer of Luisito's own is one for a site: hosts may be anything."""
    return reason not in _OF_ANY or status == REDIRECT or (bool(start) and status >= 500)


def quantile(counts: Sequence[int], q: float) -> float | None:
    """A quantile of times, in seconds, as Prometheus' histogram_quantile estimates it.

    Args:
        counts: by BOUNDS, and one more.
        q: from 0 to 1.

    Returns:
        None of no times; at most the last of BOUNDS.
    """
    rank = q * sum(counts)
    before = 0
    lower = 0.0
    for bound, count in zip(BOUNDS, counts, strict=False):
        if count and before + count >= rank:
            return lower + (bound - lower) * (rank - before) / count
        before, lower = before + count, bound
    return lower if any(counts) else None


def cumulated(counts: Sequence[int]) -> list[tuple[float, int]]:
    """How many times were not longer than each of COARSE, in seconds; without what is beyond."""
    upto = dict(zip(BOUNDS, accumulate(counts), strict=False))
    return [(bound, upto[bound]) for bound in COARSE]
