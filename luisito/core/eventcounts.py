"""Counts what becomes of servers and workers, by site."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from luisito.core.events import Kind
from luisito.core.tally import MAX_SITES, OTHERS, Times

if TYPE_CHECKING:
    from luisito.core.events import Event

Counted = tuple[Kind, str, str]
"""What: the kind; `SERVER` or `WORKER`; of EVICTED the reason, of EXITED how it ended, else ""."""

SERVER: Final = "server"
WORKER: Final = "worker"
ROOM: Final = "room"
MEMORY: Final = "memory"
ENDINGS: Final = ("clean", "error", "signal", "unknown")


class EventCounts:
    """The events there were.

    Attributes:
        by_site: how many of what, by the sites that came first, the others as OTHERS.
        starts: how long servers took from their start until they were ready.
    """

    def __init__(self, most: int = MAX_SITES) -> None:
        self._most = most
        self.by_site: dict[str, Counter[Counted]] = {}
        self._keys: dict[Counted, Counted] = {}  # of which all sites have the same
        self.starts = Times()

    def heard(self, event: Event) -> None:
        """Counts one; refusals are counted with the requests."""
        if event.kind is Kind.REFUSED:
            return
        detail = ""
        if event.kind is Kind.EVICTED:
            detail = MEMORY if event.other is None else ROOM
        elif event.kind is Kind.EXITED:
            detail = _ending(event)
        elif event.kind is Kind.READY and event.seconds is not None:
            self.starts.add(event.seconds)
        counts = self.by_site.get(event.site)
        if counts is None:
            name = event.site if len(self.by_site) < self._most else OTHERS
            counts = self.by_site.setdefault(name, Counter())
        key = event.kind, SERVER if event.worker is None else WORKER, detail
        counts[self._keys.setdefault(key, key)] += 1


def _ending(event: Event) -> str:
    if event.signal is not None:
        return "signal"
    if event.code is None:
        return "unknown"
    return "error" if event.code else "clean"
