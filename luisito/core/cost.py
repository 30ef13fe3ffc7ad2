"""The idle servers by what it would cost to be without them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from luisito.core.idle import Idle

if TYPE_CHECKING:
    from luisito.core.lifecycle import Server
    from luisito.core.memory import Memory
    from luisito.core.uses import Uses

RETURNS: Final = 0.3
"""This over the seconds since the last use is how often a second one more is expected soon."""
UNKNOWN_START: Final = 1.0
"""Seconds that a start is taken to have lasted which nobody has seen."""

_AT_ONCE: Final = 64  # that are compared for one victim, so that nothing takes long
_MEBIBYTE: Final = 1024 * 1024


class ByCost(Idle):
    """Servers that are READY without a lease; of those looked at that one goes which costs least.

    What it costs to be without a server is how often its site is likely to be asked for, times what
    a start takes, over its memory:

        (uses a second + RETURNS / (1 + seconds idle)) * seconds of its start / MiB of its memory

    The first is what a site is asked for in the long run, the second what is left of the present
    visit: the longer ago the last use was, the less likely is another one soon. Without a bound of
    memory all are of one size.

    Rate times cost over size is what Greedy-Dual-Size-Frequency has (Cherkasova, HP Labs TR
    HPL-98-69R1, 1998; FaasCache of Fuerst and Sharma, ASPLOS 2021); that it falls with age rather
    than that all others rise, and that a bounded number is compared, is hyperbolic caching
    (Blankstein, Sen and Freedman, ATC 2017).

    The pool's warm path is that of Idle: whoever becomes idle is put into a dict. When a victim is
    looked for, those that stand first in it are compared, and the others of them stand last then,
    so that all have their turn.
    """

    __slots__ = ("_memory", "_uses")

    def __init__(self, memory: Memory, uses: Uses) -> None:
        super().__init__()
        self._memory, self._uses = memory, uses

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
        again = RETURNS / (1 + now - server.used_at)
        seconds = server.ready_at - server.started_at
        if seconds <= 0:  # after a crash nobody knows
            seconds = UNKNOWN_START
        size = 1.0
        if self._memory.limit is not None:
            size = self._memory.of(server) / _MEBIBYTE
        return (self._uses.rate(server, now) + again) * seconds / size
