"""Which sites would still be awake in a larger pool: fed from what servers were used for."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from luisito.core.reuse import Reuse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from luisito.core.lifecycle import Server
    from luisito.core.memory import Memory

_MANY: Final = 200  # uses that are held back at most, so that nothing takes long


class Ghosts:
    """The uses of sites, those that sleep too, in the order of time, as Reuse wants them.

    The pool's warm path does not call this class. A server's first use and its last one count when
    somebody looks, and when it goes. The others between two looks found it awake, and would have in
    any larger pool. What is told of smaller ones is too little where looks are far apart.

    Args:
        memory: what servers take.
        idle: seconds after which one that is not used ends; None for never.

    Attributes:
        reuse: what was seen until the last look.
    """

    __slots__ = ("_held", "_idle", "_memory", "_seen", "_until", "reuse")

    def __init__(self, memory: Memory, idle: float | None) -> None:
        self.reuse = Reuse(idle=idle)
        self._memory, self._idle = memory, idle
        self._seen: dict[Server, int] = {}  # how many uses of a server have been noted
        self._held: list[tuple[float, str, int]] = []  # when, which site, bytes of its server
        self._until = 0.0

    def resume(self, state: dict[str, Any], now: float) -> None:
        """Go on with what another one has seen; see Reuse.resumed."""
        self.reuse = Reuse.resumed(state, now, idle=self._idle)
        self._until = now

    def leave(self, server: Server) -> None:
        """Note the last use of a server that is no longer READY."""
        self._note(server, server.used_at)
        self._seen.pop(server, None)
        if len(self._held) >= _MANY:
            self._tell()

    def look(self, ready: Iterable[Server], now: float) -> None:
        """Note what servers were used for; those that are busy are being used now.

        It takes as long as there are servers, and some time for each use since the last look.
        """
        for server in ready:
            self._note(server, max(now, server.used_at) if server.leases else server.used_at)
        self._tell()

    def _tell(self) -> None:
        saw = self.reuse.saw
        for at, site, size in sorted(self._held, key=itemgetter(0)):
            self._until = max(self._until, at)
            saw(site, self._until, size)
        self._held.clear()

    def _note(self, server: Server, at: float) -> None:
        uses = server.released - server.unnoticed + server.leases
        seen = self._seen.get(server)
        if uses == (seen or 0) and not server.leases:
            return
        size = server.memory
        if size is None:
            size = self._memory.expected(server.site)
        if seen is None:
            self._held.append((min(server.ready_at, at), server.site, size))
        self._held.append((at, server.site, size))
        self._seen[server] = uses - server.leases
