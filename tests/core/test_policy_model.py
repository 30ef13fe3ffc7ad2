"""The policy against a small model: plain lists, scanned whole each time."""

from __future__ import annotations

from collections import Counter
from math import inf, log

import attrs
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from luisito.core.adoption import CHANGED, UNSEEN, Known
from luisito.core.asking import AGAIN as ASK_AGAIN
from luisito.core.cost import RETURNS, UNKNOWN_START
from luisito.core.ending import SOON
from luisito.core.keeping import NEVER_ENDED
from luisito.core.lifecycle import Server, State
from luisito.core.memory import FIRST_GUESS
from luisito.core.orders import (
    AskToStop,
    EndStreams,
    Exceeds,
    Grant,
    Kill,
    Limits,
    Refusal,
    Refuse,
    SiteLimits,
    Spawn,
    Terminate,
)
from luisito.core.policy import Policy
from luisito.core.streams import GLANCE
from luisito.core.uses import HALF_LIFE
from luisito.core.wear import AGAIN, JITTER, LOOK

ALIVE = {State.STARTING, State.READY, State.DRAINING}
HOLDING = [State.STARTING, State.READY, State.DRAINING, State.STOPPING]
ROOM = "room was needed for "
SITES = [f"s{n}" for n in range(6)]
LIMITS = st.builds(
    Limits,
    max_servers=st.integers(1, 5),
    max_memory=st.sampled_from([None, None, 20, 100, 300]),
    policy=st.sampled_from(["lru", "cost"]),
    overlap=st.integers(0, 3),
    max_rolling=st.integers(1, 2),
    max_starting=st.integers(1, 5),
    queue_limit=st.integers(1, 5),
    queue_total=st.integers(3, 12),
    queue_share=st.sampled_from([1.0, 0.5, 0.1]),
    queue_timeout=st.sampled_from([45.0, 5.0, 0.0]),
    start_timeout=st.sampled_from([60.0, 4.0]),
    stop_timeout=st.sampled_from([10.0, 1.0]),
    idle_timeout=st.sampled_from([None, 30.0, 3.0]),
    min_alive=st.sampled_from([0.0, 2.0, 8.0]),
    stream_idle=st.sampled_from([2.0, 1.0, 6.0, None]),
    abandon_grace=st.sampled_from([5.0, 0.0]),
    busy_max=st.sampled_from([600.0, 3.0, 0.0]),
)
OWN = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "queue_limit": st.integers(1, 5),
        "queue_timeout": st.sampled_from([30.0, 2.0, 0.0]),
        "start_timeout": st.sampled_from([50.0, 2.0]),
        "stop_timeout": st.sampled_from([7.0, 0.5]),
        "idle_timeout": st.sampled_from([None, 20.0, 1.0]),
        "min_alive": st.sampled_from([0.0, 1.0, 6.0]),
        "stream_idle": st.sampled_from([None, 1.0, 4.0]),
        "max_requests": st.sampled_from([None, 1, 3]),
        "max_age": st.sampled_from([None, 2.0, 9.0]),
        "busy_max": st.sampled_from([2.0, 50.0]),
        "pre_stop": st.sampled_from(["/may-i", None]),
    },
)


@attrs.define(eq=False)
class Stream:
    """A lease of an event stream or a tunnel."""

    active: float

    def active_at(self, now):
        return self.active


@attrs.define(eq=False)
class Process:
    """What the model knows of a server: only what it was told."""

    server: Server
    spawned: float
    limits: SiteLimits
    looked_at: float = 0.0  # until then it is not overdue, having been adopted
    state: State = State.STARTING
    leases: int = 0
    used: float = 0.0
    touched: float = 0.0  # the last release, of a lease that was no use too
    ready: float = 0.0
    early: bool = False
    signalled: float = 0.0  # the last TERM or KILL
    abandoned: float | None = None  # since when it starts for nobody
    streams: list[Stream] = attrs.Factory(list)
    ending: bool = False  # its streams are to be ended for room
    beside: bool = False  # it starts to replace a server that is ready
    promoted: bool = False  # it did, and that has died: it was not started within max_starting
    look: float = inf  # when it is seen whether it has done enough
    told: bool = False  # it has said that it is busy, and not that it is no more
    own: float | None = None  # it holds a lease on itself until then
    asked: float | None = None  # how it was used last when it was asked whether it may be stopped
    asked_for_room: bool = False
    not_yet: float | None = None  # until when it has asked for time
    row: tuple[float, float, float] | None = None  # the first such answer; the last; used
    asked_later: bool = False  # it is asked when it has no lease any more
    agreed: bool = False  # it has just answered that it may be stopped
    extended: float = 0.0  # until when it has put off its timeout
    killed: bool = False
    memory: int | None = None  # bytes, as measured last
    charge: int = 0  # bytes that it counts with
    surplus: bool = False  # it is, or it was replaced, or it was to replace one


@attrs.define(eq=False)
class Waiter:
    """A request that has no answer yet."""

    name: int
    site: str
    since: float
    until: float


class PoolMachine(RuleBasedStateMachine):
    """Tells both the same facts, and judges each order by the model's own lists."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.processes: list[Process] = []
        self.waiters: list[Waiter] = []  # in the order of their turns
        self.answers: Counter[int] = Counter()
        self.cancelled: set[int] = set()
        self.names = 0
        self.failed_at: dict[str, float] = {}
        self.closing = False
        self.steps = 0
        self.took: dict[str, int] = {}  # what each site's server took when it was measured last
        self.outgrown: set[Server] = set()
        self.workers = 0  # bytes that these take
        self.over = (0, 0, 0, 0, 0)  # servers that were adopted beyond the bounds
        self.uses: Counter[str] = Counter()  # of each site

    @initialize(limits=LIMITS, jitter=st.floats(0, 1))
    def begin(self, limits, jitter):
        self.limits = limits
        self.own: dict[str, dict[str, float]] = {}
        self.rolls: dict[str, float] = {}  # sites that are to roll, and not before when
        self.pinned: set[str] = set()
        self.closed: set[str] = set()  # sites that are down for maintenance
        self.kept: dict[str, bool] = {}  # sites that are kept up; whether only after failures
        self.resting: set[str] = set()  # of these, those that have ended, or were stopped
        self.jitter = jitter
        self.policy = Policy(limits, lambda: jitter)
        assert self.policy.adopt([], self.now) == ([], [])

    # The model

    def some(self, *states):
        return [p for p in self.processes if p.state in states]

    def of(self, server):
        return next(p for p in self.processes if p.server is server)

    def current(self, site):
        found = [p for p in self.serving() if p.server.site == site and not p.beside]
        assert len(found) <= 1, "two servers for one site"
        return found[0] if found else None

    def beside(self, site):
        found = [p for p in self.some(State.STARTING) if p.server.site == site and p.beside]
        assert len(found) <= 1, "two new servers for one site"
        return found[0] if found else None

    def serving(self):
        return self.some(State.STARTING, State.READY)

    def limits_of(self, site):
        kept = NEVER_ENDED if site in self.pinned or site in self.kept else {}
        return self.limits.of_site(**(self.own.get(site, {}) | kept))

    def queue(self, site):
        return [w for w in self.waiters if w.site == site]

    def parked(self):
        return [w for w in self.waiters if self.current(w.site) is None]

    def idle(self):
        return sorted((p for p in self.some(State.READY) if not p.leases), key=lambda p: p.used)

    def unused(self):
        return [p for p in self.some(State.STARTING, State.READY) if not p.leases]

    def victims(self):
        return [p for p in self.idle() if p.ready + p.limits.min_alive <= self.now]

    def abandoned(self):
        starting = [p for p in self.some(State.STARTING) if not p.beside]
        for_nobody = [p for p in starting if not p.leases and not self.queue(p.server.site)]
        return [p for p in for_nobody if p.server.site not in self.kept]

    def absent(self):
        """Tell which sites that are kept up have no server."""
        return [site for site in self.kept if self.current(site) is None]

    def is_never_ended(self, process):
        return process.limits.min_alive == inf

    def waits_for_room(self, site):
        """Tell whether a site may be the next to start."""
        if site in self.kept:
            return self.current(site) is None and site not in self.resting
        return bool(self.parked()) and self.parked()[0].site == site

    def next(self):
        """Tell which site is the next to start, once all orders were obeyed."""
        kept = self.policy._keeping.first()
        return kept or (self.parked()[0].site if self.parked() else None)

    def ripe_at(self, process):
        """Tell when all that keeps a server will have been streams silent for long enough."""
        limits = process.limits
        keeps = process.state in {State.READY, State.DRAINING} and not process.ending
        if not keeps or not process.streams or limits.stream_idle is None:
            return None
        if process.leases > len(process.streams):
            return None
        silent = max(stream.active for stream in process.streams) + limits.stream_idle
        return max(silent, process.ready + limits.min_alive)

    def ripe(self):
        found = [(self.ripe_at(p), p) for p in self.processes]
        return [p for at, p in found if at is not None and at <= self.now]

    def ending(self):
        return [p for p in self.some(State.DRAINING) if p.ending]

    def coming(self):
        """Tell which servers are about to make room."""
        return self.ending() + [p for p in self.processes if p.asked_for_room]

    def is_asked_first(self, process):
        """Tell whether a server may not be stopped without being asked."""
        if process.limits.pre_stop is None or process.agreed or self.closing:
            return False
        first, last, used = process.row or (0.0, -100.0, None)
        in_a_row = used == process.used and self.now <= last + ASK_AGAIN
        return not in_a_row or self.now < first + process.limits.busy_max

    def excuse(self, process):
        """One goes without being asked, or what it has answered is forgotten."""
        if process.asked is not None or process.not_yet is not None:
            process.leases -= 1
        process.asked = process.not_yet = process.row = None
        process.asked_for_room = process.asked_later = False

    def room(self, site):
        """Tell whether the pool is full, whether starts are, and whether one more fits at all.

        Places that are held by sites that are kept up are full for all others.
        """
        limits, alive = self.limits, len(self.some(*ALIVE))
        total, surplus = len(self.some(*HOLDING)), [p for p in self.some(*HOLDING) if p.surplus]
        fits = total - min(len(surplus), limits.max_rolling) < limits.max_servers + limits.overlap
        starting = [p for p in self.some(State.STARTING) if not p.beside]
        full = alive - self.surplus() + self.held(site) >= limits.max_servers
        return full, len(starting) >= limits.max_starting, fits

    def held(self, site):
        return 0 if site in self.kept else len(self.absent())

    def would_take_a_place(self, site):
        """Tell whether a start would take one that is held, until others are reaped."""
        limits, living = self.limits, self.some(*HOLDING)
        surplus = min(len([p for p in living if p.surplus]), limits.max_rolling)
        return len(living) - surplus + self.held(site) >= limits.max_servers + limits.overlap

    def memory(self, *states):
        return sum(process.charge for process in self.some(*states))

    def weigh(self, process, size):
        process.memory = size
        if process.state in {State.READY, State.DRAINING}:
            process.charge = self.took[process.server.site] = size
        else:
            process.charge = max(process.charge, size)

    def expected(self, site):
        sizes = sorted(self.took.values())
        return self.took.get(site, sizes[len(sizes) // 2] if sizes else FIRST_GUESS)

    def left(self):
        """Tell what of max_memory workers leave."""
        limit = self.limits.max_memory
        return None if limit is None else max(0, limit - self.workers)

    def short(self, site, *states):
        """Tell whether a start would be too much for max_memory, beside those in some states."""
        limit = self.left()
        if limit is None:
            return False
        return self.memory(*states) + min(self.expected(site), limit) > limit

    def lacks(self, site):
        """Tell whether a site needs memory that others must give up."""
        return self.short(site, *ALIVE)

    def awaits(self, site):
        """Tell whether it needs some of those that are on their way out."""
        several = len(self.some(State.STOPPING)) > self.limits.overlap
        return several and self.short(site, *HOLDING)

    def surplus(self):
        return min(len([p for p in self.some(*ALIVE) if p.surplus]), self.limits.max_rolling)

    def may_roll(self):
        limits, alive = self.limits, len(self.some(*ALIVE))
        unfinished = [p for p in self.some(State.STARTING) if p.beside]
        unfinished += [p for p in self.some(State.STOPPING) if p.surplus]
        bound = limits.max_servers + limits.max_rolling
        fits = alive < bound and len(self.some(*HOLDING)) < bound + limits.overlap
        return fits and len(unfinished) < limits.max_rolling

    def turns(self):
        """Tell which sites may roll now."""
        return [site for site, at in self.rolls.items() if at <= self.now and self.awake(site)]

    def old_at(self, process):
        share = 1.0 - JITTER * self.jitter
        return process.ready + share * (process.limits.max_age or inf)

    def look_later(self, process, now):
        asked = process.limits.max_requests is not None
        process.look = min(self.old_at(process), now + LOOK if asked else inf)

    def wear(self):
        """Let those roll that have done enough."""
        share = 1.0 - JITTER * self.jitter
        for process in self.some(State.READY):
            if process.look > self.now:
                continue
            most = share * (process.limits.max_requests or inf)
            if self.old_at(process) > self.now and process.server.released < most:
                self.look_later(process, self.now)
                continue
            process.look = self.now + AGAIN
            site = process.server.site
            beside = self.beside(site)
            if beside is None or self.times_out(beside) <= self.now:  # it is given up just now
                self.rolls.setdefault(site, max(self.now, self.backs_off_until(site)))

    def backs_off_until(self, site):
        return max([f.until for f in self.policy.failures() if f.site == site], default=0.0)

    def awake(self, site):
        process = self.current(site)
        return process is not None and process.state is State.READY

    # Orders are judged and carried out one by one.

    def obey(self, orders, *refusals):
        for order in orders:
            self.judge(order, *refusals)
        self.settle()

    def judge(self, order, *refusals):
        match order:
            case Spawn():
                self.obey_spawn(order.server)
            case Terminate():
                self.obey_terminate(order)
            case AskToStop():
                self.obey_ask(order)
            case EndStreams():
                self.obey_end_streams(order)
            case Kill():
                process = self.of(order.server)
                assert process.state is State.STOPPING
                assert self.times_out(process) <= self.now
                process.signalled, process.killed, process.extended = self.now, True, 0.0
            case Exceeds():
                assert self.of(order.server).memory > self.limits.max_memory
                assert order.server not in self.outgrown, "said before"
                self.outgrown.add(order.server)
            case Grant():
                self.obey_grant(order)
            case Refuse():
                assert order.refusal in refusals
                assert order.refusal is Refusal.NO_SITE or order.retry_after > 0
                if order.refusal is Refusal.QUEUE_TIMEOUT:
                    waiter = next(w for w in self.waiters if w.name == order.waiter)
                    assert waiter in self.parked(), "its server is being started"
                    assert waiter.until <= self.now
                self.answer(order.waiter)

    def obey_spawn(self, server):
        process = Process(server, self.now, self.limits_of(server.site))
        process.charge = self.expected(server.site)
        assert server.site not in self.closed, "it is down for maintenance"
        if self.awake(server.site):
            assert server.site in self.turns(), "nothing has changed"
            assert self.beside(server.site) is None
            assert self.rolls[server.site] == min(self.rolls[site] for site in self.turns())
            assert self.may_roll(), "no room"
            process.beside = process.surplus = True
            del self.rolls[server.site]
        else:
            assert self.waits_for_room(server.site), "nobody asked for it, or others did before"
            assert self.room(server.site) == (False, False, True), "no room"
            assert not self.would_take_a_place(server.site), "a place that is held"
            assert not self.lacks(server.site), "no memory"
            assert not self.awaits(server.site), "no memory yet"
        self.processes.append(process)

    def obey_terminate(self, order):
        process = self.of(order.server)
        site = process.server.site
        assert process.state in ALIVE
        if process.beside and not order.reason.startswith(("not ready", "MAX_SERVERS")):
            changed = site in self.rolls and order.reason == CHANGED
            ends = changed or order.reason == "shutting down" or not self.awake(site)
            assert ends, "its time was not over"
        elif process.state is State.DRAINING:
            assert not process.leases or order.reason == "shutting down", "in flight"
            assert not process.asked_later or not self.is_asked_first(process), "not asked"
        elif order.reason.startswith((ROOM, "unused", "all take")):
            if process.state is State.READY:
                assert not self.is_asked_first(process), "not asked"
            self.may_go(process, order)
        elif order.reason.startswith("not ready"):
            assert process.state is State.STARTING
            assert self.times_out(process) <= self.now
            assert not self.queue(site)
            self.failed_at[site] = self.now
        elif order.reason.startswith("nobody"):
            assert process in self.abandoned()
            assert process.abandoned + self.limits.abandon_grace <= self.now
        elif order.reason.startswith("MAX_SERVERS"):
            if process.beside and not self.awake(site):
                self.is_told_to_stop(process)
                return
            assert len(self.some(*ALIVE)) - self.surplus() > self.limits.max_servers
            never = self.is_never_ended(process)
            others = [p for p in self.serving() if not self.is_never_ended(p)]
            gone = [p for p in others if p.server.state is State.DRAINING]
            assert not never or gone == others, "it goes last"
            serving = [p for p in self.serving() if self.is_never_ended(p) == never]
            unused = [p for p in self.unused() if not self.queue(p.server.site) and p in serving]
            assert process in unused or not unused, "somebody waits for it"
            assert process.used == min(
                p.used for p in unused or serving if p in unused or not p.leases
            ), "not the least recently used"
            self.park_again(process)
        self.is_told_to_stop(process)
        process.ending = False

    def obey_ask(self, order):
        """A server is asked in place of being stopped."""
        process = self.of(order.server)
        assert self.is_asked_first(process)
        assert not process.leases
        if process.state is State.READY:
            self.may_go(process, order)
            process.asked_for_room = not order.reason.startswith("unused")
        else:
            assert process.state is State.DRAINING
            assert process.asked_later
        process.leases, process.asked = 1, process.used

    def may_go(self, process, order):
        """Judge whether a server may be stopped for room or because it is unused."""
        if order.reason.startswith(ROOM):
            wanted_by = order.reason.removeprefix(ROOM)
            full, crowded, fits = self.room(wanted_by)
            assert self.waits_for_room(wanted_by), "evicted for nobody"
            assert full or crowded or self.lacks(wanted_by), "evicted though there was room"
            assert fits or (full and not self.limits.overlap), "evicted for no use yet"
            assert not self.coming(), "evicted though room was about to come"
            if process.state is State.READY:
                assert not crowded, "evicted for a start that may not begin"
                assert process in self.victims()
                assert not self.is_never_ended(process)
                self.assert_goes_first(process)
            else:
                assert process in self.abandoned()
                assert crowded or not self.victims()
        elif order.reason.startswith("unused"):
            assert process in self.idle()
            assert process.used + process.limits.idle_timeout <= self.now
        else:
            assert not self.coming(), "evicted though room was about to come"
            assert self.memory(*ALIVE) > self.left()
            assert len(self.some(*ALIVE)) > 1, "the last one"
            assert process in self.victims()
            self.assert_goes_first(process)

    def assert_goes_first(self, process):
        """The least recently used one goes, or the one that is worth least."""
        if self.limits.policy == "lru":
            assert process.used == self.victims()[0].used, "not the least recently used"
            return
        least = min(self.worth(p, self.uses[p.server.site]) for p in self.victims())
        assert self.worth(process, 0) <= least * (1 + 1e-9), "not the cheapest"

    def worth(self, process, uses):
        """Tell what it is worth to keep it, if so many uses of its site count in full."""
        rate = uses * log(2) / HALF_LIFE + RETURNS / (1 + self.now - process.used)
        seconds = process.ready - process.spawned or UNKNOWN_START
        size = 1.0 if self.limits.max_memory is None else process.charge / 2**20
        return rate * seconds / size

    def is_told_to_stop(self, process):
        process.state, process.signalled = State.STOPPING, self.now
        process.extended, process.killed = 0.0, False
        self.let_go(process)
        self.excuse(process)
        process.told = False

    def times_out(self, process):
        """Tell when a server that starts is given up, or one that stops is killed."""
        looked_at = process.looked_at if process.state is State.STARTING else 0.0
        return max(self.usually(process), process.extended, looked_at)

    @staticmethod
    def usually(process):
        if process.state is State.STARTING:
            return process.spawned + process.limits.start_timeout
        return process.signalled + process.limits.stop_timeout

    def extend(self, process, until):
        usual = self.usually(process)
        process.extended = min(max(usual, until), usual + process.limits.busy_max)

    def hold(self, process, until):
        if until > self.now:
            process.own = until
            process.leases += 1

    def let_go(self, process):
        if process.own is not None:
            process.own = None
            process.leases -= 1

    def obey_end_streams(self, order):
        """Streams end for room alone, and only where nothing else can make it."""
        process = self.of(order.server)
        full, crowded, fits = self.room(order.wanted_by)
        assert self.waits_for_room(order.wanted_by)
        assert not self.is_never_ended(process)
        assert full or self.lacks(order.wanted_by)
        assert not crowded
        assert fits or (full and not self.limits.overlap)
        assert not self.victims(), "an idle server would do"
        assert not self.abandoned(), "an abandoned start would do"
        assert not self.coming(), "one at a time"
        assert set(order.streams) == set(process.streams)
        assert process in self.ripe(), "not silent, or not alone"
        assert self.last_activity(process) == min(map(self.last_activity, self.ripe()))
        process.state, process.ending, process.asked_later = State.DRAINING, True, False

    @staticmethod
    def last_activity(process):
        return max(process.used, *(stream.active for stream in process.streams))

    def obey_grant(self, order):
        process = self.of(order.server)
        assert self.queue(process.server.site)[0].name == order.waiter, "out of turn"
        assert process is self.current(process.server.site), "it serves no more, or not yet"
        if process.state is State.STARTING:
            assert process.early
            assert not process.leases
        else:
            assert process.state is State.READY
        process.leases += 1
        process.used = self.now
        self.answer(order.waiter)

    def answer(self, name):
        self.answers[name] += 1
        self.waiters = [w for w in self.waiters if w.name != name]

    @staticmethod
    def seen_at(process):
        """Tell when it is looked at again that had other leases than of streams a moment ago."""
        return max(process.used, process.touched) + GLANCE

    def settle(self):
        """Hold what must be true after each fact."""
        self.steps += 1
        self.rolls = {site: at for site, at in self.rolls.items() if self.awake(site)}
        assert not (self.turns() and self.may_roll()), "a roll that could begin waits"
        for site in SITES:
            assert self.beside(site) is None or self.awake(site), "beside nobody"
            assert site not in self.policy.unreplaced or self.awake(site), "an old one that is none"
        for process in self.processes:
            if process not in self.abandoned():
                process.abandoned = None
            elif process.abandoned is None:
                process.abandoned = self.now
        self.settle_kept()
        site = self.next()
        if site is not None:
            full, crowded, fits = self.room(site)
            blocked = full or crowded or self.lacks(site)
            waits = self.would_take_a_place(site) or self.awaits(site)
            assert blocked or waits, "a start that could begin waits"
            if blocked and (fits or (full and not self.limits.overlap)) and not self.coming():
                assert crowded or not self.victims(), "a victim was spared"
                assert not self.abandoned(), "an abandoned start was spared"
                if not crowded:
                    ripe = [max(self.ripe_at(p), self.seen_at(p)) for p in self.ripe()]
                    assert all(at > self.now for at in ripe), "silent streams were spared"
        for process in self.some(State.STARTING):
            if process.early and self.queue(process.server.site):
                assert process.leases, "the early lease lies idle"
        for process in self.some(State.READY):
            assert not self.queue(process.server.site), "somebody waits for a ready server"

    def settle_kept(self):
        """What is kept up and has no server is started now, or after a while, unless it rests."""
        turns, absent = self.policy._keeping.turns, set(self.absent())
        self.resting &= absent
        awaited = set() if self.closing else absent - self.resting
        assert {*turns.pending, *turns.delayed} == awaited
        assert self.closing or self.policy._keeping.absent == absent
        assert turns.delayed.first() <= self.now + 60 or not len(turns.delayed)

    def assert_nothing_is_overdue(self):
        limits, now = self.limits, self.now
        assert all(w.until > now for w in self.parked())
        assert all(self.times_out(p) > now for p in self.some(State.STARTING, State.STOPPING))
        assert all(p.own is None or p.own > now for p in self.processes)
        assert all(p.not_yet is None or p.not_yet > now for p in self.processes)
        assert all(p.abandoned + limits.abandon_grace > now for p in self.abandoned())
        assert all(p.used + (p.limits.idle_timeout or inf) > now for p in self.idle())
        assert all(p.look > now for p in self.some(State.READY))

    # Facts

    @rule(seconds=st.sampled_from([0.5, 0.5, 1.0, 1.0, 2.0, 3.0, 7.0, 31.0]))
    def pass_time(self, seconds):
        """Tick when the deadline says so, and only then: it must never be late."""
        until = self.now + seconds
        for _ in range(5000):
            due = self.policy.deadline()
            if due is None or due > until:
                break
            self.now = max(self.now, due)
            self.tick()
            due = self.policy.deadline()
            assert due is None or due > self.now
        else:
            raise AssertionError("the deadline does not move on")
        self.now = until
        self.assert_nothing_is_overdue()
        self.settle()

    @rule()
    def tick(self):
        for process in self.some(*HOLDING):
            if process.own is not None and process.own <= self.now:
                self.let_go(process)
            if process.not_yet is not None and process.not_yet <= self.now:
                process.not_yet, process.touched = None, self.now
                process.leases -= 1
        orders = self.policy.tick(self.now)
        self.wear()
        self.obey(orders, Refusal.QUEUE_TIMEOUT, Refusal.START_TIMEOUT)

    @rule(sites=st.lists(st.sampled_from(SITES), min_size=1, max_size=6), asks_first=st.booleans())
    def request(self, sites, asks_first):
        for site in sites:
            self.request_one(site, asks_first)

    def request_one(self, site, asks_first):
        process = self.current(site)
        awake = process is not None and process.state is State.READY
        if asks_first:
            server = self.policy.take(site)
            assert (server is not None) == awake
            if awake:
                assert server is process.server
                process.leases += 1
                return
        self.names += 1
        self.wait(self.names, site)

    def wait(self, name, site):
        process, awake = self.current(site), self.awake(site)
        failed_at = self.failed_at.get(site, -1000.0)
        share = max(1, int(self.limits.queue_total * self.limits.queue_share))
        full = (
            len(self.queue(site)) >= min(self.limits_of(site).queue_limit, share)
            or len(self.waiters) >= self.limits.queue_total
        )
        first = process is None and not self.queue(site)
        asleep = self.policy.asleep(site, self.now)
        self.waiters.append(Waiter(name, site, 0.0, 0.0))
        self.wait_since(self.waiters[-1], self.now)
        orders = self.policy.requested(site, name, self.now)
        backs_off = any(
            isinstance(o, Refuse) and o.refusal is Refusal.BACKING_OFF for o in orders[:1]
        )
        closed = site in self.closed
        assert self.closing or closed or asleep == (first and not backs_off)
        if self.closing:
            assert [o.refusal for o in orders] == [Refusal.SHUTTING_DOWN]
            self.answer(name)
        elif closed:
            assert [o.refusal for o in orders] == [Refusal.MAINTENANCE]
            self.obey(orders, Refusal.MAINTENANCE)
        elif awake:
            assert orders == [Grant(name, process.server)]
            self.obey(orders)
        elif orders and isinstance(orders[0], Refuse) and orders[0].waiter == name:
            assert len(orders) == 1
            if orders[0].refusal is Refusal.BACKING_OFF:
                assert process is None
                assert 0 < orders[0].retry_after <= failed_at + 60 - self.now
                self.answer(name)
            else:
                assert full
                assert orders[0].refusal is Refusal.QUEUE_FULL
                self.answer(name)
        else:
            assert not full
            assert process or self.now >= failed_at + 0.5, "a failure without back-off"
            self.resting.discard(site)
            self.obey(orders)

    def wait_since(self, waiter, since):
        waiter.since, waiter.until = since, since + self.limits_of(waiter.site).queue_timeout

    @precondition(lambda self: self.waiters)
    @rule(data=st.data())
    def cancel(self, data):
        waiter = data.draw(st.sampled_from(self.waiters))
        self.waiters.remove(waiter)
        self.cancelled.add(waiter.name)
        self.obey(self.policy.cancelled(waiter.name, self.now))

    @precondition(lambda self: self.some(*HOLDING))
    @rule(data=st.data())
    def weighed(self, data):
        """Some are measured, those that have gone by now among them."""
        sizes = data.draw(
            st.dictionaries(
                st.sampled_from(self.processes), st.sampled_from([1, 5, 30, 90, 150, 400])
            )
        )
        for process, size in sizes.items():
            if process.state in ALIVE:
                self.weigh(process, size)
        told = {process.server: size for process, size in sizes.items()}
        self.workers = data.draw(st.sampled_from([0, 0, 15, 80, 500]))
        self.obey(self.policy.weighed(told, self.now, self.workers))
        limit = self.limits.max_memory
        for process in sizes:
            if limit is not None and process.state in ALIVE and process.memory > limit:
                assert process.server in self.outgrown
        self.assert_memory_is_kept()

    def assert_memory_is_kept(self):
        limit = self.left()
        over = limit is not None and self.memory(*ALIVE) > limit and len(self.some(*ALIVE)) > 1
        if over and not self.coming():
            assert not self.victims(), "more than max_memory, and a victim was spared"

    @precondition(lambda self: self.some(State.STARTING))
    @rule(data=st.data(), early=st.booleans())
    def started(self, data, early):
        process = data.draw(st.sampled_from(self.some(State.STARTING)))
        process.early = process.early or early
        self.obey(self.policy.started(process.server, self.now, early=process.early))

    @precondition(lambda self: self.some(State.STARTING))
    @rule(data=st.data())
    def one_is_ready(self, data):
        self.ready(data.draw(st.sampled_from(self.some(State.STARTING))))

    @precondition(lambda self: self.some(State.STARTING))
    @rule()
    def all_are_ready(self):
        for process in self.some(State.STARTING):
            if process.state is State.STARTING:  # still: one may have been stopped for room
                self.ready(process)

    def ready(self, process):
        if process.beside:
            old = self.current(process.server.site)
            old.state, old.surplus = State.DRAINING, True
            old.asked_later = old.limits.pre_stop is not None
            process.beside = process.surplus = False
        process.state, process.ready, process.used = State.READY, self.now, self.now
        self.look_later(process, self.now)
        process.extended = 0.0
        if process.told:
            self.hold(process, self.now + process.limits.busy_max)
        orders = self.policy.ready(process.server, self.now)
        if self.closing:
            granted = [o for o in orders if isinstance(o, Grant) and o.server is process.server]
            self.waiters = [w for w in self.waiters if w.name not in {o.waiter for o in granted}]
            self.answers.update(o.waiter for o in granted)
            process.leases += len(granted)
            if process.leases:
                process.state = State.DRAINING
            orders = [o for o in orders if o not in granted]
        self.obey(orders)

    @precondition(lambda self: self.some(*HOLDING))
    @rule(data=st.data())
    def says_that_it_is_busy(self, data):
        process = data.draw(st.sampled_from(self.some(*HOLDING)))
        new = process.state is not State.STOPPING and not process.told
        if new and process.state is not State.STARTING:
            self.hold(process, self.now + process.limits.busy_max)
        process.told |= new
        self.obey(self.policy.busy(process.server, self.now))

    @rule()
    def all_are_busy(self):
        for process in self.some(State.READY):
            if not process.told:
                self.hold(process, self.now + process.limits.busy_max)
                process.told = True
            self.policy.busy(process.server, self.now)

    @precondition(lambda self: any(p.told for p in self.processes))
    @rule(data=st.data())
    def is_busy_no_more(self, data):
        process = data.draw(st.sampled_from([p for p in self.processes if p.told]))
        process.told = False
        self.let_go(process)
        self.obey(self.policy.busy_no_more(process.server, self.now))
        assert process.state is not State.DRAINING or process.leases

    @precondition(lambda self: any(p.asked is not None for p in self.processes))
    @rule(data=st.data(), not_yet=st.booleans())
    def one_answers(self, data, not_yet):
        """One that was asked whether it may be stopped."""
        asked = [p for p in self.processes if p.asked is not None]
        self.answers_that(data.draw(st.sampled_from(asked)), not_yet=not_yet)

    @precondition(lambda self: any(p.asked is not None for p in self.processes))
    @rule(not_yet=st.booleans())
    def all_answer(self, not_yet):
        """Those that are asked meanwhile, too."""
        while asked := [p for p in self.processes if p.asked is not None]:
            self.answers_that(asked[0], not_yet=not_yet)

    def answers_that(self, process, *, not_yet):
        used = process.leases > 1 or process.used != process.asked
        process.asked, process.asked_for_room = None, False
        first, last, used_then = process.row or (0.0, -100.0, None)
        if used_then != process.used or self.now > last + ASK_AGAIN:
            first = self.now
        until = min(self.now + ASK_AGAIN, first + process.limits.busy_max)
        if not_yet and not used and until > self.now:
            process.not_yet, process.row = until, (first, until, process.used)
        else:
            process.leases -= 1
            process.agreed, process.touched = not used, self.now
        self.obey(self.policy.may_stop(process.server, self.now, not_yet=not_yet))
        process.agreed = False
        assert process.state is not State.DRAINING or process.leases
        self.assert_memory_is_kept()

    @precondition(lambda self: self.some(*HOLDING))
    @rule(data=st.data(), seconds=st.sampled_from([0.0, 1.0, 5.0, 100.0]))
    def wants_more_time(self, data, seconds):
        process = data.draw(st.sampled_from(self.some(*HOLDING)))
        stops = process.state is State.STOPPING and not process.killed
        if stops or process.state is State.STARTING:
            self.extend(process, self.now + seconds)
        elif process.state is State.DRAINING:  # what it was given for its start is over
            process.extended = 0.0
        self.policy.extend(process.server, seconds, self.now)
        assert self.policy.said(process.server).extended == process.extended

    @precondition(lambda self: any(self.requests(p) for p in self.some(*HOLDING)))
    @rule(data=st.data())
    def release_one(self, data):
        busy = [p for p in self.some(*HOLDING) if self.requests(p)]
        self.release(data.draw(st.sampled_from(busy)), unnoticed=data.draw(st.booleans()))

    @staticmethod
    def requests(process):
        """Leases that are not its own."""
        asked = process.asked is not None or process.not_yet is not None
        return process.leases - (process.own is not None) - asked

    @rule(data=st.data())
    @precondition(lambda self: any(self.requests(p) > len(p.streams) for p in self.some(*HOLDING)))
    def streams(self, data):
        """A lease turns out to be of a stream; that of a server that starts, or ends, is none."""
        busy = [
            p for p in self.some(*HOLDING) if self.requests(p) > len(p.streams) and not p.ending
        ]
        if busy:
            self.begin_stream(data.draw(st.sampled_from(busy)))

    @rule()
    def all_stream(self):
        for process in self.some(State.READY, State.DRAINING):
            while self.requests(process) > len(process.streams) and not process.ending:
                self.begin_stream(process)

    @rule(
        sites=st.lists(st.sampled_from(SITES), min_size=3, max_size=6),
        seconds=st.sampled_from([0.5, 1.0, 2.0, 3.0, 7.0]),
        data=st.data(),
    )
    def all_stream_and_fall_silent(self, sites, seconds, data):
        """So many that some have to wait, but one site, which may have a request in flight."""
        self.request(sites, asks_first=True)
        self.all_are_ready()
        self.all_stream()
        if data.draw(st.booleans()):
            self.request(sites[:1], asks_first=True)
        for process in data.draw(st.permutations(self.some(State.READY)))[:3]:
            self.pass_time(0.5)
            for stream in process.streams:
                stream.active = self.now
        self.pass_time(seconds)

    def begin_stream(self, process):
        stream = Stream(self.now)
        if process.state in {State.READY, State.DRAINING}:
            process.streams.append(stream)
        self.policy.streamed(process.server, stream, self.now)

    @precondition(lambda self: any(p.streams for p in self.processes))
    @rule(data=st.data())
    def speak(self, data):
        """A byte goes by, of which nobody is told."""
        streams = [stream for p in self.processes for stream in p.streams]
        data.draw(st.sampled_from(streams)).active = self.now

    @precondition(lambda self: self.ending())
    @rule()
    def end_streams(self):
        """The order is carried out, perhaps not at once."""
        for process in self.ending():
            while self.requests(process):
                self.release(process)
            assert process.state is not State.DRAINING or process.leases

    @rule(data=st.data(), unnoticed=st.booleans())
    def release_all(self, data, unnoticed):
        """Nearly all: one may keep its leases."""
        busy = [p for p in self.some(*HOLDING) if self.requests(p)]
        spared = data.draw(st.sampled_from([None, *busy]))
        for process in data.draw(st.permutations(busy)):
            while self.requests(process) and process is not spared:
                self.release(process, unnoticed=unnoticed)

    @precondition(lambda self: not self.closing)
    @rule(sites=st.permutations(SITES), seconds=st.sampled_from([0.5, 1.0, 3.0]))
    def one_after_the_other(self, sites, seconds):
        """Each site is asked and answers before the next one is, and whoever is to go has gone."""
        for site in sites:
            self.request_one(site, asks_first=True)
            for process in self.some(State.STOPPING):
                self.exit_one(process, broke=False)
            self.pass_time(seconds)
            process = self.current(site)
            if process is not None and process.state is State.STARTING:
                self.ready(process)
            while process in self.some(State.READY) and self.requests(process):
                self.release(process)

    @rule(sites=st.lists(st.sampled_from(SITES), min_size=1, max_size=3), together=st.booleans())
    def look_at(self, sites, together):
        """Requests that are no use."""
        found = []
        for site in sites:
            if self.policy.take(site) is not None:
                found.append(self.current(site))
                found[-1].leases += 1
            if found and not together:
                self.release(found.pop(), unnoticed=True)
        for process in found:
            self.release(process, unnoticed=True)

    def release(self, process, *, unnoticed=False):
        if self.requests(process) == len(process.streams):
            self.policy.stream_over(process.server, process.streams.pop(0), self.now)
        process.leases -= 1
        process.touched = self.now
        if process.state in {State.STARTING, State.READY} and not unnoticed:
            self.uses[process.server.site] += 1
        if unnoticed:
            if process.state is not State.READY:
                process.used = self.now
            self.obey(self.policy.release_unnoticed(process.server, self.now))
        else:
            process.used = self.now
            self.obey(self.policy.release(process.server, self.now))
        assert process.state is not State.DRAINING or process.leases

    @precondition(lambda self: self.some(State.ABSENT, State.FAILED))
    @rule(data=st.data())
    def hear_of_the_dead(self, data):
        server = data.draw(st.sampled_from(self.some(State.ABSENT, State.FAILED))).server
        stream = Stream(self.now)
        self.policy.streamed(server, stream, self.now)
        self.policy.stream_over(server, stream, self.now)
        assert not self.policy.release(server, self.now)
        assert not self.policy.exited(server, self.now, "again")
        assert not self.policy.busy(server, self.now)
        self.policy.extend(server, 5.0, self.now)
        assert not self.policy.busy_no_more(server, self.now)
        assert not self.policy.may_stop(server, self.now, not_yet=True)
        assert not self.policy.ready(server, self.now)
        assert not self.policy.started(server, self.now, early=True)

    @precondition(lambda self: self.some(State.STOPPING) or self.steps % 4 == 0)
    @precondition(lambda self: self.some(*HOLDING))
    @rule(data=st.data())
    def exit(self, data):
        # Mostly those that were told to.
        stopping = self.some(State.STOPPING)
        pick = stopping if stopping and data.draw(st.integers(0, 3)) else self.some(*HOLDING)
        process = data.draw(st.sampled_from(pick))
        broke = data.draw(st.booleans()) and self.now - process.ready < SOON
        self.exit_one(process, broke=broke, clean=data.draw(st.booleans()))

    @precondition(lambda self: self.kept and self.steps % 2 == 0)
    @rule(sites=st.lists(st.sampled_from(SITES), max_size=6), broke=st.booleans())
    def what_is_kept_up_dies(self, sites, broke):
        """And others ask for room while its place is empty."""
        for site in self.kept:
            process = self.current(site)
            if process is not None:
                self.exit_one(process, broke=broke and self.now - process.ready < SOON)
        self.request(sites, asks_first=True)

    def exit_one(self, process, *, broke, clean=False):
        fails = process.state is State.STARTING or (broke and process.state is State.READY)
        site = process.server.site
        if clean and self.kept.get(site) and process in (self.current(site), self.beside(site)):
            self.resting.add(site)
        beside = self.beside(process.server.site)
        if beside is not None and process.state is State.READY:
            beside.beside = beside.surplus = False
            beside.promoted = True
        process.state = State.FAILED if fails else State.ABSENT
        self.excuse(process)
        process.leases, process.own, process.told = 0, None, False
        process.streams.clear()
        if fails:
            self.failed_at[process.server.site] = self.now
        orders = self.policy.exited(process.server, self.now, "gone", broke=broke, clean=clean)
        self.obey(orders, *([Refusal.START_FAILED] if fails else []))
        if fails:
            assert not self.queue(process.server.site)

    @precondition(lambda self: self.steps % 4 == 0 and self.some(State.STARTING))
    @rule(data=st.data(), overloaded=st.booleans())
    def fail(self, data, overloaded):
        process = data.draw(st.sampled_from(self.some(State.STARTING)))
        site = process.server.site
        process.state = State.FAILED
        process.leases, process.told = 0, False
        if not overloaded:
            self.failed_at[site] = self.now
        elif process.beside:
            self.rolls[site] = self.now + 5
        orders = self.policy.failed(process.server, self.now, "why", overloaded=overloaded)
        self.obey(orders, Refusal.OVERLOADED if overloaded else Refusal.START_FAILED)
        assert not self.queue(site)

    @precondition(lambda self: self.steps % 4 == 0)
    @rule(site=st.sampled_from(SITES))
    def stop(self, site):
        process = self.current(site)
        if process is not None and site in self.kept and not self.queue(site):
            self.resting.add(site)
        self.goes(process)
        self.obey(self.policy.stop(site, self.now, "asked to"))
        assert process is None or process.state in {State.DRAINING, State.STOPPING}

    def goes(self, process):
        """One is told to go when it is idle, and those who wait for it wait for room."""
        if process is not None:
            self.park_again(process)
            self.excuse(process)
            if process.leases:
                process.state = State.DRAINING

    @rule(site=st.sampled_from(SITES))
    def change(self, site):
        process, beside = self.current(site), self.beside(site)
        self.resting.discard(site)
        if process is None:
            self.failed_at.pop(site, None)
        elif process.state is State.STARTING:
            self.goes(process)
        else:
            self.rolls.setdefault(site, max(self.now, self.backs_off_until(site)))
        self.obey(self.policy.changed(site, self.now))
        assert beside is None or beside.state is State.STOPPING
        if process is not None and process.spawned < self.now:
            assert process.state is not State.STARTING

    @rule()
    def change_all(self):
        for site in SITES:
            self.change(site)

    @precondition(lambda self: self.steps % 4 == 0)
    @rule(site=st.sampled_from(SITES))
    def remove(self, site):
        self.own.pop(site, None)
        self.pinned.discard(site)
        self.took.pop(site, None)
        self.closed.discard(site)
        self.turn_out(site, lambda: self.policy.removed(site, self.now), Refusal.NO_SITE)

    @precondition(lambda self: self.steps % 4 == 0)
    @rule(site=st.sampled_from(SITES))
    def close(self, site):
        """It is down for maintenance, and is kept up no more."""
        self.kept.pop(site, None)
        self.tell_limits(site)
        self.closed.add(site)
        self.turn_out(site, lambda: self.policy.close(site, 300, self.now), Refusal.MAINTENANCE)

    @precondition(lambda self: self.closed)
    @rule(data=st.data())
    def open(self, data):
        site = data.draw(st.sampled_from(sorted(self.closed)))
        self.closed.discard(site)
        self.policy.open(site)
        self.settle()

    def turn_out(self, site, tell, refusal):
        """Nobody waits for a site any more, and its server goes when it is idle."""
        process = self.current(site)
        if process is not None:
            self.excuse(process)
            if process.leases:
                process.state = State.DRAINING
        self.failed_at.pop(site, None)
        self.kept.pop(site, None)
        waiters = self.queue(site)
        orders = tell()
        refused = [o.waiter for o in orders if isinstance(o, Refuse)]
        assert refused == [w.name for w in self.waiters if w in waiters]
        self.obey(orders, refusal)
        assert self.current(site) is self.beside(site) is None
        assert site not in {failure.site for failure in self.policy.failures()}

    @rule(site=st.sampled_from(SITES), own=OWN)
    def limit(self, site, own):
        self.own[site] = own or {}
        self.tell_limits(site)
        self.pass_time(0.0)

    def tell_limits(self, site):
        limits = self.limits_of(site)
        for process in (self.current(site), self.beside(site)):
            if process is not None:
                process.limits = limits
                if process.state is State.READY:
                    self.look_later(process, process.ready)
        self.policy.limit(site, None if limits == self.limits.of_site() else limits)

    @precondition(lambda self: self.steps % 3 == 0)
    @rule(site=st.sampled_from(SITES), how=st.sampled_from(["pinned", "always", "on-failure"]))
    def keep(self, site, how):
        """As many as leave a place for others, and none that is down for maintenance."""
        if (
            site in self.closed
            or len(self.pinned | self.kept.keys() | {site}) >= self.limits.max_servers
        ):
            self.keep_no_longer(site)
            return
        self.pinned.discard(site)
        self.kept.pop(site, None)
        self.resting.discard(site)
        if how == "pinned":
            self.pinned.add(site)
        else:
            self.kept[site] = how == "on-failure"
        self.tell_limits(site)
        if site in self.pinned:
            self.obey(self.policy.keep_no_longer(site, self.now))
        else:
            self.obey(self.policy.keep(site, self.now, on_failure=self.kept[site]))

    @precondition(lambda self: self.pinned or self.kept)
    @rule(site=st.sampled_from(SITES))
    def keep_no_longer(self, site):
        self.pinned.discard(site)
        self.kept.pop(site, None)
        self.tell_limits(site)
        self.obey(self.policy.keep_no_longer(site, self.now))

    @precondition(lambda self: self.steps > 200)
    @rule()
    def shutdown(self):
        self.closing = True
        for process in self.processes:
            self.excuse(process)
        for process in self.some(State.STARTING, State.READY):
            if process.leases and not self.queue(process.server.site):
                process.state = State.DRAINING
        self.obey(self.policy.shutdown(self.now))
        assert not self.some(State.READY)

    @precondition(lambda self: self.closing)
    @rule()
    def terminate_all(self):
        self.obey(self.policy.terminate_all(self.now), Refusal.SHUTTING_DOWN)
        assert not self.waiters
        assert not self.some(*ALIVE)

    @precondition(lambda self: self.steps % 4 == 0 and not self.closing)
    @rule(data=st.data(), limits=st.none() | LIMITS)
    def succeed(self, data, limits):
        """Another policy takes over, perhaps with other bounds, and what is run may have changed.

        It knows nothing of streams.
        """
        parked = self.parked()
        failures = self.policy.failures()
        said = {p: self.policy.said(p.server) for p in self.processes}
        self.policy.resign_busy()
        for process in self.processes:
            self.let_go(process)
            self.excuse(process)
        told = self.policy.resign()
        # Those whose servers start are told in the order in which they came, whatever the site.
        turns = [one.waiter for one in told]
        others = [w for w in self.waiters if w not in parked]
        waiting = parked + sorted(others, key=lambda w: turns.index(w.name))
        assert all([w for w in waiting if w.site == s] == self.queue(s) for s in SITES)
        assert [(one.site, one.waiter) for one in told] == [(w.site, w.name) for w in waiting]
        assert [one.since for one in told] == [w.since if w in parked else None for w in waiting]
        self.processes = data.draw(st.permutations(self.some(*HOLDING)))
        self.limits = limits = limits or self.limits
        took = self.policy.took()
        assert dict(took) == self.took
        self.policy = Policy(limits, lambda: self.jitter)
        self.workers = 0
        never = [*self.pinned, *self.kept]
        for site in never[max(0, limits.max_servers - 1) :]:
            self.pinned.discard(site)
            self.kept.pop(site, None)
        self.resting.clear()
        for site in SITES:
            self.policy.limit(site, self.limits_of(site))
        for site in self.closed:
            assert not self.policy.close(site, 300, self.now)
        for site, on_failure in self.kept.items():
            assert not self.policy.keep(site, self.now, on_failure=on_failure)
        known = [self.known(p, said[p], current=data.draw(st.booleans())) for p in self.processes]
        still = {p for p in self.processes if self.is_beside(p) and self.rolls_on(p, known)}
        drained = {
            p
            for p, one in zip(self.processes, known, strict=True)
            if p.state in ALIVE and p not in still and not self.stays(p, one, known, still)
        }
        for process in sorted(self.processes, key=lambda p: p.spawned):
            process.charge = self.expected(process.server.site)
            if process.memory is not None:
                self.weigh(process, process.memory)
        self.rolls.clear()
        self.uses.clear()
        servers, orders = self.policy.adopt(known, self.now, told, failures, took)
        for process, one, server in zip(self.processes, known, servers, strict=True):
            assert server.site == process.server.site
            process.server, process.abandoned, process.ending = server, None, False
            process.streams.clear()
            process.limits = self.limits_of(one.site)
            self.look_later(process, process.ready)
            process.looked_at = self.now + UNSEEN
            process.beside = process.surplus = process in still
            if process in drained:
                process.state = State.DRAINING
            process.extended, process.killed = 0.0, False
            serves = process.state in {State.STARTING, State.READY}
            self.uses[one.site] += server.released if serves else 0
            if process.state in {State.STARTING, State.STOPPING} and one.said.extended > self.now:
                self.extend(process, one.said.extended)
            if process.state in {State.READY, State.DRAINING}:
                self.hold(process, min(one.said.busy_until, self.now + process.limits.busy_max))
        self.waiters = waiting
        for waiter in self.parked():
            self.wait_since(waiter, waiter.since if waiter in parked else self.now)
        self.waiters = [w for w in waiting if w in self.parked()] + [
            w for w in waiting if w not in self.parked()
        ]
        while orders and not self.makes_room(orders[0]):
            self.judge(orders.pop(0), Refusal.QUEUE_FULL)
        self.drain_what_is_over()
        assert not [p for p in self.some(State.DRAINING) if not p.leases]
        over = len(self.some(*ALIVE)) - self.surplus() > limits.max_servers
        unused = [p for p in self.unused() if not self.is_never_ended(p)]
        assert not over or all(self.queue(p.server.site) for p in unused)
        self.over = self.excess()
        self.obey(orders)
        self.assert_memory_is_kept()

    def is_beside(self, process):
        return process is self.beside(process.server.site)

    def rolls_on(self, process, known):
        """One that was beside another one stays there where it is current, and started last."""
        old = self.current(process.server.site)
        one, other = (known[self.processes.index(p)] for p in (process, old))
        later = process.spawned > old.spawned or known.index(one) > known.index(other)
        return one.current and (later or not other.current)

    def stays(self, process, one, known, still):
        beside = self.beside(one.site)
        if process is beside or process.state is State.DRAINING:
            return False
        return one.current or beside in still

    @staticmethod
    def makes_room(order):
        return not isinstance(order, Refuse) and not (
            isinstance(order, Terminate) and not order.reason.startswith(ROOM)
        )

    def park_again(self, process):
        """Who waited for a start that was one too many waits for room."""
        moved = self.queue(process.server.site)
        for waiter in moved:
            self.wait_since(waiter, self.now)
        self.waiters = [w for w in self.waiters if w not in moved] + moved

    def known(self, process, said, *, current):
        server = process.server
        return Known(
            server.site,
            process.state,
            current,
            process.leases,
            server.released,
            process.early,
            process.spawned,
            process.ready,
            process.used,
            process.signalled,
            said,
            process.memory,
        )

    def drain_what_is_over(self):
        """So many as are in use beyond max_servers take no new lease, the least recently used."""
        serving = self.some(State.STARTING, State.READY)
        drained = [p for p in serving if p.server.state is State.DRAINING]
        kept = [p for p in serving if p not in drained]
        assert len(drained) == max(0, len(serving) - self.surplus() - self.limits.max_servers)
        for process in sorted(drained, key=lambda p: (self.is_never_ended(p), p.used)):
            assert process.leases
            self.park_again(process)
            never = self.is_never_ended(process)
            assert all(self.is_never_ended(p) >= never for p in kept)
            alike = [p for p in kept if self.is_never_ended(p) == never]
            assert all(process.used <= p.used for p in alike)
            process.state = State.DRAINING

    def excess(self):
        limits, alive = self.limits, len(self.some(*ALIVE))
        bound, starting = limits.max_servers + limits.overlap, self.some(State.STARTING)
        return (
            max(0, alive - limits.max_servers - limits.max_rolling),
            max(0, alive - limits.max_servers - len([p for p in self.processes if p.surplus])),
            max(0, len(self.some(*HOLDING)) - bound - limits.max_rolling),
            max(
                0, len([p for p in starting if not (p.beside or p.promoted)]) - limits.max_starting
            ),
            max(0, len([p for p in starting if p.beside]) - limits.max_rolling),
        )

    # What is always true

    @invariant()
    def both_agree_within_the_limits(self):
        if not hasattr(self, "limits"):
            return
        living = self.some(*HOLDING)
        before, self.over = self.over, self.excess()
        assert all(now <= then for now, then in zip(self.over, before, strict=True))
        assert set(self.policy.servers) == {p.server.id for p in living}
        counts = self.policy.counts()
        assert counts == {state: len(self.some(state)) for state in HOLDING}
        assert [p.server.state for p in self.processes] == [p.state for p in self.processes]
        assert [p.server.leases for p in self.processes] == [p.leases for p in self.processes]
        assert self.policy.memory == self.memory(*ALIVE)
        assert self.policy.waiting == len(self.waiters)
        assert len(self.waiters) <= self.limits.queue_total
        ready = Counter(p.server.site for p in self.some(State.READY))
        assert all(count == 1 for count in ready.values())

    @invariant()
    def each_request_has_one_end(self):
        waiting = {w.name for w in self.waiters}
        for name in range(1, self.names + 1):
            ends = self.answers[name] + (name in self.cancelled) + (name in waiting)
            assert ends == 1, f"request {name} ended {ends} times"

    def teardown(self):
        """See that nobody waits longer than the timeouts, and that nothing stays behind."""
        if not hasattr(self, "limits"):
            return
        self.pass_time(45.0 + 60.0 + 600.0)
        assert not self.waiters
        self.closing = True
        self.obey(self.policy.terminate_all(self.now))
        for process in self.some(State.STOPPING):
            process.state, process.leases = State.ABSENT, 0
            self.obey(self.policy.exited(process.server, self.now, "gone"))
        self.pass_time(200.0)
        assert self.policy.deadline() is None
        assert not self.policy._sites.by_name
        assert not self.policy._fleet.surplus


TestPool = PoolMachine.TestCase
TestPool.settings = settings(
    max_examples=100,
    stateful_step_count=80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestPool.pytestmark = pytest.mark.timeout(600)  # a failure takes minutes to be made small
