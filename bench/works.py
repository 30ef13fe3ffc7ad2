"""The works in which requests go through a warm proxy, and what is promised of each."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import measure
from bench.measure import Load, Sample
from bench.origin import SITE
from bench.peers import ALL_ON, OTHER_CHECKOUT, SITE_FILES
from bench.report import Row, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bench.peers import Peer

_UPLOAD_BYTES = 1_000_000
# Of one turn of one proxy.
_SECONDS = 1
# The most that a change may add, beside the checkout before it, and that many site files may.
_WORSE = {OTHER_CHECKOUT: 1.03, SITE_FILES: 1.05, ALL_ON: 1.05}


def _per_request(sample: Sample) -> float:
    return sample.cpu / sample.requests * 1e6


def _per_gb_received(sample: Sample) -> float:
    return sample.cpu / sample.received * 1e9


def _per_gb_sent(sample: Sample) -> float:
    return sample.cpu / (sample.requests * _UPLOAD_BYTES) * 1e9


@dataclass(frozen=True)
class Work:
    """A load, what its cost is counted by, and the most it may cost in another proxy's measure.

    The `guests` of bench.others take part in one work only, so that all is done in minutes.
    """

    title: str
    load: Load
    cost: Callable[[Sample], float]
    unit: str
    goals: dict[str, float]
    guests: bool = False


WORKS = {
    "small": Work(
        "small response, 64 connections",
        Load(),
        _per_request,
        "µs",
        {"nginx": 1.40, "ReverseProxyResource": 0.13, "caddy": 0.5, "Passenger in Apache": 0.15},
        guests=True,
    ),
    "unlogged": Work(
        "the same, no access logs", Load(door="bare"), _per_request, "µs", {"nginx": 1.35}
    ),
    "browser": Work(
        "the same, a browser's 700-byte head",
        Load(script="browser.lua"),
        _per_request,
        "µs",
        {"nginx": 1.45},
    ),
    "paths": Work(
        "the same, another path with each request",
        Load(script="paths.lua"),
        _per_request,
        "µs",
        {"nginx": 1.40},
    ),
    "single": Work(
        "one connection at a time", Load(connections=1), _per_request, "µs", {"nginx": 1.25}
    ),
    "download": Work(
        "10 MB download (haproxy splices)",
        Load("/download", connections=4, door="spliced"),
        _per_gb_received,
        "s/GB",
        {"nginx": 0.5, "haproxy": 1.0},
    ),
    "upload": Work(
        "1 MB upload", Load("/upload", "upload.lua", 4), _per_gb_sent, "s/GB", {"nginx": 0.5}
    ),
}


def run(work: Work, peers: Sequence[Peer], core: int, rounds: int) -> list[Row]:
    """Its row: every proxy in turn, round after round, so that a drift of the machine meets all."""
    samples: dict[str, list[Sample]] = {peer.name: [] for peer in peers}
    for _ in range(rounds):
        for peer in peers:
            samples[peer.name].append(measure.run(peer, work.load, SITE, core, _SECONDS))
    return [row(work, samples)]


def row(work: Work, samples: Mapping[str, Sequence[Sample]]) -> Row:
    """What the samples of each proxy come to; a proxy that is not among them has no verdict."""
    costs = {name: statistics.median(map(work.cost, taken)) for name, taken in samples.items()}
    return Row(
        work.title,
        {name: _cell(cost, work.unit, samples[name]) for name, cost in costs.items()},
        [
            _verdict(costs, other, limit)
            for other, limit in {**work.goals, **_WORSE}.items()
            if other in costs
        ],
        {name: [vars(sample) for sample in taken] for name, taken in samples.items()},
        costs,
    )


def _verdict(costs: Mapping[str, float], other: str, limit: float) -> Verdict:
    ours = costs["Luisito"]
    if other in (SITE_FILES, ALL_ON):
        return Verdict(costs[other] / ours, limit, other.removeprefix("Luisito"))
    return Verdict(ours / costs[other], limit, f" of {other}")


def _cell(cost: float, unit: str, samples: Sequence[Sample]) -> str:
    rate = statistics.median(sample.requests / sample.elapsed for sample in samples)
    digits = 1 if unit == "µs" else 3
    return f"{cost:.{digits}f} {unit}, {rate:,.0f}/s"
