"""When an event stream or a tunnel was last active."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luisito.net.stream import Stream


class Activity:
    """Notes when a byte last went by between two streams.

    Attributes:
        last: when one was last received, or the last of what was kept was sent: on the clock, set
            by whoever passes it on.
    """

    __slots__ = ("_ends", "_progress", "last")

    def __init__(self, now: float, *ends: Stream) -> None:
        self.last = now
        self._ends = ends
        self._progress: list[int] | None = None

    def at(self, now: float) -> float:
        """When a byte last went by.

        While an end reads so slowly that something has to be kept for it, whatever it has taken
        since somebody last asked counts.
        """
        if any(end.backed_up for end in self._ends):
            progress = [end.progress() for end in self._ends]
            if progress != self._progress:
                self._progress = progress
                self.last = now
        return self.last
