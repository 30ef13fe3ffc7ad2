"""Luisito as a service: how its parts are put together, started, drained and stopped."""

from __future__ import annotations

import gc
import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Final, TextIO

from twisted.application.service import Service
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.logger import Logger

from luisito.control.control import Control
from luisito.control.roles import Roles
from luisito.core.orders import Limits
from luisito.core.routing import Routes
from luisito.logs import Logs
from luisito.net.listening import listen
from luisito.net.splice import close_pipes
from luisito.net.switchboard import Switchboard
from luisito.pool import Pool
from luisito.process.client import Spawner
from luisito.process.configuration import configuration
from luisito.process.files import with_limits
from luisito.process.folders import make_listen, make_logs, make_state
from luisito.process.launch import launch
from luisito.process.ports import Ports
from luisito.process.sitelogs import SiteLogs
from luisito.process.start import Ways
from luisito.process.who import drop, network_user, servers_user
from luisito.proxy.gateway import Gateway
from luisito.readiness.diag import Diag
from luisito.readiness.watch import Readiness
from luisito.spawner import patience
from luisito.stalls import StallDetector
from luisito.systemd import Notifier

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from twisted.python.failure import Failure

    from luisito.core.lifecycle import State
    from luisito.core.wire import Configure
    from luisito.net.listening import Listener
    from luisito.process.client import LogFile
    from luisito.process.launch import Launched
    from luisito.settings import Settings

_KILL_GRACE: Final = 5.0
_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


class LuisitoService(Service):
    """Listens, starts the spawner, gives up root, and serves.

    Args:
        reactor: Twisted's, passed in by who runs it.
        settings: checked.
        user: uid and gid to become, where they were asked for.
        allow_root: the command was typed by the person at the keyboard, so it may run as root.
        umask: of the servers.
        pidfile: ours, for the spawner to remove where we give up the right to.
        log: the file that our log is written to, where it is one that can be opened again.
    """

    _log = Logger()
    name = "luisito"

    def __init__(
        self,
        reactor: Any,  # noqa: ANN401 - several of Twisted's reactor interfaces at once
        settings: Settings,
        *,
        user: tuple[int | None, int | None] = (None, None),
        allow_root: bool = False,
        umask: int = 0o022,
        pidfile: str | None = None,
        log: TextIO | None = None,
    ) -> None:
        # Twisted's own clock is the wall clock: were it set back a day, no timer would go off for
        # a day (FAULTS 40). Nothing has been scheduled yet.
        reactor.seconds = time.monotonic
        self._reactor, self.settings, self._user = reactor, settings, user
        self._allow_root, self._umask, self._pidfile = allow_root, umask, pidfile
        self._board: Switchboard | None = None
        self._listeners: list[Listener] = []
        self._launched: Launched | None = None
        self._control: Control | None = None
        self._notifier: Notifier | None = None
        self._stalls: StallDetector | None = None
        self._stopping: Deferred[None] | None = None
        self._access_asked: Deferred[None] = succeed(None)
        self._log_file = log
        self.gateway: Gateway
        self.pool: Pool
        self.logs: Logs
        self._spawner: Spawner
        self.site_logs: SiteLogs | None = None
        """The files of the sites' output, where they are kept."""
        self.failed = False
        """The spawner was lost, or the end failed: the exit status must not be 0."""

    # -- starting

    def privilegedStartService(self) -> None:
        """Does all that root may be needed for, before twistd gives it up."""
        self._prepare()

    def startService(self) -> None:
        """Begins to serve; `twist` calls this alone."""
        super().startService()
        self._prepare()
        self._become_unprivileged()
        if patience.begin_for_good():
            self._log.info(
                "Linux before 6.16: by what it sends through a unix socket an app can hold up all"
                " others, for a tenth of a second at a time"
            )
        # No request is served before its access line can be written.
        self._access_asked.addCallback(lambda _: self._start_listening())
        # When the reactor begins to run, it installs handlers of its own: none is to meet those.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        self._reactor.callWhenRunning(self._take_signals)

    def _start_listening(self) -> None:
        if self._stopping is not None:
            return
        # What is there now stays: a full collection need not hold the reactor to look at it again.
        gc.collect()
        gc.freeze()
        self._stalls = StallDetector(self._reactor, self.gateway.counters)
        self._stalls.start()
        for listener in self._listeners:
            listener.startListening()
            self._log.info("Listening on {name}", name=listener.name)
        if self._control is not None:
            self._control.open()
        if self._notifier is not None:
            self._notifier.ready(None)

    def _prepare(self) -> None:
        if self._board is not None:
            return
        settings, reactor = self.settings, self._reactor
        self._take_signals()
        if settings.allowed_hosts is None and settings.project_path is None:
            self._log.info(
                "Sites are localhost and *.localhost only; ALLOWED_HOSTS or PROJECT_PATH opens more"
            )
        if settings.run_as in ("root", 0) and not self._allow_root:
            self._log.warn(
                "RUN_AS = {user!r}: app servers run as root, and so would whoever breaks into one",
                user=settings.run_as,
            )
        self._board = board = Switchboard(reactor)
        for description in settings.listen:
            self._listeners.append(listen(description, board, board, self))
        uid, gid = network_user(*self._user, euid=os.geteuid(), egid=os.getegid())
        self._network_user = uid, gid
        servers = servers_user(settings.run_as, settings.project_path, euid=os.geteuid())
        self._warn_of_one_user(uid, servers)
        if settings.state_dir is not None:
            make_state(settings.state_dir, uid, gid)
        if settings.output_log_dir is not None:
            make_logs(settings.output_log_dir)
        self._launched = launched = launch(self._configuration(gid))
        hello = launched.hello
        self._log.info("Spawner: {words}", words=hello.words)
        listen_dir = make_listen(hello.runtime_dir, uid, gid)
        self.pool = pool = Pool(board, _limits(settings), self._ways(board, launched, listen_dir))
        self._spawner = spawner = Spawner(board, launched, pool)
        self.logs = logs = Logs(spawner)
        pool.attach(spawner)
        pool.lost.addCallback(self._spawner_lost)
        routes = Routes.of(settings.allowed_hosts, folders=settings.project_path is not None)
        self.gateway = Gateway(board, board, with_limits(settings), routes, pool)
        self._control = Control(
            reactor,
            board,
            pool,
            self.gateway,
            max_servers=settings.max_servers,
            chosen=settings.runtime_dir,
            runtime_dir=hello.runtime_dir,
            roles=Roles(started_by=os.geteuid(), serves_as=uid, servers_as=servers),
        )
        self._notifier = Notifier(reactor, os.environ, settings.max_servers, self._load)
        if settings.access_log is not None:
            self._access_asked = logs.write_access_to(self.gateway, board)
        if self._log_file is not None:
            logs.write_own_to(self._log_file)
        if self.site_logs is not None:
            logs.add(self.site_logs.reopen)

    def _load(self) -> tuple[Mapping[State, int], int, int]:
        policy = self.pool.policy
        return policy.counts(), policy.waiting, self.gateway.counters.answers

    def _warn_of_one_user(self, uid: int, servers: int | None) -> None:
        if uid == servers:
            self._log.warn(
                "Luisito and the app servers run as the same user (uid {uid}), so that any of them"
                " may signal it; give Luisito a user of its own: adduser --system --group luisito,"
                " or twistd's --uid and --gid",
                uid=uid,
            )

    def _configuration(self, gid: int) -> Configure:
        return configuration(
            self.settings,
            allow_root=self._allow_root,
            umask=self._umask,
            network_gid=gid,
            sockets=[each.path for each in self._listeners if each.path is not None],
            pidfile=self._pidfile,
            log=None if self._log_file is None else self._log_file.name,
        )

    def _ways(self, board: Switchboard, launched: Launched, listen_dir: str) -> Ways:
        diag, settings = Diag(), self.settings
        self._diag = diag
        if settings.output_log_dir is not None:
            self.site_logs = SiteLogs(
                board,
                self._reactor.callFromThread,
                self._open_site_log,
                settings.output_log_dir,
                settings.log_max_size,
                settings.log_rate,
            )
        readiness = Readiness(board, board, diag, self._owns)
        return Ways(
            board,
            board,
            readiness,
            diag,
            Ports(*settings.port_range),
            way=launched.hello.way,
            tcp=settings.handed_socket == "tcp",
            listen_dir=listen_dir,
            runtime_dir=launched.hello.runtime_dir,
            logs=self.site_logs,
            log_rate=settings.log_rate,
        )

    def _open_site_log(self, site: str, rotate: bool) -> Deferred[LogFile]:
        return self._spawner.output_log(site, rotate=rotate)

    def _owns(self, server: int, inode: int) -> Deferred[bool]:
        return self._spawner.owns(server, inode)

    def _become_unprivileged(self) -> None:
        uid, gid = self._network_user
        held, lacking = drop(uid, gid)
        self._log.info(
            "Network process: uid {uid}, gid {gid}, {held}",
            uid=uid,
            gid=gid,
            held=", ".join(held),
        )
        if lacking:
            self._log.warn("Network process: not in force: {lacking}", lacking=", ".join(lacking))

    # -- Acceptor

    @property
    def refusal(self) -> bytes:
        """See Acceptor."""
        return self.gateway.entrance.refusal

    @property
    def is_full(self) -> Callable[[], bool]:
        """See Acceptor."""
        return self.gateway.entrance.is_full

    @property
    def make_room(self) -> Callable[[], bool]:
        """See Acceptor."""
        return self.gateway.entrance.make_room

    @property
    def accept(self) -> Callable[[bytes, int], Any]:
        """See Acceptor."""
        return self.gateway.accept

    @property
    def connected(self) -> Callable[[Any, Any], None]:
        """See Acceptor."""
        return self.gateway.connected

    # -- stopping

    def _take_signals(self) -> None:
        # Twisted's own handler makes twistd exit with 143, and a second signal is a traceback.
        # Before that is installed, any signal would end us at once.
        for number in _STOPPING:
            signal.signal(number, self._asked_to_stop)
        signal.signal(signal.SIGUSR1, self._asked_to_reopen)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)

    def _asked_to_stop(self, number: int, frame: object) -> None:
        del frame
        self._reactor.callFromThread(self._stop, signal.Signals(number).name)

    def _asked_to_reopen(self, _number: int, _frame: object) -> None:
        self._reactor.callFromThread(self._reopen)

    def _reopen(self) -> None:
        self.logs.reopen()  # looked up here: during the start there are none yet

    def _stop(self, name: str) -> None:
        if self._stopping is None:
            self._log.info("{name}: finishing what is in flight, then stopping", name=name)
            self.stopService().addBoth(lambda _: self._stop_reactor())

    def _stop_reactor(self) -> None:
        # It is done already; and the handlers go before the interpreter does.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        if self._reactor.running:
            self._reactor.stop()

    def stopService(self) -> Deferred[None]:
        """Drains: no new connections, no new exchanges; ends when all is done, or at its time."""
        if self._stopping is None:
            super().stopService()
            self._stopping = Deferred()
            self._drain().addErrback(self._drain_failed).chainDeferred(self._stopping)
        waiting: Deferred[None] = Deferred()
        self._stopping.addBoth(lambda _: waiting.callback(None))
        return waiting

    @inlineCallbacks
    def _drain(self) -> Generator[Deferred[Any], Any, None]:
        reactor, settings = self._reactor, self.settings
        for listener in self._listeners:
            listener.stopListening()
        if self._notifier is not None:
            self._notifier.stopping()
        if not self.failed:
            gateway, pool = self.gateway, self.pool
            if self._control is not None:
                self._control.draining()
            gateway.close_idle()
            empty = pool.shutdown()
            end = reactor.callLater(settings.drain_timeout, pool.terminate_all)
            hard = reactor.callLater(
                settings.drain_timeout + settings.stop_timeout + _KILL_GRACE, self._give_up, empty
            )
            yield empty
            for call in (end, hard):
                if call.active():
                    call.cancel()
            self._close_control()
            yield self._spawner.stop()
        self._close()

    def _drain_failed(self, failure: Failure) -> None:
        self._fail()
        self._log.failure("Could not stop in order", failure)

    def _fail(self) -> None:
        """Has the exit status not be 0."""
        self.failed = True

    def _give_up(self, empty: Deferred[None]) -> None:
        if not empty.called:
            self._log.error("Servers are left that do not end; the spawner ends them")
            empty.callback(None)

    def _close_control(self) -> None:
        if self._control is not None:
            self._control.close()

    def _close(self) -> None:
        self._close_control()
        if self._notifier is not None:
            self._notifier.close()
        if self._stalls is not None:
            self._stalls.stop()
        gateway = self.gateway
        gateway.close_all()
        self._log.info("counters: {json}", json=json.dumps(gateway.counters.as_dict()))
        self.pool.close()
        if gateway.access is not None:
            gateway.access.close()
            gateway.log_to(None)
        self._diag.close()
        close_pipes()
        if self._board is not None:
            self._board.close()

    def _spawner_lost(self, reason: str) -> None:
        """Nothing can be started or stopped any more: ends, so that a supervisor starts anew."""
        self._fail()
        self._log.critical("Stopping: {reason}; all servers have gone with it", reason=reason)
        self.stopService().addBoth(lambda _: self._stop_reactor())


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_servers=settings.max_servers,
        overlap=settings.overlap,
        max_starting=settings.max_starting,
        queue_limit=settings.queue_limit,
        queue_total=settings.queue_total,
        queue_timeout=settings.queue_timeout,
        start_timeout=settings.start_timeout,
        stop_timeout=settings.stop_timeout,
        idle_timeout=settings.idle_timeout,
        min_alive=settings.min_alive,
        stream_idle=settings.stream_idle,
    )
