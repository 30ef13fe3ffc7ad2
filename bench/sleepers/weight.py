"""What an idle site weighs, after requests and a full collection of garbage.

Weighed is PSS (proc(5), smaps_rollup): a page that several processes share counts for each of them
in part. A site's weight is that of all processes that serve it, and where a preloaded interpreter
has forked them its share of that one's.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from bench.processes import BenchError
from bench.report import Row, Verdict
from bench.sleepers import sites
from bench.sleepers.cold import await_interpreters, fallbacks, forked, served
from bench.sleepers.sites import COLLECT, DJANGO
from bench.sleepers.ways import (
    GUNICORN,
    PRELOADED,
    WAITRESS,
    awake,
    counts,
    share,
    sleep,
    stop,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bench.sleepers.sites import Site
    from bench.sleepers.ways import Served, Way

_GOAL = 0.45
# Seconds: no site goes to sleep while it is weighed.
_NEVER = 3600
_TRIES = 6
_QUIET = 1.0
_PSS = re.compile(r"^Pss:\s+(\d+) kB$", re.MULTILINE)


def rows(
    folder: Path, python: Path, ways: Sequence[Way], kind: str, count: int, requests: int
) -> list[Row]:
    """The row for so many sites of a kind at a time, the ways one after the other."""
    names = [f"{kind.lower()}{number:02}.localhost" for number in range(count)]
    place = folder / f"{kind.lower()}-{count}"
    place.mkdir()
    those = sites.make(place / "sites", kind, names, python)
    own: dict[str, float] = {}
    shared: dict[str, float] = {}
    for way in ways:
        with served(way, place, those, _NEVER) as wakes:
            if way.shares:
                _fork_all(wakes, those)
            for site in those:
                for _ in range(requests):
                    wakes.wake(site)
                wakes.ask(site, COLLECT)
            time.sleep(_QUIET)
            own[way.name] = sum(_weight(wakes, site) for site in those) / count
            if way.shares:
                shared[way.name] = sum(map(pss, share(wakes))) / count
                if fallbacks(wakes):
                    raise BenchError(f"{way.name}: {fallbacks(wakes)} sites fell back")
    return [row(kind, count, own, shared)]


def _fork_all(wakes: Served, those: Sequence[Site]) -> None:
    """Have all servers started anew: those from before the interpreter was there are not forked."""
    good = 0
    for _ in range(_TRIES):
        await_interpreters(wakes, those[:1])
        before = forked(wakes)
        for site in those:
            stop(wakes, site)
        for site in those:
            sleep(wakes, site)
            wakes.wake(site)
        good += forked(wakes) - before == len(those)
        if good == 2:  # it learns from the first of those that it forks
            return
    raise BenchError(f"not all sites are forked: {counts(wakes)}")


def _weight(wakes: Served, site: Site) -> float:
    members = awake(wakes, site)
    if not members:
        raise BenchError(f"{site.name} does not run")
    return sum(map(pss, members))


def pss(pid: int) -> float:
    """What a process weighs, in MB."""
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        found = _PSS.search(rollup.read())
    if found is None:
        raise BenchError(f"process {pid} weighs nothing")
    return int(found[1]) * 1024 / 1e6


def row(kind: str, count: int, own: Mapping[str, float], shared: Mapping[str, float]) -> Row:
    """What a site weighs in each way, in MB.

    Args:
        kind: of the sites.
        count: how many there are.
        own: the weight of a site's own processes.
        shared: its part of the interpreter that has forked them, where there is one.
    """
    costs = {name: weight + shared.get(name, 0.0) for name, weight in own.items()}
    cells = {
        name: f"{costs[name]:.1f} MB"
        + (f" ({shared[name]:.1f} of the interpreter)" if name in shared else "")
        for name in own
    }
    verdicts = []
    # A process of its own is what a single-process server takes; gunicorn has two.
    alone = own.get(WAITRESS, own.get(GUNICORN))
    if kind == DJANGO and count > 1 and PRELOADED in costs and alone:
        verdicts.append(Verdict(costs[PRELOADED] / alone, _GOAL, " of its own process (waitress)"))
    samples: dict[str, object] = {"own": dict(own), "shared": dict(shared)}
    title = f"{kind}, {count} idle site{'s' if count > 1 else ''}: PSS of each"
    return Row(title, cells, verdicts, samples, costs)
