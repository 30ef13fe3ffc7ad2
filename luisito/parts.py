"""The parts of a network process: how they are put together, opened and closed."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from luisito.control.control import Control
from luisito.control.roles import Roles
from luisito.core.directory import Directory
from luisito.core.orders import Limits
from luisito.core.routing import Routes
from luisito.core.wire import CONTROL
from luisito.logs import Logs
from luisito.net.splice import close_pipes
from luisito.passage import Passage
from luisito.pool import History, KeptSites, Pins, Pool, Recall, Warmth
from luisito.process.files import with_limits
from luisito.process.folders import make_listen
from luisito.process.hooks import Hooks
from luisito.process.names import Names
from luisito.process.ports import Ports
from luisito.process.sitefiles import Change, SiteFiles
from luisito.process.sitelogs import SiteLogs
from luisito.process.start import Ways
from luisito.process.waitingpages import WaitingPages
from luisito.process.watching import Watching
from luisito.proxy.gateway import Gateway
from luisito.readiness.diag import Diag
from luisito.readiness.watch import Readiness
from luisito.settings.terms import terms
from luisito.settings.values import Function
from luisito.stalls import StallDetector
from luisito.systemd import Notifier

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from luisito.core.lifecycle import State
    from luisito.core.tally import SiteTally
    from luisito.core.wire import Hello
    from luisito.net.listening import Listener
    from luisito.net.switchboard import Switchboard
    from luisito.process.client import Spawner
    from luisito.process.told import LogFile
    from luisito.proxy.doors import Doors
    from luisito.settings import Settings
    from luisito.tenure import Tenure


class Parts:
    """All that serves, but for the listening sockets and the link to the spawner.

    Args:
        reactor: Twisted's.
        board: on which all runs.
        settings: checked.
        tenure: that has told the spawner its configuration.
        hello: what that answered.
        user: uid and gid that we shall become.
        servers: whom all servers run as, where that is one user.
        kept: sockets that are there for us; what is used is taken out.
        runs: see handover.Failed.
        doors: the endpoints of sites.
        file: where the settings were read.
        front: ADMIN_LISTEN, where that is set.

    Attributes:
        pool: the servers.
        gateway: the clients.
        logs: the log files.
        passage: what comes from the process before, and goes to the next.
        control: the operators' socket.
        notifier: what a service manager hears.
        stalls: who notices what holds the reactor.
        site_logs: the files of the sites' output, where they are kept.
        site_files: the site files; None where SITES_DIR is not set.
        kept_sites: which of them are kept awake.
        pins: which sites operators have pinned.
        warmth: what sites were used for, and which are started again.
        history: what became of sites.
        hooks: what is run for what happens to servers.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,  # noqa: ANN401 - several of Twisted's reactor interfaces at once
        board: Switchboard,
        settings: Settings,
        tenure: Tenure,
        hello: Hello,
        *,
        user: tuple[int, int],
        servers: int | None,
        kept: dict[str, int],
        runs: str,
        doors: Doors,
        file: str,
        front: Listener | None,
    ) -> None:
        self._reactor, self._board, self._settings = reactor, board, settings
        self._spawner: Spawner
        self._doors = doors
        self._diag = diag = Diag()
        self.site_logs = self._site_logs()
        listen_dir = make_listen(hello.runtime_dir, *user, succeeds=tenure.succeeds)
        self._directory = directory = _directory(settings, hello)
        self.pool = pool = Pool(board, _limits(settings), self._ways(hello, listen_dir))
        self._spawner = spawner = tenure.attach(board, pool)
        pool.attach(spawner)
        self.logs = Logs(spawner)
        self.gateway = gateway = Gateway(board, board, with_limits(settings), directory, pool)
        self.kept_sites = KeptSites(
            pool, settings.max_servers, lambda site: gateway.refusal(site) is None
        )
        self.pins = Pins(self.kept_sites, settings.state_dir, reactor.callFromThread)
        self.warmth = Warmth(
            board,
            pool,
            gateway.is_site,
            settings.state_dir,
            settings.rewarm,
            reactor.callFromThread,
        )
        self._lines = 0  # that were counted when somebody looked last
        self.history = History(
            board, pool, self._counted, settings.state_dir, reactor.callFromThread
        )
        self._waiting_pages = WaitingPages(spawner.page)
        gateway.doorkeeper.pages = self._waiting_pages.pages
        self.site_files, self._watching = self._watched_files()
        files = () if self.site_files is None else self.site_files.by_key
        Names(reactor)
        self.hooks = Hooks(
            reactor,
            spawner.run_hook,
            settings.hooks,
            settings.hook_timeout,
            {} if self.site_files is None else self.site_files.by_key,
        )
        pool.chronicle.tellers.append(self.hooks.heard)
        self.passage = Passage(board, diag, pool, gateway, spawner, runs, files)
        self.control = Control(
            reactor,
            board,
            pool,
            gateway,
            max_servers=settings.max_servers,
            metrics_sites=settings.metrics_sites,
            chosen=settings.runtime_dir,
            runtime_dir=hello.runtime_dir,
            roles=Roles(started_by=os.geteuid(), serves_as=user[0], servers_as=servers),
            succession=tenure,
            site_files=self.site_files,
            kept_sites=self.kept_sites,
            pins=self.pins,
            settings=settings,
            file=file,
            by_folder=os.geteuid() == 0 and not isinstance(settings.run_as, Function),
            doors=doors,
            broken_pages=self._waiting_pages.broken,
            warmth=self.warmth,
            recall=Recall(board, self.history, pool.chronicle),
            hooks=self.hooks.told,
            kept=kept.pop(CONTROL, None),
        )
        tenure.keep(CONTROL, self.control.fileno())
        if front is not None:
            self.control.answer_at(front, settings.admin_token, diag)
        self.stalls = StallDetector(reactor, gateway.counters)
        self.notifier = Notifier(
            reactor, os.environ, settings.max_servers, self._load, spawner.notify
        )

    def _site_logs(self) -> SiteLogs | None:
        settings = self._settings
        if settings.output_log_dir is None:
            return None
        return SiteLogs(
            self._board,
            self._reactor.callFromThread,
            self._open_site_log,
            settings.output_log_dir,
            settings.log_max_size,
            settings.log_rate,
        )

    def _ways(self, hello: Hello, listen_dir: str) -> Ways:
        board, settings = self._board, self._settings
        return Ways(
            board,
            board,
            Readiness(board, board, self._diag, self._owns),
            self._diag,
            Ports(*settings.port_range),
            way=self._directory.usual.way,
            tcp=self._directory.usual.tcp,
            of_file=self._directory.of,
            listen_dir=listen_dir,
            runtime_dir=hello.runtime_dir,
            logs=self.site_logs,
            log_rate=settings.log_rate,
            preload_idle=settings.preload_idle,
        )

    def _watched_files(self) -> tuple[SiteFiles | None, Watching | None]:
        path = self._settings.sites_dir
        if path is None:
            return None, None
        files = SiteFiles(
            self._board,
            self._spawner.sites,
            self._directory,
            self._site_changed,
            self._sites_changed,
        )
        return files, Watching(self._board, path, files.look)  # while we may read the folder

    def _open_site_log(self, site: str, rotate: bool) -> Deferred[LogFile]:
        return self._spawner.output_log(site, rotate=rotate)

    def _owns(self, server: int, inode: int) -> Deferred[bool]:
        return self._spawner.owns(server, inode)

    def _load(self) -> tuple[Mapping[State, int], int, int]:
        policy = self.pool.policy
        return policy.counts(), policy.waiting, self.gateway.counters.answers

    def _counted(self) -> Mapping[str, SiteTally]:
        gateway = self.gateway
        gateway.access.flush()  # what is not counted as yet
        before, self._lines = self._lines, gateway.counters.lines
        return {} if before == self._lines else gateway.tally.by_site

    def write_logs(self, own: TextIO | None) -> Deferred[None]:
        """Opens the access log, and has all logs opened again at SIGUSR1.

        Args:
            own: the file that our own log is written to, where it can be opened again.

        Returns:
            Is called back when the access log is open, or cannot be.
        """
        asked = succeed(None)
        if self._settings.access_log is not None:
            asked = self.logs.write_access_to(self.gateway.access)
        if own is not None:
            self.logs.write_own_to(own)
        if self.site_logs is not None:
            self.logs.add(self.site_logs.reopen)
        return asked

    def _site_changed(self, change: Change) -> None:
        self.kept_sites.change(change)
        self._waiting_pages.change(change)
        self.hooks.change(change)
        site, before, now = change
        if before is None or now is None or before["digest"] != now["digest"]:
            self.pool.stop_commands.forget(site)

    def _sites_changed(self) -> None:
        self.kept_sites.settle({} if self.site_files is None else self.site_files.by_key)
        self._doors.settle(self.records)

    @property
    def records(self) -> list[Mapping[str, Any]]:
        """The public records of all sites that have a file."""
        return [] if self.site_files is None else list(self.site_files.records.values())

    def read_sites(self) -> Deferred[None]:
        """Reads the site files, and again when they have changed from now on.

        Raises:
            SettingsError: (in the Deferred) they cannot be read.
            SpawnerLost: (in the Deferred) there is nobody to ask.
        """
        self.pins.read()
        if self.site_files is None or self._watching is None:
            return succeed(None)
        self._watching.start()
        return self.site_files.first()

    def leave_sites(self) -> None:
        """Changes of site files are not our business any more, nor which site is started."""
        self.warmth.stop()
        self.history.account()
        if self.site_files is not None and self._watching is not None:
            self._watching.close()
            self.site_files.close()

    def keep(self) -> Deferred[None]:
        """Writes what a successor reads; called back when that is done, or takes long."""
        return self.warmth.keep().addCallback(lambda _: self.pins.settle(self._board))

    def settle(self) -> Deferred[None]:
        """Called back when all output of servers that was read is in its files."""
        return succeed(None) if self.site_logs is None else self.site_logs.settle()

    def close(self) -> None:
        """Ends all that is still open, and tells what has been done."""
        self.leave_sites()
        self.control.close()
        self.notifier.close()
        self.stalls.stop()
        self.passage.close()
        gateway = self.gateway
        gateway.close_all()
        self._log.info("counters: {json}", json=json.dumps(gateway.counters.as_dict()))
        self.pool.close()
        gateway.access.close()
        self._diag.close()
        close_pipes()


def _directory(settings: Settings, hello: Hello) -> Directory:
    routes = None
    if settings.cmd_tpl is not None:
        routes = Routes.of(settings.allowed_hosts, folders=settings.project_path is not None)
    files = settings.sites_dir is not None
    return Directory(routes, terms(settings, hello.way), files=files)


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_servers=settings.max_servers,
        max_memory=settings.max_memory,
        policy=settings.policy,
        overlap=settings.overlap,
        max_starting=settings.max_starting,
        queue_limit=settings.queue_limit,
        queue_total=settings.queue_total,
        queue_share=settings.queue_share,
        queue_timeout=settings.queue_timeout,
        start_timeout=settings.start_timeout,
        stop_timeout=settings.stop_timeout,
        busy_max=settings.busy_max,
        idle_timeout=settings.idle_timeout,
        hibernate_after=settings.hibernate_after,
        min_alive=settings.min_alive,
        stream_idle=settings.stream_idle,
    )
