"""What is told of a site's statistics, from what was added up of it since the first time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from luisito.core.accounts import CLASSES
from luisito.core.tally import BOUNDS, quantile

if TYPE_CHECKING:
    from collections.abc import Mapping

_DAY: Final = 86_400.0  # seconds
_HOUR: Final = 3600.0
_PLACES: Final = len(BOUNDS) + 1


def figures(row: Mapping[str, Any], warm: str, cold: str, now: float) -> dict[str, Any]:
    """Tell how a site fares.

    Args:
        row: what was added up: its name, first_at, last_at, accounts.ADDED and last words.
        warm: answers of servers that were awake, by the place in BOUNDS of the time until their
            first byte: "3:17,4:2".
        cold: the like of those that had to be started.
        now: seconds since the epoch, as those in `row`.

    Returns:
        For JSON; what cannot be told is None: requests a day in the first hour, and the mean and
        the quantiles of nothing.
    """
    seconds = now - row["first_at"]
    warm_counts, cold_counts = _counts(warm), _counts(cold)
    warms, colds = sum(warm_counts), sum(cold_counts)
    a_day = row["requests"] * _DAY / seconds if seconds >= _HOUR else None
    return {
        "site": row["name"],
        "first_at": round(row["first_at"], 3),
        "last_at": round(row["last_at"], 3),
        "requests": row["requests"],
        "by_class": [row[name] for name in CLASSES],
        "requests_a_day": None if a_day is None else round(a_day, 3),
        "alive_seconds": round(row["alive"], 3),
        "pool_seconds": _mean(row["stayed"], row["stays"]),
        "starts": row["starts"],
        "start_seconds": _mean(row["started"], row["readies"]),
        "failures": row["failures"],
        "evictions": row["evictions"],
        "refused": row["refused"],
        "warm": warms,
        "warm_p50_seconds": _quantile(warm_counts, 0.5),
        "warm_p95_seconds": _quantile(warm_counts, 0.95),
        "cold": colds,
        "cold_p50_seconds": _quantile(cold_counts, 0.5),
        "cold_p95_seconds": _quantile(cold_counts, 0.95),
        "cold_share": round(colds / (warms + colds), 6) if warms + colds else None,
        "last_exit": row["last_exit"],
        "last_failure": row["last_failure"],
    }


def _counts(text: str) -> list[int]:
    counts = [0] * _PLACES
    for one in filter(None, text.split(",")):
        place, _, count = one.partition(":")
        if 0 <= int(place) < _PLACES:  # another Luisito may have had other bounds
            counts[int(place)] += int(count)
    return counts


def _mean(total: float, count: int) -> float | None:
    return round(total / count, 3) if count else None


def _quantile(counts: list[int], q: float) -> float | None:
    found = quantile(counts, q)
    return None if found is None else round(found, 6)
