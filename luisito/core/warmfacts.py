"""Servers that are started again before anybody asks for them: the part of the policy for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from luisito.core.orders import NOTHING
from luisito.core.rewarming import Turn
from luisito.core.stopfacts import StopFacts
from luisito.core.uses import Used

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from luisito.core.orders import Order
    from luisito.core.reuse import Reuse

PART: Final = 0.75
"""Of MAX_SERVERS and of MAX_MEMORY: what is over it is left to those who ask."""


class WarmFacts(StopFacts):
    """See Policy, of which this is a part."""

    def remember(self, used: Iterable[Used], now: float) -> None:
        """Hear how often sites were used before, and what their servers took then."""
        known = list(used)
        self._fleet.uses.remember(((one.site, one.uses) for one in known), now)
        self._fleet.memory.remember(
            (one.site, one.memory) for one in known if one.memory is not None
        )

    def used(self, now: float, most: int) -> list[Used]:
        """Tell which sites are used most, the most used one first; takes as long as servers are."""
        fleet = self._fleet
        for server in fleet.ready.values():
            fleet.uses.count(server)
        took = dict(fleet.memory.took())
        return [Used(site, uses, took.get(site)) for site, uses in fleet.uses.hottest(now, most)]

    def reuse(self, now: float) -> Reuse:
        """Tell what pools of other sizes would have done; takes as long as there are servers."""
        self._fleet.ghosts.look(self._fleet.ready.values(), now)
        return self._fleet.ghosts.reuse

    def resume_reuse(self, state: dict[str, Any], now: float) -> None:
        """Go on with what Reuse.state has told elsewhere, before anything was seen here.

        Raises:
            ValueError: it is something else.
        """
        self._fleet.ghosts.resume(state, now)

    @property
    def use_changes(self) -> int:
        """How often uses were counted: nothing is new where that is the same."""
        return self._fleet.uses.changes

    def rewarm(self, site: str, now: float) -> tuple[Turn, Sequence[Order]]:
        """Start a site's server for nobody, if nobody could miss what that takes.

        That is when nobody waits, nothing else starts or ends, and a quarter of all room is left.
        Who asks for it meanwhile joins in, and it goes where another one is asked for and may not
        start beside it. If it fails, that does not count.

        Args:
            site: its key.
            now: seconds.

        Returns:
            What has come of it; and what is to be done.
        """
        sites, fleet = self._sites, self._fleet
        if site in sites.closed:
            return Turn.PASSED_OVER, NOTHING
        for key in self.keys(site):
            record = sites.by_name.get(key)
            if key in self._keeping or (record is not None and (record.server or record.waiters)):
                return Turn.AWAKE, NOTHING
            if record is not None and record.failures:
                return Turn.PASSED_OVER, NOTHING
        busy = (
            self._closing, self._parked, self._rolls.pending, self._keeping.turns.pending,
            fleet.starting, fleet.stopping,
        )  # fmt: skip
        if any(busy):
            return Turn.LATER, NOTHING
        left = self.limits.max_servers - int(PART * self.limits.max_servers)
        if fleet.full(self._keeping.reserved(site) + left) or not fleet.memory.spares(site, PART):
            return Turn.NO_ROOM, NOTHING
        orders: list[Order] = []
        self._room.warm(site, now, orders)
        return Turn.STARTED, orders
