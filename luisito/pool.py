"""Carries out what the policy orders: starts, signals, grants and refusals."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, Protocol

import attrs
from twisted.internet.defer import Deferred, succeed

from luisito.core.ending import broke
from luisito.core.lifecycle import Server, State
from luisito.core.orders import EndStreams, Grant, Kill, Refusal, Refuse, Spawn, Terminate
from luisito.core.policy import Policy
from luisito.core.sites import RETRY_AFTER
from luisito.core.streams import Streaming
from luisito.errors import LuisitoError, NotFoundOut
from luisito.process.journal import Journal
from luisito.process.start import Start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from luisito.core import wire
    from luisito.core.orders import Limits, Order
    from luisito.process.client import Spawner
    from luisito.process.start import Ways

__all__ = ["Pool", "Refused", "Server", "Waiter"]

_STATUS: Final = {
    Refusal.QUEUE_FULL: 503,
    Refusal.QUEUE_TIMEOUT: 503,
    Refusal.START_FAILED: 502,
    Refusal.START_TIMEOUT: 504,
    Refusal.BACKING_OFF: 502,
    Refusal.OVERLOADED: 503,
    Refusal.SHUTTING_DOWN: 503,
}
# How often a server whose port was taken by somebody else is started again on another one.
_PORT_TRIES: Final = 5


@attrs.frozen
class Refused:
    """Why a waiter gets no server.

    Attributes:
        status: to answer with.
        detail: for an operator.
        retry_after: seconds; None where that is unknown.
    """

    status: int
    detail: str
    retry_after: float | None = None


class Waiter(Protocol):
    """Who asks for a lease; known by its identity."""

    def __hash__(self) -> int: ...

    def granted(self, server: Server) -> None:
        """Here it is; give it back with `Pool.release`."""

    def refused(self, refused: Refused) -> None:
        """There is none."""

    def withdrawn(self, server: Server, refused: Refused) -> None:
        """The lease was given before the server was ready, and it never will be."""


class Stream(Streaming, Protocol):
    """A lease of an event stream or a tunnel."""

    def end_for_room(self, wanted_by: str) -> None:
        """It was silent for so long that it ends before that site is refused room."""


class Pool:
    """The servers that are awake, and those who wait for one.

    Attributes:
        take: leases the server of a site that is awake, at once; else None (Policy.take).
        release: gives a lease back, at a time on the reactor's clock (Policy.release). What it
            returns, unless that is NOTHING, is for `released`.
    """

    def __init__(self, reactor: IReactorTime, limits: Limits, ways: Ways) -> None:
        self._reactor, self._ways = reactor, ways
        self._clock = reactor.seconds
        self._policy = Policy(limits, random.random)
        self.take, self.release = self._policy.take, self._policy.release
        self._journal = Journal()
        self._spawner: Spawner
        # by the number the spawner knows it by, which is new for each try
        self._starts: dict[int, Start] = {}
        self._of: dict[Server, Start] = {}
        self._early: dict[Server, Waiter] = {}
        self._last = 0
        self._call: IDelayedCall | None = None
        self._empty: Deferred[None] | None = None
        self.lost: Deferred[str] = Deferred()

    def attach(self, spawner: Spawner) -> None:
        """Gives the spawner, whose facts come here."""
        self._spawner = spawner

    # ------------------------------------------------------------------ leases

    def request(self, site: str, waiter: Waiter) -> None:
        """Asks for a lease on a site's server; the answer may come before this returns."""
        self._carry_out(self._policy.requested(site, waiter, self._clock()))

    def cancel(self, waiter: Waiter) -> None:
        """`waiter` waits no longer."""
        self._carry_out(self._policy.cancelled(waiter, self._clock()))

    def released(self, server: Server, orders: Sequence[Order]) -> None:
        """Carries out what the release of a lease has led to."""
        self._early.pop(server, None)
        self._carry_out(orders)

    def answered(self, server: Server) -> None:
        """A server that counts as starting has answered, so it is ready."""
        if server.state is State.STARTING:
            self._now_ready(server)

    def streamed(self, server: Server, stream: Stream) -> None:
        """A lease turns out to be of an event stream or a tunnel."""
        self._policy.streamed(server, stream, self._clock())
        self._arm()

    def stream_over(self, server: Server, stream: Stream) -> None:
        """It is over; its lease is released next."""
        self._policy.stream_over(server, stream, self._clock())
        self._arm()

    def folder_exists(self, site: str) -> Deferred[bool]:
        """Whether the site's PROJECT_PATH is there.

        Raises:
            LuisitoError: (in the Deferred) it cannot be found out now.
        """

        def answered(folder: wire.Folder) -> bool:
            if folder.exists is None:
                raise NotFoundOut(folder.message)
            return folder.exists

        return self._spawner.folder(site).addCallback(answered)

    # ------------------------------------------------------------------ operators

    def start_of(self, server: Server) -> Start | None:
        """The process of a server, once it was ordered."""
        return self._of.get(server)

    def stop(self, site: str, reason: str) -> None:
        """Lets the server of a site go when what it has in flight is done."""
        self._carry_out(self._policy.stop(site, self._clock(), reason))

    # ------------------------------------------------------------------ the end

    def shutdown(self) -> Deferred[None]:
        """Takes no more requests; called back when every server has gone, its output written."""
        empty: Deferred[None] = Deferred()
        self._empty = empty
        self._carry_out(self._policy.shutdown(self._clock()))
        self._check_empty()
        return empty

    def terminate_all(self) -> None:
        """Ends the drain: every server is told to stop, busy or not."""
        self._carry_out(self._policy.terminate_all(self._clock()))
        self._check_empty()

    def close(self) -> None:
        """Lets go of whatever is left, after the spawner has gone."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        for start in list(self._starts.values()):
            start.close()
            self._journal.lost(start)
        if self._ways.logs is not None:
            self._ways.logs.close()
        self._starts.clear()
        self._of.clear()

    @property
    def policy(self) -> Policy:
        """For those who look: counts, servers, waiting."""
        return self._policy

    def _check_empty(self) -> None:
        if self._empty is not None and not self._policy.servers and not self._policy.waiting:
            empty, self._empty = self._empty, None
            logs = self._ways.logs
            settled = succeed(None) if logs is None else logs.settle()
            # whoever waits may have given up
            settled.addCallback(lambda _: None if empty.called else empty.callback(None))

    # ------------------------------------------------------------------ orders

    def _carry_out(self, orders: Sequence[Order]) -> None:
        for order in orders:
            if isinstance(order, Grant):
                self._grant(order)
            elif isinstance(order, Refuse):
                refused = Refused(
                    _STATUS[order.refusal],
                    order.refusal.value + (f": {order.detail}" if order.detail else ""),
                    order.retry_after,
                )
                order.waiter.refused(refused)  # type: ignore[attr-defined]
            elif isinstance(order, Spawn):
                self._spawn(order.server)
            elif isinstance(order, Terminate):
                self._terminate(order)
            elif isinstance(order, EndStreams):
                for stream in order.streams:
                    stream.end_for_room(order.wanted_by)  # type: ignore[attr-defined]
            elif isinstance(order, Kill):
                self._kill(order.server)
        self._arm()

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
        early = server.state is State.STARTING
        if early:
            self._early[server] = waiter
        waiter.granted(server)
        if early and server in self._of:
            self._of[server].connected()

    def _spawn(self, server: Server, tries: int = 1) -> None:
        self._last += 1
        start = Start(self._ways, self._last, server, tries)
        try:
            start.prepare()
        except LuisitoError as error:
            self._journal.failed(start, str(error))
            self._reactor.callLater(0, self._failed, server, str(error))
            return
        self._starts[start.number] = self._of[server] = start
        server.data = start.backend
        self._spawner.start(start.number, server.site, start.port, start.listener_fd)

    def _failed(self, server: Server, detail: str) -> None:
        self._carry_out(self._policy.failed(server, self._clock(), detail, overloaded=True))
        self._check_empty()

    def _terminate(self, order: Terminate) -> None:
        server = order.server
        start = self._of.get(server)
        if start is None:
            return
        detail = "" if start.ready else start.forget()
        if not start.ready:
            why = f"{order.reason}; {detail}" if detail else order.reason
            self._withdraw(server, Refused(504, why))
        start.retire()
        self._journal.stopping(start, order.reason, detail)
        self._spawner.signal(start.number, "TERM")

    def _kill(self, server: Server) -> None:
        start = self._of.get(server)
        if start is not None:
            self._journal.killing(start)
            self._spawner.signal(start.number, "KILL")

    def _withdraw(self, server: Server, refused: Refused) -> None:
        waiter = self._early.pop(server, None)
        if waiter is not None:
            waiter.withdrawn(server, refused)

    # ------------------------------------------------------------------ facts

    def spawner_started(self, server: int, pid: int, output: int, notify: int) -> None:
        """See process.client.Listener."""
        start = self._starts[server]
        start.started(pid, output, notify, self._now_ready, self._foreign)
        early = start.listener_fd is not None
        self._carry_out(self._policy.started(start.server, self._clock(), early=early))

    def spawner_running(self, running: wire.Running) -> None:
        """See process.client.Listener."""
        start = self._starts[running.server]
        self._journal.running(start, running)
        start.running(running.uid, running.argv)

    def spawner_failed(self, server: int, message: str, overloaded: bool) -> None:
        """See process.client.Listener."""
        start = self._ended(server)
        self._journal.failed(start, message)
        refused = Refused(503, message, RETRY_AFTER) if overloaded else Refused(502, message)
        self._withdraw(start.server, refused)
        now = self._clock()
        self._carry_out(self._policy.failed(start.server, now, message, overloaded=overloaded))
        self._check_empty()

    def spawner_exited(self, exited: wire.Exited) -> None:
        """See process.client.Listener."""
        taken = self._starts[exited.server].port_taken()
        start = self._ended(exited.server)
        server, now = start.server, self._clock()
        starting = server.state is State.STARTING
        if starting and (start.foreign or taken) and start.tries < _PORT_TRIES:
            self._journal.other_port(start, start.foreign or taken)
            self._spawn(server, start.tries + 1)
            return
        broken = server.state is State.READY and broke(exited.code, now - server.ready_at)
        detail = self._journal.exited(start, exited, now, broke=broken)
        if starting:
            self._withdraw(server, Refused(502, detail))
        self._carry_out(self._policy.exited(server, now, detail, broke=broken))
        self._check_empty()

    def spawner_lost(self, reason: str) -> None:
        """See process.client.Listener."""
        self.lost.callback(reason)

    def _ended(self, number: int) -> Start:
        start = self._starts.pop(number)
        self._of.pop(start.server, None)
        start.close()
        return start

    def _now_ready(self, server: Server) -> None:
        start = self._of.get(server)
        if start is None or server.state is not State.STARTING:
            return
        start.is_ready()
        self._early.pop(server, None)
        server.data = start.backend
        now = self._clock()
        # Said when the first request has gone on its way, which has waited long enough.
        self._reactor.callLater(0, self._journal.ready, start, now - server.started_at)
        self._carry_out(self._policy.ready(server, now))

    def _foreign(self, server: Server, who: str) -> None:
        """Somebody else listens on the port that was chosen: on to the next one."""
        start = self._of.get(server)
        if start is not None:
            start.foreign, start.killed = who, True
            self._spawner.signal(start.number, "KILL")
