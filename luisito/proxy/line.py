"""Requests that wait for a connection to one app server, first come first served."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from luisito.core.directory import Destination
    from luisito.net.backend import Backend
    from luisito.proxy.gateway import Gateway
    from luisito.proxy.outward import Outward
    from luisito.proxy.upstream import Upstream

PAUSES: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
"""Seconds after which a connection that could not be made is tried again, the last repeatedly."""


class Line:
    """Where requests wait while their app server takes no further connection.

    It has UPSTREAM_MAX of them, or its backlog is full (FAULTS 34b). While anybody waits, none is
    idle: one whose exchange is over goes to the first who waits, and when one has ended another is
    made. It is there as long as somebody waits in it.
    """

    __slots__ = ("_backend", "_call", "_gateway", "_terms", "_tries", "_waiting")

    def __init__(self, gateway: Gateway, backend: Backend, destination: Destination) -> None:
        self._gateway, self._backend, self._terms = gateway, backend, destination
        # since when each of them waits, on the clock
        self._waiting: dict[Outward, float] = {}
        self._call: IDelayedCall | None = None
        self._tries = 0
        backend.line, backend.claimed = self, True
        # it may be these that keep the app server from taking another one
        while backend.idle:
            backend.idle.pop().close()

    def join(self, exchange: Outward, now: float) -> bool:
        """Waits; returns whether there is room for one more (QUEUE_LIMIT)."""
        if len(self._waiting) >= self._terms.queue_limit:
            return False
        self._waiting[exchange] = now
        return True

    def leave(self, exchange: Outward) -> float:
        """Waits no longer; returns since when it did."""
        since = self._waiting.pop(exchange)
        if not self._waiting:
            if self._call is not None:
                self._call.cancel()
                self._call = None
            self._backend.line, self._backend.claimed = None, self._backend.retired
        return since

    def try_again(self) -> None:
        """The backlog is full: tries again in a moment."""
        pause = PAUSES[min(self._tries, len(PAUSES) - 1)]
        self._tries += 1
        self._serve_after(pause)

    @property
    def reason(self) -> str:
        """Why they wait."""
        limit = self._terms.upstream_max
        if len(self._backend.open) >= limit:
            return f"the app server has {limit} connections, and UPSTREAM_MAX allows no more"
        return "the app server's backlog is full"

    # -- called by connections, by way of the Backend

    def hand_over(self, upstream: Upstream) -> None:
        """The exchange of a connection is over, and the connection goes on."""
        exchange = next(iter(self._waiting))
        upstream.claim(exchange)
        exchange.connected(upstream)

    def ended(self) -> None:
        """A connection has ended, so another one may be made."""
        self._tries = 0
        # in the next turn: whoever ends one is in the middle of something
        self._serve_after(0)

    # -- inside

    def _serve_after(self, seconds: float) -> None:
        if self._call is not None:
            self._call.cancel()
        self._call = self._gateway.reactor.callLater(seconds, self._serve)

    def _serve(self) -> None:
        self._call = None
        while self._waiting and len(self._backend.open) < self._terms.upstream_max:
            exchange = next(iter(self._waiting))
            try:
                upstream = self._gateway.connect(self._backend, exchange)
            except OSError as error:
                if error.errno == errno.EAGAIN:
                    self.try_again()
                    return
                exchange.not_connected(error)
            else:
                self._tries = 0
                exchange.connected(upstream)
