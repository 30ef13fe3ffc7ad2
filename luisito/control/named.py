"""Which site a request of the control socket is about, and whether whoever asks may have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred

from luisito.control.answers import deny, refuse
from luisito.control.overview import LEAVING
from luisito.core.host import normalize
from luisito.core.keys import key_of
from luisito.core.nearest import Nearest
from luisito.errors import BadHost, LuisitoError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.interfaces import IReactorTime

    from luisito.control.connections import ControlRequest
    from luisito.control.overview import Overview
    from luisito.control.owners import Owners
    from luisito.control.roles import Roles
    from luisito.control.sites import SiteView
    from luisito.proxy.gateway import Gateway

_AT_A_TIME: Final = 50  # names that are compared; then the sites have a turn


class Named:
    """Finds it, or answers why not.

    Args:
        reactor: for turns.
        roles: who may do what.
        overview: which servers there are.
        owners: whose sites are that sleep.
        view: knows all sites.
        gateway: knows which hosts are sites.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        roles: Roles,
        overview: Overview,
        owners: Owners,
        view: SiteView,
        gateway: Gateway,
    ) -> None:
        self._reactor, self._roles, self._overview = reactor, roles, overview
        self._owners, self._view, self._gateway = owners, view, gateway

    def key(self, request: ControlRequest, host: str) -> str | None:
        """The key that a site of this host has, if it is one; None where the request was answered.

        Args:
            request: who asks.
            host: any host of the site, with the path of a mount behind it.
        """
        name, slash, path = host.partition("/")
        try:
            site = normalize(name.encode("latin-1"))
        except BadHost as error:
            if self._roles.is_operator(request.uid):
                refuse(request, 400, str(error))
            else:
                deny(request)
            return None
        # The name of a site whose file has this host; any other stays as it is.
        return key_of(self._gateway.find(site).site, slash + path)

    async def find(self, request: ControlRequest, host: str) -> str | None:
        """The key of the site; None where the request was answered: there is none, or not for him.

        Args:
            request: who asks.
            host: any host of the site, with the path of a mount behind it.
        """
        site = self.key(request, host)
        if site is None:
            return None
        # One that is on its way out may be of a user whose the site is no more.
        held = self._overview.of(request.uid, site)
        if any(server.state not in LEAVING for server in held):
            return site
        is_operator = self._roles.is_operator(request.uid)
        if not is_operator and not self._roles.sees(request.uid, await self._owners.find(site)):
            deny(request)
            return None
        names = self._view.names()
        try:
            if site in names or await self._gateway.is_site(site):
                return site
        except LuisitoError as error:
            refuse(request, 503, str(error))
            return None
        if is_operator:
            nearest = await self._nearest(site, names)
            refuse(request, 404, f"{site} is not a site here", nearest=nearest)
        else:
            deny(request)
        return None

    async def _nearest(self, site: str, names: Sequence[str]) -> str | None:
        nearest = Nearest(site)
        for at in range(0, len(names), _AT_A_TIME):
            nearest.look(names[at : at + _AT_A_TIME])
            turn: Deferred[None] = Deferred()
            self._reactor.callLater(0.0, turn.callback, None)
            await turn
        return nearest.best
