"""How fast something may go on at a steady rate with a burst, and how often it is told."""

from __future__ import annotations

import math


class Bucket:
    """A bucket that is full at first and holds what comes in within one second.

    More may be taken than is there, since nobody knows how much a read will bring; what is owed
    then must be waited for. So over any time t, at most rate * (t + 1) and one such read is taken.

    Args:
        rate: tokens (bytes) that come in each second; above 0.
        now: seconds of a monotonic clock.
    """

    __slots__ = ("_level", "_rate", "_since")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = self._level = float(rate)
        self._since = now

    def take(self, amount: int, now: float) -> float:
        """Take tokens out.

        Args:
            amount: how many.
            now: seconds, as above; a clock that goes back adds nothing.

        Returns:
            Seconds until nothing is owed any more; 0 where nothing is.
        """
        rate = self._rate
        elapsed = max(0.0, now - self._since)
        self._since = now
        self._level = level = min(rate, self._level + elapsed * rate) - amount
        return 0.0 if level >= 0 else -level / rate


class Seldom:
    """What may happen often, and is told at most once in a while with how often it was.

    Args:
        seconds: between two times at which it is told; above 0.
    """

    __slots__ = ("_next", "_seconds", "_untold")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = -math.inf
        self._untold = 0

    def happened(self, now: float) -> int:
        """It has happened once more.

        Args:
            now: seconds of a monotonic clock.

        Returns:
            How often it has happened since it was last told, where it is to be told now; else 0.
        """
        self._untold += 1
        if now < self._next:
            return 0
        self._next = now + self._seconds
        told, self._untold = self._untold, 0
        return told
