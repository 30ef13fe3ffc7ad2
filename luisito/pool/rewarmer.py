"""Starts the sites again that were used most, one by one, after a start that found no servers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from luisito.core.rewarming import LOOK, Rewarming, Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from luisito.pool.pool import Pool


class Rewarmer:
    """Has each site started when it is its turn.

    Args:
        clock: the reactor.
        pool: starts them.
        is_site: whether a site still is one.

    Attributes:
        rewarming: how far it has come; None where there is nothing to do.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, pool: Pool, is_site: Callable[[str], Deferred[bool]]
    ) -> None:
        self._clock, self._pool, self._is_site = clock, pool, is_site
        self._processors = len(os.sched_getaffinity(0))
        self._call: IDelayedCall | None = None
        self._known = ""  # that one is a site
        self._stopped = False
        self.rewarming: Rewarming | None = None

    def begin(self, sites: Iterable[str], most: int) -> None:
        """Begins with these, the most used one first; `most` of them."""
        self.rewarming = rewarming = Rewarming(sites, most, self._clock.seconds())
        if rewarming.over:
            self._log.info("Rewarming: no uses of sites are known yet")
            return
        self._log.info(
            "Rewarming: the sites that are used most, {count} of them", count=rewarming.chosen
        )
        self._later()

    def stop(self) -> None:
        """Starts none any more."""
        self._stopped = True
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _later(self) -> None:
        self._call = self._clock.callLater(LOOK, self._look)

    def _look(self) -> None:
        self._call = None
        rewarming = self.rewarming
        if rewarming is None:
            return
        site = rewarming.next(self._clock.seconds(), _load() / self._processors)
        if rewarming.over:
            self._log.info("Rewarmed {words}", words=rewarming.words())
        elif site is None:
            self._later()
        elif site == self._known:
            self._take_turn(rewarming, site, is_site=True)
        else:
            asked = maybeDeferred(self._is_site, site)
            asked.addErrback(self._cannot_tell, site)
            asked.addCallback(lambda known: self._take_turn(rewarming, site, is_site=known))

    def _cannot_tell(self, failure: Failure, site: str) -> bool:
        self._log.warn(
            "{site} is not rewarmed: {error}", site=site, error=failure.getErrorMessage()
        )
        return False

    def _take_turn(self, rewarming: Rewarming, site: str, *, is_site: bool) -> None:
        if self._stopped:
            return
        if is_site:
            self._known = site
            rewarming.told(*self._pool.rewarm(site))
        else:
            rewarming.told(Turn.PASSED_OVER)
        self._later()


def _load() -> float:
    """The load average of the last minute; 0 where the kernel does not tell."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return 0.0
