"""The servers that hold a slot of the pool: in which state each is, and until when."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from luisito.core.idle import Idle
from luisito.core.lifecycle import Server, State, move

if TYPE_CHECKING:
    from luisito.core.orders import Limits

READY: Final = State.READY  # a global is cheaper than an attribute of an enum


class Fleet:
    """All servers that are neither ABSENT nor FAILED.

    Attributes:
        by_id: all of them.
        ready: those that are READY, by site.
        idle: of these, those without a lease, in the order of their last use.
        draining: those that are DRAINING, with the reason.
        starting: those that are STARTING, with the time when start_timeout is over.
        abandoned: of these, those that start for nobody, with the time when they are given up.
        stopping: those that are STOPPING, with the time of the next SIGKILL.

    The times, in seconds, rise from the front, since all timeouts of a kind are equally long.
    """

    __slots__ = (
        "_limits", "_next_id", "abandoned", "by_id", "draining", "idle", "ready", "starting",
        "stopping",
    )  # fmt: skip

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._next_id = 1
        self.by_id: dict[int, Server] = {}
        self.ready: dict[str, Server] = {}
        self.idle = Idle(limits.min_alive)
        self.draining: dict[Server, str] = {}
        self.starting: OrderedDict[Server, float] = OrderedDict()
        self.abandoned: OrderedDict[Server, float] = OrderedDict()
        self.stopping: OrderedDict[Server, float] = OrderedDict()

    @property
    def alive(self) -> int:
        """How many count against max_servers."""
        return len(self.starting) + len(self.ready) + len(self.draining)

    def launch(self, site: str, now: float) -> Server:
        """A new server, STARTING."""
        server = Server(self._next_id, site, now)
        self._next_id += 1
        server.state = move(server.state, State.STARTING)
        self.by_id[server.id] = server
        self.starting[server] = now + self._limits.start_timeout
        return server

    def admit(self, server: Server, now: float) -> None:
        """Make a server READY; whoever gives it no lease at once puts it into its order."""
        del self.starting[server]
        self.abandoned.pop(server, None)
        server.state = move(server.state, READY)
        server.ready_at = server.used_at = now
        self.ready[server.site] = server
        self.idle.admit(server)

    def abandon(self, server: Server, now: float) -> None:
        """Note that a server starts for nobody any more."""
        self.abandoned[server] = now + self._limits.abandon_grace

    def drain(self, server: Server, reason: str) -> None:
        """Make a server DRAINING."""
        self._leave(server, State.DRAINING)
        self.draining[server] = reason

    def stop(self, server: Server, now: float) -> None:
        """Make a server STOPPING."""
        self._leave(server, State.STOPPING)
        self.stopping[server] = now + self._limits.stop_timeout

    def kill_later(self, server: Server, now: float) -> None:
        """Put off the next SIGKILL of a STOPPING server."""
        self.stopping[server] = now + self._limits.stop_timeout
        self.stopping.move_to_end(server)

    def remove(self, server: Server, state: State) -> None:
        """Forget a server, which is ABSENT or FAILED from now on."""
        self._leave(server, state)
        del self.by_id[server.id]
        server.leases = 0  # so that a late release is harmless

    def clear(self) -> None:
        """Forget all servers; none of them takes a new lease any more."""
        for server in [*self.starting, *self.ready.values()]:
            self.drain(server, "")
        for memory in (self.by_id, self.draining, self.stopping):
            memory.clear()

    def unused_at(self) -> tuple[float, Server] | None:
        """Tell which idle server reaches its idle_timeout first, and when."""
        if self._limits.idle_timeout is None or (server := self.idle.oldest()) is None:
            return None
        return server.used_at + self._limits.idle_timeout, server

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
            server.order.pop(server, None)
        server.state = move(server.state, to)
        self.starting.pop(server, None)
        self.abandoned.pop(server, None)
        self.draining.pop(server, None)
        self.stopping.pop(server, None)
