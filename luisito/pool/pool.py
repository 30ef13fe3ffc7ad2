"""Carries out what the policy orders: starts, signals, grants and refusals."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from luisito.core.lease import Refused, Stream, Waiter
from luisito.core.lifecycle import Server, State
from luisito.core.members import first_of
from luisito.core.orders import (
    NOTHING,
    AskToStop,
    EndStreams,
    Exceeds,
    Freeze,
    Grant,
    Kill,
    Refuse,
    Spawn,
    Terminate,
    Thaw,
)
from luisito.core.policy import Policy
from luisito.core.rewarming import Turn
from luisito.errors import NotFoundOut
from luisito.pool.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from luisito.core import wire
    from luisito.core.orders import Limits, Order
    from luisito.pool.lessor import Heir
    from luisito.process.start import Ways
    from luisito.process.told import Tail


class Pool(Processes):
    """The servers that are awake, and those who wait for one.

    Attributes:
        take: leases the server of a site that is awake, at once; else None (Policy.take).
        release: gives a lease back, at a time on the reactor's clock (Policy.release). What it
            returns, unless that is NOTHING, is for `released`.
        release_unnoticed: as `release`, of one that is no use (Policy.release_unnoticed).
    """

    _log = Logger()

    def __init__(self, reactor: IReactorTime, limits: Limits, ways: Ways) -> None:
        policy = Policy(limits, random.random)
        super().__init__(reactor, policy, ways)
        self.take, self.release = policy.take, policy.release
        self.release_unnoticed = policy.release_unnoticed
        self._call: IDelayedCall | None = None
        self._empty: Deferred[None] | None = None

    # ------------------------------------------------------------------ leases (see Lessor)

    def request(self, site: str, waiter: Waiter) -> None:
        """See Lessor."""
        self._carry_out(self._policy.requested(site, waiter, self._clock()))
        if self._policy.shares:
            self._carry_out(self._policy.start_more(first_of(site), self._clock()))

    def choose(self, site: str, liked: str | None = None) -> str:
        """See Lessor."""
        key, orders = self._policy.choose(site, self._clock(), liked)
        if orders is not NOTHING:
            self._carry_out(orders)
        return key

    def asleep(self, site: str) -> bool:
        """See Lessor."""
        return self._policy.asleep(site, self._clock())

    def has_failed(self, site: str) -> bool:
        """See Lessor."""
        return self._policy.has_failed(site)

    def probe(self, server: Server) -> None:
        """See Lessor."""
        start = self._of.get(server)
        if start is not None:
            start.probe()

    def cancel(self, waiter: Waiter) -> None:
        """See Lessor."""
        server, now = self._too_soon.pop(waiter, None), self._clock()
        if server is not None:
            self._carry_out(self._policy.release(server, now))
        else:
            self._carry_out(self._policy.cancelled(waiter, now))

    def released(self, server: Server, orders: Sequence[Order]) -> None:
        """See Lessor."""
        self._early.pop(server, None)
        self._carry_out(orders)

    def connected(self, server: Server) -> None:
        """See Lessor."""
        start = self._of.get(server)
        if start is not None and server in self._early:
            start.connected()

    def answered(self, server: Server) -> None:
        """See Lessor."""
        # Where nobody knows yet where it listens, nobody can have been answered.
        if server.state is State.STARTING and server.data is not None:
            self._now_ready(server)

    def streamed(self, server: Server, stream: Stream) -> None:
        """See Lessor."""
        self._policy.streamed(server, stream, self._clock())
        self._arm()

    def stream_over(self, server: Server, stream: Stream) -> None:
        """See Lessor."""
        self._policy.stream_over(server, stream, self._clock())
        self._arm()

    def number(self, server: Server) -> int:
        """See Lessor."""
        return self._of[server].number

    def folder_exists(self, site: str) -> Deferred[bool]:
        """See Lessor."""

        def answered(folder: wire.Folder) -> bool:
            if folder.exists is None:
                raise NotFoundOut(folder.message)
            return folder.exists

        return self._spawner.folder(site).addCallback(answered)

    # ------------------------------------------------------------------ operators

    def stop(self, site: str, reason: str) -> None:
        """Lets the servers of a site go when what they have in flight is done."""
        for key in self._policy.keys(site):
            self._carry_out(self._policy.stop(key, self._clock(), reason))

    def retry(self, site: str) -> None:
        """Has the next start of a site wait for no earlier failure."""
        for key in self._policy.keys(site):
            self._policy.retry(key, self._clock())

    def restart(self, site: str, reason: str) -> None:
        """Has other servers and workers take the place of a site's, as `changed` does."""
        self.retry(site)
        for key in self._policy.keys(site):
            self.changed(key)
        self.crew.restart(site, reason)

    def tail(self, site: str, after: int | None, file: str) -> Deferred[Tail]:
        """See Questions.tail."""
        return self._spawner.tail(site, after, file)

    def config(self, site: str) -> Deferred[bytes]:
        """See Questions.config."""
        return self._spawner.config(site)

    def last_words(self, site: str) -> str:
        """What the servers of a site that live have written last; "" where there are none."""
        starts = sorted(self._of.values(), key=lambda start: start.number)
        return "".join(start.tail for start in starts if first_of(start.server.site) == site)

    def folder_owner(self, site: str) -> Deferred[int | None]:
        """Whose the folder of a site is; None where it has none, or that cannot be told."""
        return self._spawner.folder(site).addCallback(lambda folder: folder.uid)

    def rewarm(self, site: str) -> tuple[Turn, Server | None]:
        """See Policy.rewarm; with the server, where one starts."""
        turn, orders = self._policy.rewarm(site, self._clock())
        self._carry_out(orders)
        return turn, self._policy.server(site) if turn is Turn.STARTED else None

    # ------------------------------------------------------------------ sites (see Policy)

    def limit(self, site: str, own: Mapping[str, float | None] | None) -> None:
        """Gives a site limits of its own, by their names in SiteLimits; None: only the pool's.

        Raises:
            TypeError: no site has such a limit of its own.
            ValueError: a value is out of bounds.
        """
        limits = None if own is None else self._policy.limits.of_site(**own)
        self._policy.limit(site, limits)
        self._arm()

    def share(self, site: str, count: int) -> None:
        """A site has so many servers; see Policy."""
        orders = self._policy.share(site, count, self._clock())
        if orders is not NOTHING:
            self._carry_out(orders)

    def keep(self, site: str, up: bool, on_failure: bool = False) -> None:
        """Keeps a site up, or no longer; see Policy.keep for the other."""
        now = self._clock()
        if up:
            self._carry_out(self._policy.keep(site, now, on_failure=on_failure))
        else:
            self._carry_out(self._policy.keep_no_longer(site, now))

    def changed(self, site: str) -> None:
        """Another thing than before would be started for a site: it rolls, if it is awake."""
        self._carry_out(self._policy.changed(site, self._clock()))

    def removed(self, site: str) -> None:
        """A site is no more: who waits for it is refused, its server goes when it is idle."""
        self._carry_out(self._policy.removed(site, self._clock()))

    def close_site(self, site: str, retry_after: float) -> None:
        """A site is down for maintenance: see Policy.close."""
        self._carry_out(self._policy.close(site, retry_after, self._clock()))

    def open_site(self, site: str) -> None:
        """It is so no more."""
        self._policy.open(site)

    # ------------------------------------------------------------------ succession

    def yield_to(self, heir: Heir) -> None:
        """Gives up all servers and all who wait; whoever asks for a lease must ask `heir` now."""
        too_soon = list(self._too_soon.items())
        for _, server in too_soon:
            server.leases -= 1
        self._policy.resign_busy()
        for start in self._of.values():
            heir.hold(start, self._early.get(start.server))
        for failure in self._policy.failures():
            heir.failed(failure)
        heir.took(self._policy.took())
        waiting = self._policy.resign()
        for start in self._starts.values():
            start.let_go()
        self.crew.resign()
        self._forget_all()
        for waiter, server in too_soon:
            heir.waits(server.site, waiter, None)
        for one in waiting:
            heir.waits(one.site, one.waiter, one.since)  # type: ignore[arg-type]
        self._check_empty()

    # ------------------------------------------------------------------ the end

    def shutdown(self) -> Deferred[None]:
        """Takes no more requests; called back when every server has gone, its output written."""
        empty: Deferred[None] = Deferred()
        self._empty = empty
        self._carry_out(self._policy.shutdown(self._clock()))
        self.crew.shutdown()
        self._check_empty()
        return empty

    def terminate_all(self) -> None:
        """Ends the drain: every server is told to stop, busy or not."""
        self._carry_out(self._policy.terminate_all(self._clock()))
        self._check_empty()

    def close(self) -> None:
        """Lets go of whatever is left, after the spawner has gone."""
        for start in list(self._starts.values()):
            start.close()
            self._journal.lost(start)
        self.crew.resign()
        self.chronicle.settle()
        if self._ways.logs is not None:
            self._ways.logs.close()
        self._forget_all()

    def _forget_all(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None
        for asked in self._asked.values():
            asked.end()
        for memory in (self._asked, self._starts, self._of, self._early, self._too_soon):
            memory.clear()

    @property
    def policy(self) -> Policy:
        """For those who look: counts, servers, waiting."""
        return self._policy

    def _check_empty(self) -> None:
        policy = self._policy
        if self._empty is not None and not (policy.servers or policy.waiting or len(self.crew)):
            empty, self._empty = self._empty, None
            logs = self._ways.logs
            settled = succeed(None) if logs is None else logs.settle()
            # whoever waits may have given up
            settled.addCallback(lambda _: None if empty.called else empty.callback(None))

    # ------------------------------------------------------------------ orders

    def _carry_out(self, orders: Sequence[Order]) -> None:
        for order in orders:
            try:
                self._do(order)
            except Exception:  # noqa: BLE001 - one order's fault must not cost the others
                self._log.failure("an order could not be carried out: {order!r}", order=order)
        self._arm()

    def _do(self, order: Order) -> None:
        if isinstance(order, Grant):
            self._grant(order)
        elif isinstance(order, Refuse):
            order.waiter.refused(self._refusal(order))  # type: ignore[attr-defined]
        elif isinstance(order, Spawn):
            self._spawn(order.server)
        elif isinstance(order, Terminate):
            self._terminate(order)
        elif isinstance(order, AskToStop):
            self._ask_to_stop(order)
        elif isinstance(order, EndStreams):
            for stream in order.streams:
                stream.end_for_room(order.wanted_by)  # type: ignore[attr-defined]
        elif isinstance(order, Kill):
            self._kill(order.server)
        elif isinstance(order, Freeze | Thaw):
            self._hibernate(order.server, on=isinstance(order, Freeze))
        elif isinstance(order, Exceeds):
            self._exceeds(order.server)

    def _refusal(self, order: Refuse) -> Refused:
        """What a waiter is told; of a start that took too long, what it still lacked, too."""
        refused = Refused.by(order)
        start = None if order.server is None else self._of.get(order.server)
        missing = "" if start is None else start.missing()
        if missing:
            refused = attrs.evolve(refused, detail=f"{refused.detail}; {missing}")
        self.chronicle.refused(first_of(order.site), order.refusal.value)
        return refused

    def _arm(self) -> None:
        due = self._policy.deadline()
        call = self._call
        if due is None:
            if call is not None:
                call.cancel()
                self._call = None
        elif call is None or due < call.getTime():
            if call is not None:
                call.cancel()
            self._call = self._reactor.callLater(max(0.0, due - self._clock()), self._tick)

    def _tick(self) -> None:
        self._call = None
        self._carry_out(self._policy.tick(self._clock()))

    def _grant(self, order: Grant) -> None:
        server = order.server
        waiter: Waiter = order.waiter  # type: ignore[assignment]
        if server.data is None:
            self._too_soon[waiter] = server
            return
        early = server.state is State.STARTING
        if early:
            self._early[server] = waiter
        waiter.granted(server)
        # one that waits in another process has not been told yet
        if early and server.data.open:
            self.connected(server)
