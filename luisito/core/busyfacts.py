"""What servers say of themselves: the part of the policy that hears of work and of more time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luisito.core.busy import Said
from luisito.core.lifecycle import State
from luisito.core.orders import NOTHING, Order
from luisito.core.sitefacts import SiteFacts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luisito.core.lifecycle import Server


class BusyFacts(SiteFacts):
    """See Policy, of which this is a part."""

    def busy(self, server: Server, now: float) -> Sequence[Order]:
        """Hear that a server has work that is no request; ask `deadline` again.

        It holds a lease from now on, or from when it is ready, for busy_max at most: then it may
        say so anew when it has said that it has none. To say it again changes nothing. That lease
        is no use of the server.
        """
        orders: list[Order] = []
        there = server.id in self._fleet.by_id and server.state is not State.STOPPING
        if there and server not in self._busy.told:
            self._busy.told.add(server)
            if server.state is not State.STARTING:
                self._fleet.rouse(server.site, now, orders)
                self._hold(server, now)
        return orders

    def busy_no_more(self, server: Server, now: float) -> Sequence[Order]:
        """Hear that a server has done that work."""
        self._busy.told.discard(server)
        if server not in self._busy.until:
            return NOTHING
        self._busy.until.discard(server)
        orders: list[Order] = []
        self._take_back(server, now, orders)
        return self._fill(now, orders)

    def extend(self, server: Server, seconds: float, now: float) -> None:
        """Hear that a server wants more time for its start or its end; ask `deadline` again.

        It is given so much from now on, as far as that is beyond its timeout, and that by busy_max
        at most (EXTEND_TIMEOUT_USEC= of sd_notify(3)).
        """
        self._fleet.extend(server, now + seconds)

    def said(self, server: Server) -> Said:
        """Tell what a server has said, for whoever goes on with it."""
        asked = self._asking.until.at(server) or 0.0
        until = max(self._busy.until.at(server) or 0.0, asked)
        extended = self._fleet.extended.get(server, 0.0)
        return Said(until, server in self._busy.told, extended)

    def resign_busy(self) -> None:
        """Take back the leases of all that is busy, of which whoever goes on with them knows."""
        self._busy.let_go(list(self._busy.until))
        self._asking.close()

    def _hold(self, server: Server, now: float) -> None:
        if server.limits.busy_max > 0:
            self._busy.hold(server, now + server.limits.busy_max)

    def _work_is_over(self, now: float, orders: list[Order]) -> None:
        """Take back the leases whose time is over."""
        for server in self._busy.until.due(now):
            self._take_back(server, now, orders)

    def _take_back(self, server: Server, now: float, orders: list[Order]) -> None:
        server.leases -= 1
        if server.leases:
            self._streams.limit(server)  # silent ones may be all that is left
            return
        if server.state is State.READY:
            self._fleet.unnoticed(server)
        else:
            self._room.end_drained(server, now, orders)

    def _resume(self, server: Server, said: Said, now: float) -> None:
        """Go on with what a server has said to another pool."""
        if said.busy:
            self._busy.told.add(server)
        if said.extended > now:
            self._fleet.extend(server, said.extended)
        until = min(said.busy_until, now + server.limits.busy_max)
        if until > now and server.state in (State.READY, State.DRAINING):
            self._busy.hold(server, until)
