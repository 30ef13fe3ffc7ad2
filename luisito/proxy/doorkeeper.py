"""Who may wake a site: judges the requests for which no server is awake, and no others."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from luisito.core import waiting
from luisito.core.bucket import Seldom
from luisito.core.wakes import Wakes
from luisito.pool import Refused
from luisito.proxy.reports import WAKES
from luisito.proxy.unnoticed import Unnoticed
from luisito.proxy.waker import Waker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from luisito.pool import Waiter
    from luisito.proxy.exchange import Exchange
    from luisito.proxy.gateway import Gateway
    from luisito.settings import Settings

_TOLD: Final = 10.0  # seconds between two lines that say the same


class Doorkeeper:
    """Lets requests wait for a server, or answers them.

    Args:
        gateway: has the clients.
        settings: of this, wakes_per_address counts.
        ask: asks the pool for a server.

    Attributes:
        pages: waiting pages that sites have of their own, by their keys.
    """

    _log = Logger()

    def __init__(
        self, gateway: Gateway, settings: Settings, ask: Callable[[str, Waiter], None]
    ) -> None:
        self._gateway, self._ask = gateway, ask
        self._most = settings.wakes_per_address
        self._wakes = None if self._most is None else Wakes(self._most)
        self._told = Seldom(_TOLD)
        self._wakers: set[str] = set()
        self.pages: Mapping[str, bytes] = {}

    def let_in(self, site: str, exchange: Exchange) -> None:
        """A request for a site that is one, and has no server that is awake."""
        down = exchange.down
        if down.destination.several is not None:
            # The one that was chosen may have gone meanwhile, and others may be ready.
            down.choose(down.destination.several)
            site = down.destination.site
            server = self._gateway.take(site)
            if server is not None:
                exchange.granted(server)
                return
        if isinstance(exchange, Unnoticed):
            exchange.sleeps()
            return
        wait = self._too_many(site, exchange)
        if wait:
            why = f"this address has woken {self._most} sites within a minute (WAKES_PER_ADDRESS)"
            exchange.refused(Refused(429, why, wait, WAKES.decode()))
        elif self._is_shown_a_page(site, exchange):
            self._wake(site)
            exchange.waits_elsewhere(self._page(site, exchange))
        else:
            self._ask(site, exchange)

    def _page(self, site: str, exchange: Exchange) -> bytes:
        own = self.pages.get(site)
        if own is None:
            return waiting.page(site, close=not exchange.keep)
        return waiting.own_page(own, exchange.line.target, close=not exchange.keep)

    def _is_shown_a_page(self, site: str, exchange: Exchange) -> bool:
        """Whether it is a browser's, and the site is about to wake, as far as can be known."""
        return (
            exchange.down.destination.waiting_page
            and exchange.upload is None
            and waiting.is_navigation(exchange.line.method, exchange.fields.lines)
            # who waits for one that has failed is told why, when it fails again
            and not self._gateway.has_failed(site)
        )

    def _wake(self, site: str) -> None:
        """Sees to it that a site wakes although nobody waits for it here."""
        if site not in self._wakers:
            self._wakers.add(site)
            self._ask(site, Waker(self._gateway, partial(self._wakers.discard, site)))

    def _too_many(self, site: str, exchange: Exchange) -> float:
        """Counts a wake; returns the seconds until there may be another where it is too many."""
        gateway, down = self._gateway, exchange.down
        if self._wakes is None or not gateway.asleep(site):
            return 0.0
        client = gateway.peers.client_of(down.peer, down.sent)
        place = gateway.peers.place_of(client)
        if place is None:
            return 0.0
        now = gateway.clock()
        wait = self._wakes.admit(place, now)
        if wait:
            gateway.counters.over_wakes += 1
            times = self._told.happened(now)
            if times:
                self._log.warn(
                    "{times} requests were answered 429, the last one from {client}, which has"
                    " woken {most} sites within a minute: see WAKES_PER_ADDRESS",
                    times=times,
                    client=client.decode("ascii", "backslashreplace"),
                    most=self._most,
                )
        return wait
