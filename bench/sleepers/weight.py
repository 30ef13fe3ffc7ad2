"""What an idle site weighs, after requests and a full collection of garbage.

Weighed is PSS (proc(5), smaps_rollup): a page that several processes share counts for each of them
in part. A site's weight is that of all processes that serve it, and where a preloaded interpreter
has forked them its share of that one's. Where sites hibernate they are weighed once the kernel has
merged what is alike: a merged page counts in part, too.
"""

from __future__ import annotations

import contextlib
import re
import statistics
import time
from typing import TYPE_CHECKING

from bench.processes import BenchError
from bench.report import Row, Verdict
from bench.sleepers import merging, sites
from bench.sleepers.cold import await_interpreters, fallbacks, forked, served
from bench.sleepers.sites import COLLECT, DJANGO
from bench.sleepers.ways import (
    GUNICORN,
    HIBERNATING,
    PRELOADED,
    WAITRESS,
    await_light,
    awake,
    counts,
    hibernate,
    share,
    sleep,
    stop,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from bench.sleepers.sites import Site
    from bench.sleepers.ways import Served, Way

_GOALS = {PRELOADED: 0.45, HIBERNATING: 0.2}
_LATER = 5.0  # ms
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
    later = None
    for way in ways:
        with served(way, place, those, _NEVER) as wakes:
            if way.shares:
                _fork_all(wakes, those)
            took = []
            for site in those:
                took += [wakes.wake(site)[0] for _ in range(requests)]
                wakes.ask(site, COLLECT)
            if way.shares:
                await_light(wakes)
            with _merged(wakes, those) if way.hibernates else contextlib.nullcontext():
                time.sleep(_QUIET)
                own[way.name] = sum(_weight(wakes, site) for site in those) / count
                if way.shares:
                    shared[way.name] = sum(map(pss, share(wakes))) / count
            if way.hibernates:  # what was merged still is
                woken = [wakes.wake(site)[0] for site in those]
                later = (statistics.median(woken) - statistics.median(took)) * 1e3
            if way.shares and fallbacks(wakes):
                raise BenchError(f"{way.name}: {fallbacks(wakes)} sites fell back")
    return [row(kind, count, own, shared, later)]


@contextlib.contextmanager
def _merged(wakes: Served, those: Sequence[Site]) -> Iterator[None]:
    """All sites are frozen, and what they have alike is merged."""
    for site in those:
        hibernate(wakes, site)
    with merging.merging():
        merging.settled(lambda: sum(_weight(wakes, site) for site in those))
        yield


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


def row(
    kind: str,
    count: int,
    own: Mapping[str, float],
    shared: Mapping[str, float],
    later: float | None = None,
) -> Row:
    """What a site weighs in each way, in MB.

    Args:
        kind: of the sites.
        count: how many there are.
        own: the weight of a site's own processes.
        shared: its part of the interpreter that has forked them, where there is one.
        later: ms that an answer takes more where the site has hibernated.
    """
    costs = {name: weight + shared.get(name, 0.0) for name, weight in own.items()}
    cells = {
        name: f"{costs[name]:.1f} MB"
        + (f" ({shared[name]:.1f} of the interpreter)" if name in shared else "")
        + (f", answers {later:.1f} ms later" if name == HIBERNATING and later is not None else "")
        for name in own
    }
    verdicts = []
    # A process of its own is what a single-process server takes; gunicorn has two.
    alone = own.get(WAITRESS, own.get(GUNICORN))
    if kind == DJANGO and count > 1 and alone:
        verdicts += [
            Verdict(costs[name] / alone, goal, f" of its own process (waitress), {name}")
            for name, goal in _GOALS.items()
            if name in costs
        ]
    if later is not None:
        verdicts.append(Verdict(later, _LATER, " ms later"))
    samples: dict[str, object] = {"own": dict(own), "shared": dict(shared), "later": later}
    title = f"{kind}, {count} idle site{'s' if count > 1 else ''}: PSS of each"
    return Row(title, cells, verdicts, samples, costs)
