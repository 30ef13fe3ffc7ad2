"""What servers answer that are asked before they are stopped: the part of the policy for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luisito.core.orders import NOTHING
from luisito.core.sharing import Sharing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luisito.core.lifecycle import Server
    from luisito.core.orders import Order


class StopFacts(Sharing):
    """See Policy, of which this is a part."""

    def may_stop(self, server: Server, now: float, *, not_yet: bool) -> Sequence[Order]:
        """Hear what a server has answered that was asked (AskToStop); ask `deadline` again.

        It was READY meanwhile, unless its site has a newer one by now. One that has been used goes
        on. "Not yet" holds a lease on it, after which it is asked again if it is still to go, for
        busy_max since the first such answer at most.

        Args:
            server: that was asked.
            now: seconds.
            not_yet: it has asked for time; else it goes, if it is still to go.
        """
        asking = self._asking
        if server not in asking.asked:
            return NOTHING
        orders: list[Order] = []
        used = asking.answered(server)
        if used or not (not_yet and asking.hold(server, now)):
            asking.agreed = None if used else server
            self._take_back(server, now, orders)
            self._room.end_unused(now, orders)
        self._room.relieve(now, orders)
        self._fill(now, orders)
        asking.agreed = None
        return orders

    def _not_yet_is_over(self, now: float, orders: list[Order]) -> None:
        """Take back the leases of those that had said "not yet"."""
        due = self._asking.until.due(now)
        for server in due:
            self._take_back(server, now, orders)
        if due:
            self._room.relieve(now, orders)
