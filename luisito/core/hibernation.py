"""Which idle servers are frozen: when each is due, which have been ordered to be, which are."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from luisito.core.clock import Clock

if TYPE_CHECKING:
    from luisito.core.lifecycle import Server

AGAIN: Final = 600.0
"""Seconds, at least, after which one that could not be frozen is tried again."""


class Hibernation:
    """READY servers whose site has hibernate_after.

    A request to one that is awake costs nothing here: what is due is looked at again.

    Attributes:
        looks: when each may have been idle for so long.
        resting: those that are frozen, or have been ordered to be, by site.
        frozen: of these, those that are.
    """

    __slots__ = ("frozen", "looks", "resting")

    def __init__(self) -> None:
        self.looks: Clock[Server] = Clock()
        self.resting: dict[str, Server] = {}
        self.frozen: set[Server] = set()

    def watch(self, server: Server) -> None:
        """Note that a server is READY, since its `ready_at`, or has other limits from now on."""
        if self.resting.get(server.site) is server:
            self.looks.set(server, 0.0)  # it may have to be woken
        else:
            self._look(server, server.used_at)

    def forget(self, server: Server) -> None:
        """Note that a server is READY no more; an unknown one is harmless."""
        self.looks.discard(server)
        self.frozen.discard(server)
        if self.resting.get(server.site) is server:
            del self.resting[server.site]

    def due(self, now: float) -> tuple[list[Server], list[Server]]:
        """Tell which servers are to be frozen, and which are no longer to be; both rest still."""
        down: list[Server] = []
        up: list[Server] = []
        for server in self.looks.due(now):
            after = _after(server)
            if self.resting.get(server.site) is server:
                if after == inf:
                    up.append(server)
            elif not server.leases and server.used_at + after <= now:
                self.resting[server.site] = server
                down.append(server)
            else:
                self._look(server, now if server.leases else server.used_at)
        return down, up

    def woken(self, server: Server, now: float) -> None:
        """Note that a server that rested is to run again."""
        self.forget(server)
        self._look(server, now)

    def refused(self, server: Server, now: float) -> None:
        """Note that a server cannot be frozen, as it is now, which it was ordered to be."""
        self.woken(server, now + AGAIN)

    def _look(self, server: Server, since: float) -> None:
        """Look at a server when it may have been idle for long enough, from a time on."""
        after = _after(server)
        if after == inf:
            self.looks.discard(server)
        else:
            self.looks.set(server, since + after)


def _after(server: Server) -> float:
    """After how many seconds of idleness a server is to be frozen; inf is never."""
    after = server.limits.hibernate_after
    return inf if after is None or server.limits.hibernate is False else after
