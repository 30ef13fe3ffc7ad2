"""Room in the pool: who is started next, who has to go for it, and how a server leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luisito.core.lifecycle import State
from luisito.core.orders import EndStreams, Spawn, Terminate

if TYPE_CHECKING:
    from luisito.core.fleet import Fleet
    from luisito.core.lifecycle import Server
    from luisito.core.orders import Limits, Order
    from luisito.core.rolling import Rolls
    from luisito.core.sites import Site, Sites
    from luisito.core.streams import Streams


class Room:
    """Starts servers for those who wait, and ends others, within the bounds.

    Attributes:
        stuck: nothing but the end of a stream would make the room that is waited for.
    """

    __slots__ = ("_fleet", "_limits", "_parked", "_rolls", "_sites", "_streams", "stuck")

    def __init__(
        self, limits: Limits, sites: Sites, fleet: Fleet, streams: Streams, rolls: Rolls
    ) -> None:
        self._limits, self._sites, self._fleet, self._streams = limits, sites, fleet, streams
        self._rolls = rolls
        self._parked = sites.parked
        self.stuck = False

    def fill(self, now: float, orders: list[Order]) -> list[Order]:
        """Start servers for those who wait, first come first served, as far as there is room.

        Then for the sites that roll, which have room of their own.

        One victim makes room for one start. Without overlap the start then waits until the victim
        is reaped, and no second one goes meanwhile, as the pool is one short.
        """
        limits, fleet, streams = self._limits, self._fleet, self._streams
        self.stuck = False
        while self._parked:
            full, crowded = fleet.full(), fleet.crowded()
            if not fleet.fits() and (limits.overlap or not full):
                break
            first = self._sites.waiting[next(iter(self._parked))]
            if not full and not crowded:
                self._spawn(first, now, orders)
                continue
            if streams.ending:
                break
            victim = None if crowded else fleet.idle.victim(now)
            victim = victim or next(iter(fleet.abandoned), None)
            if victim is not None:
                self.terminate(victim, _wanted(first.name), now, orders)
                continue
            if crowded:
                break
            victim = streams.victim(now)
            if victim is None:
                self.stuck = True
                break
            self._end_streams(victim, first.name, now, orders)
        while self._rolls.pending and fleet.may_roll():
            site = self._rolls.pending.popitem(last=False)[0]
            site.beside = server = fleet.launch(site.name, self._sites.limits_of(site.name), now)
            fleet.put_beside(server)
            orders.append(Spawn(server))
        return orders

    def shrink(self, now: float, orders: list[Order]) -> None:
        """Let go what is over max_servers, the least recently used first, and of that the idle."""
        limit, fleet = self._limits.max_servers, self._fleet
        reason = f"MAX_SERVERS is {limit} now"
        waiters = {
            server: list(self._sites.by_name[server.site].waiters)
            for server in [*fleet.starting, *fleet.ready.values()]
        }

        def in_use(server: Server) -> bool:
            return server.leases > 0 or bool(waiters[server])

        for server in sorted(waiters, key=lambda each: (in_use(each), each.used_at, each.id)):
            over = len(fleet.starting) + len(fleet.ready) if in_use(server) else fleet.alive
            if over - fleet.surplus <= limit:
                break
            if server.state not in (State.STARTING, State.READY):
                continue  # it has gone with the one that it was to replace
            for waiter in waiters[server]:
                self._sites.park(waiter, now)
            self.retire(server, reason, now, orders)

    def retire(self, server: Server, reason: str, now: float, orders: list[Order]) -> None:
        """Let a server go: at once, or when its last lease is released.

        One that was to replace it goes at once.
        """
        if server.leases:
            beside = self._leave(server, now)
            self._fleet.drain(server, reason)
            if beside is not None:
                self.terminate(beside, reason, now, orders)
        else:
            self.terminate(server, reason, now, orders)

    def replace(self, old: Server, new: Server, now: float, orders: list[Order]) -> None:
        """Let a server go because the one beside it is ready."""
        self._sites.by_name[old.site].beside = None
        self._fleet.replace(old, new)
        self.retire(old, _REPLACED, now, orders)
        self._sites.serve(new)

    def terminate(self, server: Server, reason: str, now: float, orders: list[Order]) -> None:
        """Stop a server, whatever it is doing, and one that was to replace it."""
        beside = self._leave(server, now)
        self._streams.forget(server)
        self._fleet.stop(server, now)
        orders.append(Terminate(server, reason))
        if beside is not None:
            self.terminate(beside, reason, now, orders)

    def gone(self, server: Server, state: State, now: float) -> None:
        """Forget a server that is ABSENT or FAILED from now on.

        One that was to replace it goes on, but for nobody as yet.
        """
        beside = self._leave(server, now)
        self._streams.forget(server)
        self._fleet.remove(server, state)
        if beside is not None:
            self._fleet.promote(beside)
            self._fleet.abandon(beside, now)
            self._sites.serve(beside)

    def _end_streams(self, server: Server, wanted_by: str, now: float, orders: list[Order]) -> None:
        orders.append(EndStreams(server, self._streams.give_up(server), wanted_by))
        if server.state is State.READY:
            self.retire(server, _wanted(wanted_by), now, orders)

    def _spawn(self, record: Site, now: float, orders: list[Order]) -> None:
        limits = self._sites.limits_of(record.name)
        record.server = server = self._fleet.launch(record.name, limits, now)
        for waiter in record.waiters:
            self._sites.unpark(waiter)
        orders.append(Spawn(server))

    def _leave(self, server: Server, now: float) -> Server | None:
        """Take a server that is on its way out off its site; returns the one beside it."""
        record = self._sites.by_name.get(server.site)
        if record is None:
            return None
        if record.beside is server:
            record.beside = None
        if record.server is not server:
            return None
        if server.state is State.READY:
            self._sites.served(record, now - server.ready_at)
        self._rolls.drop(record)
        beside, record.server, record.beside = record.beside, None, None
        self._sites.forget(record)
        return beside


_REPLACED = "its site has a newer server, which is ready"


def _wanted(site: str) -> str:
    return f"room was needed for {site}"
