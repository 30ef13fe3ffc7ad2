"""Who may start, who must go, who waits: the decisions of the pool, without a clock or I/O."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from luisito.core.adoption import take_in
from luisito.core.backoff import BackOff
from luisito.core.fleet import READY, Fleet
from luisito.core.lifecycle import Server, State
from luisito.core.orders import (
    NOTHING,
    Grant,
    Limits,
    Order,
    Refusal,
    Refuse,
)
from luisito.core.room import Room
from luisito.core.schedule import Schedule
from luisito.core.sites import RETRY_AFTER, Failure, Site, Sites, Waiting
from luisito.core.streams import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from luisito.core.adoption import Known
    from luisito.core.streams import Streaming


class Policy:
    """The pool: facts come in as method calls, orders go out as their results.

    Always true, but for what is adopted: STARTING + READY + DRAINING <= max_servers, and with
    STOPPING <= max_servers + overlap. Facts about a server that has gone meanwhile are harmless.
    `now` is in seconds of a monotonic clock and never goes back. No operation grows with the number
    of servers, but for `adopt` and `resign`, and for the search for silent streams, which somebody
    who waits causes once a second at most.

    Args:
        limits: the bounds.
        random: gives a number from 0 to 1, for the jitter of back-off.
        back_off: how long a site that failed is left alone.
    """

    def __init__(
        self, limits: Limits, random: Callable[[], float], back_off: BackOff | None = None
    ) -> None:
        self.limits = limits
        self._sites = Sites(limits, random, back_off or BackOff())
        self._fleet = fleet = Fleet(limits)
        self._streams = Streams(limits.stream_idle, limits.min_alive)
        self._room = room = Room(limits, self._sites, fleet, self._streams)
        self._fill = room.fill
        self._schedule = Schedule(limits, self._sites, fleet, self._streams, room)
        self._closing = False
        self._parked = self._sites.parked
        self._ready = fleet.ready

    # The warm path: no call into Python code, no allocation.

    def take(self, site: str) -> Server | None:
        """Lease the READY server of a site at once; None means: ask `requested`."""
        server = self._ready.get(site)
        if server is None:
            return None
        if not server.leases:
            server.order.pop(server, None)
        server.leases += 1
        return server

    def release(self, server: Server, now: float) -> Sequence[Order]:
        """Give a lease back; NOTHING where that changes nothing for anybody else."""
        leases = server.leases
        server.released += 1
        if leases > 1:
            server.leases = leases - 1
            server.used_at = now
            return NOTHING
        if leases and server.state is READY:
            server.leases = 0
            server.used_at = now
            server.order[server] = None
            return self._fill(now, []) if self._parked else NOTHING
        return self._released_last(server, now) if leases else NOTHING

    # Facts about requests

    def requested(self, site: str, waiter: Hashable, now: float) -> Sequence[Order]:
        """Queue a request that `take` had no server for; it gets one Grant or one Refuse.

        Args:
            site: the site asked for.
            waiter: names the request in the orders; unique among those that wait.
            now: seconds.

        Raises:
            ValueError: the waiter waits already.
        """
        if waiter in self._sites.waiting:
            raise ValueError(f"waiter {waiter!r} waits already; each request needs its own")
        if self._closing:
            return [Refuse(waiter, Refusal.SHUTTING_DOWN, RETRY_AFTER, "")]
        if (ready := self.take(site)) is not None:
            ready.used_at = now
            return [Grant(waiter, ready)]
        record = self._sites.enqueue(site, waiter, now)
        if isinstance(record, Refuse):
            return [record]
        if record.server is None:
            self._sites.park(waiter, now)
            return self._fill(now, [])
        self._fleet.abandoned.pop(record.server, None)
        return self._grant_early(record, record.server, now, [])

    def cancelled(self, waiter: Hashable, now: float) -> Sequence[Order]:
        """Forget a request whose client left while it waited; an unknown one is harmless."""
        if waiter not in self._sites.waiting:
            return NOTHING
        self._look_after(self._sites.dequeue(waiter), now)
        return self._fill(now, [])

    # Facts about servers

    def started(self, server: Server, now: float, *, early: bool) -> Sequence[Order]:
        """Hear that the process exists; `early`: one request may be connected before it is ready.

        That lease returned without `ready` goes to the next waiter.
        """
        if server.state is not State.STARTING:
            return NOTHING
        server.early = early
        return self._grant_early(self._sites.by_name[server.site], server, now, [])

    def ready(self, server: Server, now: float) -> Sequence[Order]:
        """Hear that the server is ready: all its waiters get their lease."""
        if server.state is not State.STARTING:
            return NOTHING
        record = self._sites.by_name[server.site]
        self._fleet.admit(server, now)
        orders: list[Order] = []
        for waiter in list(record.waiters):
            self._grant(waiter, server, now, orders)
        if not server.leases:
            server.order[server] = None
        if self._closing:
            self._room.retire(server, "shutting down", now, orders)
        return self._fill(now, orders)

    def failed(
        self, server: Server, now: float, detail: str, *, overloaded: bool = False
    ) -> Sequence[Order]:
        """Hear that no process came to be.

        Args:
            server: as in its Spawn.
            now: seconds.
            detail: the cause, for the operator.
            overloaded: the system's fault (fork gave EAGAIN), not the site's: no back-off.
        """
        orders: list[Order] = []
        if server.state is State.STARTING and overloaded:
            record = self._sites.by_name[server.site]
            self._sites.refuse_all(record, Refusal.OVERLOADED, RETRY_AFTER, detail, orders)
            self._room.gone(server, State.FAILED, now)
            return self._fill(now, orders)
        return self.exited(server, now, detail)

    def exited(
        self, server: Server, now: float, detail: str, *, broke: bool = False
    ) -> Sequence[Order]:
        """Hear that the process is reaped; before it was ready that is a failure of its site.

        Args:
            server: that has gone.
            now: seconds.
            detail: the cause, for the operator.
            broke: it counts as a failed start although it was ready (core.ending.broke).
        """
        if server.id not in self._fleet.by_id:
            return NOTHING
        orders: list[Order] = []
        if server.state is State.STARTING or (broke and server.state is READY):
            self._sites.fail(
                self._sites.by_name[server.site], Refusal.START_FAILED, detail, now, orders
            )
            self._room.gone(server, State.FAILED, now)
        else:
            self._room.gone(server, State.ABSENT, now)
        return self._fill(now, orders)

    # Facts about streams

    def streamed(self, server: Server, stream: Streaming, now: float) -> None:
        """Hear that a lease is of an event stream or a tunnel; ask `deadline` again."""
        if server.state is READY or server.state is State.DRAINING:
            self._streams.begin(server, stream, now)

    def stream_over(self, server: Server, stream: Streaming, now: float) -> None:
        """Hear that it is over, before its lease is released; ask `deadline` again."""
        self._streams.end(server, stream, now)

    # Facts about time and the operator

    def stop(self, site: str, now: float, reason: str) -> Sequence[Order]:
        """Let the server of a site go: at once, or when its last lease is released.

        Requests that waited for it wait for a new one, and their queue_timeout begins anew.
        """
        record = self._sites.by_name.get(site)
        if record is None or record.server is None:
            return NOTHING
        orders: list[Order] = []
        for waiter in record.waiters:
            self._sites.park(waiter, now)
        self._room.retire(record.server, reason, now, orders)
        return self._fill(now, orders)

    def tick(self, now: float) -> Sequence[Order]:
        """Do whatever is due."""
        orders: list[Order] = []
        self._schedule.tick(now, orders)
        return self._fill(now, orders)

    def deadline(self) -> float | None:
        """Tell when `tick` is next worth a call, in seconds as `now`; may be early, never late.

        Ask again after each call but `take` and a `release` that returned NOTHING.
        """
        return self._schedule.deadline()

    def shutdown(self, now: float) -> Sequence[Order]:
        """Refuse new requests from now on, and let each server go once it is idle.

        Those that wait already are still served.
        """
        self._closing = True
        orders: list[Order] = []
        for server in [*self._fleet.starting, *self._ready.values()]:
            if not self._sites.by_name[server.site].waiters:
                self._room.retire(server, "shutting down", now, orders)
        return self._fill(now, orders)

    def terminate_all(self, now: float) -> Sequence[Order]:
        """End the drain: refuse who still waits, and stop every server, busy or not."""
        self._closing = True
        orders: list[Order] = []
        for record in list(self._sites.by_name.values()):
            self._sites.refuse_all(record, Refusal.SHUTTING_DOWN, RETRY_AFTER, "", orders)
        for server in [*self._fleet.starting, *self._ready.values(), *self._fleet.draining]:
            self._room.terminate(server, "shutting down", now, orders)
        return orders

    # Facts about other pools

    def adopt(
        self,
        known: Sequence[Known],
        now: float,
        waiting: Sequence[Waiting] = (),
        failures: Sequence[Failure] = (),
    ) -> tuple[Sequence[Server], Sequence[Order]]:
        """Take over what another pool had, before anybody asks for a server.

        Where there are more than max_servers, those in use stay until they are so no more; a start
        that is one too many begins anew for those who wait for it.

        Args:
            known: the servers.
            now: seconds.
            waiting: who waits, as `resign` told. All of them count before it is decided who goes.
            failures: what failed there (`failures`).

        Returns:
            The servers in the same order; and what is to be done.
        """
        fleet, orders = self._fleet, list[Order]()
        servers = take_in(known, fleet, self._sites, now)
        self._sites.remember(failures, now)
        for one in waiting:
            self._wait(one, now, orders)
        for server, reason in list(fleet.draining.items()):
            if not server.leases:
                self._room.terminate(server, reason, now, orders)
        for server in fleet.starting:
            self._look_after(self._sites.by_name[server.site], now)
        self._room.shrink(now, orders)
        return servers, self._fill(now, orders)

    def _wait(self, one: Waiting, now: float, orders: list[Order]) -> None:
        """Queue who has waited in another pool; those for whom a server starts get it later."""
        record = self._sites.enqueue(one.site, one.waiter, now)
        if isinstance(record, Refuse):
            orders.append(record)
        elif record.server is None:
            self._sites.park(one.waiter, now if one.since is None else min(one.since, now))
        elif record.server.state is READY:
            self._grant(one.waiter, record.server, now, orders)
            record.server.order.pop(record.server, None)

    def resign(self) -> list[Waiting]:
        """Forget all servers and all who wait, whom another pool takes over.

        No lease is given any more, and none is to be released here.

        Returns:
            Who waits: those for room first, then first come first.
        """
        self._closing = True
        for server in self._fleet.by_id.values():
            self._streams.forget(server)
        self._fleet.clear()
        return self._sites.clear()

    # What operators, metrics and tests may see

    @property
    def servers(self) -> Mapping[int, Server]:
        """All servers that hold a slot, STOPPING ones too, by id."""
        return MappingProxyType(self._fleet.by_id)

    @property
    def waiting(self) -> int:
        """Requests that have neither a lease nor a refusal."""
        return len(self._sites.waiting)

    def counts(self) -> dict[State, int]:
        """Tell how many servers are in each state that holds a slot."""
        return self._fleet.counts()

    def server(self, site: str) -> Server | None:
        """Tell which server of a site is STARTING or READY."""
        record = self._sites.by_name.get(site)
        return None if record is None else record.server

    def failures(self) -> list[Failure]:
        """Tell which sites have a failed start that is not forgiven yet, the oldest in front."""
        return self._sites.failures()

    # Waiters

    def _grant(self, waiter: Hashable, server: Server, now: float, orders: list[Order]) -> None:
        self._sites.dequeue(waiter)
        server.leases += 1
        server.used_at = now
        orders.append(Grant(waiter, server))

    def _grant_early(
        self, record: Site, server: Server, now: float, orders: list[Order]
    ) -> list[Order]:
        if server.early and not server.leases and record.waiters:
            self._grant(next(iter(record.waiters)), server, now, orders)
        return orders

    def _released_last(self, server: Server, now: float) -> list[Order]:
        orders: list[Order] = []
        server.leases = 0
        server.used_at = now
        if server.state is State.STARTING:
            record = self._sites.by_name[server.site]
            self._grant_early(record, server, now, orders)
            self._look_after(record, now)
        elif server.state is State.DRAINING:
            self._room.terminate(server, self._fleet.draining[server], now, orders)
        return self._fill(now, orders)

    def _look_after(self, record: Site, now: float) -> None:
        """Note that a site may have lost its last waiter."""
        server = record.server
        if server is None:
            self._sites.forget(record)
        elif server.state is State.STARTING and not server.leases and not record.waiters:
            self._fleet.abandon(server, now)
