"""The pool's policy with 10,000 simulated servers, by bench/policy.py, beside the same with 10."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench import policy
from bench.report import Row, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

_FEW, _MANY = 10, 10_000
_ROUNDS = 5
# The steps are the same (a test counts them); more of what they read is outside the caches.
_LIMIT = 1.5


def rows() -> list[Row]:
    """A row for a warm request (take and release) and one for a cold start with its eviction."""
    return [
        _row("take and release", lambda size: policy.warm(size, 0.0)),
        _row("a cold start that evicts", lambda size: policy.cold(size, 0.0)),
    ]


def _row(operation: str, measure: Callable[[int], float]) -> Row:
    few, many = [], []
    for _ in range(_ROUNDS):
        few.append(measure(_FEW))
        many.append(measure(_MANY))
    base, more = statistics.median(few), statistics.median(many)
    return Row(
        f"policy, {_MANY:,} servers: {operation}",
        {"Luisito": f"{more:,.0f} ns over {base:,.0f} ns with {_FEW}"},
        [Verdict(more / base, _LIMIT, f" of that with {_FEW}")],
        {"few": few, "many": many},
    )
