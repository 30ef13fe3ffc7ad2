"""How long the first visitor of a sleeping site waits, and what CPU time that takes."""

from __future__ import annotations

import contextlib
import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from bench.processes import BenchError
from bench.report import Row, Verdict
from bench.sleepers import sites
from bench.sleepers.sites import DJANGO, FLASK
from bench.sleepers.ways import (
    PASSENGER,
    PRELOADED,
    awake,
    counts,
    interpreters,
    sleep,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from bench.sleepers.sites import Site
    from bench.sleepers.ways import Served, Way

IDLE = 2
"""Seconds after which a site sleeps."""

_GOALS = {DJANGO: 30.0, FLASK: 12.0}  # ms
_OF_PASSENGER = {DJANGO: 0.12}
_CROWD_GOAL = 4.0  # s
_AFTERWARDS = 0.3  # seconds in which what a start has begun is counted to it
_PATIENCE = 60.0
# Seconds until whoever has ended a server listens in its place: uWSGI's Emperor looks each second.
_DEEPER = 1.5
# How often in a row nothing is to have been done.
_LOOKS = 4
_NOTHING = 0.1  # seconds of CPU time in half a second
# A site is asked so often before it is measured: what is compiled or learned then, is there.
_BEFORE = 2


def starts(folder: Path, python: Path, ways: Sequence[Way], rounds: int) -> list[Row]:
    """A row for Django and one for Flask: all ways in turns, in another order each time.

    Each has a virtualenv of its own, as such sites have, and so a preloaded interpreter of its own.
    """
    kinds = {kind: _site(folder / kind.lower(), kind, python) for kind in (DJANGO, FLASK)}
    taken: dict[str, dict[str, list[float]]] = {kind: {} for kind in kinds}
    spent: dict[str, dict[str, list[float]]] = {kind: {} for kind in kinds}
    with contextlib.ExitStack() as stack:
        everyone = {
            way.name: stack.enter_context(served(way, folder, list(kinds.values()), IDLE))
            for way in ways
        }
        turns = [(kind, name) for kind in kinds for name in everyone]
        for _ in range(rounds):
            random.shuffle(turns)  # who comes first finds the processor's caches cold
            for kind, name in turns:
                sleep(everyone[name], kinds[kind])
            time.sleep(_DEEPER)
            for kind, name in turns:
                wakes, site = everyone[name], kinds[kind]
                before = wakes.account.seconds()
                taken[kind].setdefault(name, []).append(wakes.wake(site)[0] * 1e3)
                time.sleep(_AFTERWARDS)
                after = wakes.account.seconds()
                if before is not None and after is not None:
                    spent[kind].setdefault(name, []).append((after - before) * 1e3)
        fell = {way.name: fallbacks(everyone[way.name]) for way in ways if way.shares}
    rows = [starts_row(kind, taken[kind], spent[kind]) for kind in kinds]
    rows += [_fallbacks_row("cold starts that fell back", count) for count in fell.values()]
    return rows


def _site(folder: Path, kind: str, python: Path) -> Site:
    """A site whose virtualenv is that of an interpreter, by another name."""
    folder.mkdir()
    environment = folder / "venv"
    environment.symlink_to(python.parent.parent)
    return sites.make(folder, kind, [f"{kind.lower()}.localhost"], environment / "bin/python")[0]


@contextlib.contextmanager
def served(way: Way, folder: Path, those: Sequence[Site], idle: int) -> Iterator[Served]:
    """Sites that have been awake before, and whose interpreter is there if they share one."""
    with way.serve(folder, those, idle) as wakes:
        for number in range(_BEFORE):
            for site in those:
                wakes.wake(site)
            if way.shares and not number:
                one_each = list({site.virtualenv: site for site in those}.values())
                await_interpreters(wakes, one_each, len(one_each))
            for site in those if idle <= IDLE else ():
                sleep(wakes, site)
        yield wakes


def await_interpreters(wakes: Served, those: Sequence[Site], count: int = 1) -> None:
    """Wait until so many interpreters are there, and have loaded what they share.

    Args:
        wakes: a Luisito.
        those: sites that are kept awake meanwhile, as no interpreter comes for nobody.
        count: of interpreters.
    """
    deadline = time.monotonic() + _PATIENCE
    spent, quiet = -1.0, 0
    while True:
        for site in those:
            wakes.wake(site)
        time.sleep(0.5)
        now = wakes.account.seconds() or 0.0
        # They have loaded all when next to nothing is done any more.
        quiet = quiet + 1 if now - spent < _NOTHING else 0
        there = len(interpreters(wakes))
        if there >= count and quiet >= _LOOKS:
            return
        if time.monotonic() > deadline:
            raise BenchError(
                f"there are {there} preloaded interpreters, where {count} are awaited; the last"
                f" look took {now - spent:.2f} s of CPU"
            )
        spent = now


def fallbacks(wakes: Served) -> int:
    """How many servers were not forked, although there was an interpreter."""
    return _count(wakes, "fallbacks")


def forked(wakes: Served) -> int:
    """How many servers were forked."""
    return _count(wakes, "preloaded")


def _count(wakes: Served, key: str) -> int:
    count = counts(wakes)[key]
    assert isinstance(count, int)
    return count


def starts_row(
    kind: str, taken: Mapping[str, Sequence[float]], spent: Mapping[str, Sequence[float]]
) -> Row:
    """What the samples of each way come to, all in ms."""
    medians = {name: statistics.median(samples) for name, samples in taken.items()}
    cells = {}
    for name, samples in taken.items():
        cells[name] = f"{medians[name]:.1f} ms, 95 % {late(samples):.1f}"
        if name in spent:
            cells[name] += f", CPU {statistics.median(spent[name]):.0f} ms"
    verdicts = []
    if PRELOADED in medians:
        verdicts.append(Verdict(medians[PRELOADED], _GOALS[kind], " ms"))
        if kind in _OF_PASSENGER and PASSENGER in medians:
            ratio = medians[PRELOADED] / medians[PASSENGER]
            verdicts.append(Verdict(ratio, _OF_PASSENGER[kind], " of Passenger"))
    samples = {name: {"ms": list(taken[name]), "cpu": list(spent.get(name, ()))} for name in taken}
    return Row(f"{kind} site, cold", cells, verdicts, dict(samples), medians)


def late(samples: Sequence[float]) -> float:
    """Which one in twenty exceeds (the nearest rank)."""
    return sorted(samples)[max(0, -(-len(samples) * 19 // 20) - 1)]


def crowd(folder: Path, python: Path, ways: Sequence[Way], count: int) -> list[Row]:
    """A row for so many Django sites asked at once: seconds until the last has answered.

    The ways come one after the other, as all their sites together would not fit into memory.
    """
    names = [f"site{number:03}.localhost" for number in range(count)]
    many = sites.make(folder / "crowd", DJANGO, names, python)
    first = sites.make(folder / "first", DJANGO, ["first.localhost"], python)
    took: dict[str, float] = {}
    lost: dict[str, int] = {}
    fell = 0
    for way in ways:
        place = folder / f"crowd-{len(took)}"
        place.mkdir()
        # Only the one that was there before has been awake.
        with way.serve(place, [*first, *many], 600) as wakes, ThreadPoolExecutor(count) as clients:
            wakes.wake(first[0])
            if way.shares:
                await_interpreters(wakes, first)
            begun = time.perf_counter()
            answers = list(clients.map(lambda site, at=wakes: _answers(at, site), many))
            took[way.name] = time.perf_counter() - begun
            lost[way.name] = count - sum(answers)
            if way.shares:
                fell += fallbacks(wakes)
                alone = sum(bool(awake(wakes, site)) for site in many)
                if alone != count:
                    raise BenchError(f"{way.name}: {count - alone} sites do not run")
    return [crowd_row(count, took, lost), _fallbacks_row(f"those {count} that fell back", fell)]


def crowd_row(count: int, took: Mapping[str, float], lost: Mapping[str, int]) -> Row:
    """What it took each way, in seconds."""
    cells = {
        name: f"{seconds:.2f} s" + (f", {lost[name]} unanswered" if lost[name] else "")
        for name, seconds in took.items()
    }
    verdicts = [
        verdict
        for name, seconds in took.items()
        if name == PRELOADED
        for verdict in (
            Verdict(seconds, _CROWD_GOAL, " s"),
            Verdict(lost[name], 0, " unanswered"),
        )
    ]
    samples: dict[str, object] = {"seconds": dict(took), "unanswered": dict(lost)}
    return Row(f"{count} Django sites at once", cells, verdicts, samples, dict(took))


def _fallbacks_row(work: str, count: int) -> Row:
    return Row(work, {PRELOADED: str(count)}, [Verdict(count, 0, " fallbacks")])


def _answers(wakes: Served, site: Site) -> bool:
    try:
        wakes.wake(site)
    except (BenchError, OSError, ValueError):
        return False
    return True
