"""Which servers are asked before they are stopped (pre_stop), and which of them want more time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from luisito.core.clock import Clock
from luisito.core.lifecycle import Server, State

if TYPE_CHECKING:
    from collections.abc import Iterable

AGAIN: Final = 30.0
"""Seconds for which a server is left alone that has answered "not yet"."""


class _Row(NamedTuple):
    """Answers "not yet" with no use of the server between them, one after the other.

    Attributes:
        first: when the first came, in seconds.
        until: for how long the last one counts, likewise.
        used_at: the server's.
    """

    first: float
    until: float
    used_at: float


class Asking:
    """The servers that hold a lease on themselves because they are asked, or have said "not yet".

    Attributes:
        asked: those that have not answered yet, with their used_at.
        for_room: of these, those that are to make room.
        until: those that have said "not yet", and when their lease ends.
        later: those that are DRAINING, and are asked when they have no other lease.
        agreed: has just answered that it may be stopped.
    """

    __slots__ = ("_closed", "_rows", "agreed", "asked", "for_room", "later", "until")

    def __init__(self) -> None:
        self._closed = False
        self._rows: dict[Server, _Row] = {}
        self.asked: dict[Server, float] = {}
        self.for_room: set[Server] = set()
        self.until: Clock[Server] = Clock()
        self.later: set[Server] = set()
        self.agreed: Server | None = None

    def wants(self, server: Server, now: float) -> bool:
        """Tell whether a server that has no lease is to be asked before it is stopped.

        It is not where it has said "not yet" for busy_max by now.
        """
        if self._closed or server.limits.pre_stop is None or server.state is State.STARTING:
            return False
        row = self._row(server, now)
        spent = row is not None and now >= row.first + server.limits.busy_max
        return server is not self.agreed and not spent

    def ask(self, server: Server, *, for_room: bool) -> None:
        """Note that a server is asked; from now on it holds a lease."""
        if server.state is State.READY:
            server.order.pop(server, None)
        server.leases += 1
        self.asked[server] = server.used_at
        if for_room:
            self.for_room.add(server)

    def answered(self, server: Server) -> bool:
        """Note that a server has answered; tell whether it has been used meanwhile."""
        self.for_room.discard(server)
        return self.asked.pop(server) != server.used_at or server.leases > 1

    def hold(self, server: Server, now: float) -> bool:
        """Let a server keep its lease, which has said "not yet"; tell whether it may."""
        row = self._row(server, now)
        first = now if row is None else row.first
        until = min(now + AGAIN, first + server.limits.busy_max)
        if until <= now:
            return False
        self._rows[server] = _Row(first, until, server.used_at)
        self.until.set(server, until)
        return True

    def excuse(self, server: Server) -> None:
        """Note that a server goes without being asked, or has gone: its lease is taken back."""
        self.later.discard(server)
        self._rows.pop(server, None)
        self.let_go([server])

    def let_go(self, servers: Iterable[Server]) -> None:
        """Take the leases back, without anything coming of it."""
        for server in servers:
            if server in self.asked or server in self.until:
                self.asked.pop(server, None)
                self.for_room.discard(server)
                self.until.discard(server)
                server.leases -= 1

    def close(self) -> None:
        """Ask nobody any more."""
        self._closed = True
        self.let_go([*self.asked, *self.until])
        self.later.clear()
        self._rows.clear()

    def _row(self, server: Server, now: float) -> _Row | None:
        """Those that count: after others nobody has wanted it to stop for long, or it was used."""
        row = self._rows.get(server)
        if row is None or row.used_at != server.used_at or now > row.until + AGAIN:
            return None
        return row
