"""Which preloaded interpreters run, and for how long; no clock and no I/O.

An interpreter forks all servers that share an environment: program, user, limits, and what acts on
an interpreter from its start. It runs as a worker of one of their sites, its host.
"""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

from luisito.core.clock import Clock

_SETTLE: Final = 2.0  # seconds from a start until its interpreter comes: it has to learn from that


class Key(NamedTuple):
    """What servers of one interpreter share.

    Attributes:
        environment: as spawner.preloaded has named it.
        uid: of the user.
    """

    environment: str
    uid: int


class Want(NamedTuple):
    """Run an interpreter as a worker of a site, or (not `wanted`) end it."""

    site: str
    wanted: bool


class _Shared:
    """What is known of one environment.

    Attributes:
        host: the site whose worker its interpreter is; "" where it has none.
        servers: those that live, by number, with their sites.
        last: the site of the last one that has come.
    """

    __slots__ = ("host", "key", "last", "servers")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.host = ""
        self.servers: dict[int, str] = {}
        self.last = ""


class Preloading:
    """Facts come in as method calls; `tick` gives the orders.

    Args:
        idle: seconds that an interpreter outlives the last of its servers.
    """

    def __init__(self, idle: float) -> None:
        self._idle = idle
        self._by_key: dict[Key, _Shared] = {}
        self._by_server: dict[int, _Shared] = {}
        self._by_host: dict[str, _Shared] = {}
        self._comes: Clock[_Shared] = Clock()
        self._goes: Clock[_Shared] = Clock()

    @property
    def hosts(self) -> dict[str, int]:
        """Of each site whose worker is an interpreter, how many servers share that."""
        return {host: len(shared.servers) for host, shared in self._by_host.items()}

    def runs(self, server: int, site: str, key: Key, now: float) -> None:
        """Hear that a server runs.

        Args:
            server: its number.
            site: whose file has started it, where that has a worker for it; else "".
            key: what it shares.
            now: seconds.
        """
        shared = self._by_key.get(key)
        if shared is None:
            shared = self._by_key[key] = _Shared(key)
        shared.servers[server] = site
        shared.last = site or shared.last
        self._by_server[server] = shared
        self._goes.discard(shared)
        if not shared.host and shared not in self._comes:
            self._comes.set(shared, now + _SETTLE)

    def gone(self, server: int, now: float) -> None:
        """Hear that a server has gone; harmless where it shared nothing."""
        shared = self._by_server.pop(server, None)
        if shared is not None:
            del shared.servers[server]
            self._see(shared, now)

    def hosted(self, site: str, key: Key, now: float) -> None:
        """Hear that a worker of a site runs as the interpreter of an environment."""
        former = self._by_host.get(site)
        if former is not None:
            if former.key == key:
                return
            self.lost(site, now)
        shared = self._by_key.get(key)
        if shared is None:
            shared = self._by_key[key] = _Shared(key)
        if shared.host:  # another one took its place
            del self._by_host[shared.host]
        shared.host = site
        self._by_host[site] = shared
        self._comes.discard(shared)
        self._see(shared, now)

    def lost(self, site: str, now: float) -> None:
        """Hear that a site can be no host any more, or for another environment only."""
        shared = self._by_host.pop(site, None)
        if shared is not None:
            shared.host = ""
            if shared.servers:
                self._comes.set(shared, now + _SETTLE)
            else:
                self._forget(shared)

    def tick(self, now: float) -> list[Want]:
        """Say whatever is due."""
        orders: list[Want] = []
        for shared in self._goes.due(now):
            orders.append(Want(shared.host, wanted=False))
            del self._by_host[shared.host]
            self._forget(shared)
        for shared in self._comes.due(now):
            host = self._host_for(shared)
            if host is None:
                if shared.servers:
                    self._comes.set(shared, now + self._idle)
                else:
                    self._forget(shared)
                continue
            shared.host = host
            self._by_host[host] = shared
            orders.append(Want(host, wanted=True))
            self._see(shared, now)
        return orders

    def deadline(self) -> float | None:
        """Tell when `tick` is next worth a call, in seconds."""
        first = min(self._comes.first(), self._goes.first())
        return None if first == inf else first

    def clear(self) -> None:
        """Forget all: somebody else goes on."""
        for memory in (self._by_key, self._by_server, self._by_host, self._comes, self._goes):
            memory.clear()

    def _host_for(self, shared: _Shared) -> str | None:
        sites = [*reversed(shared.servers.values()), shared.last]
        return next((site for site in sites if site and site not in self._by_host), None)

    def _see(self, shared: _Shared, now: float) -> None:
        if shared.host and not shared.servers:
            self._goes.set(shared, now + self._idle)

    def _forget(self, shared: _Shared) -> None:
        self._comes.discard(shared)
        self._goes.discard(shared)
        del self._by_key[shared.key]
