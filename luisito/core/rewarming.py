"""Which of the sites that were used most are started again after a reboot, and when the next is."""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING, Final

from luisito.core.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from luisito.core.lifecycle import Server

LOOK: Final = 0.25
"""Seconds after which it is looked again whether a site may be started."""
LEAST_PAUSE: Final = 0.25
"""Seconds from the end of a start to the next one, at least."""
MOST_PAUSE: Final = 30.0
"""The same, at most."""
LONGEST: Final = 3600.0
"""Seconds after which sites that have had no turn get none any more: by then it is known who is
asked for."""


class Turn(enum.Enum):
    """What comes of a site's turn; with the words that say so of several."""

    STARTED = "rewarmed"
    AWAKE = "awake already"
    NO_ROOM = "without room"
    PASSED_OVER = "passed over"
    FAILED = "did not start"
    LATER = "still to come"


class Rewarming:
    """Sites that are started one by one, the most used one first.

    After each start there is a pause for as long as that took, and longer by as much as the machine
    has more to do than it has processors: so it takes no more than half of one of them, and the
    less the more others want. It is slowed down rather than stopped, as load counts what waits for
    disks and neighbours as well, and may stay high for good.

    Args:
        sites: the most used one first.
        most: so many have their turn; in the place of each that is passed over, the next one.
        now: seconds of a monotonic clock.
    """

    __slots__ = ("_began", "_counts", "_due", "_most", "_pending", "_start")

    def __init__(self, sites: Iterable[str], most: int, now: float) -> None:
        self._pending, self._most = deque(sites), most
        self._began = self._due = now
        self._start: Server | None = None
        self._counts = dict.fromkeys(Turn, 0)

    @property
    def chosen(self) -> int:
        """How many there are, as far as is known: not those that were passed over."""
        return self._had + self._left

    @property
    def _had(self) -> int:
        """How many have had their turn, or have it."""
        passed_over = self._counts[Turn.PASSED_OVER]
        return sum(self._counts.values()) - passed_over + (self._start is not None)

    @property
    def _left(self) -> int:
        """How many will have their turn."""
        return min(len(self._pending), self._most - self._had)

    @property
    def over(self) -> bool:
        """Whether all have had their turn."""
        return self._start is None and not self._left

    @property
    def counts(self) -> dict[Turn, int]:
        """How many sites have come to what."""
        later = self._counts[Turn.LATER] + self._left + (self._start is not None)
        return {**self._counts, Turn.LATER: later}

    def words(self) -> str:
        """Say how far it has come."""
        counts = self.counts
        others = [f"{counts[turn]} {turn.value}" for turn in Turn if turn is not Turn.STARTED]
        rest = "".join(f", {words}" for words in others if not words.startswith("0 "))
        return f"{counts[Turn.STARTED]} of {self.chosen} sites{rest}"

    def next(self, now: float, load: float) -> str | None:
        """Tell whose turn it is, if it is anybody's.

        Args:
            now: seconds.
            load: processes that run or want to, for each processor.
        """
        start = self._start
        if start is not None:
            if start.state is State.STARTING:
                return None
            self._start = None
            self._counts[Turn.STARTED if start.ready_at else Turn.FAILED] += 1
            took = (start.ready_at or now) - start.started_at
            self._due = now + min(max(took * max(1.0, load), LEAST_PAUSE), MOST_PAUSE)
        if now >= self._began + LONGEST:
            self._counts[Turn.LATER] += self._left
            self._pending.clear()
        return self._pending[0] if self._left and now >= self._due else None

    def told(self, turn: Turn, server: Server | None = None) -> None:
        """Hear what has come of the turn of the one that `next` has told.

        Args:
            turn: what.
            server: that starts, where one does.
        """
        if turn is Turn.LATER:
            return
        self._pending.popleft()
        if server is None:
            self._counts[turn] += 1
        else:
            self._start = server
