"""The sites, awake or asleep, and what may be done to one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from luisito.control.acts import Acts, CannotError
from luisito.control.answers import answer, refuse
from luisito.control.overview import ASLEEP, HIBERNATING, WORDS
from luisito.control.routes import Route
from luisito.core.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from luisito.control.connections import ControlRequest
    from luisito.control.listing import Listing
    from luisito.control.named import Named
    from luisito.control.overview import Overview
    from luisito.control.sites import SiteView

_SETTLED = (ASLEEP, HIBERNATING, WORDS[State.READY], WORDS[State.FAILED])


class Sites:
    """GET /sites, GET /sites/SITE and POST /sites/SITE/start, stop, restart, reload, pin, unpin.

    Args:
        overview: whether Luisito is stopping.
        view: what is told.
        named: which site is meant.
        acts: what is done.
        listing: sends lists.
    """

    def __init__(
        self, overview: Overview, view: SiteView, named: Named, acts: Acts, listing: Listing
    ) -> None:
        self._overview, self._view, self._named = overview, view, named
        self._acts, self._listing = acts, listing

    def routes(self) -> list[Route]:
        """The resources."""
        acts = self._acts

        def post(verb: str, act: Callable[..., Any], *, for_all: bool = True) -> Route:
            handler = partial(self._act, act)
            return Route("POST", f"/sites/SITE/{verb}", handler, for_all=for_all)

        return [
            Route("GET", "/sites", self._list, for_all=True),
            Route("GET", "/sites/SITE", self._tell, for_all=True),
            post("start", acts.start),
            post("stop", acts.stop),
            post("restart", acts.restart),
            post("reload", acts.reload),
            post("pin", acts.pin, for_all=False),
            post("unpin", acts.unpin, for_all=False),
        ]

    def _list(self, request: ControlRequest) -> None:
        self._listing.send(request, sites=self._view.rows(request.uid))

    async def _tell(self, request: ControlRequest, host: str) -> None:
        site = await self._named.find(request, host)
        if site is not None:
            orders = {
                "ordered": site in self._acts.ordered,
                "not_started": self._acts.not_started.get(site),
            }
            answer(request, 200, {**self._view.whole(request.uid, site), **orders})

    async def _act(self, act: Callable[..., Any], request: ControlRequest, host: str) -> None:
        site = await self._named.find(request, host)
        if site is None:
            return
        if self._overview.stopping:
            refuse(request, 409, "Luisito is stopping")
            return
        try:
            words = act(site, request.uid)
            if not isinstance(words, str):
                words = await words
        except CannotError as error:
            refuse(request, 409, f"{site}: {error}")
            return
        now = self._view.whole(request.uid, site)
        state, servers = now["state"], now["servers"]
        over = state in _SETTLED and not now["rolling"]
        told = {"site": site, "state": state, "words": words, "servers": servers}
        answer(request, 200 if over else 202, told)
