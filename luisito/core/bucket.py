"""A token bucket: how fast something may go on at a steady rate with a burst."""

from __future__ import annotations


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
