"""Who waits for a turn to be started, first come first, and who is left alone for a while."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from luisito.core.clock import Clock

K = TypeVar("K")


class Turns(Generic[K]):
    """The keys whose server has not been started yet.

    Attributes:
        pending: those that may start one as soon as there is room for it, first come first.
        delayed: those that are left alone for a while, and until when.
    """

    __slots__ = ("delayed", "pending")

    def __init__(self) -> None:
        self.pending: OrderedDict[K, None] = OrderedDict()
        self.delayed: Clock[K] = Clock()

    def ask(self, key: K, now: float, until: float) -> None:
        """Let a key have its turn, not before a time, in seconds; one that waits keeps it."""
        if key in self.delayed:
            return
        if now < until:
            self.delayed.set(key, until)
        else:
            self.pending[key] = None

    def drop(self, key: K) -> None:
        """Forget a key: whatever it starts next is new anyway."""
        self.pending.pop(key, None)
        self.delayed.discard(key)

    def tick(self, now: float) -> None:
        """Let those have their turn whose delay is over."""
        for key in self.delayed.due(now):
            self.pending[key] = None

    def clear(self) -> None:
        """Forget all."""
        self.pending.clear()
        self.delayed.clear()
