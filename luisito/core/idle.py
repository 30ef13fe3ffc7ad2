"""The idle servers in the order of their last use, and which of them may be evicted."""

from __future__ import annotations

import heapq
from collections import deque

from luisito.core.lifecycle import Server, State


class Idle:
    """Servers that are READY without a lease, the least recently used first.

    A server that was ready for less than `min_alive` is young: idle, but no victim. Since a
    dict appends only, a server that comes of age while idle cannot take its place among the
    mature ones; it waits in a heap, which its first lease takes it out of for good. So all is O(1),
    or O(log n) where `min_alive` is set.

    The pool's warm path does not call this class: while a server is READY, `server.order[server] =
    None` makes it idle and `server.order.pop(server, None)` busy. A server whose state is no longer
    READY counts as gone.

    Args:
        min_alive: seconds.
    """

    __slots__ = ("_growing", "_late", "_late_room", "_mature", "_min_alive", "_young")

    def __init__(self, min_alive: float) -> None:
        self._min_alive = min_alive
        self._mature: dict[Server, None] = {}
        self._young: dict[Server, None] = {}
        self._growing: deque[Server] = deque()  # young ones, busy or idle, by ready_at
        self._late: list[tuple[float, int, Server]] = []  # came of age while idle, by used_at
        self._late_room = 64

    def admit(self, server: Server) -> None:
        """Give a server that has just become ready its order."""
        if self._min_alive > 0:
            server.order = self._young
            self._growing.append(server)
        else:
            server.order = self._mature

    def grow(self, now: float) -> None:
        """Let the servers that are old enough become possible victims."""
        while self._growing and self._growing[0].ready_at + self._min_alive <= now:
            server = self._growing.popleft()
            server.order = self._mature
            if server in self._young:
                del self._young[server]
                self._push_late(server)

    def victim(self, now: float) -> Server | None:
        """Tell the least recently used server that may be evicted now, in seconds as ready_at."""
        self.grow(now)
        return self._older(next(iter(self._mature), None), self._first_late())

    def oldest(self) -> Server | None:
        """Tell the least recently used server, young or not."""
        mature = self._older(next(iter(self._mature), None), self._first_late())
        return self._older(mature, next(iter(self._young), None))

    def maturity(self) -> float | None:
        """Tell when the next server comes of age: the earliest time when `victim` may change."""
        while self._growing and self._growing[0].state is not State.READY:
            self._growing.popleft()
        return self._growing[0].ready_at + self._min_alive if self._growing else None

    @staticmethod
    def _older(one: Server | None, other: Server | None) -> Server | None:
        if one is None or other is None:
            return one or other
        return one if (one.used_at, one.id) <= (other.used_at, other.id) else other

    def _waits_late(self, server: Server) -> bool:
        idle = server.state is State.READY and not server.leases
        return idle and server not in self._mature

    def _first_late(self) -> Server | None:
        while self._late:
            server = self._late[0][2]
            if self._waits_late(server):
                return server
            heapq.heappop(self._late)
        return None

    def _push_late(self, server: Server) -> None:
        if len(self._late) >= self._late_room:  # else those that have gone could pile up
            self._late = [entry for entry in self._late if self._waits_late(entry[2])]
            heapq.heapify(self._late)
            self._late_room = 2 * len(self._late) + 64
        heapq.heappush(self._late, (server.used_at, server.id, server))
