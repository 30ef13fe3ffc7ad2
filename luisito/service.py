"""Luisito as a service: how its parts are put together, started, drained and stopped."""

from __future__ import annotations

import gc
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Final, TextIO

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from luisito.control.front.front import bind
from luisito.errors import SpawnerLost
from luisito.leaving import Leaving, told
from luisito.net.listening import listen
from luisito.net.switchboard import Switchboard
from luisito.parts import Parts
from luisito.process.configuration import configuration, digest
from luisito.process.folders import make_logs, make_state
from luisito.process.who import drop, network_user, servers_user
from luisito.proxy.doors import Doors
from luisito.spawner import patience
from luisito.tenure import Tenure, argv_again

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from twisted.python.failure import Failure

    from luisito.core.wire import Configure
    from luisito.net.listening import Listener
    from luisito.pool import Pool
    from luisito.process.handshake import Claimed
    from luisito.proxy.gateway import Gateway
    from luisito.settings import Settings

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


class LuisitoService(Service):
    """Listens, starts the spawner, gives up root, and serves.

    Args:
        reactor: Twisted's, passed in by who runs it.
        settings: checked.
        user: uid and gid to become, where they were asked for.
        allow_root: the command was typed by the person at the keyboard, so it may run as root.
        umask: of the servers.
        pidfile: the first process's, which the spawner removes.
        log: the file that our log is written to, where it is one that can be opened again.
        argv: the interpreter and its arguments, by which this program is started again.
        claimed: what we were started with, where we succeed another process.
        text: of the settings file; None where there is none.
        file: its absolute path.
        foreground: whoever started the first process waits for its end.
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
        argv: Sequence[str] = (),
        claimed: Claimed | None = None,
        text: bytes | None = None,
        file: str | None = None,
        foreground: bool = True,
    ) -> None:
        # Twisted's own clock is the wall clock: were it set back a day, no timer would go off for
        # a day (FAULTS 40). Nothing has been scheduled yet.
        reactor.seconds = time.monotonic
        self._reactor, self.settings, self._user = reactor, settings, user
        self._allow_root, self._umask, self._pidfile = allow_root, umask, pidfile
        self._text, self._file = text, file
        self._board: Switchboard | None = None
        self._listeners: list[Listener] = []
        self._bound: dict[str, int] = {}
        self._front: dict[str, Listener] = {}
        self._tenure = Tenure(
            self,
            claimed=claimed,
            argv=argv or argv_again(),
            text=text,
            foreground=foreground,
            pidfile=pidfile,
        )
        self._stopping: Deferred[None] | None = None
        self._fresh = False  # no server has run before us
        self._taken: Deferred[None] = succeed(None)
        self._access_asked: Deferred[None] = succeed(None)
        self._log_file = log
        self._network_user: tuple[int, int]
        self._parts: Parts
        self._leaving: Leaving
        self._doors: Doors
        self.gateway: Gateway
        self.pool: Pool
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
        # No request is served before its access line can be written, and its site is known.
        asked = self._access_asked.addCallback(lambda _: self._parts.read_sites())
        asked.addCallbacks(lambda _: self._tenure.could_serve(), self._cannot_serve)
        # When the reactor begins to run, it installs handlers of its own: none is to meet those.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        self._reactor.callWhenRunning(self._take_signals)

    def take_over(self, last: int, pairs: Sequence[socket.socket]) -> None:
        """See tenure.Holder."""
        if self._stopping is not None:
            for pair in pairs:
                pair.close()
            return
        self._fresh = not last
        self._parts.history.take_over()
        taken = self._parts.passage.take_over(last, pairs)
        # First, as a take-over that fails leads to an end, which waits for it.
        self._taken = told(taken)
        taken.addCallback(lambda _: self._start_listening())
        taken.addErrback(self._could_not_take_over)

    def taken(self) -> Deferred[None]:
        """See tenure.Holder."""
        return told(self._taken)

    def _cannot_serve(self, failure: Failure) -> None:
        if failure.check(SpawnerLost) is not None:  # which is told elsewhere
            return
        self._log.critical("Cannot start: {error}", error=failure.getErrorMessage())
        self._tenure.cannot(failure.getErrorMessage())
        stopped = self.stopService().addBoth(lambda _: self._fail())
        stopped.addBoth(lambda _: self._stop_reactor())

    def _could_not_take_over(self, failure: Failure) -> None:
        if failure.check(SpawnerLost) is None:  # which is told elsewhere
            self._log.failure("Could not take over", failure)
            self.stop("A fault")

    def _start_listening(self) -> None:
        if self._stopping is not None:
            return
        # What is there now stays: a full collection need not hold the reactor to look at it again.
        gc.collect()
        gc.freeze()
        self._parts.stalls.start()
        for listener in self._listeners:
            listener.startListening()
            self._log.info("Listening on {name}", name=listener.name)
        self._doors.start(self._parts.records)
        self._parts.pins.read()  # whoever served before may have been told of more
        self._parts.control.open()
        self._parts.notifier.ready(self._tenure.main_pid)
        self._parts.warmth.begin(fresh=self._fresh)
        self._parts.history.begin()

    def _prepare(self) -> None:
        if self._board is not None:
            return
        settings, reactor = self.settings, self._reactor
        self._take_signals()
        narrow = settings.allowed_hosts is None and settings.project_path is None
        if narrow and settings.cmd_tpl is not None:
            self._log.info(
                "Sites are localhost and *.localhost only; ALLOWED_HOSTS or PROJECT_PATH opens more"
            )
        if settings.run_as in ("root", 0) and not self._allow_root:
            self._log.warn(
                "RUN_AS = {user!r}: app servers run as root, and so would whoever breaks into one",
                user=settings.run_as,
            )
        self._board = board = Switchboard(reactor)
        kept = self._tenure.kept()
        for description in settings.listen:
            listener = listen(description, board, board, self, kept.pop(description, None))
            self._listeners.append(listener)
            self._bound[description] = listener.socket.fileno()
        self._doors = Doors(board, lambda: self.gateway, lambda: self._tenure.keeper)
        self._doors.open(settings, kept)
        self._bound |= self._doors.bound
        self._front = bind(board, settings, kept)
        self._bound |= {name: one.socket.fileno() for name, one in self._front.items()}
        uid, gid = network_user(*self._user, euid=os.geteuid(), egid=os.getegid())
        self._network_user = uid, gid
        servers = servers_user(settings.run_as, settings.project_path, euid=os.geteuid())
        self._warn_of_one_user(uid, servers)
        if settings.state_dir is not None:
            make_state(settings.state_dir, uid, gid)
        if settings.output_log_dir is not None:
            make_logs(settings.output_log_dir)
        order = self._configuration()
        hello = self._tenure.configure(order, self._bound)
        self._log.info("Spawner: {words}", words=hello.words)
        self._parts = parts = Parts(
            reactor,
            board,
            settings,
            self._tenure,
            hello,
            user=self._network_user,
            servers=servers,
            kept=kept,
            runs=digest(order),
            doors=self._doors,
            file=self._file or "the command line",
            front=next(iter(self._front.values()), None),
        )
        for descriptor in kept.values():
            os.close(descriptor)
        self.gateway, self.pool = parts.gateway, parts.pool
        parts.pool.lost.addCallback(self._spawner_lost)
        self._leaving = Leaving(reactor, settings, parts, self._tenure)
        self._access_asked = parts.write_logs(self._log_file)

    def _warn_of_one_user(self, uid: int, servers: int | None) -> None:
        if uid == servers:
            self._log.warn(
                "Luisito and the app servers run as the same user (uid {uid}), so that any of them"
                " may signal it; give Luisito a user of its own: adduser --system --group luisito,"
                " or twistd's --uid and --gid",
                uid=uid,
            )

    def _configuration(self) -> Configure:
        bound = [*self._all_listeners, *self._front.values()]
        return configuration(
            self.settings,
            allow_root=self._allow_root,
            umask=self._umask,
            network_user=self._network_user,
            sockets=[each.path for each in bound if each.path is not None],
            pidfile=self._pidfile,
            log=None if self._log_file is None else self._log_file.name,
            text=self._text,
            file=self._file,
        )

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

    @property
    def _all_listeners(self) -> list[Listener]:
        return [*self._listeners, *self._doors.listeners]

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
        for number in (*_STOPPING, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, self._signalled)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)

    def _signalled(self, number: int, _frame: object) -> None:
        self._reactor.callFromThread(self._tenure.signalled_by, number)

    def reopen(self) -> None:
        """See tenure.Holder."""
        self._parts.logs.reopen()

    def stop(self, name: str) -> None:
        """See tenure.Holder."""
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
            self._tenure.stopping()
            drained = self._leaving.drain(self._all_listeners, self._taken, lost=self.failed)
            self._ends(drained, self._stopping)
        return told(self._stopping)

    # -- making way

    def keep(self) -> Deferred[None]:
        """See tenure.Holder."""
        return self._parts.keep()

    def make_way(self, pair: socket.socket) -> None:
        """See tenure.Holder."""
        super().stopService()
        for listener in self._all_listeners:
            listener.let_go()
        self._parts.leave_sites()
        self._parts.control.close()
        self._parts.notifier.close()
        self._stopping = Deferred()
        self._ends(self._leaving.leave(self._parts.passage.make_way(pair)), self._stopping)
        self._stopping.addBoth(lambda _: self._stop_reactor())

    def rejoin(self, pair: socket.socket) -> None:
        """See tenure.Holder."""
        self._parts.passage.rejoin(pair)

    def _ends(self, left: Deferred[int], stopping: Deferred[None]) -> None:
        left.addCallback(self._has_left).addErrback(self._drain_failed).chainDeferred(stopping)

    def _has_left(self, status: int) -> None:
        if status:
            self._fail()
        if self._board is not None:
            self._board.close()

    def _drain_failed(self, failure: Failure) -> None:
        self._fail()
        self._tenure.give_up()
        self._log.failure("Could not stop in order", failure)

    def _fail(self) -> None:
        """Has the exit status not be 0."""
        self.failed = True

    def _spawner_lost(self, reason: str) -> None:
        """Nothing can be started or stopped any more: ends, so that a supervisor starts anew."""
        if self._tenure.yielded:
            self._leaving.now()
            return
        self._fail()
        self._log.critical("Stopping: {reason}; all servers have gone with it", reason=reason)
        if self._stopping is None:
            self.stopService().addBoth(lambda _: self._stop_reactor())
        else:  # whoever has said so ends the reactor
            self._leaving.spawner_lost()
