"""What became of sites: events, failures and statistics, of all or of one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from luisito.control.answers import answer, refuse
from luisito.control.routes import Route
from luisito.core.events import Kind
from luisito.errors import NotFoundOut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from luisito.control.connections import ControlRequest
    from luisito.control.listing import Listing
    from luisito.control.named import Named
    from luisito.control.overview import Overview, Row
    from luisito.control.owners import Owners
    from luisito.control.roles import Roles
    from luisito.pool import Recall

MOST: Final = 10_000
"""Events that may be asked for at once."""
_LAST: Final = 100
_KINDS: Final = tuple(kind.value for kind in Kind)


class BadQueryError(ValueError):
    """What stands behind the ? of a resource is wrong; the message says how it is mended."""


class History:
    """GET /events, /errors and /stats, and GET /sites/SITE/events and /sites/SITE/stats.

    Args:
        roles: who may see what.
        overview: what is failed now, or goes on as before.
        owners: whose sites are that failed.
        recall: tells of the past.
        named: which site is meant.
        listing: sends lists.
    """

    def __init__(
        self,
        roles: Roles,
        overview: Overview,
        owners: Owners,
        recall: Recall,
        named: Named,
        listing: Listing,
    ) -> None:
        self._roles, self._overview, self._owners, self._recall = roles, overview, owners, recall
        self._named, self._listing = named, listing

    def routes(self) -> list[Route]:
        """The resources."""
        return [
            Route("GET", "/events", self._events, for_all=True),
            Route("GET", "/errors", self._errors, for_all=True),
            Route("GET", "/stats", self._stats, for_all=True),
            Route("GET", "/sites/SITE/events", self._events_of, for_all=True),
            Route("GET", "/sites/SITE/stats", self._stats_of, for_all=True),
        ]

    async def _events(self, request: ControlRequest) -> None:
        await self._send_events(request, None)

    async def _events_of(self, request: ControlRequest, host: str) -> None:
        site = await self._named.find(request, host)
        if site is not None:
            await self._send_events(request, site)

    async def _send_events(self, request: ControlRequest, site: str | None) -> None:
        try:
            kind, limit = _kind(request), _limit(request)
            found = await self._recall.events(site, kind, self._whose(request), limit)
        except (BadQueryError, NotFoundOut) as error:
            _refuse(request, error)
        else:
            self._send(request, events=iter(found))

    async def _errors(self, request: ControlRequest) -> None:
        try:
            limit = _limit(request)
            found = await self._recall.events(None, Kind.FAILED.value, self._whose(request), limit)
        except (BadQueryError, NotFoundOut) as error:
            _refuse(request, error)
        else:
            self._send(
                request,
                failed=self._seen(request.uid, self._overview.failed()),
                as_before=self._seen(request.uid, self._overview.as_before()),
                by_host_only=self._seen(request.uid, self._overview.by_host_only()),
                events=iter(found),
            )

    def _seen(self, uid: int, rows: Iterator[Row]) -> Iterator[Row]:
        roles, owners = self._roles, self._owners
        for row in rows:
            if roles.sees(uid, owners.of(str(row["site"]))):
                yield row

    async def _stats(self, request: ControlRequest) -> None:
        try:
            found = await self._recall.stats(None, self._whose(request))
        except NotFoundOut as error:
            _refuse(request, error)
        else:
            self._send(request, sites=found)

    async def _stats_of(self, request: ControlRequest, host: str) -> None:
        site = await self._named.find(request, host)
        if site is None:
            return
        try:
            found = next(await self._recall.stats(site, None), None)
        except NotFoundOut as error:
            _refuse(request, error)
        else:
            answer(request, 200, {**self._recall.told(), "site": site, "stats": found})

    def _whose(self, request: ControlRequest) -> int | None:
        return None if self._roles.is_operator(request.uid) else request.uid

    def _send(self, request: ControlRequest, **lists: Iterator[Any]) -> None:
        if not request.gone:
            self._listing.send(request, self._recall.told(), **lists)


def _refuse(request: ControlRequest, error: Exception) -> None:
    refuse(request, 400 if isinstance(error, BadQueryError) else 503, str(error))


def _limit(request: ControlRequest) -> int:
    text = _argument(request, b"limit")
    if text is None:
        return _LAST
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= MOST:
        raise BadQueryError(f"limit={text!r}: it must be a number from 1 to {MOST}")
    return int(text)


def _kind(request: ControlRequest) -> str | None:
    text = _argument(request, b"kind")
    if text is not None and text not in _KINDS:
        raise BadQueryError(f"kind={text!r}: it must be one of {', '.join(_KINDS)}")
    return text


def _argument(request: ControlRequest, name: bytes) -> str | None:
    values = (request.args or {}).get(name)
    return None if not values else values[-1].decode("latin-1")
