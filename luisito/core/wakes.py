"""How many sleeping sites one address may wake: against scanners that walk all hosts."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

MINUTE: Final = 60.0
"""Seconds in which wakes are counted."""
PLACES: Final = 4096
"""Addresses that are remembered; each costs about a kilobyte."""


class Wakes:
    """Counts the wakes of each place (see admission.place_of) within the last minute.

    Whoever was counted last is remembered longest; one that is forgotten begins anew.

    Args:
        most: of one place in a minute.
        places: how many places are remembered.
    """

    __slots__ = ("_most", "_places", "_times")

    def __init__(self, most: int, places: int = PLACES) -> None:
        self._most, self._places = most, places
        self._times: OrderedDict[bytes, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._times)

    def admit(self, place: bytes, now: float) -> float:
        """Count a wake, unless it is one too many.

        Args:
            place: whose it is.
            now: seconds of a monotonic clock.

        Returns:
            0 where it is counted; else the seconds until the next one may be.
        """
        times = self._times.get(place)
        if times is None:
            if len(self._times) >= self._places:
                self._times.popitem(last=False)
            times = self._times[place] = deque(maxlen=self._most)
        else:
            self._times.move_to_end(place)
        if len(times) == self._most and now < times[0] + MINUTE:
            return times[0] + MINUTE - now
        times.append(now)  # which drops the oldest where there are as many as may be
        return 0.0
