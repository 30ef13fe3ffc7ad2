"""Who gets a lease and who waits for one: the half of the policy that hears of requests."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from luisito.core.asking import Asking
from luisito.core.backoff import BackOff
from luisito.core.busy import Busy
from luisito.core.fleet import READY, Fleet
from luisito.core.keeping import Keeping
from luisito.core.lifecycle import Server, State
from luisito.core.orders import NOTHING, Grant, Limits, Order, Refusal, Refuse
from luisito.core.room import Room
from luisito.core.sites import RETRY_AFTER, Failure, Site, Sites
from luisito.core.streams import Streams
from luisito.core.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from luisito.core.members import Members
    from luisito.core.streams import Streaming


class Leasing:
    """See Policy, of which this is a part."""

    def __init__(
        self, limits: Limits, random: Callable[[], float], back_off: BackOff | None = None
    ) -> None:
        self.limits = limits
        self._sites = Sites(limits, random, back_off or BackOff())
        self._fleet = fleet = Fleet(limits, random)
        self._streams = Streams()
        self._rolls: Turns[Site] = Turns()
        self._keeping = Keeping(self._sites.parked)
        self._busy = Busy()
        self._asking = Asking()
        self._room = room = Room(
            limits,
            self._sites,
            fleet,
            self._streams,
            self._rolls,
            self._keeping,
            self._busy,
            self._asking,
        )
        self._fill = room.fill
        self._closing = False
        self._parked = self._sites.parked
        self._ready = fleet.awake
        self._shared: dict[str, Members] = {}  # see Sharing

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

    def release_unnoticed(self, server: Server, now: float) -> Sequence[Order]:
        """Give back a lease that does not count as use of the server.

        It is evicted, and reaches its idle_timeout, as if the lease had never been.
        """
        server.unnoticed += 1
        if server.leases != 1 or server.state is not READY:
            used_at = server.used_at
            orders = self.release(server, now)
            if server.state is READY:
                server.used_at = used_at
            return orders
        server.released += 1
        server.leases = 0
        self._fleet.unnoticed(server)
        return self._fill(now, [])

    def asleep(self, site: str, now: float) -> bool:
        """Tell whether a request would have a site's server started that nobody else has asked for.

        It would not where the site is left alone for its failures.
        """
        record = self._sites.by_name.get(site)
        return record is None or (
            record.server is None and not record.waiters and now >= record.until
        )

    def has_failed(self, site: str) -> bool:
        """Tell whether a site's last start has failed, as far as that is remembered."""
        record = self._sites.by_name.get(site)
        return record is not None and record.failures > 0

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
            return [Refuse(waiter, Refusal.SHUTTING_DOWN, RETRY_AFTER, "", site=site)]
        orders: list[Order] = []
        self._fleet.rouse(site, now, orders)
        if (ready := self.take(site)) is not None:
            ready.used_at = now
            return [*orders, Grant(waiter, ready)]
        record = self._sites.enqueue(site, waiter, now)
        if isinstance(record, Refuse):
            return [record]
        if record.server is None:
            self._sites.park(waiter, now)
            self._keeping.ask(site, now, now)
            return self._fill(now, [])
        self._fleet.needed(record.server)
        return self._grant_early(record, record.server, now, [])

    def cancelled(self, waiter: Hashable, now: float) -> Sequence[Order]:
        """Forget a request whose client left while it waited; an unknown one is harmless."""
        if waiter not in self._sites.waiting:
            return NOTHING
        self._look_after(self._sites.dequeue(waiter), now)
        return self._fill(now, [])

    # Facts about streams

    def streamed(self, server: Server, stream: Streaming, now: float) -> None:
        """Hear that a lease is of an event stream or a tunnel; ask `deadline` again."""
        if server.state is READY or server.state is State.DRAINING:
            self._streams.begin(server, stream, now)

    def stream_over(self, server: Server, stream: Streaming, now: float) -> None:
        """Hear that it is over, before its lease is released; ask `deadline` again."""
        self._streams.end(server, stream, now)

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

    @property
    def memory(self) -> int:
        """Bytes that all servers take but for STOPPING ones, as measured or else expected."""
        return self._fleet.memory.alive

    def took(self) -> list[tuple[str, int]]:
        """Tell what each site's server took when it was weighed last, for another pool."""
        return self._fleet.memory.took()

    def server(self, site: str) -> Server | None:
        """Tell which server of a site is STARTING or READY."""
        record = self._sites.by_name.get(site)
        return None if record is None else record.server

    def is_ready(self, site: str) -> bool:
        """Tell whether a site has a server that takes leases."""
        return site in self._fleet.ready

    def is_for_nobody(self, server: Server) -> bool:
        """Tell whether a server starts although nobody waits: to replace one, or it is kept up."""
        fleet = self._fleet
        return server in fleet.beside or server in fleet.spares or server.site in self._keeping

    def cause(self, server: Server) -> str:
        """Tell in words what a server is started for."""
        fleet, record = self._fleet, self._sites.by_name.get(server.site)
        if server in fleet.beside:
            return "to take the place of the one that serves"
        if record is not None and record.waiters:
            count = len(record.waiters)
            return "for a request" if count == 1 else f"for {count} requests"
        if server.site in self._keeping:
            return "as its site is kept awake"
        return "ahead of time" if server in fleet.warming else "as one more server of its site"

    def failures(self) -> list[Failure]:
        """Tell which sites have a failed start that is not forgiven yet, the oldest in front."""
        return self._sites.failures()

    @property
    def unreplaced(self) -> Mapping[str, str]:
        """Why the last server that was to take another one's place could not, by their sites.

        The old one serves until a new one is ready: where that cannot start either, for good.
        """
        return self._sites.unreplaced

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
            self._room.end_drained(server, now, orders)
        return self._fill(now, orders)

    def _look_after(self, record: Site, now: float) -> None:
        """Note that a site may have lost its last waiter."""
        server = record.server
        if server is None:
            self._sites.forget(record)
        elif self._is_unwanted(server, record):
            self._fleet.abandon(server, now)

    def _is_unwanted(self, server: Server, record: Site) -> bool:
        """Tell whether a server starts for nobody."""
        in_use = server.leases or record.waiters or record.name in self._keeping
        return server.state is State.STARTING and not in_use
