"""The idle servers in the order of what it would cost to be without them."""

from __future__ import annotations

import math
from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING, Final

from luisito.core.idle import Idle

if TYPE_CHECKING:
    from luisito.core.lifecycle import Server
    from luisito.core.memory import Memory

HALF_LIFE: Final = 86_400.0
"""Seconds after which a use counts half."""
UNKNOWN_START: Final = 1.0
"""Seconds that a start is taken to have lasted which nobody has seen."""

_MOST_SITES: Final = 10_000  # whose uses are remembered
_AT_ONCE: Final = 64  # that are given their rank for one victim, so that nothing takes long
_MEBIBYTE: Final = 1024 * 1024


class ByCost(Idle):
    """Servers that are READY without a lease, the one first whose loss costs least for its memory.

    That is Greedy-Dual-Size-Frequency (Cherkasova, HP Labs TR HPL-98-69R1, 1998), as FaasCache
    has it for functions (Fuerst and Sharma, ASPLOS 2021), with two changes: a use counts half
    after a day, and of the uses the square root counts. When a server has become idle, its rank is

        floor + sqrt(uses of its site) * seconds of its start / MiB of its memory

    The lowest rank goes first, and the floor rises to it: so those age that are not used. Without
    a bound of memory all are of one size.

    The pool's warm path is that of Idle: whoever becomes idle is put into a dict, and is given its
    rank when a victim is looked for, a few at a time, the least recently used of them first.
    """

    __slots__ = ("_floor", "_memory", "_ranks", "_seen", "_uses")

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self._memory = memory
        self._floor = 0.0
        self._ranks: dict[Server, float] = {}
        self._seen: dict[Server, int] = {}  # how many uses of a server have been counted
        # of each site: its uses, and when those were counted; the one that was counted last, last
        self._uses: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def leave(self, server: Server) -> None:
        """Forget a server that is no longer READY; its uses count for its site's next one."""
        super().leave(server)
        if self._unseen(server):
            self._count(server)
        self._ranks.pop(server, None)
        self._seen.pop(server, None)

    def victim(self, now: float) -> Server | None:
        """Tell which server may be evicted now whose loss costs least, in seconds as ready_at.

        It is the victim: the others have aged when this returns.
        """
        self.grow(now)
        for server in list(islice(self._mature, _AT_ONCE)):
            del self._mature[server]
            self._judge(server)
            super()._push_late(server)
        first = self._first_late()
        if first is not None:
            self._floor = max(self._floor, self._ranks[first])
        return first

    def _rank(self, server: Server) -> float:
        return self._ranks[server]

    def _push_late(self, server: Server) -> None:
        self._mature[server] = None

    def _judge(self, server: Server) -> None:
        """Give a server its rank; one that is back without having been used keeps what it had."""
        if server in self._ranks and not self._unseen(server):
            return
        seconds = server.ready_at - server.started_at
        if seconds <= 0:  # after a crash nobody knows
            seconds = UNKNOWN_START
        size = 1.0
        if self._memory.limit is not None:
            size = self._memory.of(server) / _MEBIBYTE
        self._ranks[server] = self._floor + math.sqrt(self._count(server)) * seconds / size

    def _unseen(self, server: Server) -> int:
        return server.released - server.unnoticed - self._seen.get(server, 0)

    def _count(self, server: Server) -> float:
        """Count what a server has been used for since it was counted last; returns its site's.

        When each of these uses was is not known: they are taken to be spread evenly.
        """
        uses, at = self._uses.pop(server.site, (0.0, server.ready_at))
        unseen, now = self._unseen(server), max(server.used_at, at)
        new = float(unseen)
        since = (now - max(at, server.ready_at)) / HALF_LIFE
        if since > 0:
            new *= -math.expm1(-since * math.log(2)) / (since * math.log(2))
        uses = uses * 2 ** ((at - now) / HALF_LIFE) + new
        self._seen[server] = self._seen.get(server, 0) + unseen
        self._uses[server.site] = uses, now
        if len(self._uses) > _MOST_SITES:
            self._uses.popitem(last=False)
        return uses
