"""The idle servers by what it would cost to be without them."""

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
VISIT: Final = 60.0
"""Seconds within which all uses of a site together count as one."""
RETURNS: Final = 0.3
"""This over the seconds since the last use is how often a second one more is expected soon."""
UNKNOWN_START: Final = 1.0
"""Seconds that a start is taken to have lasted which nobody has seen."""

_MOST_SITES: Final = 10_000  # whose uses are remembered
_AT_ONCE: Final = 64  # that are compared for one victim, so that nothing takes long
_MEBIBYTE: Final = 1024 * 1024


class ByCost(Idle):
    """Servers that are READY without a lease; of those looked at that one goes which costs least.

    What it costs to be without a server is how often its site is likely to be asked for, times what
    a start takes, over its memory:

        (uses a second + RETURNS / (1 + seconds idle)) * seconds of its start / MiB of its memory

    The first is what a site is asked for in the long run, the second what is left of the present
    visit: the longer ago the last use was, the less likely is another one soon. That a visit of
    many requests looks like no habit, each use counts for the time since the one before, and not
    more than for VISIT. Without a bound of memory all are of one size.

    Rate times cost over size is what Greedy-Dual-Size-Frequency has (Cherkasova, HP Labs TR
    HPL-98-69R1, 1998; FaasCache of Fuerst and Sharma, ASPLOS 2021); that it falls with age rather
    than that all others rise, and that a bounded number is compared, is hyperbolic caching
    (Blankstein, Sen and Freedman, ATC 2017).

    The pool's warm path is that of Idle: whoever becomes idle is put into a dict. When a victim is
    looked for, those that stand first in it are compared, and the others of them stand last then,
    so that all have their turn.
    """

    __slots__ = ("_memory", "_seen", "_uses")

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self._memory = memory
        self._seen: dict[Server, int] = {}  # how many uses of a server have been counted
        # of each site: its uses, and until when those were counted; what was counted last, last
        self._uses: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def leave(self, server: Server) -> None:
        """Forget a server that is no longer READY; its uses count for its site's next one."""
        super().leave(server)
        self._count(server)
        self._seen.pop(server, None)

    def victim(self, now: float) -> Server | None:
        """Tell which of those looked at may be evicted now at the least cost, as in Idle."""
        self.grow(now)
        some = list(islice(self._mature, _AT_ONCE))
        if not some:
            return None
        victim = min(some, key=lambda server: (self._worth(server, now), server.used_at, server.id))
        for server in some:
            if server is not victim:
                del self._mature[server]
                self._mature[server] = None
        return victim

    def _push_late(self, server: Server) -> None:
        self._mature[server] = None

    def _worth(self, server: Server, now: float) -> float:
        uses, at = self._count(server)
        rate = uses * 2 ** ((at - now) / HALF_LIFE) * math.log(2) / HALF_LIFE
        again = RETURNS / (1 + now - server.used_at)
        seconds = server.ready_at - server.started_at
        if seconds <= 0:  # after a crash nobody knows
            seconds = UNKNOWN_START
        size = 1.0
        if self._memory.limit is not None:
            size = self._memory.of(server) / _MEBIBYTE
        return (rate + again) * seconds / size

    def _count(self, server: Server) -> tuple[float, float]:
        """Count what a server has been used for since it was counted last.

        When each of these uses was is not known: they are taken to be spread evenly.

        Returns:
            The uses of its site, and as of when.
        """
        uses, at = self._uses.get(server.site, (0.0, -math.inf))
        released = server.released - server.unnoticed
        unseen = released - self._seen.get(server, 0)
        if not unseen:
            return uses, at
        now = max(server.used_at, at)
        since = now - max(at, server.ready_at - VISIT)
        halves = since / HALF_LIFE
        new = min(float(unseen), since / VISIT)
        if halves > 0:
            new *= -math.expm1(-halves * math.log(2)) / (halves * math.log(2))
            uses *= 2 ** ((at - now) / HALF_LIFE)
        self._seen[server] = released
        self._uses[server.site] = uses, at = uses + new, now
        self._uses.move_to_end(server.site)
        if len(self._uses) > _MOST_SITES:
            self._uses.popitem(last=False)
        return uses, at
