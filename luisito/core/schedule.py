"""What the pool does when a time has come, and when the next one comes."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from luisito.core.orders import Kill, Refusal
from luisito.core.sites import due

if TYPE_CHECKING:
    from luisito.core.fleet import Fleet
    from luisito.core.orders import Limits, Order
    from luisito.core.room import Room
    from luisito.core.sites import Sites
    from luisito.core.streams import Streams


class Schedule:
    """The timeouts of servers and of those who wait."""

    __slots__ = ("_fleet", "_limits", "_parked", "_room", "_sites", "_streams", "_ticked")

    def __init__(
        self, limits: Limits, sites: Sites, fleet: Fleet, streams: Streams, room: Room
    ) -> None:
        self._limits, self._sites, self._fleet = limits, sites, fleet
        self._streams, self._room = streams, room
        self._parked = sites.parked
        self._ticked = 0.0

    def tick(self, now: float, orders: list[Order]) -> None:
        """Do whatever is due, but for filling the room that this makes."""
        limits, fleet, sites, room = self._limits, self._fleet, self._sites, self._room
        self._ticked = now
        for server in due(fleet.stopping, now):
            fleet.kill_later(server, now)
            orders.append(Kill(server))
        for server in due(fleet.abandoned, now):
            room.terminate(server, "nobody waits for it any more", now, orders)
        for server in due(fleet.starting, now):
            detail = f"not ready after {limits.start_timeout:g} s"
            sites.fail(sites.by_name[server.site], Refusal.START_TIMEOUT, detail, now, orders)
            room.terminate(server, detail, now, orders)
        while (unused := fleet.unused_at()) is not None and unused[0] <= now:
            reason = f"unused for {limits.idle_timeout:g} s (IDLE_TIMEOUT)"
            room.terminate(unused[1], reason, now, orders)
        sites.tick(now, orders)
        fleet.idle.grow(now)

    def deadline(self) -> float | None:
        """See Policy."""
        fleet = self._fleet
        clocks = (
            self._parked, fleet.starting, fleet.abandoned, fleet.stopping, self._sites.failed,
        )  # fmt: skip
        first = min(next(iter(clock.values()), inf) for clock in clocks)
        if self._limits.idle_timeout is not None and fleet.ready:
            # A busy server cannot have been released before the last tick.
            unused = fleet.unused_at()
            first = min(first, unused[0] if unused else self._ticked + self._limits.idle_timeout)
        if self._parked and self._room.stuck:
            first = min(first, self._streams.due)
        if self._parked and (maturity := fleet.idle.maturity()) is not None:
            first = min(first, maturity)
        return None if first == inf else first
