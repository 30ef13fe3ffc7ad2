"""When servers are weighed: now and then, by a helper, whose answer is passed on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from luisito.core import wire
from luisito.spawner.errand import Errand
from luisito.spawner.scales import Load, weigh

if TYPE_CHECKING:
    import select
    from collections.abc import Callable

    from luisito.spawner.helpers import Helpers
    from luisito.spawner.servers import Servers

_FIRST = 1.0  # seconds from the first start to the first time, where MAX_MEMORY is to be kept
_PAUSE = 3.0  # seconds from one time to the next, where MAX_MEMORY is to be kept
_LONG_PAUSE = 60.0  # the same where it only shows
_SHARE = 20  # a pause is at least so many times as long as what it follows: 5 % of a core
_AT_WORK = 3.0  # seconds after which a helper leaves the rest to the next one


class Weighing:
    """Has the memory of all servers measured; nothing in it waits.

    Args:
        servers: that are weighed.
        helpers: who do it.
        poller: where their answers are waited for.
    """

    __slots__ = ("_at", "_began", "_errand", "_pause", "_servers")

    def __init__(self, servers: Servers, helpers: Helpers, poller: select.poll) -> None:
        self._servers = servers
        self._errand = Errand(helpers, poller, self._heard)
        self._pause = _LONG_PAUSE
        self._at: float | None = None  # None: there is nothing to weigh
        self._began = 0.0

    def serve(self, max_memory: int | None) -> None:
        """Take the pace that a setting asks for."""
        self._pause = _LONG_PAUSE if max_memory is None else _PAUSE
        if self._at is not None:
            self._at = min(self._at, time.monotonic() + self._pause)

    def tick(self, now: float) -> None:
        """Begin when it is time."""
        if self._errand.runs:
            return
        if not self._servers.living:
            self._at = None
        elif self._at is None:
            self._at = now + (self._pause if self._pause > _PAUSE else _FIRST)
        elif now >= self._at:
            self._begin(now)

    def deadline(self) -> float | None:
        """Tell when tick is worth calling next."""
        return None if self._errand.runs else self._at

    def readable(self, descriptor: int) -> None:
        """Read what the helper writes, where the descriptor is its."""
        self._errand.readable(descriptor)

    def _heard(self, lines: list[str] | None) -> None:
        if lines is None:
            now = time.monotonic()
            self._at = now + max(self._pause, _SHARE * (now - self._began))
            return
        now, rows = time.monotonic(), list[dict[str, wire.Scalar]]()
        for line in lines:
            number, size = map(int, line.split())
            server = self._servers.get(number)
            if server is not None:
                server.memory, server.weighed_at = size, now
                rows.append({"server": number, "memory": size})
        most = wire.SERVERS_IN_A_MESSAGE
        for at in range(0, len(rows), most):
            self._servers.outbox.send(wire.Memory(rows[at : at + most]))

    def _begin(self, now: float) -> None:
        servers = self._servers
        waiting = [each for each in servers.living if each.code is None and not each.stopping]
        waiting.sort(key=lambda each: each.weighed_at)  # first who has waited longest
        kin = servers.kin
        loads = [Load(each.id, each.pid, each.uid, kin.cgroup_of(each)) for each in waiting]
        # Asked of the kernel by the helper, but it is for us to say which children are no orphans.
        orphans = kin.orphans

        def work(say: Callable[[str], None]) -> None:
            for number, size in weigh(loads, orphans()):
                say(f"{number} {size}")
                if time.monotonic() > now + _AT_WORK:
                    break

        self._began = now
        self._errand.begin(work)
