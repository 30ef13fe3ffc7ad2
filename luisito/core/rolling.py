"""Which sites wait for their turn to roll: to have their READY server replaced by a new one."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from luisito.core.clock import Clock

if TYPE_CHECKING:
    from luisito.core.sites import Site


class Rolls:
    """The sites whose new server has not been started yet.

    Attributes:
        pending: those that may start one as soon as there is room for it, first come first.
        delayed: those that are left alone for a while, and until when.
    """

    __slots__ = ("delayed", "pending")

    def __init__(self) -> None:
        self.pending: OrderedDict[Site, None] = OrderedDict()
        self.delayed: Clock[Site] = Clock()

    def ask(self, site: Site, now: float, until: float) -> None:
        """Let a site roll, not before a time, in seconds; one that waits keeps its turn."""
        if site in self.delayed:
            return
        if now < until:
            self.delayed.set(site, until)
        else:
            self.pending[site] = None

    def drop(self, site: Site) -> None:
        """Forget a site: whatever it starts next is new anyway."""
        self.pending.pop(site, None)
        self.delayed.discard(site)

    def tick(self, now: float) -> None:
        """Let those have their turn whose delay is over."""
        for site in self.delayed.due(now):
            self.pending[site] = None

    def clear(self) -> None:
        """Forget all."""
        self.pending.clear()
        self.delayed.clear()
