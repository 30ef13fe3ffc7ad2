"""Remembers what becomes of sites' servers, and tells whoever listens."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from luisito.core.events import Event, Kind, Recent, Refusals

if TYPE_CHECKING:
    from collections.abc import Callable


class Chronicle:
    """The events of this process since it serves.

    Args:
        clock: monotonic, in seconds.

    Attributes:
        recent: the last of them.
        tellers: are called with each one, in the reactor's thread; they must be quick.
    """

    _log = Logger()

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._refusals = Refusals()
        self.recent = Recent()
        self.tellers: list[Callable[[Event], None]] = []

    def tell(self, kind: Kind, site: str, words: str, **facts: Any) -> None:  # noqa: ANN401 - Event's
        """Takes an event.

        Args:
            kind: of it.
            site: whose.
            words: what has happened.
            facts: the other attributes of Event that are known.
        """
        number = self.recent.last + 1
        event = Event(number=number, at=time.time(), kind=kind, site=site, words=words, **facts)
        self.recent.add(event)
        for teller in self.tellers:
            try:
                teller(event)
            except Exception:  # noqa: BLE001 - no server's fate hangs on who hears of it
                self._log.failure("an event could not be told")

    def refused(self, site: str, words: str) -> None:
        """Takes a refusal of a request; many are told as one."""
        count = self._refusals.count(site, words, self._clock())
        if count:
            self.tell(Kind.REFUSED, site, words, count=count)
