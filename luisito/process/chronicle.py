"""Remembers what becomes of sites' servers, and tells whoever listens."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from luisito.core.events import Event, Kind, Recent, Refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from luisito.core.events import Untold


class Chronicle:
    """The events of this process since it serves.

    Args:
        clock: the reactor, whose seconds are of a monotonic clock.

    Attributes:
        recent: the last of them.
        tellers: are called with each one, in the reactor's thread; they must be quick.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._refusals = Refusals()
        self._call: IDelayedCall | None = None
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
        """Takes a refusal of a request; many are told as one, and the last ones a while later."""
        told = self._refusals.count(site, words, self._clock.seconds())
        self._tell_of(told)
        if not told and self._call is None:
            self._later()

    def settle(self) -> None:
        """Tells of the refusals that wait to be told with others."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._tell_of(self._refusals.rest(self._clock.seconds(), at_once=True))

    def _later(self) -> None:
        due = self._refusals.due()
        if due is not None:
            self._call = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._rest)

    def _rest(self) -> None:
        self._call = None
        self._tell_of(self._refusals.rest(self._clock.seconds()))
        self._later()

    def _tell_of(self, refusals: Iterable[Untold]) -> None:
        for site, words, count in refusals:
            self.tell(Kind.REFUSED, site, words, count=count)
