"""What the pool does when a time has come, and when the next one comes."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from luisito.core.orders import Kill, Refusal

if TYPE_CHECKING:
    from luisito.core.asking import Asking
    from luisito.core.busy import Busy
    from luisito.core.fleet import Fleet
    from luisito.core.keeping import Keeping
    from luisito.core.orders import Order
    from luisito.core.room import Room
    from luisito.core.sites import Site, Sites
    from luisito.core.streams import Streams
    from luisito.core.turns import Turns


class Schedule:
    """The timeouts of servers and of those who wait."""

    __slots__ = (
        "_asking", "_busy", "_fleet", "_keeping", "_parked", "_rolls", "_room", "_sites",
        "_streams",
    )  # fmt: skip

    def __init__(
        self,
        sites: Sites,
        fleet: Fleet,
        streams: Streams,
        room: Room,
        rolls: Turns[Site],
        keeping: Keeping,
        busy: Busy,
        asking: Asking,
    ) -> None:
        self._sites, self._fleet = sites, fleet
        self._streams, self._room, self._rolls = streams, room, rolls
        self._keeping, self._busy, self._asking = keeping, busy, asking
        self._parked = sites.parked

    def tick(self, now: float, orders: list[Order]) -> None:
        """Do whatever is due, but for filling the room that this makes."""
        fleet, sites, room = self._fleet, self._sites, self._room
        for server in fleet.stopping.due(now):
            fleet.kill_later(server, now)
            orders.append(Kill(server))
        for server in fleet.abandoned.due(now):
            room.terminate(server, "nobody waits for it any more", now, orders)
        for server in fleet.starting.due(now):
            detail = f"not ready after {server.limits.start_timeout:g} s"
            if server in fleet.extended:
                more = fleet.extended[server] - server.started_at - server.limits.start_timeout
                detail += f" and {more:.3g} s more (EXTEND_TIMEOUT_USEC)"
            if server not in fleet.warming:
                record = sites.by_name[server.site]
                sites.fail(record, Refusal.START_TIMEOUT, detail, now, orders, server)
            room.terminate(server, detail, now, orders, overdue=True)
        room.end_unused(now, orders)
        for server in fleet.wear.due(now):
            record = sites.by_name[server.site]
            if record.beside is None:
                self._rolls.ask(record, now, record.until)
        fleet.hibernate(now, orders)
        sites.tick(now, orders)
        fleet.idle.grow(now)
        self._rolls.tick(now)
        self._keeping.tick(now)

    def deadline(self) -> float | None:
        """See Policy."""
        fleet, sites = self._fleet, self._sites
        clocks = (
            sites.patience, fleet.starting, fleet.abandoned, fleet.stopping, fleet.unused,
            self._rolls.delayed, self._keeping.turns.delayed, fleet.wear.looks, self._busy.until,
            self._asking.until, fleet.hibernation.looks,
        )  # fmt: skip
        first = min(clock.first() for clock in clocks)
        first = min(first, next(iter(sites.failed.values()), inf))
        if self._parked and self._room.stuck:
            first = min(first, self._streams.due)
        if self._parked:
            first = min(first, fleet.idle.maturity())
        return None if first == inf else first
