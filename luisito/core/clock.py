"""Times when keys are due, however long each one's timeout is."""

from __future__ import annotations

import heapq
from math import inf
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

K = TypeVar("K")

_SPARE = 64
_A_FEW = 4


class Clock(Generic[K]):
    """Keys, in the order in which they were set last, and when each is due.

    A heap finds the first one, so that timeouts may differ from key to key, and to set a key costs
    the logarithm of their number. What counts no more stays in the heap until it comes to the
    front, a few a call, or until it is most of the heap, which is made anew then.
    """

    __slots__ = ("_entries", "_heap", "_number")

    def __init__(self) -> None:
        self._entries: dict[K, tuple[float, int, K]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._number = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[K]:
        return iter(self._entries)

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def at(self, key: K) -> float | None:
        """Tell when a key is due, in seconds; None for one that is not here."""
        entry = self._entries.get(key)
        return None if entry is None else entry[0]

    def set(self, key: K, at: float) -> None:
        """Let a key be due at a time, and at no other one; in seconds."""
        self._entries.pop(key, None)
        if len(self._heap) > 2 * len(self._entries) + _SPARE:
            self._heap = list(self._entries.values())
            heapq.heapify(self._heap)
        self._number += 1
        self._entries[key] = entry = (at, self._number, key)
        heapq.heappush(self._heap, entry)

    def discard(self, key: K) -> None:
        """Forget a key; an unknown one is harmless."""
        self._entries.pop(key, None)

    def first(self) -> float:
        """Tell when the first key is due, in seconds; inf where there is none.

        It may be early, never late, after many keys were forgotten at once.
        """
        heap, entries = self._heap, self._entries
        for _ in range(_A_FEW):
            if not heap:
                break
            if entries.get(heap[0][2]) is heap[0]:
                return heap[0][0]
            heapq.heappop(heap)
        return heap[0][0] if heap else inf

    def due(self, now: float) -> list[K]:
        """Take out the keys that are due, first due first."""
        heap, found = self._heap, list[K]()
        while heap and heap[0][0] <= now:
            entry = heapq.heappop(heap)
            if self._entries.get(entry[2]) is entry:
                del self._entries[entry[2]]
                found.append(entry[2])
        return found

    def clear(self) -> None:
        """Forget all keys."""
        self._entries.clear()
        self._heap.clear()
