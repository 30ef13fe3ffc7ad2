"""What became of servers that were to be frozen: the part of the policy that hears of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luisito.core.warmfacts import WarmFacts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luisito.core.lifecycle import Server
    from luisito.core.orders import Order


class HibernationFacts(WarmFacts):
    """See Policy, of which this is a part."""

    def hibernates(self, server: Server) -> bool:
        """Hear that a server is frozen; tell whether it is to be so still."""
        hibernation = self._fleet.hibernation
        rests = hibernation.resting.get(server.site) is server
        if rests:
            hibernation.frozen.add(server)
        return rests

    def does_not_hibernate(self, server: Server, now: float) -> Sequence[Order]:
        """Hear that a server cannot be frozen that was ordered to be; ask `deadline` again."""
        orders: list[Order] = []
        if self._fleet.hibernation.resting.get(server.site) is server:
            self._fleet.rouse(server.site, now, orders)
            self._fleet.hibernation.refused(server, now)
        return orders

    def is_frozen(self, server: Server) -> bool:
        """Tell whether a server is frozen, as far as is known."""
        return server in self._fleet.hibernation.frozen

    @property
    def frozen(self) -> int:
        """How many servers are frozen; they are READY, too."""
        return len(self._fleet.hibernation.frozen)
