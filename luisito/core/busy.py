"""Which servers have work of their own, beside requests, and until when that keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from luisito.core.clock import Clock
from luisito.core.lifecycle import Server, State

if TYPE_CHECKING:
    from collections.abc import Iterable


class Said(NamedTuple):
    """What a server has said of itself, for whoever goes on with it; times in seconds.

    Attributes:
        busy_until: its work keeps it until then; 0 where none does.
        busy: the last that it has said of that is that it has some, in force or no more.
        extended: its start, or its end, was put off until then; 0 where it was not.
        ready: that it is ready (READY=1), whether that has shown itself by now or not.
    """

    busy_until: float = 0.0
    busy: bool = False
    extended: float = 0.0
    ready: bool = False


NOTHING_SAID: Final = Said()


class Busy:
    """The servers that hold a lease on themselves: it keeps them as one of a request does.

    Attributes:
        until: those that do, and when it ends.
        told: those that have said that they have work, and not that it is done; the lease of some
            of them may be over.
    """

    __slots__ = ("told", "until")

    def __init__(self) -> None:
        self.until: Clock[Server] = Clock()
        self.told: set[Server] = set()

    def hold(self, server: Server, until: float) -> None:
        """Lease a server that is READY or DRAINING to itself."""
        if server.state is State.READY and not server.leases:
            server.order.pop(server, None)
        server.leases += 1
        self.until.set(server, until)

    def forget(self, server: Server) -> None:
        """Note that a server has been told to stop, or has gone."""
        self.told.discard(server)
        self.let_go([server])

    def let_go(self, servers: Iterable[Server]) -> None:
        """Take the leases back, without anything coming of it."""
        for server in servers:
            if server in self.until:
                self.until.discard(server)
                server.leases -= 1
