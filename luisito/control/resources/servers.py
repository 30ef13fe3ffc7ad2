"""The servers there are, and how one of them is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from luisito.control.answers import answer, deny, refuse
from luisito.control.overview import ASLEEP, WORDS
from luisito.control.routes import Route
from luisito.core.host import normalize
from luisito.core.lifecycle import State
from luisito.core.mounts import key_of
from luisito.errors import BadHost, LuisitoError

if TYPE_CHECKING:
    from luisito.control.connections import ControlRequest
    from luisito.control.listing import Listing
    from luisito.control.overview import Overview
    from luisito.control.roles import Roles
    from luisito.pool import Pool
    from luisito.proxy.gateway import Gateway

_LEAVING: Final = (State.DRAINING, State.STOPPING)


class Servers:
    """GET /servers and POST /servers/SITE/stop.

    Args:
        listing: sends lists.
        roles: who may do what.
        overview: what is told.
        pool: what is acted upon.
        gateway: knows which hosts are sites.
    """

    _log = Logger()

    def __init__(
        self,
        listing: Listing,
        roles: Roles,
        overview: Overview,
        pool: Pool,
        gateway: Gateway,
    ) -> None:
        self._roles, self._overview, self._pool, self._gateway = roles, overview, pool, gateway
        self._listing = listing

    def routes(self) -> list[Route]:
        """The resources."""
        return [
            Route("GET", "/servers", self._list, for_all=True),
            Route("POST", "/servers/SITE/stop", self._stop, for_all=True),
        ]

    def _list(self, request: ControlRequest) -> None:
        self._listing.send(request, "servers", self._overview.servers(request.uid))

    async def _stop(self, request: ControlRequest, host: str) -> None:
        uid, overview = request.uid, self._overview
        is_operator = self._roles.is_operator(uid)
        name, slash, path = host.partition("/")
        try:
            site = normalize(name.encode("latin-1"))
        except BadHost as error:
            if is_operator:
                refuse(request, 400, str(error))
            else:
                deny(request)
            return
        # The name of a site whose file has this host; any other stays as it is.
        site = key_of(self._gateway.find(site).site, slash + path)
        seen = overview.of(uid, site)
        servers = map(self._pool.policy.server, self._pool.policy.keys(site))
        if any(server in seen for server in servers):
            self._log.info("{site}: uid {uid} asks it to stop", site=site, uid=uid)
            self._pool.stop(site, f"asked to by uid {uid}")
        leaving = [overview.row(server) for server in seen if server.state in _LEAVING]
        if leaving:
            state = WORDS[State.DRAINING]
            answer(request, 202, {"site": site, "state": state, "servers": leaving})
        elif is_operator:
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
