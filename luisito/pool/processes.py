"""The processes behind the policy's servers: what is ordered of the spawner, and what it tells."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, gatherResults

from luisito.core.ending import broke
from luisito.core.lease import Refused
from luisito.core.lifecycle import Server, State
from luisito.core.members import first_of
from luisito.core.orders import Grant
from luisito.core.sdnotify import has_work, more_time
from luisito.core.sites import RETRY_AFTER
from luisito.core.stopcommands import StopCommands
from luisito.errors import LuisitoError, SpawnerLost
from luisito.process.adopted import AdoptedStart
from luisito.process.asked import NOT_YET, Asked
from luisito.process.chronicle import Chronicle
from luisito.process.crew import Crew
from luisito.process.journal import Journal
from luisito.process.start import Start
from luisito.spawner import channel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from luisito.core import wire
    from luisito.core.inheritance import Inherited
    from luisito.core.lease import Waiter
    from luisito.core.orders import AskToStop, Order, Terminate
    from luisito.core.policy import Policy
    from luisito.core.sites import Failure as SiteFailure
    from luisito.core.sites import Waiting
    from luisito.process.client import Spawner
    from luisito.process.start import Ways

# How often a server whose port was taken by somebody else is started again on another one.
_PORT_TRIES: Final = 5


class Processes:
    """The half of the pool that speaks with the spawner; the other half, Pool, with who asks.

    Attributes:
        chronicle: what has become of servers and workers.
        crew: the workers of sites.
        stop_commands: what those of sites came to.
        lost: is called with the reason when the spawner has gone.
    """

    def __init__(self, reactor: IReactorTime, policy: Policy, ways: Ways) -> None:
        self._reactor, self._policy, self._ways = reactor, policy, ways
        self._clock = reactor.seconds
        self.chronicle = Chronicle(reactor)
        self._journal = Journal(self.chronicle)
        self._spawner: Spawner
        # by the number the spawner knows it by, which is new for each try
        self._starts: dict[int, Start] = {}
        self._of: dict[Server, Start] = {}
        self._early: dict[Server, Waiter] = {}
        # who was granted a server that is still being adopted, so that nobody can connect to it
        self._too_soon: dict[Waiter, Server] = {}
        self._asked: dict[Server, Asked] = {}
        self._last = 0
        self.crew = Crew(
            reactor,
            ways,
            self.chronicle,
            self._next_number,
            policy.is_awake,
            self._check_empty,
            ways.preload_idle,
        )
        self.stop_commands = StopCommands()
        self.lost: Deferred[str] = Deferred()
        ways.heard = self._heard

    def attach(self, spawner: Spawner) -> None:
        """Gives the spawner, whose facts come here."""
        self._spawner = spawner
        self.crew.attach(spawner)

    def _next_number(self) -> int:
        """The number of the next process, which no other one has or had."""
        self._last += 1
        return self._last

    def start_of(self, server: Server) -> Start | None:
        """The process of a server, once it was ordered."""
        return self._of.get(server)

    # -- for Pool to say

    def _carry_out(self, orders: Sequence[Order]) -> None:
        """Does what the policy orders."""
        raise NotImplementedError

    def _check_empty(self) -> None:
        """A server may have been the last one."""
        raise NotImplementedError

    # -- orders

    def _spawn(self, server: Server, tries: int = 1) -> None:
        start = Start(self._ways, self._next_number(), server, tries)
        failed = ""
        try:
            start.prepare()
        except LuisitoError as error:
            failed = str(error)
        else:
            self._starts[start.number] = self._of[server] = start
            server.data = start.backend
            self._spawner.start(start.number, server.site, start.port, start.listener_fd)
        if tries == 1:  # said when it is on its way, since somebody waits
            self._journal.wakes(start, self._policy.cause(server))
        if failed:
            self._journal.failed(start, failed)
            self._reactor.callLater(0, self._failed, server, failed)

    def _failed(self, server: Server, detail: str) -> None:
        self._carry_out(self._policy.failed(server, self._clock(), detail, overloaded=True))
        self._check_empty()

    def _ask_to_stop(self, order: AskToStop) -> None:
        server, ways = order.server, self._ways
        start, path = self._of.get(server), server.limits.pre_stop
        if start is not None and path is not None:
            answered = partial(self._answered_to_stop, order)
            self._asked[server] = Asked(
                ways.board, ways.clock, start.backend, server.site, path, answered
            )

    def _answered_to_stop(self, order: AskToStop, status: int) -> None:
        server, not_yet = order.server, status == NOT_YET
        self._asked.pop(server, None)
        start = self._of.get(server)
        if start is None:
            return
        if not_yet:
            self._journal.not_yet(start, order)
        self._carry_out(self._policy.may_stop(server, self._clock(), not_yet=not_yet))
        self._note_said(server)

    def _ask_no_more(self, server: Server) -> None:
        asked = self._asked.pop(server, None)
        if asked is not None:
            asked.end()

    def _terminate(self, order: Terminate) -> None:
        server = order.server
        self._ask_no_more(server)
        start = self._of.get(server)
        if start is None:
            return
        detail = "" if start.ready else start.forget()
        if not start.ready:
            why = f"{order.reason}; {detail}" if detail else order.reason
            self._withdraw(server, Refused(504, why))
        start.retire()
        start.signalled_at = self._clock()
        self._journal.stopping(start, order, detail)
        self._spawner.signal(start.number, "TERM")
        self.crew.moved(first_of(server.site))

    def _kill(self, server: Server) -> None:
        start = self._of.get(server)
        if start is not None:
            start.signalled_at = self._clock()
            self._journal.killing(start)
            self._spawner.signal(start.number, "KILL")

    def _hibernate(self, server: Server, *, on: bool) -> None:
        start = self._of.get(server)
        if start is not None:
            if on and start.backend is not None:
                # What is kept would end with a timeout of its server, just when it is used again.
                start.backend.close_idle()
            self._spawner.hibernate(start.number, on=on, force=bool(server.limits.hibernate))

    def _exceeds(self, server: Server) -> None:
        start = self._of.get(server)
        if start is not None:
            self._journal.exceeds(start, self._policy.limits.max_memory)

    def _withdraw(self, server: Server, refused: Refused) -> None:
        waiter = self._early.pop(server, None)
        if waiter is not None:
            waiter.withdrawn(server, refused)

    # -- servers of another process

    def adopt(
        self,
        servers: Sequence[Inherited],
        last: int,
        waiting: Sequence[Waiting] = (),
        failures: Sequence[SiteFailure] = (),
        took: Sequence[tuple[str, int]] = (),
    ) -> Deferred[None]:
        """Takes over what another process had, before anybody asks for a server.

        Args:
            servers: as far as they are known.
            last: the highest number that a server has had.
            waiting: who waits for one.
            failures: the sites whose starts have failed.
            took: what sites took when they were weighed last.

        Returns:
            Is called back once they are as if we had started them.
        """
        self._last = last
        adopted, orders = self._policy.adopt(
            [one.known for one in servers], self._clock(), waiting, failures, took
        )
        waited_for: list[Deferred[None]] = []
        for one, server in zip(servers, adopted, strict=True):
            start = AdoptedStart(self._ways, one, server)
            self._starts[start.number] = self._of[server] = start
            server.data = start.backend
            for holder in one.holders:
                if not start.ready:
                    self._early[server] = holder
                holder.granted(server)
            asked = self._spawner.adopt(start.number)
            waited_for.append(
                asked.addCallbacks(
                    self._adopted,
                    self._not_adopted,
                    callbackArgs=(start,),
                    errbackArgs=(start,),
                )
            )
        self._carry_out(orders)
        return gatherResults(waited_for).addCallback(lambda _: None)

    def _adopted(self, descriptors: tuple[int, ...], start: AdoptedStart) -> None:
        if start.number not in self._starts:
            channel.close(list(descriptors))
            return
        server = start.server
        start.adopt(descriptors, self._now_ready, self._foreign)
        server.data = start.backend
        if not start.unreachable:  # else they ask again once it has gone
            self._carry_out([Grant(waiter, server) for waiter in self._take_too_soon(server)])
        # it may have accepted all that came before, of which nothing is left to see
        self._started(start, probe=not start.was_connected)

    def _take_too_soon(self, server: Server) -> list[Waiter]:
        waiters = [waiter for waiter, its in self._too_soon.items() if its is server]
        for waiter in waiters:
            del self._too_soon[waiter]
        return waiters

    def _not_adopted(self, failure: Failure, start: AdoptedStart) -> None:
        """It has gone, which the spawner tells; or there was no room for its descriptors."""
        failure.trap(LookupError, SpawnerLost)
        if start.number not in self._starts:
            return
        start.cannot_be_reached()
        start.server.data = start.backend
        if not str(failure.value):
            self._journal.no_room(start)
            self._spawner.signal(start.number, "KILL")

    # -- facts

    def spawner_started(self, server: int, pid: int, output: int, notify: int) -> None:
        """See process.client.Listener."""
        if server in self.crew:
            self.crew.started(server, pid, output, notify)
            return
        start = self._starts.get(server)
        if start is None:
            channel.close([output, notify])
            return
        start.started(pid, output, notify, self._now_ready, self._foreign)
        self._started(start)

    def _started(self, start: Start, *, probe: bool = False) -> None:
        server, early = start.server, start.takes_early
        self._carry_out(self._policy.started(server, self._clock(), early=early))
        if early and not server.leases and (probe or self._policy.is_for_nobody(server)):
            start.probe()

    def spawner_running(self, running: wire.Running) -> None:
        """See process.client.Listener."""
        if running.server in self.crew:
            self.crew.running(running)
            return
        start = self._starts.get(running.server)
        if start is None:
            return
        start.pid = running.pid or start.pid
        if start.uid is None:  # else it was said by whoever had the server before
            self._journal.running(start, running)
            self.crew.preloads.runs(first_of(start.server.site), running)
        start.running(running.uid, running.argv)

    def spawner_failed(self, server: int, message: str, overloaded: bool) -> None:
        """See process.client.Listener."""
        if server in self.crew:
            self.crew.failed(server, message, overloaded)
            return
        start = self._ended(server)
        if start is None:
            return
        self._journal.failed(start, message)
        refused = Refused(503, message, RETRY_AFTER) if overloaded else Refused(502, message)
        self._withdraw(start.server, refused)
        now = self._clock()
        orders = self._policy.failed(start.server, now, message, overloaded=overloaded)
        self._gone(start.server, orders)

    def spawner_exited(self, exited: wire.Exited) -> None:
        """See process.client.Listener."""
        if exited.server in self.crew:
            self.crew.exited(exited)
            self.spawner_weighed({})  # what it took is free
            return
        start = self._starts.get(exited.server)
        if start is None:
            return
        taken = start.port_taken()
        self._ended(exited.server)
        server, now = start.server, self._clock()
        starting = server.state is State.STARTING
        if starting and (start.foreign or taken) and start.tries < _PORT_TRIES:
            self._journal.other_port(start, start.foreign or taken)
            self._spawn(server, start.tries + 1)
            return
        if start.ready and start.signalled_at is not None and not start.killed:
            self.stop_commands.ended(first_of(server.site), exited.server)
        broken = server.state is State.READY and broke(exited.code, now - server.ready_at)
        detail = self._journal.exited(start, exited, now, broke=broken)
        if starting:
            self._withdraw(server, Refused(502, detail))
        self._early.pop(server, None)
        clean = exited.code == 0 and exited.left is None
        self._gone(server, self._policy.exited(server, now, detail, broke=broken, clean=clean))

    def spawner_not_stopped(self, failed: wire.NotStopped) -> None:
        """See process.client.Listener."""
        start = self._starts.get(failed.server)
        if start is None:
            return
        why = self._journal.not_stopped(start, failed)
        if failed.current:
            self.stop_commands.failed(first_of(start.server.site), failed.server, why)

    def spawner_touched(self, touched: wire.Touched) -> None:
        """See process.client.Listener."""
        if touched.server in self.crew:
            self.crew.touched(touched)
            return
        start = self._starts.get(touched.server)
        # Of one that is on its way out, or only comes, the folder is another's to look at.
        if start is not None and self._policy.server(start.server.site) is start.server:
            self._journal.touched(start, touched.what)
            self._carry_out(self._policy.changed(start.server.site, self._clock()))

    def spawner_hibernated(self, fact: wire.Hibernated) -> None:
        """See process.client.Listener."""
        start = self._starts.get(fact.server)
        if start is None:
            return
        if fact.message:
            self._journal.does_not_hibernate(start, fact.message)
            now = self._clock()
            self._carry_out(self._policy.does_not_hibernate(start.server, now))
        elif self._policy.hibernates(start.server):
            if fact.memory is not None:
                self.spawner_weighed({fact.server: fact.memory})
            self._journal.hibernates(start)

    def spawner_weighed(self, sizes: Mapping[int, int]) -> None:
        """See process.client.Listener."""
        known = {
            start.server: size
            for number, size in sizes.items()
            if (start := self._starts.get(number)) is not None
        }
        self.crew.weighed(sizes)
        now = self._clock()
        self._carry_out(self._policy.weighed(known, now, self.crew.memory))
        if known:
            self._policy.reuse(now)  # takes note of uses, once a minute or oftener

    def _gone(self, server: Server, orders: Sequence[Order]) -> None:
        self._carry_out(orders)
        for waiter in self._take_too_soon(server):  # which asks again
            self._carry_out(self._policy.requested(server.site, waiter, self._clock()))
        self.crew.moved(first_of(server.site))
        self._check_empty()

    def spawner_lost(self, reason: str) -> None:
        """See process.client.Listener."""
        self.lost.callback(reason)

    def _ended(self, number: int) -> Start | None:
        start = self._starts.pop(number, None)
        if start is not None:
            self._of.pop(start.server, None)
            self._ask_no_more(start.server)
            self.crew.preloads.gone(number)
            start.close()
        return start

    def _now_ready(self, server: Server) -> None:
        start = self._of.get(server)
        if start is None or server.state is not State.STARTING:
            return
        start.is_ready()
        # For whoever adopts it after a crash of ours.
        address = "" if start.backend is None else start.backend.address
        self._spawner.is_ready(start.number, ipv6=address[:1] == ("::1",))
        self._early.pop(server, None)
        server.data = start.backend
        now = self._clock()
        # Said when the first request has gone on its way, which has waited long enough.
        self._reactor.callLater(0, self._journal.ready, start, now - server.started_at)
        self._carry_out(self._policy.ready(server, now))
        self.crew.moved(first_of(server.site))
        self._note_said(server)

    def _heard(self, server: Server, state: Mapping[str, str]) -> None:
        """A server says something of itself; that it is ready, its Readiness tells."""
        now, policy = self._clock(), self._policy
        start = self._of.get(server)
        if start is not None and state.get("READY") == "1":
            start.says_ready = True
        time, work = more_time(state), has_work(state)
        if time is not None:
            policy.extend(server, time, now)
        if work is not None:
            self._carry_out(policy.busy(server, now) if work else policy.busy_no_more(server, now))
        elif time is not None:
            self._carry_out(())  # which looks at the deadline
        self._note_said(server)

    def _note_said(self, server: Server) -> None:
        """Tells the spawner what is new of that, for whoever adopts the server."""
        start = self._of.get(server)
        if start is None:
            return
        said = self._policy.said(server)._replace(ready=start.says_ready)
        if start.said != said:
            start.said = said
            self._spawner.has_said(start.number, said)

    def _foreign(self, server: Server, who: str) -> None:
        """Somebody else listens on the port that was chosen: on to the next one."""
        start = self._of.get(server)
        if start is not None:
            start.foreign, start.killed = who, True
            self._spawner.signal(start.number, "KILL")
