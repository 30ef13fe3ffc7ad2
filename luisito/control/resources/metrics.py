"""What Prometheus is told, where prometheus_client is installed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from luisito.control.answers import begin, refuse
from luisito.control.metrics.found import Found, Names, Sources
from luisito.control.routes import Route
from luisito.core.eventcounts import EventCounts

_written: Callable[[Found, str], tuple[str, Iterator[bytes]]] | None
try:
    from luisito.control.metrics.written import written
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "prometheus_client":
        raise
    _written = None
else:
    _written = written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from luisito.control.connections import ControlRequest
    from luisito.control.listing import Listing
    from luisito.control.overview import Overview
    from luisito.pool import Pool
    from luisito.proxy.gateway import Gateway

MISSING = (
    "metrics need prometheus_client, which is not installed here:"
    f" run {sys.executable} -m pip install 'luisito[metrics]', then restart Luisito"
)


class Metrics:
    """GET /metrics.

    Args:
        listing: sends what is long.
        overview: of the pool.
        pool: the same; its events are counted from now on.
        gateway: counts requests.
        sites: so many are told of by name.
    """

    def __init__(
        self,
        listing: Listing,
        overview: Overview,
        pool: Pool,
        gateway: Gateway,
        sites: int,
    ) -> None:
        events = EventCounts()
        pool.chronicle.tellers.append(events.heard)
        self._sources = Sources(overview, pool, gateway, events, Names(sites))
        self._listing = listing

    def routes(self) -> list[Route]:
        """The resource."""
        return [Route("GET", "/metrics", self._tell)]

    def _tell(self, request: ControlRequest) -> None:
        if _written is None:
            refuse(request, 501, MISSING)
            return
        accepts = (request.getHeader(b"accept") or b"").decode("latin-1")
        kind, pieces = _written(Found(self._sources), accepts)
        begin(request, 200, kind)
        self._listing.go_on(request, pieces)
