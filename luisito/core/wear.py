"""Which servers have done enough: answered so many requests, or been ready for so long."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from luisito.core.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from luisito.core.lifecycle import Server

JITTER: Final = 0.1  # of a limit: servers that became ready together are not replaced together
LOOK: Final = 1.0  # seconds between two looks at how many requests a server has answered
AGAIN: Final = 60.0  # seconds after which one that is still there is told of again


class Wear:
    """READY servers whose site has max_requests or max_age.

    A request costs nothing here: the count that all servers have is looked at once a second.

    Args:
        random: gives a number from 0 to 1.

    Attributes:
        looks: when each is looked at next.
    """

    __slots__ = ("_random", "_shares", "looks")

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._shares: dict[Server, float] = {}
        self.looks: Clock[Server] = Clock()

    def watch(self, server: Server) -> None:
        """Note that a server is READY, since its `ready_at`, or has other limits from now on."""
        if server.limits.max_requests is None and server.limits.max_age is None:
            self.forget(server)
            return
        if server not in self._shares:
            self._shares[server] = 1.0 - JITTER * self._random()
        self._look_later(server, server.ready_at)

    def forget(self, server: Server) -> None:
        """Note that a server is READY no more; an unknown one is harmless."""
        self.looks.discard(server)
        self._shares.pop(server, None)

    def due(self, now: float) -> list[Server]:
        """Tell which servers are to be replaced; each again after a while."""
        found = []
        for server in self.looks.due(now):
            if self.why(server, now):
                found.append(server)
                self.looks.set(server, now + AGAIN)
            else:
                self._look_later(server, now)
        return found

    def why(self, server: Server, now: float) -> str:
        """Tell why a server is to be replaced; "" where it is not."""
        limits, share = server.limits, self._shares.get(server)
        if share is None:
            return ""
        if limits.max_requests is not None and server.released >= limits.max_requests * share:
            return f"it has answered {server.released} requests (max_requests)"
        if now >= self._old_at(server, share):
            return f"it was ready for {now - server.ready_at:.0f} s (max_age)"
        return ""

    def _look_later(self, server: Server, now: float) -> None:
        at = self._old_at(server, self._shares[server])
        self.looks.set(server, at if server.limits.max_requests is None else min(at, now + LOOK))

    @staticmethod
    def _old_at(server: Server, share: float) -> float:
        age = server.limits.max_age
        return inf if age is None else server.ready_at + age * share
