"""Who may start, who must go, who waits: the decisions of the pool, without a clock or I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luisito.core.adoption import take_in
from luisito.core.fleet import READY
from luisito.core.hibernationfacts import HibernationFacts
from luisito.core.lifecycle import Server, State
from luisito.core.orders import NOTHING, Exceeds, Limits, Order, Refusal, Refuse
from luisito.core.schedule import Schedule
from luisito.core.sites import RETRY_AFTER, Failure, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from luisito.core.adoption import Known
    from luisito.core.backoff import BackOff


class Policy(HibernationFacts):
    """The pool: facts come in as method calls, orders go out as their results.

    Always true, but for what is adopted: STARTING + READY + DRAINING <= max_servers + max_rolling,
    and with STOPPING <= max_servers + overlap + max_rolling. What goes beyond the sums without
    max_rolling are new servers of sites that roll, and the old ones that go for them. And none is
    started for somebody who waits where, with it, those alive would take more than max_memory, or,
    with all but `overlap` of those that are STOPPING, too; unless it is the only one.

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
        self._schedule = Schedule(
            self._sites,
            self._fleet,
            self._streams,
            self._room,
            self._rolls,
            self._keeping,
            self._busy,
            self._asking,
        )

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
        if self._shared:
            self._take_over(server, now, orders)
        if server in self._busy.told:
            self._hold(server, now)
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
                self._sites.unreplaced[record.name] = detail
                self._rolls.ask(record, now, now + RETRY_AFTER)
            self._room.gone(server, State.FAILED, now)
            self._keeping.put_off(server.site, now, now + RETRY_AFTER)
            return self._fill(now, orders)
        return self.exited(server, now, detail)

    def exited(
        self,
        server: Server,
        now: float,
        detail: str,
        *,
        broke: bool = False,
        clean: bool = False,
    ) -> Sequence[Order]:
        """Hear that the process is reaped; before it was ready that is a failure of its site.

        A site that is kept up is started anew; where its server was not ready for long, after a
        while that grows with each time, unless somebody asks for it before.

        Args:
            server: that has gone.
            now: seconds.
            detail: the cause, for the operator.
            broke: it counts as a failed start although it was ready (core.ending.broke).
            clean: it has ended by itself, with status 0 and nothing left of it.
        """
        if server.id not in self._fleet.by_id:
            return NOTHING
        orders: list[Order] = []
        until = now
        if server.state is not READY and server.state is not State.STARTING:
            self._room.gone(server, State.ABSENT, now)
            return self._fill(now, orders)
        record = self._sites.by_name[server.site]
        if clean and record.server is server:
            self._keeping.rest(server.site, ended=True)
        if server.state is State.STARTING or broke:
            if server not in self._fleet.warming:  # else nobody has asked for that
                self._sites.fail(record, Refusal.START_FAILED, detail, now, orders)
            self._room.gone(server, State.FAILED, now)
            return self._fill(now, orders)
        if server.site in self._keeping and not self._keeping.rests(server.site):
            until = self._sites.stumble(record, now - server.ready_at, detail, now)
        self._room.gone(server, State.ABSENT, now)
        self._keeping.put_off(server.site, now, until)
        return self._fill(now, orders)

    def weighed(self, sizes: Mapping[Server, int], now: float, workers: int = 0) -> Sequence[Order]:
        """Hear how many bytes of memory servers take, and all workers of sites together.

        Idle ones go as long as all together take more than max_memory, the least recently used
        first, but not the last one. Busy ones are not ended for their memory.
        """
        orders: list[Order] = []
        self._fleet.memory.workers = workers
        for server, size in sizes.items():
            if self._fleet.weigh(server, size):
                orders.append(Exceeds(server))
        self._room.relieve(now, orders)
        return self._fill(now, orders)

    # Facts about time

    def tick(self, now: float) -> Sequence[Order]:
        """Do whatever is due."""
        orders: list[Order] = []
        self._work_is_over(now, orders)
        self._not_yet_is_over(now, orders)
        self._schedule.tick(now, orders)
        return self._fill(now, orders)

    def deadline(self) -> float | None:
        """Tell when `tick` is next worth a call, in seconds as `now`; may be early, never late.

        Ask again after each call but `take` and a `release` that returned NOTHING.
        """
        return self._schedule.deadline()

    def shutdown(self, now: float) -> Sequence[Order]:
        """Refuse new requests from now on, and let each server go once it is idle, without asking.

        Those that wait already are still served.
        """
        self._closing = True
        self._keeping.close()
        self._room.more.clear()
        self._asking.close()
        orders: list[Order] = []
        for server in [*self._fleet.starting, *self._fleet.ready.values()]:
            if not self._sites.by_name[server.site].waiters:
                self._room.retire(server, "shutting down", now, orders)
        self._end_drained(now, orders)
        return self._fill(now, orders)

    def _end_drained(self, now: float, orders: list[Order]) -> None:
        for server in list(self._fleet.draining):
            if not server.leases:
                self._room.end_drained(server, now, orders)

    def terminate_all(self, now: float) -> Sequence[Order]:
        """End the drain: refuse who still waits, and stop every server, busy or not."""
        self._closing = True
        self._keeping.close()
        self._room.more.clear()
        orders: list[Order] = []
        for record in list(self._sites.by_name.values()):
            self._sites.refuse_all(record, Refusal.SHUTTING_DOWN, RETRY_AFTER, "", orders)
        fleet = self._fleet
        for server in [*fleet.starting, *fleet.ready.values(), *fleet.draining]:
            self._room.terminate(server, "shutting down", now, orders)
        return orders

    # Facts about other pools

    def adopt(
        self,
        known: Sequence[Known],
        now: float,
        waiting: Sequence[Waiting] = (),
        failures: Sequence[Failure] = (),
        took: Sequence[tuple[str, int]] = (),
    ) -> tuple[Sequence[Server], Sequence[Order]]:
        """Take over what another pool had, before anybody asks for a server.

        Sites that have limits of their own must have them already (`limit`), and those that are to
        be kept up are started after it (`keep`).

        Where there are more than max_servers, those in use stay until they are so no more; a start
        that is one too many begins anew for those who wait for it.

        Args:
            known: the servers.
            now: seconds.
            waiting: who waits, as `resign` told. All of them count before it is decided who goes.
            failures: what failed there (`failures`).
            took: what sites took there (`took`).

        Returns:
            The servers in the same order; and what is to be done.
        """
        fleet, orders = self._fleet, list[Order]()
        fleet.memory.remember(took)
        servers = take_in(known, fleet, self._sites, now)
        for server, each in zip(servers, known, strict=True):
            self._resume(server, each.said, now)
        self._sites.remember(failures, now)
        for one in waiting:
            self._wait(one, now, orders)
        self._turn_out_closed(now, orders)
        self._end_drained(now, orders)
        for server in fleet.starting:
            self._look_after(self._sites.by_name[server.site], now)
        for server, each in zip(servers, known, strict=True):
            record = self._sites.by_name.get(server.site) if each.rolls else None
            if record is not None and record.server is server and record.beside is None:
                self._rolls.ask(record, now, record.until)
        self._keep_up(now)
        self._room.shrink(now, orders)
        self._room.relieve(now, orders)
        return servers, self._fill(now, orders)

    def _keep_up(self, now: float) -> None:
        """Start what is kept up and has no server, now that it is known which ones there are."""
        self._keeping.begin()
        for site in self._keeping:
            record = self._sites.by_name.get(site)
            if record is not None and record.server is not None:
                self._keeping.served(site)
            else:
                self._keeping.ask(site, now, now if record is None else record.until)

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
        self._keeping.close()
        for server in self._fleet.by_id.values():
            self._streams.forget(server)
            self._busy.forget(server)
            self._asking.excuse(server)
        self._fleet.clear()
        self._rolls.clear()
        self._room.more.clear()
        return self._sites.clear()
