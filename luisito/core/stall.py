"""Whether one piece of work holds the reactor for too long, judged by looks at it now and then."""

from __future__ import annotations


class Stall:
    """A piece of work that has held the reactor for too long.

    Attributes:
        seconds: of CPU time that it has taken at least, as far as it was looked at.
    """

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Stalls:
    """Recognises the same piece of work at several looks.

    Args:
        bound: seconds of CPU time that a piece may take.
    """

    __slots__ = ("_bound", "_since", "_stall", "_work")

    def __init__(self, bound: float) -> None:
        self._bound = bound
        self._work: object | None = None
        self._since = 0.0
        self._stall: Stall | None = None

    def look(self, work: object | None, now: float) -> Stall | None:
        """What is done now.

        Args:
            work: by its identity; kept until the next look, so that no other can have the same.
                None for nothing.
            now: CPU time of the thread, in seconds.

        Returns:
            Where it has been seen for longer than the bound: always the same Stall.
        """
        if work is None or work is not self._work:
            self._work, self._since, self._stall = work, now, None
            return None
        seconds = now - self._since
        if self._stall is not None:
            self._stall.seconds = seconds
        elif seconds > self._bound:
            self._stall = Stall(seconds)
        return self._stall
