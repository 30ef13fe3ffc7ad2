"""Room in the pool: who is started next, who has to go for it, and how a server leaves."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from luisito.core.lifecycle import State
from luisito.core.orders import AskToStop, EndStreams, Spawn, Terminate
from luisito.core.text import mebibytes

if TYPE_CHECKING:
    from luisito.core.asking import Asking
    from luisito.core.busy import Busy
    from luisito.core.fleet import Fleet
    from luisito.core.keeping import Keeping
    from luisito.core.lifecycle import Server
    from luisito.core.orders import Limits, Order
    from luisito.core.sites import Site, Sites
    from luisito.core.streams import Streams
    from luisito.core.turns import Turns

UNUSED: Final = 60.0
"""Seconds that nobody has used a server which goes for one more of a site that is awake."""


class Room:
    """Starts servers for those who wait, and ends others, within the bounds.

    Attributes:
        stuck: nothing but the end of a stream would make the room that is waited for.
        more: further servers of sites that have several, which are to be started when there is room
            that nobody waits for, and until when.
    """

    __slots__ = (
        "_asking", "_busy", "_fleet", "_goes_for", "_keeping", "_limits", "_parked", "_rolls",
        "_sites", "_streams", "more", "stuck",
    )  # fmt: skip

    def __init__(
        self,
        limits: Limits,
        sites: Sites,
        fleet: Fleet,
        streams: Streams,
        rolls: Turns[Site],
        keeping: Keeping,
        busy: Busy,
        asking: Asking,
    ) -> None:
        self._limits, self._sites, self._fleet, self._streams = limits, sites, fleet, streams
        self._rolls, self._keeping, self._busy = rolls, keeping, busy
        self._asking = asking
        self._parked = sites.parked
        # the sites that servers go for whose streams end
        self._goes_for: dict[Server, str] = {}
        self.stuck = False
        self.more: dict[str, float] = {}

    def fill(self, now: float, orders: list[Order]) -> list[Order]:
        """Start servers of sites that are kept up, and for those who wait, as far as there is room.

        First come first served, but those that are kept up before all others: nobody else may have
        their places. Then for the sites that roll, which have room of their own, but share the
        memory with all: where one takes what others wait for, another victim has to go for these.

        While room is about to come, no other server goes for it.
        """
        self._start_awaited(now, orders)
        while self._start_rolling(now, orders) and self._parked:
            self._start_awaited(now, orders)
        if self.more and not self._parked:
            self._start_more(now, orders)
        return orders

    def _start_awaited(self, now: float, orders: list[Order]) -> None:
        """Start what is kept up or waited for, and let go what has to go for it.

        One victim makes room for one start. Without overlap the start then waits until the victim
        is reaped, and no second one goes meanwhile, as the pool is one short. Where memory is
        short it may take several victims, which go at once; where not all can be had yet, those
        that can go first. All that are STOPPING, but for `overlap` of them, count in memory.
        """
        limits, fleet, streams = self._limits, self._fleet, self._streams
        memory = fleet.memory
        self.stuck = False
        while self._parked:
            first = self._first()
            reserved = self._keeping.reserved(first)
            full, crowded = fleet.full(reserved), fleet.crowded()
            if not fleet.fits() and (limits.overlap or not full):
                break
            if not full and not crowded and not memory.lacks(first):
                waits = len(fleet.stopping) > limits.overlap and memory.awaits(first)
                if waits or not fleet.fits(reserved):
                    break
                self._spawn(first, now, orders)
                continue
            if self._is_coming():
                break
            victim = None if crowded else fleet.victim(now)
            victim = victim or next(iter(fleet.abandoned), None) or next(iter(fleet.spares), None)
            if victim is not None:
                self._part(victim, _wanted(first), now, orders, wanted_by=first)
                continue
            if crowded:
                break
            victim = streams.victim(now)
            if victim is None:
                self.stuck = True
                break
            self._end_streams(victim, first, now, orders)

    def _start_rolling(self, now: float, orders: list[Order]) -> bool:
        """Start new servers of sites that roll, beside those that serve; tell whether any was."""
        fleet, pending = self._fleet, self._rolls.pending
        before = len(pending)
        while pending and fleet.may_roll():
            site = pending.popitem(last=False)[0]
            site.beside = server = fleet.launch(site.name, self._sites.limits_of(site.name), now)
            fleet.put_beside(server)
            orders.append(Spawn(server))
        return len(pending) < before

    def _start_more(self, now: float, orders: list[Order]) -> None:
        """Start further servers of sites that have one, as long as nobody waits for the room.

        For these goes only what nobody has used for `UNUSED`, so that sites do not take turns in
        ending each other's. One start of max_starting is left to others.
        """
        fleet, memory = self._fleet, self._fleet.memory
        for site, until in list(self.more.items()):
            record = self._sites.by_name.get(site)
            if now >= until or (record is not None and (record.server or now < record.until)):
                del self.more[site]
                continue
            if fleet.crowded(1):
                return
            reserved = self._keeping.reserved(site)
            while (full := fleet.full(reserved)) or memory.lacks(site):
                victim = None if self._is_coming() else fleet.victim(now)
                if victim is None or victim.used_at > now - UNUSED:
                    return
                if not fleet.fits() and (self._limits.overlap or not full):
                    return
                self._part(victim, _wanted(site), now, orders, wanted_by=site)
            waits = len(fleet.stopping) > self._limits.overlap and memory.awaits(site)
            if waits or not fleet.fits(reserved):
                return
            del self.more[site]
            fleet.spare(self._spawn(site, now, orders))

    def warm(self, site: str, now: float, orders: list[Order]) -> Server:
        """Start a server for nobody, which goes for others as long as it is not ready."""
        server = self._spawn(site, now, orders)
        self._fleet.spare(server)
        self._fleet.warming.add(server)
        return server

    def shrink(self, now: float, orders: list[Order]) -> None:
        """Let go what is over max_servers, the least recently used first, and of that the idle.

        What is kept, whatever comes, goes last of all.
        """
        limit, fleet = self._limits.max_servers, self._fleet
        reason = f"MAX_SERVERS is {limit} now"
        waiters = {
            server: list(self._sites.by_name[server.site].waiters)
            for server in [*fleet.starting, *fleet.ready.values()]
        }

        def in_use(server: Server) -> bool:
            return server.leases > 0 or bool(waiters[server])

        def is_kept(server: Server) -> bool:
            return server.limits.min_alive == inf

        def rank(server: Server) -> tuple[bool, bool, float, int]:
            return is_kept(server), in_use(server), server.used_at, server.id

        for server in sorted(waiters, key=rank):
            # What is in use goes later, and has been counted by then.
            later = is_kept(server) or in_use(server)
            over = len(fleet.starting) + len(fleet.ready) if later else fleet.alive
            if over - fleet.surplus <= limit:
                break
            if server.state not in (State.STARTING, State.READY):
                continue  # it has gone with the one that it was to replace
            for waiter in waiters[server]:
                self._sites.park(waiter, now)
            self.retire(server, reason, now, orders)

    def relieve(self, now: float, orders: list[Order]) -> None:
        """Let idle servers go until max_memory is kept, the least recently used first.

        One stays, however much it takes, and none goes while room is about to come.
        """
        memory, fleet = self._fleet.memory, self._fleet
        while memory.over and fleet.alive > 1 and not self._is_coming():
            victim = fleet.victim(now)
            if victim is None:
                break
            taken = mebibytes(memory.alive + memory.workers)
            reason = f"all take {taken}, and MAX_MEMORY is {memory.limit}"
            self._part(victim, reason, now, orders, wanted_by="")

    def end_unused(self, now: float, orders: list[Order]) -> None:
        """Let those go that have reached their idle_timeout."""
        for server in self._fleet.overdue(now):
            reason = f"unused for {server.limits.idle_timeout:g} s (IDLE_TIMEOUT)"
            self._part(server, reason, now, orders)

    def end_drained(self, server: Server, now: float, orders: list[Order]) -> None:
        """Let a DRAINING server go that has no lease any more."""
        reason = self._fleet.draining[server]
        if server in self._asking.later:
            self._part(server, reason, now, orders)
        else:
            self.terminate(server, reason, now, orders)

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
        why = self._fleet.wear.why(old, now)
        self._fleet.replace(old, new)
        if old.limits.pre_stop is not None:
            self._asking.later.add(old)
        reason = f"{why}, and {_REPLACED}" if why else _REPLACED
        if not old.leases and self._asking.wants(old, now):
            self._part(old, reason, now, orders)
        self.retire(old, reason, now, orders)
        self._serve(new)

    def _part(
        self,
        server: Server,
        reason: str,
        now: float,
        orders: list[Order],
        *,
        wanted_by: str | None = None,
    ) -> None:
        """Stop a server that has no lease, or ask it first; `wanted_by`: see Terminate."""
        if not self._asking.wants(server, now):
            self.terminate(server, reason, now, orders, wanted_by=wanted_by)
            return
        self._fleet.rouse(server.site, now, orders)  # or it could not answer
        self._asking.ask(server, for_room=wanted_by is not None)
        self._fleet.asked(server, now)
        orders.append(AskToStop(server, reason, wanted_by))

    def terminate(
        self,
        server: Server,
        reason: str,
        now: float,
        orders: list[Order],
        *,
        overdue: bool = False,
        wanted_by: str | None = None,
    ) -> None:
        """Stop a server, whatever it is doing, and one that was to replace it."""
        beside = self._leave(server, now)
        self._streams.forget(server)
        self._busy.forget(server)
        self._asking.excuse(server)
        self._fleet.stop(server, now)
        goes_for = self._goes_for.pop(server, wanted_by)
        orders.append(Terminate(server, reason, overdue, goes_for))
        if beside is not None:
            self.terminate(beside, reason, now, orders)

    def gone(self, server: Server, state: State, now: float) -> None:
        """Forget a server that is ABSENT or FAILED from now on.

        One that was to replace it goes on, but for nobody as yet.
        """
        beside = self._leave(server, now)
        self._streams.forget(server)
        self._busy.forget(server)
        self._asking.excuse(server)
        self._goes_for.pop(server, None)
        self._fleet.remove(server, state)
        if beside is not None:
            self._fleet.promote(beside)
            if beside.site not in self._keeping:
                self._fleet.abandon(beside, now)
            self._serve(beside)

    def _serve(self, server: Server) -> None:
        self._sites.serve(server)
        self._keeping.served(server.site)

    def _is_coming(self) -> bool:
        """Tell whether a server is asked whether it may go for room, or its streams end for it."""
        return bool(self._streams.ending or self._asking.for_room)

    def _end_streams(self, server: Server, wanted_by: str, now: float, orders: list[Order]) -> None:
        self._asking.later.discard(server)
        orders.append(EndStreams(server, self._streams.give_up(server), wanted_by))
        if server.state is State.READY:
            self._goes_for[server] = wanted_by
            self.retire(server, _wanted(wanted_by), now, orders)

    def _first(self) -> str:
        """Tell which site is to be started next."""
        return self._keeping.first() or self._sites.waiting[next(iter(self._parked))].name

    def _spawn(self, site: str, now: float, orders: list[Order]) -> Server:
        record = self._sites.of(site)
        record.server = server = self._fleet.launch(site, self._sites.limits_of(site), now)
        self._keeping.served(site)
        for waiter in record.waiters:
            self._sites.unpark(waiter)
        orders.append(Spawn(server))
        return server

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
            self._sites.served(record, server.ready_at, now)
        self._rolls.drop(record)
        self._sites.unreplaced.pop(record.name, None)
        beside, record.server, record.beside = record.beside, None, None
        self._keeping.left(record.name, now, record.until)
        self._sites.forget(record)
        return beside


_REPLACED = "its site has a newer server, which is ready"


def _wanted(site: str) -> str:
    return f"room was needed for {site}"
