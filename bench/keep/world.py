"""Sites, their servers and a clock: carries out what the policy orders, in simulated time."""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from luisito.core.orders import NOTHING, Grant, Limits, Refuse, Spawn, Terminate
from luisito.core.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bench.keep.traces import Request, Site
    from luisito.core.lifecycle import Server
    from luisito.core.orders import Order

_TO_EXIT = 0.2  # seconds from SIGTERM to the end
_JITTER = 0.15  # of the logarithm of a start's time


@dataclass
class Result:
    """What came of a trace.

    Attributes:
        requests: in all.
        cold: starts of servers.
        waits: for each request that waited for a start, or for room for one, how many seconds.
        refused: requests that got no server.
        evicted: servers that went for room.
        most_memory: bytes that all servers took at most, but for those on their way out.
        most_servers: as many there were of these at most.
        mean_memory: bytes that they took on average.
    """

    requests: int = 0
    cold: int = 0
    waits: list[float] = field(default_factory=list)
    refused: int = 0
    evicted: int = 0
    most_memory: int = 0
    most_servers: int = 0
    mean_memory: float = 0.0

    @property
    def waited(self) -> float:
        """Seconds that requests waited, in all."""
        return math.fsum(self.waits)

    @property
    def p95(self) -> float:
        """Seconds within which 95 of 100 requests that waited had a server."""
        return sorted(self.waits)[math.ceil(0.95 * len(self.waits)) - 1] if self.waits else 0.0


class World:
    """What a policy is told, and what it has done.

    It knows at the start what each site's server takes, as one does that has run for a day.

    Args:
        kinds: the sites.
        limits: of the pool.
        seed: for how much the starts of one site differ.
        jitter: whether they do.
    """

    def __init__(
        self, kinds: Sequence[Site], limits: Limits, seed: int = 1, *, jitter: bool = True
    ) -> None:
        self._draw = random.Random(f"world {seed}")
        self._jitter = _JITTER if jitter else 0.0
        self.policy = Policy(limits, self._draw.random)
        self.policy.adopt([], 0.0, took=[(kind.name, kind.memory) for kind in kinds])
        self._kinds = kinds
        self._of = {kind.name: kind for kind in kinds}
        self._events: list[tuple[float, int, Callable[[Any, float], None], Any]] = []
        self._number = 0
        self._asked: dict[int, tuple[float, float]] = {}
        self._memory = 0
        self._alive: set[Server] = set()
        self._memory_seconds = self._since = 0.0
        self._due: float | None = None
        self._result = Result()

    def run(self, trace: Iterable[Request]) -> Result:
        """Have all requests of a trace come, each at its time, until none waits any more."""
        take, events, result, now = self.policy.take, self._events, self._result, 0.0
        names = [kind.name for kind in self._kinds]
        for now, which, answer in trace:
            while events and events[0][0] <= now:
                self._happen()
            result.requests += 1
            self._asked_for(names[which], now)
            server = take(names[which])
            if server is not None:
                self._later(now + answer, self._released, server)
                continue
            number = result.requests
            self._asked[number] = (now, answer)
            self._obey(self.policy.requested(names[which], number, now), now)
        while self._asked:
            now = max(now, self._happen())
        self._count(now, 0)
        result.mean_memory = self._memory_seconds / now if now else 0.0
        return result

    def _happen(self) -> float:
        at, _, what, whom = heapq.heappop(self._events)
        what(whom, at)
        return at

    def _later(self, at: float, what: Callable[[Any, float], None], whom: object) -> None:
        self._number += 1
        heapq.heappush(self._events, (at, self._number, what, whom))

    # What happens

    def _asked_for(self, site: str, now: float) -> None:
        """Somebody asks for a site; for those who look at that."""

    def _released(self, server: Server, now: float) -> None:
        orders = self.policy.release(server, now)
        if orders is not NOTHING:
            self._obey(orders, now)

    def _ready(self, server: Server, now: float) -> None:
        orders = list(self.policy.ready(server, now))
        self._obey(orders, now)
        self._obey(self.policy.weighed({server: self._of[server.site].memory}, now), now)

    def _exited(self, server: Server, now: float) -> None:
        self._obey(self.policy.exited(server, now, ""), now)

    def _tick(self, due: float, now: float) -> None:
        if due == self._due:
            self._due = None
        self._obey(self.policy.tick(now), now)

    # What is ordered

    def _obey(self, orders: Sequence[Order], now: float) -> None:
        for order in orders:
            if isinstance(order, Grant):
                self._grant(order, now)
            elif isinstance(order, Spawn):
                self._spawn(order.server, now)
            elif isinstance(order, Terminate):
                self._end(order.server, now)
            elif isinstance(order, Refuse):
                self._refuse(order)
        due = self.policy.deadline()
        if due is not None and (self._due is None or due < self._due):
            self._due = due
            self._later(due, self._tick, due)

    def _grant(self, order: Grant, now: float) -> None:
        since, answer = self._asked.pop(order.waiter)  # type: ignore[call-overload]
        self._result.waits.append(now - since)
        self._later(now + answer, self._released, order.server)

    def _refuse(self, order: Refuse) -> None:
        self._result.refused += 1
        del self._asked[order.waiter]  # type: ignore[arg-type]

    def _spawn(self, server: Server, now: float) -> None:
        kind = self._of[server.site]
        self._result.cold += 1
        self._alive.add(server)
        self._count(now, kind.memory)
        self._later(
            now + kind.start * math.exp(self._jitter * self._draw.gauss(0, 1)), self._ready, server
        )

    def _end(self, server: Server, now: float) -> None:
        self._result.evicted += 1
        self._alive.remove(server)
        self._count(now, -self._of[server.site].memory)
        self._later(now + _TO_EXIT, self._exited, server)

    def _count(self, now: float, memory: int) -> None:
        result = self._result
        self._memory_seconds += self._memory * (now - self._since)
        self._since = now
        self._memory += memory
        result.most_memory = max(result.most_memory, self._memory)
        result.most_servers = max(result.most_servers, len(self._alive))
