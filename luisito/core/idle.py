"""The idle servers in the order of their last use, and which of them may be evicted."""

from __future__ import annotations

import heapq

from luisito.core.clock import Clock
from luisito.core.lifecycle import Server, State


class Idle:
    """Servers that are READY without a lease, the least recently used first.

    A server that was ready for less than its site's `min_alive` is young: idle, but no victim.
    Since a dict appends only, a server that comes of age while idle cannot take its place among the
    mature ones, nor one that is idle again without having been used; it waits in a heap, which its
    next use takes it out of for good. So all is O(1), or O(log n) for these.

    The pool's warm path does not call this class: while a server is READY, `server.order[server] =
    None` makes it idle and `server.order.pop(server, None)` busy. A server whose state is no longer
    READY counts as gone.
    """

    __slots__ = ("_growing", "_late", "_late_room", "_mature", "_young")

    def __init__(self) -> None:
        self._mature: dict[Server, None] = {}
        self._young: dict[Server, None] = {}
        self._growing: Clock[Server] = Clock()  # young ones, busy or idle
        # came of age while idle, or back without use, by their rank
        self._late: list[tuple[float, int, Server]] = []
        self._late_room = 64

    def admit(self, server: Server) -> None:
        """Give a server that has just become ready its order."""
        if server.limits.min_alive > 0:
            server.order = self._young
            self._growing.set(server, server.ready_at + server.limits.min_alive)
        else:
            server.order = self._mature

    def limit(self, server: Server) -> None:
        """Note that a READY server's limits are others now: it may be young again, or no more."""
        server.order.pop(server, None)
        if not server.leases:
            self._young[server] = None
        server.order = self._young
        self._growing.set(server, server.ready_at + server.limits.min_alive)

    def back(self, server: Server) -> None:
        """Note that a READY server is idle again, and was last used when it was so before."""
        if server.order is self._mature:
            self._push_late(server)
        else:
            self._young[server] = None

    def leave(self, server: Server) -> None:
        """Forget a server that is no longer READY."""
        server.order.pop(server, None)
        self._growing.discard(server)

    def grow(self, now: float) -> None:
        """Let the servers that are old enough become possible victims."""
        for server in self._growing.due(now):
            server.order = self._mature
            if server in self._young:
                del self._young[server]
                self._push_late(server)

    def victim(self, now: float) -> Server | None:
        """Tell the least recently used server that may be evicted now, in seconds as ready_at."""
        self.grow(now)
        first, late = next(iter(self._mature), None), self._first_late()
        if first is None or late is None:
            return first or late
        return first if (first.used_at, first.id) <= (late.used_at, late.id) else late

    def maturity(self) -> float:
        """Tell when the next server comes of age: the earliest time when `victim` may change.

        It is inf where all are of age.
        """
        return self._growing.first()

    def _waits_late(self, entry: tuple[float, int, Server]) -> bool:
        rank, _, server = entry
        idle = server.state is State.READY and not server.leases
        ranks = server.order is self._mature and server not in self._mature
        return idle and ranks and self._rank(server) == rank

    def _first_late(self) -> Server | None:
        while self._late:
            if self._waits_late(self._late[0]):
                return self._late[0][2]
            heapq.heappop(self._late)
        return None

    def _push_late(self, server: Server) -> None:
        if len(self._late) >= self._late_room:  # else those that have gone could pile up
            # and those that come back again and again
            self._late = [entry for entry in set(self._late) if self._waits_late(entry)]
            heapq.heapify(self._late)
            self._late_room = 2 * len(self._late) + 64
        heapq.heappush(self._late, (self._rank(server), server.id, server))

    def _rank(self, server: Server) -> float:
        return server.used_at
