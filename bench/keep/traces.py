"""Requests of a week at many small sites, drawn by a seed: who is asked when, what each takes.

Popularity falls as in Zipf's law. What a start takes and what a server weighs differs from site to
site: the middle one of all takes half a second and 60 MB, a few take many times as much.
"""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Request = tuple[float, int, float]
"""At how many seconds, for which site, and how many seconds its answer takes."""

DAY = 86_400.0
WEEK = 7 * DAY
MB = 1024 * 1024
_FIRST_RANK = 3  # of Zipf's law, so that no site has most of all requests
_EXPONENT = 0.9
_ANSWER = 0.05  # seconds, on average
_SLOT = 600.0  # seconds in which the mix of sites stays the same
_VISIT, _PAUSE = 8, 20.0  # requests of a visit, and the seconds between them, on average
_CRAWL, _CRAWLS, _CRAWL_PAUSE = 200, 1 / 50, 2.0  # the same of one visit in 50, by a crawler


@dataclass(frozen=True)
class Site:
    """What a site's server takes: seconds to start, bytes of memory."""

    name: str
    start: float
    memory: int


def sites(count: int, seed: int, *, related: bool = True) -> list[Site]:
    """Make sites, the most popular one first; that has nothing to do with what they take.

    Memory and start times are lognormal, within 10 to 400 MB and 0.05 to 8 s. Their logarithms
    have a correlation of 0.64 where they are `related`, else none.
    """
    draw = random.Random(f"sites {seed}")
    made = []
    for number in range(count):
        large, slow, other = draw.gauss(0, 1), draw.gauss(0, 1), draw.gauss(0, 1)
        memory = 60 * math.exp(0.6 * large)
        start = 0.5 * math.exp(0.5 * (large if related else other) + 0.6 * slow)
        whole = int(min(max(memory, 10), 400) * MB)
        made.append(Site(f"s{number}", min(max(start, 0.05), 8.0), whole))
    return made


def zipf(count: int, requests: int, seed: int) -> Iterator[Request]:
    """Each request is for any site, whatever came before: independent references."""
    draw = random.Random(f"zipf {seed}")
    weights = _popularity(count)
    return _mixed(draw, requests, lambda _: weights)


def diurnal(count: int, requests: int, seed: int) -> Iterator[Request]:
    """Each site has a time of day of its own, some nearly all day, some for a few hours."""
    draw = random.Random(f"diurnal {seed}")
    shares = _popularity(count)
    peaks = [draw.gauss(14, 3) / 24 for _ in range(count)]
    widths = [draw.uniform(1.0, 6.0) for _ in range(count)]

    def weights(at: float) -> list[float]:
        now = at / DAY
        return [
            share * math.exp(width * (math.cos(2 * math.pi * (now - peak)) - 1))
            for share, peak, width in zip(shares, peaks, widths, strict=True)
        ]

    return _mixed(draw, requests, weights)


def bursty(count: int, requests: int, seed: int) -> Iterator[Request]:
    """Visits: who comes asks some times within minutes, a crawler 200 times; then it is quiet."""
    draw = random.Random(f"bursty {seed}")
    visits = round(requests / (_VISIT * (1 - _CRAWLS) + _CRAWL * _CRAWLS))
    found = []
    for site in draw.choices(range(count), weights=_popularity(count), k=visits):
        at = draw.uniform(0, WEEK)
        number, pause = (_CRAWL, _CRAWL_PAUSE) if draw.random() < _CRAWLS else (_VISIT, _PAUSE)
        while True:
            found.append((at, site, draw.expovariate(1 / _ANSWER)))
            if draw.random() < 1 / number:
                break
            at += draw.expovariate(1 / pause)
    found.sort()
    return iter(found)


TRACES: dict[str, Callable[[int, int, int], Iterator[Request]]] = {
    "zipf": zipf,
    "diurnal": diurnal,
    "bursty": bursty,
}


def _popularity(count: int) -> list[float]:
    return [(rank + _FIRST_RANK) ** -_EXPONENT for rank in range(count)]


def _mixed(
    draw: random.Random, requests: int, weights: Callable[[float], list[float]]
) -> Iterator[Request]:
    """Draw each slot's requests from its own mix of sites, in as many as its sum of weights."""
    slots = [slot * _SLOT for slot in range(int(WEEK / _SLOT))]
    share = requests / sum(sum(weights(at)) for at in slots)
    for at in slots:
        cumulated = list(itertools.accumulate(weights(at)))
        number = int(cumulated[-1] * share + draw.random())
        times = sorted(at + draw.random() * _SLOT for _ in range(number))
        which = draw.choices(range(len(cumulated)), cum_weights=cumulated, k=number)
        for when, site in zip(times, which, strict=True):
            yield when, site, draw.expovariate(1 / _ANSWER)
