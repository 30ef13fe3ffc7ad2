"""Whether it pays to start servers ahead of requests: `python -m bench.keep.ahead --help`."""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.keep.traces import MB, TRACES, sites
from bench.keep.world import World
from luisito.core.lifecycle import State
from luisito.core.orders import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.keep.traces import Site
    from luisito.core.lifecycle import Server
    from luisito.core.orders import Grant, Refuse

_MORE = """\
The hybrid histogram of Shahrad and others, "Serverless in the Wild" (USENIX ATC 2020), on top of
the pool's real policy and within the same memory: a histogram of how long each site is idle, in
bins of a minute. Where it says when a site is asked for again, the server is ended when it becomes
idle, started ahead of that time (what is below the 5th percentile, less a tenth), and ended after
it (above the 99th, and a tenth more). "lru+room" does so only where there is room, "lru+any" and
"cost+any" have idle servers go for it. "lru+only" and "cost+only" do, too, but leave it to the
policy which server goes when: they start ahead what has gone. Sites that are idle longer than the
histogram, for which the paper has a forecast by ARIMA, are left to the policy. "cold" is the share
of requests that waited; "waited" is what all waited, as a part of that with "lru": the mean of all
seeds, and the least and the most.
"""
_MINUTE = 60.0
_HEAD, _TAIL = 0.05, 0.99
_MARGIN = 0.1
_LEAST_CV = 2.0  # of the counts in the bins, under which they say nothing
_MOST_BEYOND = 0.5  # the part of idle times that may be longer than the histogram


class Windows(NamedTuple):
    """What is done when a site becomes idle: seconds without a server, then seconds with one."""

    without: float
    kept: float


class Histogram:
    """The idle times of one site.

    Args:
        minutes: how many bins.
    """

    def __init__(self, minutes: int) -> None:
        self._bins = [0] * minutes
        self._within = self._beyond = self._squares = 0

    def add(self, seconds: float) -> None:
        """Count an idle time."""
        place = int(seconds / _MINUTE)
        if place >= len(self._bins):
            self._beyond += 1
            return
        self._squares += 2 * self._bins[place] + 1
        self._bins[place] += 1
        self._within += 1

    def windows(self) -> Windows | None:
        """What it says; None where it says nothing."""
        count, size = self._within, len(self._bins)
        if not count or self._beyond > _MOST_BEYOND * (count + self._beyond):
            return None
        mean = count / size
        if math.sqrt(self._squares / size - mean * mean) < _LEAST_CV * mean:
            return None
        without = self._percentile(_HEAD) * _MINUTE * (1 - _MARGIN)
        return Windows(without, (self._percentile(_TAIL) + 1) * _MINUTE * (1 + _MARGIN) - without)

    def _percentile(self, part: float) -> int:
        """The bin where so large a part of all is reached."""
        reached = itertools.accumulate(self._bins)
        return next(place for place, sum_ in enumerate(reached) if sum_ >= part * self._within)


class Ahead(World):
    """A World in which servers are ended and started by histograms.

    Args:
        kinds: see World; likewise the next.
        limits: of the pool; max_memory is one.
        seed: see World.
        minutes: of the histograms.
        evicts: idle servers go for those that are started ahead.
        ends: a server is ended where the histogram says that it is not needed.

    Attributes:
        ahead: servers started so.
        used: of these, those that were asked for.
    """

    def __init__(
        self,
        kinds: Sequence[Site],
        limits: Limits,
        seed: int = 1,
        *,
        minutes: int = 240,
        evicts: bool,
        ends: bool = True,
        jitter: bool = True,
    ) -> None:
        super().__init__(kinds, limits, seed, jitter=jitter)
        self._most, self._evicts = limits.max_memory or 0, evicts
        self._ends = ends
        self._of_site = defaultdict(lambda: Histogram(minutes))
        self._idle_since: dict[str, float] = {}  # when sites became idle
        self._plan: dict[str, int] = {}  # the number of what is planned for a site
        self._plans = itertools.count(1)
        self._unasked: set[int] = set()  # who waits for a server that is started ahead
        self._fresh: set[Server] = set()  # started ahead, and not asked for yet
        self.ahead = self.used = 0

    def _asked_for(self, site: str, now: float) -> None:
        self._plan.pop(site, None)
        since = self._idle_since.pop(site, None)
        if since is not None:
            self._of_site[site].add(now - since)
        server = self.policy.server(site)
        if server in self._fresh:
            self._fresh.discard(server)
            self.used += 1

    def _released(self, server: Server, now: float) -> None:
        super()._released(server, now)
        if server.state is not State.READY or server.leases:
            return
        self._idle_since[server.site] = now
        windows = self._of_site[server.site].windows()
        if windows is None:
            return
        number = self._plan[server.site] = next(self._plans)
        if windows.without and self._ends:
            self._obey(self.policy.stop(server.site, now, ""), now)
        self._later(now + windows.without, self._start_ahead, (server.site, number))
        self._later(now + windows.without + windows.kept, self._is_over, (server.site, number))

    def _start_ahead(self, plan: tuple[str, int], now: float) -> None:
        site, number = plan
        if self._plan.get(site) != number or self.policy.server(site) is not None:
            return
        if not self._evicts and self._memory + self._of[site].memory > self._most:
            return
        self.ahead += 1
        self._unasked.add(-number)
        self._obey(self.policy.requested(site, -number, now), now)
        server = self.policy.server(site)
        if server is not None:
            self._fresh.add(server)

    def _is_over(self, plan: tuple[str, int], now: float) -> None:
        site, number = plan
        server = self.policy.server(site)
        if self._plan.get(site) != number or server is None or server.leases:
            return
        if self._ends or server in self._fresh:
            self._obey(self.policy.stop(site, now, ""), now)

    def _grant(self, order: Grant, now: float) -> None:
        if order.waiter in self._unasked:
            self._unasked.discard(order.waiter)  # type: ignore[arg-type]
            super()._released(order.server, now)
        else:
            super()._grant(order, now)

    def _refuse(self, order: Refuse) -> None:
        if order.waiter in self._unasked:
            self._unasked.discard(order.waiter)  # type: ignore[arg-type]
        else:
            super()._refuse(order)


class _Played(NamedTuple):
    cold: float
    waited: float
    ahead: int
    used: int


_WAYS = ("lru", "cost", "lru+room", "lru+any", "lru+only", "cost+any", "cost+only")


def _play(way: str, kinds: list[Site], trace: list[Any], memory: int, minutes: int) -> _Played:
    policy, _, how = way.partition("+")
    limits = Limits(
        max_servers=len(kinds),
        queue_total=len(trace),
        queue_limit=len(trace),
        max_memory=memory * MB,
        policy=policy,
    )
    if not how:
        result, ahead, used = World(kinds, limits).run(trace), 0, 0
    else:
        world = Ahead(kinds, limits, minutes=minutes, evicts=how != "room", ends=how != "only")
        result = world.run(trace)
        ahead, used = world.ahead, world.used
    return _Played(len(result.waits) / result.requests, result.waited, ahead, used)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.keep.ahead", description=__doc__.partition(":")[0] + ".", epilog=_MORE
    )
    parser.add_argument("--seeds", type=int, default=5, help="how many are played (5)")
    parser.add_argument("--sites", type=int, default=500, help="how many there are (500)")
    parser.add_argument("--requests", type=int, default=50_000, help="of the week (50000)")
    parser.add_argument(
        "--memory", type=int, nargs="*", default=[1000, 4000, 16000], help="MAX_MEMORY, in MB"
    )
    parser.add_argument("--minutes", type=int, default=240, help="of the histograms (240)")
    parser.add_argument("--traces", nargs="*", choices=TRACES, default=list(TRACES))
    parser.add_argument("--ways", nargs="*", choices=_WAYS, default=list(_WAYS))
    return parser


def main(arguments: list[str]) -> None:
    """Print a row for each trace, bound and way."""
    options = _parser().parse_args(arguments)
    print("| trace | bound | policy | cold | waited | least, most | ahead | of these used |")
    print("|---|---|---|---|---|---|---|---|")
    seeds = range(1, options.seeds + 1)
    kinds = {seed: sites(options.sites, seed) for seed in seeds}
    for name in options.traces:
        traces = {seed: list(TRACES[name](options.sites, options.requests, seed)) for seed in seeds}
        for memory in options.memory:
            lru: dict[int, float] = {}
            for way in options.ways:
                played = [
                    _play(way, kinds[seed], traces[seed], memory, options.minutes) for seed in seeds
                ]
                lru = lru or {seed: one.waited for seed, one in zip(seeds, played, strict=True)}
                shares = [one.waited / lru[s] for s, one in zip(seeds, played, strict=True)]
                ahead, used = sum(p.ahead for p in played), sum(p.used for p in played)
                cells = [
                    name,
                    f"{memory:,} MB",
                    way,
                    f"{100 * statistics.mean(p.cold for p in played):.1f} %",
                    f"{statistics.mean(shares):.2f}",
                    f"{min(shares):.2f}, {max(shares):.2f}",
                    f"{ahead / len(played):,.0f}" if ahead else "",
                    f"{100 * used / ahead:.0f} %" if ahead else "",
                ]
                print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
