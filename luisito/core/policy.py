"""Who may start, who must go, who waits: the decisions of the pool, without a clock or I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luisito.core.adoption import CHANGED, take_in
from luisito.core.fleet import READY
from luisito.core.leasing import Leasing
from luisito.core.lifecycle import Server, State
from luisito.core.orders import NOTHING, Limits, Order, Refusal, Refuse, SiteLimits
from luisito.core.schedule import Schedule
from luisito.core.sites import RETRY_AFTER, Failure, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from luisito.core.adoption import Known
    from luisito.core.backoff import BackOff


class Policy(Leasing):
    """The pool: facts come in as method calls, orders go out as their results.

    Always true, but for what is adopted: STARTING + READY + DRAINING <= max_servers + max_rolling,
    and with STOPPING <= max_servers + overlap + max_rolling. What goes beyond the sums without
    max_rolling are new servers of sites that roll, and the old ones that go for them.

    Facts about a server that has gone meanwhile are harmless. `now` is in seconds of a monotonic
    clock and never goes back. No operation grows with the number of servers, but for `adopt` and
    `resign`, and for the search for silent streams, which somebody who waits causes once a second
    at most. To set a time costs the logarithm of that number.

    Args:
        limits: the bounds.
        random: gives a number from 0 to 1, for the jitter of back-off.
        back_off: how long a site that failed is left alone.
    """

    def __init__(
        self, limits: Limits, random: Callable[[], float], back_off: BackOff | None = None
    ) -> None:
        super().__init__(limits, random, back_off)
        self._schedule = Schedule(self._sites, self._fleet, self._streams, self._room, self._rolls)

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
        """Hear that the server is ready: all its waiters get their lease.

        Where its site rolls, the old server takes no new lease from now on.
        """
        if server.state is not State.STARTING:
            return NOTHING
        orders: list[Order] = []
        record = self._sites.by_name[server.site]
        if record.beside is server and record.server is not None:
            self._room.replace(record.server, server, now, orders)
        server.ready_at = server.used_at = now
        self._fleet.admit(server)
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
            if record.beside is server:  # who has the new one started otherwise?
                self._rolls.ask(record, now, now + RETRY_AFTER)
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

    # Facts about sites

    def limit(self, site: str, limits: SiteLimits | None) -> None:
        """Give a site limits of its own, or the pool's again (None); ask `deadline` again.

        They count at once for its server, but who waits already waits as long as was said, and a
        server that is on its way out has the stop_timeout that it had.
        """
        self._sites.limit(site, limits)
        record = self._sites.by_name.get(site)
        for server in () if record is None else (record.server, record.beside):
            if server is not None:
                self._fleet.limit(server, self._sites.limits_of(site))
                self._streams.limit(server)

    def changed(self, site: str, now: float) -> Sequence[Order]:
        """Hear that another thing than before would be started for a site.

        A server that is STARTING goes, and those who wait for it wait for a new one, as in `stop`.
        Beside one that is READY a new one is started, as soon as the site's failures allow it and
        less than max_rolling others roll; until that is ready the old one serves, and for good if
        it fails. One that had been started so already is replaced. If the old one goes before, be
        it unused, for room or because it is stopped, so does the new one; if it dies, the new one
        goes on like one that nobody waits for.

        A site that sleeps is not left alone for earlier failures any longer.
        """
        record = self._sites.by_name.get(site)
        if record is None:
            return NOTHING
        if record.server is None:
            record.until = min(record.until, now)
            return NOTHING
        if record.server.state is State.STARTING:
            return self.stop(site, now, CHANGED)
        orders: list[Order] = []
        if record.beside is not None:
            self._room.terminate(record.beside, CHANGED, now, orders)
        self._rolls.ask(record, now, record.until)
        return self._fill(now, orders)

    def removed(self, site: str, now: float) -> Sequence[Order]:
        """Hear that a site is no more: who waits is refused, and its server goes as in `stop`.

        Its limits and failures are forgotten.
        """
        self._sites.limit(site, None)
        record = self._sites.by_name.get(site)
        if record is None:
            return NOTHING
        orders: list[Order] = []
        self._sites.forgive(record)
        self._sites.refuse_all(record, Refusal.NO_SITE, None, "", orders)
        if record.server is not None:
            self._room.retire(record.server, "its site is no more", now, orders)
        return self._fill(now, orders)

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

        Sites that have limits of their own must have them already (`limit`).

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
        self._rolls.clear()
        return self._sites.clear()
