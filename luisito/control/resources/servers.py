"""The servers there are, and how one of them is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luisito.control.answers import answer, deny, refuse
from luisito.control.overview import ASLEEP, LEAVING, WORDS
from luisito.control.routes import Route
from luisito.core.lifecycle import State
from luisito.errors import LuisitoError

if TYPE_CHECKING:
    from luisito.control.acts import Acts
    from luisito.control.connections import ControlRequest
    from luisito.control.listing import Listing
    from luisito.control.named import Named
    from luisito.control.overview import Overview
    from luisito.control.roles import Roles
    from luisito.pool import Pool
    from luisito.proxy.gateway import Gateway


class Servers:
    """GET /servers and POST /servers/SITE/stop.

    Args:
        listing: sends lists.
        roles: who may do what.
        overview: what is told.
        pool: of the servers.
        gateway: knows which hosts are sites.
        named: finds the site that is meant.
        acts: stops it.
    """

    def __init__(
        self,
        listing: Listing,
        roles: Roles,
        overview: Overview,
        pool: Pool,
        gateway: Gateway,
        named: Named,
        acts: Acts,
    ) -> None:
        self._roles, self._overview, self._pool, self._gateway = roles, overview, pool, gateway
        self._listing, self._named, self._acts = listing, named, acts

    def routes(self) -> list[Route]:
        """The resources."""
        return [
            Route("GET", "/servers", self._list, for_all=True),
            Route("POST", "/servers/SITE/stop", self._stop, for_all=True),
        ]

    def _list(self, request: ControlRequest) -> None:
        self._listing.send(request, servers=self._overview.servers(request.uid))

    async def _stop(self, request: ControlRequest, host: str) -> None:
        uid, overview = request.uid, self._overview
        site = self._named.key(request, host)
        if site is None:
            return
        seen = overview.of(uid, site)
        servers = map(self._pool.policy.server, self._pool.policy.keys(site))
        if any(server in seen for server in servers):
            self._acts.stop(site, uid)
        leaving = [overview.row(server) for server in seen if server.state in LEAVING]
        if leaving:
            state = WORDS[State.DRAINING]
            answer(request, 202, {"site": site, "state": state, "servers": leaving})
        elif self._roles.is_operator(uid):
            await self._nothing_to_stop(request, site)
        else:
            deny(request)

    async def _nothing_to_stop(self, request: ControlRequest, site: str) -> None:
        try:
            is_site = await self._gateway.is_site(site)
        except LuisitoError as error:
            refuse(request, 503, str(error))
            return
        if is_site:
            answer(request, 200, {"site": site, "state": ASLEEP, "servers": []})
        else:
            refuse(request, 404, f"{site} is not a site here")
