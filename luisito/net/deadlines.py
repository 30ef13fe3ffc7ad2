"""Deadlines of many connections on one coarse wheel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Protocol

from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

NEVER: Final = math.inf

_SLOTS: Final = 8


class Item(Protocol):
    """Something with a deadline."""

    deadline: float

    def expired(self, now: float) -> None:
        """The deadline has passed; set a new one, or be looked at again on the next round."""


class Deadlines:
    """Looks at every item once a second, a slot of them at a time.

    To set a deadline is to set an attribute, so it costs the warm path nothing more; a deadline is
    noticed at most one second late. Nothing ticks while there is no item.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorTime, clock: Callable[[], float]) -> None:
        self._reactor, self._clock = reactor, clock
        self._slots: list[set[Item]] = [set() for _ in range(_SLOTS)]
        self._slot_of: dict[Item, int] = {}
        self._next = 0
        self._call: IDelayedCall | None = None

    def add(self, item: Item) -> None:
        """Begins to look at `item.deadline`, a time on the clock in seconds."""
        # The slot just visited is the one that comes round last.
        slot = (self._next - 1) % _SLOTS
        self._slots[slot].add(item)
        self._slot_of[item] = slot
        if self._call is None:
            self._call = self._reactor.callLater(1 / _SLOTS, self._tick)

    def discard(self, item: Item) -> None:
        """Forgets an item."""
        slot = self._slot_of.pop(item, None)
        if slot is not None:
            self._slots[slot].discard(item)

    def stop(self) -> None:
        """Forgets all items."""
        self._slot_of.clear()
        for slot in self._slots:
            slot.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _tick(self) -> None:
        self._call = self._reactor.callLater(1 / _SLOTS, self._tick)
        now = self._clock()
        slot = self._slots[self._next]
        self._next = (self._next + 1) % _SLOTS
        for item in [item for item in slot if item.deadline <= now]:
            # an earlier one may have ended this one
            if item in slot and item.deadline <= now:
                try:
                    item.expired(now)
                except Exception:  # noqa: BLE001 - one item's fault must not end the others'
                    self._log.failure("Unhandled error at a deadline")
                    self.discard(item)
        if not self._slot_of:
            self.stop()
