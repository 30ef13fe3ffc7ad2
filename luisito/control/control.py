"""The control socket as a whole: made while Luisito still may, opened, and closed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from luisito.control.acts import Acts
from luisito.control.api import Api
from luisito.control.connections import Connections
from luisito.control.door import Door, bind
from luisito.control.front.front import Front
from luisito.control.front.sights import Sights
from luisito.control.listing import Listing
from luisito.control.named import Named
from luisito.control.overview import Overview
from luisito.control.owners import Owners
from luisito.control.resources.config import Config
from luisito.control.resources.described import Described
from luisito.control.resources.history import History
from luisito.control.resources.logs import SiteOutput
from luisito.control.resources.metrics import Metrics
from luisito.control.resources.servers import Servers
from luisito.control.resources.sites import Sites
from luisito.control.resources.whole import Whole
from luisito.control.sites import SiteView
from luisito.core import wire
from luisito.core.past import Past
from luisito.spawner.place import default_place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from luisito.control.roles import Roles
    from luisito.control.succession import Succession
    from luisito.net.listening import Listener
    from luisito.net.switchboard import Switchboard
    from luisito.pool import KeptSites, Pins, Pool, Recall, Warmth
    from luisito.process.sitefiles import SiteFiles
    from luisito.proxy.doors import Doors
    from luisito.proxy.gateway import Gateway
    from luisito.readiness.diag import Diag
    from luisito.settings import Settings


class Control:
    """The operators' socket, control.sock in RUNTIME_DIR.

    Args:
        reactor: Twisted's.
        board: for timers and the listening socket.
        pool: what is told of and acted upon.
        gateway: likewise.
        max_servers: the setting; likewise the next.
        metrics_sites: see there.
        chosen: RUNTIME_DIR, the setting.
        runtime_dir: the one in use.
        roles: who may do what.
        succession: has us replaced.
        site_files: see Overview; likewise the next.
        kept_sites: see there.
        pins: which sites are pinned.
        by_folder: where nothing else says it, a site's server runs as the owner of its folder.
        settings: what is true of all sites.
        file: where those were read.
        doors: see there.
        warmth: see there.
        recall: tells what became of sites.
        hooks: see there.
        kept: the listening socket, where another process has made it; None to make it.

    Raises:
        SettingsError: it cannot be made.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,  # noqa: ANN401 - several of Twisted's reactor interfaces at once
        board: Switchboard,
        pool: Pool,
        gateway: Gateway,
        *,
        max_servers: int,
        metrics_sites: int,
        chosen: str | None,
        runtime_dir: str,
        roles: Roles,
        succession: Succession,
        site_files: SiteFiles | None = None,
        kept_sites: KeptSites,
        pins: Pins,
        by_folder: bool,
        settings: Settings,
        file: str,
        doors: Doors,
        broken_pages: Mapping[str, str],
        warmth: Warmth,
        recall: Recall,
        hooks: Callable[[], dict[str, object]] = dict,
        kept: int | None = None,
    ) -> None:
        self._found = runtime_dir in (chosen, default_place(os.geteuid(), os.environ))
        self._overview = overview = Overview(
            pool,
            gateway.counters,
            roles,
            max_servers=max_servers,
            runtime_dir=runtime_dir,
            clock=reactor.seconds,
            succession=succession,
            site_files=site_files,
            kept_sites=kept_sites,
            doors=doors,
            broken_pages=broken_pages,
            warmth=warmth,
            hooks=hooks,
        )
        past, listing = Past(), Listing(board)
        pool.chronicle.tellers.append(past.tell)
        owners = Owners(pool, past, roles, site_files, by_folder=by_folder)
        self._view = view = SiteView(
            pool,
            overview,
            roles,
            owners,
            past,
            site_files=site_files,
            kept_sites=kept_sites,
            pins=pins,
            clock=reactor.seconds,
        )
        named = Named(board, roles, overview, owners, view, gateway)
        acts = Acts(pool, gateway, site_files, kept_sites, pins)
        groups = (
            Servers(listing, roles, overview, pool, gateway, named, acts),
            Sites(overview, view, named, acts, listing),
            History(roles, overview, owners, recall, named, listing),
            SiteOutput(named, pool, settings.output_log_dir),
            Config(named, pool, pins, site_files, settings, file),
            Whole(overview, succession),
            Metrics(listing, overview, pool, gateway, metrics_sites),
            Described(),
        )
        self._api = api = Api(roles, [route for group in groups for route in group.routes()])
        self._reactor, self._board, self._roles = reactor, board, roles
        self._tellers = pool.chronicle.tellers
        self._front: Front | None = None
        connections = Connections(board, api, roles)
        self._dir, self._path = runtime_dir, wire.control_path(runtime_dir)
        self._door = Door(reactor, board, bind(self._path, kept), connections)

    def fileno(self) -> int:
        """The listening socket's descriptor."""
        return self._door.fileno()

    def answer_at(self, listener: Listener, token: str | None, diag: Diag) -> None:
        """Has the same, and the page, be served at ADMIN_LISTEN; see Front."""
        self._front = Front(
            self._reactor,
            self._board,
            listener,
            token,
            api=self._api,
            roles=self._roles,
            diag=diag,
            shown=Sights(self._overview, self._view),
        )
        self._tellers.append(self._front.streams.heard)

    def open(self) -> None:
        """Begins to answer."""
        self._door.open()
        if self._front is not None:
            self._front.open()
        how = "" if self._found else f"; commands find it by --runtime-dir {self._dir}"
        self._log.info("Control socket: {path}{how}", path=self._path, how=how)

    def draining(self) -> None:
        """Luisito has begun to stop; it still answers."""
        self._overview.stopping = True

    def close(self) -> None:
        """Answers no more."""
        self._door.close()
        if self._front is not None:
            self._front.close()
