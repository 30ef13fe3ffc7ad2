"""Plays requests to the pool's own policy, with servers that start, answer and end at once."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from luisito.core.orders import NOTHING, Grant, Limits, Spawn, Terminate
from luisito.core.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from luisito.core.orders import Order


def play(trace: Iterable[tuple[float, str]], limits: Limits) -> int:
    """Tell how many servers were started.

    Args:
        trace: when which site was asked for, in seconds that never go back.
        limits: of the pool.
    """
    return _Played(limits).run(trace)


class _Played:
    def __init__(self, limits: Limits) -> None:
        self._policy = Policy(limits, lambda: 0.5)
        self._started = 0

    def run(self, trace: Iterable[tuple[float, str]]) -> int:
        policy, due = self._policy, None
        take, release = policy.take, policy.release
        for now, site in trace:
            while due is not None and due <= now:
                self._obey(policy.tick(due), due)
                later = policy.deadline()
                due = later if later is None or later > due else None
            server = take(site)
            if server is None:
                self._obey(policy.requested(site, site, now), now)
            elif (orders := release(server, now)) is NOTHING:
                continue
            else:
                self._obey(orders, now)
            due = policy.deadline()
        return self._started

    def _obey(self, orders: Sequence[Order], now: float) -> None:
        policy, left = self._policy, deque(orders)
        while left:
            order = left.popleft()
            if isinstance(order, Spawn):
                self._started += 1
                left += policy.ready(order.server, now)
            elif isinstance(order, Grant):
                left += policy.release(order.server, now)
            elif isinstance(order, Terminate):
                left += policy.exited(order.server, now, "")
