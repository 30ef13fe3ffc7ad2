"""The spawner's one loop: orders in, facts out, processes reaped; nothing in it ever waits."""

from __future__ import annotations

import fcntl
import gc
import os
import select
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

from luisito.core import wire
from luisito.errors import LuisitoError, WireError
from luisito.spawner import (
    channel,
    containment,
    delegation,
    helpers,
    logs,
    patience,
    privileges,
    tree,
    users,
)
from luisito.spawner.checks import wrong_site
from luisito.spawner.chooser import Chooser
from luisito.spawner.config import LISTENER, Config
from luisito.spawner.forking import handle_signals
from luisito.spawner.helpers import Helpers
from luisito.spawner.outbox import Outbox
from luisito.spawner.runtime import Runtime
from luisito.spawner.servers import Servers

if TYPE_CHECKING:
    from luisito.core.wire import Order
    from luisito.spawner.cgroup import Cgroups
    from luisito.spawner.containment import Containment

_ORDERS_A_TURN = 16  # then processes are reaped and facts sent before more orders are read
_QUICK_LOOK = 32  # descriptors; a process with more of them must not keep the others waiting


class Loop:
    """The spawner: speaks with one network process until either ends."""

    def __init__(self, sock: socket.socket, contained: Containment) -> None:
        self._sock = sock
        self._containment = contained
        self._outbox = Outbox(sock)
        self._helpers = Helpers(sock, contained)
        self._poller = select.poll()
        self._config: Config | None = None
        self._runtime: Runtime | None = None
        self._cgroups: Cgroups | None = None
        self._servers: Servers | None = None
        self._chooser: Chooser | None = None
        self._exit: int | None = None

    def run(self) -> int:
        """Work until the network process has gone or said quit.

        Returns:
            The exit code: 0 after an orderly end.
        """
        wake, wakeup = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        handle_signals(wakeup)
        self._poller.register(wake, select.POLLIN)
        self._poller.register(self._sock, select.POLLIN)
        try:
            while self._exit is None:
                ready = self._poller.poll(self._timeout())
                patience.begin()
                self._turn(wake, ready)
                patience.end()
        finally:
            try:
                if self._cgroups is not None:
                    self._cgroups.kill_all()
                self._containment.kill_all()
                if self._cgroups is not None:
                    self._cgroups.end()
            finally:
                for left in self._config.leftovers if self._config is not None else ():
                    left.remove()
            if self._runtime is not None:
                self._runtime.end()
        return self._exit

    def _turn(self, wake: int, ready: list[tuple[int, int]]) -> None:
        for descriptor, _events in ready:
            if descriptor == wake:
                os.read(wake, 65536)
            elif descriptor == self._sock.fileno():
                self._outbox.flush()
                if not self._outbox.full:
                    self._receive()
            elif self._servers is not None:
                self._servers.readable(descriptor)
        self._reap()
        now = time.monotonic()
        self._helpers.tick(now)
        if self._servers is not None:
            self._servers.tick(now)
        if self._chooser is not None:
            self._chooser.tick(now)
        reading = 0 if self._outbox.full else select.POLLIN
        self._poller.modify(self._sock, reading | (select.POLLOUT if self._outbox else 0))
        if self._exit is None and (self._outbox.broken or self._containment.abandoned()):
            self._exit = 0

    def _timeout(self) -> float | None:
        """Tell how long to wait, in milliseconds."""
        timed = (self._helpers, self._servers, self._chooser)
        due = [part.deadline() for part in timed if part is not None]
        deadline = min((at for at in due if at is not None), default=None)
        return None if deadline is None else max(0.0, (deadline - time.monotonic()) * 1000)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            if pid == self._containment.init:
                # With it all servers were killed, and none can be started any more.
                print("luisito spawner: its pid namespace has ended", file=sys.stderr)  # noqa: T201 - it has no other way to say so
                self._containment.init = None
                self._exit = 1
            elif self._chooser is not None and self._chooser.reaped(pid):
                pass  # it is started again in time
            elif not self._helpers.reaped(pid, code) and self._servers is not None:
                self._servers.reaped(pid, code, time.monotonic())

    # -- orders ----------------------------------------------------------------------------------
    def _receive(self) -> None:
        for _ in range(_ORDERS_A_TURN):
            if self._exit is not None or self._outbox.full:
                return
            try:
                data, descriptors = channel.receive(self._sock)
            except BlockingIOError:
                return
            except WireError as error:
                self._refuse(error)
                continue
            except OSError:
                data, descriptors = b"", []
            if not data:
                channel.close(descriptors)
                self._exit = 0
                return
            try:
                self._obey(wire.decode_order(data), descriptors)
            except LuisitoError as error:
                self._refuse(error)
            finally:
                channel.close(descriptors)

    def _refuse(self, reason: object) -> None:
        self._outbox.send(wire.Refused(str(reason)[: wire.MAX_TEXT]))

    def _obey(self, order: Order, descriptors: list[int]) -> None:
        """Carry out one order; descriptors that it takes over are removed from the list."""
        if isinstance(order, wire.Quit):
            self._exit = 0
        elif isinstance(order, wire.Configure):
            self._configure(order)
        elif self._servers is None or self._config is None:
            self._refuse("the first order must be configure")
        elif isinstance(order, wire.Start):
            taken, descriptors[:] = descriptors[:], []
            self._servers.start(order, taken)
        elif isinstance(order, wire.Signal):
            self._servers.signal(order)
        elif isinstance(order, wire.AskList):
            self._servers.listing(order)
        elif isinstance(order, wire.Adopt):
            self._servers.adopt(order)
        elif isinstance(order, wire.AskOwns):
            self._ask_owns(order, self._servers)
        elif isinstance(order, wire.AskFolder):
            self._ask_folder(order, self._config)
        else:
            self._ask_log(order, self._config)

    def _configure(self, order: wire.Configure) -> None:
        if self._config is not None:
            self._refuse("configured already, for good; restart Luisito to change the settings")
            return
        config = Config(order, root=os.geteuid() == 0)
        self._runtime = Runtime(config.runtime_dir)
        self._cgroups, words = delegation.claim(
            self._runtime.path, config.limits, exclusive=config.exclusive, root=config.root
        )
        self._config = config
        if config.run_as_file is not None:
            self._chooser = Chooser(config.run_as_file, config.cwd, self._containment.parent)
        self._servers = Servers(
            config,
            self._runtime,
            self._containment,
            self._outbox,
            self._helpers,
            self._poller,
            self._chooser,
            self._cgroups,
        )
        killer = () if self._cgroups is None else self._cgroups.killers
        self._outbox.send(
            wire.Hello(
                version=wire.VERSION,
                containment=self._containment.kind,
                words=f"{self._containment.words}; {words}",
                runtime_dir=self._runtime.path,
                way=config.way,
            ),
            killer,
        )
        gc.freeze()  # what lives until the end need not be copied by each fork

    def _ask_owns(self, order: wire.AskOwns, servers: Servers) -> None:
        server = servers.get(order.server)
        if server is None:
            self._outbox.send(wire.Owns(order.ask, False))
            return
        # Nearly always its first process has it, among its first descriptors. A fork costs more
        # than this look, which never waits, since nothing on the way asks the files themselves.
        if server.code is None and tree.owns([server.pid], order.inode, _QUICK_LOOK):
            self._outbox.send(wire.Owns(order.ask, True))
            return
        listed = servers.listed(server)

        def look() -> tuple[wire.Owns, tuple[int, ...]]:
            pids = servers.tree(server) if listed is None else listed
            return helpers.look_for_socket(order, pids, server.uid, server.gid), ()

        self._helpers.run(
            look,
            lambda _message: self._outbox.send(wire.Owns(order.ask, False)),
        )

    def _ask_folder(self, order: wire.AskFolder, config: Config) -> None:
        def failed(message: str) -> None:
            self._outbox.send(wire.Folder(order.ask, None, None, None, message))

        wrong = wrong_site(order.site)
        if wrong is not None:
            self._outbox.send(wire.Folder(order.ask, False, None, None, wrong))
            return
        self._helpers.run(
            lambda: (helpers.look_at_folder(config, order), ()), failed, about=order.site
        )

    def _ask_log(self, order: wire.AskLog | wire.AskOwnLog, config: Config) -> None:
        def failed(message: str) -> None:
            self._outbox.send(wire.Log(order.ask, message))

        site = order.site if isinstance(order, wire.AskLog) else None
        wrong = None if site is None else wrong_site(site)
        if wrong is not None:
            failed(wrong)
            return
        self._helpers.run(lambda: logs.open_log(config, order), failed, about=site)


def main(descriptor: int) -> None:
    """Be the spawner, with one end of a SOCK_SEQPACKET pair; never returns."""
    # Where servers have 1, 2 and LISTENER nothing of ours may be, so that no child has to move it.
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, LISTENER + 1)
    os.closerange(3, moved)
    os.closerange(moved + 1, os.sysconf("SC_OPEN_MAX"))
    for number in range(3, LISTENER + 1):
        os.dup2(0, number, inheritable=False)
    sock = socket.socket(fileno=moved)
    sock.setblocking(False)
    gc.disable()
    os.umask(0o022)
    # Whoever may not empty the bounding set relies on no_new_privs alone.
    privileges.set_no_new_privs()
    privileges.drop_bounding_set()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    contained = containment.enter()
    users.warm_up()
    sys.exit(Loop(sock, contained).run())
