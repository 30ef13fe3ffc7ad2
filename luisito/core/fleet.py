"""The servers that hold a slot of the pool: in which state each is, and until when."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from luisito.core.clock import Clock
from luisito.core.cost import ByCost
from luisito.core.ghosts import Ghosts
from luisito.core.hibernation import Hibernation
from luisito.core.idle import Idle
from luisito.core.lifecycle import Server, State, move
from luisito.core.members import is_further
from luisito.core.memory import Memory
from luisito.core.orders import Freeze, Thaw
from luisito.core.uses import Uses
from luisito.core.wear import Wear

if TYPE_CHECKING:
    from collections.abc import Callable

    from luisito.core.orders import Limits, Order, SiteLimits

READY: Final = State.READY  # a global is cheaper than an attribute of an enum


class Fleet:
    """All servers that are neither ABSENT nor FAILED.

    Attributes:
        by_id: all of them.
        ready: those that are READY, by site.
        awake: of these, those that are not to be frozen: they take leases at once.
        idle: of these, those without a lease, in the order in which they would go.
        unused: those that are READY and have an idle_timeout, with a time before which that cannot
            be over: the warm path does not set it.
        draining: those that are DRAINING, with the reason.
        starting: those that are STARTING, with the time when start_timeout is over.
        beside: of these, those that are to replace a READY server of their site.
        abandoned: those that start for nobody, with the time when they are given up.
        spares: those that start for nobody, since their site has several or is rewarmed, and go for
            others.
        warming: of these, those that are rewarmed.
        warmed: those that were, are READY and may not have been used yet, the first one first.
        stopping: those that are STOPPING, with the time of the next SIGKILL.
        extended: those that start or stop and have asked for more time, with when it is over.
        wear: those that are READY and are to be replaced some time.
        hibernation: those that are READY and are to be frozen some time.
        memory: what all of them take.
        uses: what they were used for, and those before them.
        ghosts: the sites in the order of their last uses.
    """

    __slots__ = (
        "_gone_surplus", "_limits", "_next_id", "_surplus", "_told", "abandoned", "awake", "beside",
        "by_id", "draining", "extended", "ghosts", "hibernation", "idle", "memory", "ready",
        "spares", "starting", "stopping", "unused", "uses", "warmed", "warming", "wear",
    )  # fmt: skip

    def __init__(self, limits: Limits, random: Callable[[], float]) -> None:
        self._limits = limits
        self._next_id = 1
        self.memory = Memory(limits.max_memory)
        self.by_id: dict[int, Server] = {}
        self.ready: dict[str, Server] = {}
        self.awake: dict[str, Server] = {}
        self.hibernation = Hibernation()
        self.uses = Uses()
        self.ghosts = Ghosts(self.memory, limits.idle_timeout)
        self.idle = ByCost(self.memory, self.uses) if limits.policy == "cost" else Idle()
        self.unused: Clock[Server] = Clock()
        self.draining: dict[Server, str] = {}
        self.starting: Clock[Server] = Clock()
        self.beside: set[Server] = set()
        self.abandoned: Clock[Server] = Clock()
        self.spares: dict[Server, None] = {}
        self.warming: set[Server] = set()
        self.warmed: dict[Server, None] = {}
        self.stopping: Clock[Server] = Clock()
        self.wear = Wear(random)
        self._told: dict[
            Server, float
        ] = {}  # those that are STOPPING, before a SIGKILL: since when
        self.extended: dict[Server, float] = {}
        # What exists because a site rolls: the new server until it is ready, then the old one.
        self._surplus: set[Server] = set()
        self._gone_surplus: set[Server] = set()  # of what did, that which is STOPPING

    # Room. Sites that roll have room of their own beyond max_servers and overlap, so that they take
    # none from others. It is in use until what they let go has gone. Where that drains, which may
    # take hours, another roll has the room that max_servers leaves.

    @property
    def alive(self) -> int:
        """How many count against max_servers."""
        return len(self.starting) + len(self.ready) + len(self.draining)

    @property
    def surplus(self) -> int:
        """How many of these have room of their own because a site rolls."""
        return min(len(self._surplus), self._limits.max_rolling)

    def full(self, reserved: int = 0) -> bool:
        """Tell whether nothing may start before something else goes.

        Args:
            reserved: so many places are kept for others.
        """
        return self.alive - self.surplus + reserved >= self._limits.max_servers

    def crowded(self, reserved: int = 0) -> bool:
        """Tell whether as many start as may at a time.

        Args:
            reserved: so many starts are left to others, but for the only one.
        """
        most = max(1, self._limits.max_starting - reserved)
        return len(self.starting) - len(self.beside) >= most

    def fits(self, reserved: int = 0) -> bool:
        """Tell whether one more process may exist, and `reserved` others after it."""
        surplus = min(len(self._surplus) + len(self._gone_surplus), self._limits.max_rolling)
        count = self.alive + len(self.stopping) - surplus + reserved
        return count < self._limits.max_servers + self._limits.overlap

    def may_roll(self) -> bool:
        """Tell whether one more server may start beside one that is READY."""
        limits, alive = self._limits, self.alive
        bound = limits.max_servers + limits.max_rolling
        return (
            len(self.beside) + len(self._gone_surplus) < limits.max_rolling
            and alive < bound
            and alive + len(self.stopping) < bound + limits.overlap
        )

    # Moves

    def launch(self, site: str, limits: SiteLimits, now: float, due_at: float = 0.0) -> Server:
        """A new server, STARTING; not overdue before `due_at`."""
        server = Server(self._next_id, site, now)
        self._next_id += 1
        server.limits, server.due_at = limits, due_at
        server.state = move(server.state, State.STARTING)
        self.by_id[server.id] = server
        self.memory.launch(server)
        self._watch_start(server)
        return server

    def put_beside(self, server: Server) -> None:
        """Note that a STARTING server is to replace a READY one."""
        self.beside.add(server)
        self._surplus.add(server)

    def promote(self, server: Server) -> None:
        """Note that the server has gone that this one was to replace."""
        self.beside.discard(server)
        self._surplus.discard(server)

    def replace(self, old: Server, new: Server) -> None:
        """Note that a server is ready that was put beside another one, which goes now."""
        self.promote(new)
        self._surplus.add(old)

    def admit(self, server: Server) -> None:
        """Make a server READY since its `ready_at`, and used at its `used_at`.

        Whoever gives it no lease at once puts it into its order.
        """
        self.starting.discard(server)
        if server in self.warming and self._limits.policy == "lru":
            self.warmed[server] = None
        self.needed(server)
        self.extended.pop(server, None)
        server.state = move(server.state, READY)
        self.ready[server.site] = self.awake[server.site] = server
        self.idle.admit(server)
        self._watch_use(server)
        self.wear.watch(server)
        self.hibernation.watch(server)

    def unnoticed(self, server: Server) -> None:
        """Note that a READY server is idle again, whose last lease was no use of it."""
        self.idle.back(server)
        self._watch_use(server)

    def asked(self, server: Server, now: float) -> None:
        """Note that a server is asked whether it may be stopped, which keeps it for now."""
        if server.state is READY and server.limits.idle_timeout is not None:
            self.unused.set(server, now + server.limits.idle_timeout)

    def limit(self, server: Server, limits: SiteLimits) -> None:
        """Note that a server that is STARTING or READY has other limits from now on."""
        server.limits = limits
        if server.state is READY:
            self.idle.limit(server)
            self._watch_use(server)
            self.wear.watch(server)
            self.hibernation.watch(server)
        else:
            self._watch_start(server)

    def extend(self, server: Server, until: float) -> None:
        """Put off the end of a start, or the SIGKILL of a server that is STOPPING, if it may be."""
        if server in self.starting:
            self._extend(server, _start_due(server), until)
            self._watch_start(server)
        elif server in self._told:
            self._extend(server, self._told[server] + server.limits.stop_timeout, until)
            self.stopping.set(server, self.extended[server])

    def abandon(self, server: Server, now: float) -> None:
        """Note that a server starts for nobody any more."""
        if is_further(server.site):
            self.spare(server)
        else:
            self.abandoned.set(server, now + self._limits.abandon_grace)

    def spare(self, server: Server) -> None:
        """Note that a server starts for nobody, and is to go on while there is room."""
        self.spares[server] = None

    def needed(self, server: Server) -> None:
        """Note that it starts for somebody."""
        self.abandoned.discard(server)
        self.spares.pop(server, None)
        self.warming.discard(server)

    def drain(self, server: Server, reason: str) -> None:
        """Make a server DRAINING."""
        self._leave(server, State.DRAINING)
        self.draining[server] = reason

    def stop(self, server: Server, now: float) -> None:
        """Make a server STOPPING."""
        surplus = server in self._surplus
        self._leave(server, State.STOPPING)
        self.memory.stop(server)
        if surplus:
            self._surplus.discard(server)
            self._gone_surplus.add(server)
        self._told[server] = now
        self.stopping.set(server, now + server.limits.stop_timeout)

    def kill_later(self, server: Server, now: float) -> None:
        """Put off the next SIGKILL of a STOPPING server that has been sent one."""
        self._told.pop(server, None)
        self.extended.pop(server, None)
        self.stopping.set(server, now + server.limits.stop_timeout)

    def remove(self, server: Server, state: State) -> None:
        """Forget a server, which is ABSENT or FAILED from now on."""
        self.memory.remove(server, stopping=server.state is State.STOPPING)
        self._leave(server, state)
        self._surplus.discard(server)
        del self.by_id[server.id]
        server.leases = 0  # so that a late release is harmless

    def clear(self) -> None:
        """Forget all servers; none of them takes a new lease any more."""
        for server in [*self.starting, *self.ready.values()]:
            self.drain(server, "")
        for memory in (
            self.by_id, self.draining, self.stopping, self._surplus, self._gone_surplus,
            self._told, self.extended,
        ):  # fmt: skip
            memory.clear()
        self.memory.clear()

    def weigh(self, server: Server, size: int) -> bool:
        """Note what a server takes, in bytes; tell once whether all may not take as much."""
        if server.id not in self.by_id or server.state is State.STOPPING:
            return False  # what it gives back soon, nobody need know
        rests = self.hibernation.resting.get(server.site) is server
        self.memory.weigh(server, size, ready=server.state is not State.STARTING, usual=not rests)
        return self.memory.outgrown(server)

    def victim(self, now: float) -> Server | None:
        """Tell which idle server may go now.

        By LRU those go first that were rewarmed and that nobody has used, the one before whose site
        all others were used more: they are ready in another order than they are likely to be used.
        """
        warmed = self.warmed
        while warmed:
            server = next(reversed(warmed))
            if server.leases or server.released > server.unnoticed:
                del warmed[server]
            elif now >= server.ready_at + server.limits.min_alive:
                return server
            else:
                break
        return self.idle.victim(now)

    def overdue(self, now: float) -> list[Server]:
        """Tell which servers have reached their idle_timeout, the one that did first in front."""
        found = []
        for server in self.unused.due(now):
            timeout = server.limits.idle_timeout or inf
            if not server.leases and server.used_at + timeout <= now:
                found.append(server)
            else:
                self.unused.set(server, (now if server.leases else server.used_at) + timeout)
        return found

    def hibernate(self, now: float, orders: list[Order]) -> None:
        """Have those frozen that were idle for long enough, and wake those that are to be no more.

        A frozen one is READY, but no longer among those that are awake.
        """
        down, up = self.hibernation.due(now)
        for server in down:
            del self.awake[server.site]
            orders.append(Freeze(server))
        for server in up:
            self.rouse(server.site, now, orders)

    def rouse(self, site: str, now: float, orders: list[Order]) -> None:
        """Have a site's server run on, where it rests; it counts with what it took before."""
        server = self.hibernation.resting.get(site)
        if server is not None:
            self.hibernation.woken(server, now)
            self.awake[site] = server
            self.memory.expect(server)
            orders.append(Thaw(server))

    def counts(self) -> dict[State, int]:
        """Tell how many servers are in each state."""
        return {
            State.STARTING: len(self.starting),
            State.READY: len(self.ready),
            State.DRAINING: len(self.draining),
            State.STOPPING: len(self.stopping),
        }

    def _leave(self, server: Server, to: State) -> None:
        """Move a server on, out of every order it stood in."""
        if server.state is READY:
            del self.ready[server.site]
            self.awake.pop(server.site, None)
            self.hibernation.forget(server)
            self.idle.leave(server)
            self.uses.leave(server)
            self.ghosts.leave(server)
            self.warmed.pop(server, None)
            self.unused.discard(server)
            self.wear.forget(server)
        server.state = move(server.state, to)
        self.starting.discard(server)
        self.beside.discard(server)
        self.needed(server)
        self.draining.pop(server, None)
        self.stopping.discard(server)
        self._told.pop(server, None)
        self.extended.pop(server, None)
        self._gone_surplus.discard(server)

    def _watch_start(self, server: Server) -> None:
        extended = self.extended.get(server, 0.0)
        self.starting.set(server, max(_start_due(server), server.due_at, extended))

    def _extend(self, server: Server, due: float, until: float) -> None:
        self.extended[server] = min(max(due, until), due + server.limits.busy_max)

    def _watch_use(self, server: Server) -> None:
        if server.limits.idle_timeout is None:
            self.unused.discard(server)
        else:
            self.unused.set(server, server.used_at + server.limits.idle_timeout)


def _start_due(server: Server) -> float:
    return server.started_at + server.limits.start_timeout
