"""What becomes of sites' servers, an event at a time: for people, statistics, metrics and hooks."""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

RECENT: Final = 5000
"""So many events are remembered."""
TOGETHER: Final = 10.0
"""Seconds within which refusals for one reason are one event."""
_MOST: Final = 1000  # sites and reasons whose refusals are counted at a time


class Kind(enum.Enum):
    """What has become of a server."""

    WAKE = "wake"
    """Its start was ordered."""
    READY = "ready"
    FAILED = "failed"
    """It could not start, or broke soon after it was ready."""
    EVICTED = "evicted"
    """It was told to go for the sake of others."""
    STOPPED = "stopped"
    """It was told to go for another reason."""
    KILLED = "killed"
    """It was sent SIGKILL."""
    EXITED = "exited"
    """It has gone."""
    REFUSED = "refused"
    """Requests got no server."""


@attrs.frozen(kw_only=True)
class Event:
    """One of them.

    Attributes:
        number: one more than that of the event before.
        at: when, in seconds since the epoch.
        site: whose.
        kind: what.
        words: the same for a person; of FAILED with the last output, in lines of its own.
        worker: the name of the site's worker that it is about; None for a server.
        pid: of its process, where there is one.
        uid: whom it runs as, where that is known.
        seconds: READY: that its start took; EVICTED: that its last start took, which is the price
            of the next one; EXITED: that it lived.
        other: EVICTED: the site that it goes for; None where all are meant.
        memory: EVICTED and EXITED: bytes that it took when that was last measured.
        count: REFUSED: so many requests since the last such event; else 1.
        code: EXITED and FAILED: its exit code.
        signal: EXITED and FAILED: the number of the signal that ended it.
    """

    number: int
    at: float
    site: str
    kind: Kind
    words: str
    worker: str | None = None
    pid: int | None = None
    uid: int | None = None
    seconds: float | None = None
    other: str | None = None
    memory: int | None = None
    count: int = 1
    code: int | None = None
    signal: int | None = None

    def as_dict(self) -> dict[str, str | int | float | None]:
        """The same for JSON."""
        return attrs.asdict(self) | {"kind": self.kind.value}


def for_owner(words: str, other: str | None) -> str:
    """What a site's user is told, who need not know whose site another one is.

    Args:
        words: of an event.
        other: the site that one goes for; None for none.
    """
    return words.replace(other, "another site") if other else words


class Recent:
    """The last events there were."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=RECENT)
        self.last = 0
        """The number of the last one; 0 before there is any."""

    def add(self, event: Event) -> None:
        """Remember one."""
        self._events.append(event)
        self.last = event.number

    def __iter__(self) -> Iterator[Event]:
        """All of them, the oldest first."""
        return iter(self._events)

    def of(self, site: str) -> list[Event]:
        """Those of a site, the oldest first."""
        return [event for event in self._events if event.site == site]


class Untold(NamedTuple):
    """Refusals that are to be told as one event.

    Attributes:
        site: whose requests were refused.
        reason: why.
        times: how many.
    """

    site: str
    reason: str
    times: int


class Refusals:
    """Tells which of many refusals are worth an event: a flood is one in ten seconds.

    Times are in seconds of a monotonic clock.
    """

    def __init__(self) -> None:
        # when each was told last, the oldest first; and how many have not been told since
        self._told: dict[tuple[str, str], tuple[float, int]] = {}

    def count(self, site: str, reason: str, now: float) -> list[Untold]:
        """Count one more; returns what is to be told now."""
        key = site, reason
        told_at, untold = self._told.get(key, (now - TOGETHER, 0))
        if now - told_at < TOGETHER:
            self._told[key] = told_at, untold + 1
            return []
        self._told.pop(key, None)
        found = [Untold(site, reason, untold + 1)]
        if len(self._told) >= _MOST:
            oldest = next(iter(self._told))
            _, untold = self._told.pop(oldest)
            if untold:
                found.append(Untold(*oldest, untold))
        self._told[key] = now, 0
        return found

    def due(self) -> float | None:
        """Tell when something is to be told though there are no more refusals."""
        return next((at + TOGETHER for at, untold in self._told.values() if untold), None)

    def rest(self, now: float, *, at_once: bool = False) -> list[Untold]:
        """Return what is to be told then, or all; nothing of it is kept."""
        late = [
            (key, untold)
            for key, (told_at, untold) in self._told.items()
            if untold and (at_once or now - told_at >= TOGETHER)
        ]
        for key, _ in late:
            del self._told[key]
            self._told[key] = now, 0
        return [Untold(*key, untold) for key, untold in late]
