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
from luisito.errors import WireError
from luisito.spawner import (
    asks,
    containment,
    delegation,
    loading,
    logs,
    patience,
    privileges,
    starter,
    users,
)
from luisito.spawner.chooser import Chooser
from luisito.spawner.config import LISTENER, Config, refuse_changes
from luisito.spawner.forking import handle_signals
from luisito.spawner.helpers import Helpers
from luisito.spawner.hookruns import HookRuns
from luisito.spawner.networks import Networks
from luisito.spawner.runtime import Runtime
from luisito.spawner.servers import Servers

if TYPE_CHECKING:
    from luisito.core.wire import Order
    from luisito.spawner.cgroup import Cgroups
    from luisito.spawner.containment import Containment
    from luisito.spawner.leftover import Leftover
    from luisito.spawner.link import Link


class Loop:
    """The spawner: carries out what network processes order, until it is told to end."""

    def __init__(self, sock: socket.socket, contained: Containment) -> None:
        self._containment = contained
        self._helpers = Helpers(contained, lambda: self._networks.pairs)
        self._hooks = HookRuns(contained)
        self._poller = select.poll()
        self._networks = Networks(sock, self._poller, contained, self)
        self._config: Config | None = None
        self._pidfile: Leftover | None = None
        self._runtime: Runtime | None = None
        self._cgroups: Cgroups | None = None
        self._servers: Servers | None = None
        self._chooser: Chooser | None = None

    def run(self) -> int:
        """Work until the network process has gone or said quit.

        Returns:
            The exit code: 0 after an orderly end.
        """
        wake, wakeup = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        handle_signals(wakeup)
        self._poller.register(wake, select.POLLIN)
        try:
            self._reap()
            while self._networks.ended is None:
                ready = self._poller.poll(self._timeout())
                patience.begin()
                self._turn(wake, ready)
                patience.end()
        finally:
            self._end()
        return self._networks.ended

    def _turn(self, wake: int, ready: list[tuple[int, int]]) -> None:
        signalled = False
        for descriptor, _events in ready:
            if descriptor == wake:
                signalled = True
                self._networks.signalled(os.read(wake, 65536))
            elif not self._networks.readable(descriptor) and self._servers is not None:
                self._servers.readable(descriptor)
        if signalled:
            self._reap()  # not without need: the kernel looks at each child that lives
        now = time.monotonic()
        self._helpers.tick(now)
        self._hooks.tick(now)
        if self._servers is not None:
            self._servers.tick(now)
        if self._chooser is not None:
            self._chooser.tick(now)
        self._networks.tick(now)
        if self._networks.ended is None and self._containment.abandoned():
            self._networks.end(0)

    def _timeout(self) -> float | None:
        """Tell how long to wait, in milliseconds."""
        timed = (self._helpers, self._hooks, self._servers, self._chooser, self._networks)
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
                self._networks.end(1)
            elif self._chooser is not None and self._chooser.reaped(pid):
                pass  # it is started again in time
            elif any(
                part.reaped(pid, code) for part in (self._networks, self._helpers, self._hooks)
            ):
                pass
            elif self._servers is not None:
                self._servers.reaped(pid, code, time.monotonic())

    def _end(self) -> None:
        codes: dict[int, int] = {}
        try:
            try:
                if self._cgroups is not None:
                    self._cgroups.kill_all()
                codes = self._containment.kill_all(self._networks.pids())
                if self._cgroups is not None:
                    self._cgroups.end()
            finally:
                for left in self._config.leftovers.values() if self._config is not None else ():
                    left.remove()
            if self._runtime is not None:
                self._runtime.end()
        finally:
            self._networks.dismiss(codes)
            containment.kill_descendants()
            if self._pidfile is not None:
                self._pidfile.remove()

    # -- for the links (see Host) ----------------------------------------------------------------
    def configured(self, link: Link, order: wire.Configure) -> None:
        """See Host."""
        config = Config(order, root=os.geteuid() == 0)
        Servers.check(config)
        loading.check(config)
        if self._config is not None:
            refuse_changes(self._config, config)
        if self._runtime is None:
            self._runtime = Runtime(config.runtime_dir)
            self._config, self._pidfile = config, config.pidfile
        if self._cgroups is None:
            self._cgroups, words = delegation.claim(
                self._runtime.path, config.limits, exclusive=config.exclusive, root=config.root
            )
        else:
            words = delegation.extend(self._runtime.path, config.limits)
        if config.alike and not starter.is_built():
            words += f"; {starter.NOT_BUILT}"
        wanting = config.sites_dir is not None or config.hibernate == "reclaim"
        if self._cgroups is not None and wanting:
            self._cgroups.lacking = delegation.offer(self._runtime.path)
        killer = () if self._cgroups is None else self._cgroups.killers
        link.config = config
        link.send(
            wire.Hello(
                version=wire.VERSION,
                containment=self._containment.kind,
                words=f"{self._containment.words}; {words}",
                runtime_dir=self._runtime.path,
                way=config.way,
            ),
            killer,
        )

    def served_by(self, link: Link, config: Config) -> int:
        """See Host."""
        assert self._config is not None and self._runtime is not None  # noqa: S101, PT018 - see configured
        old, self._config = self._config, config
        for path, left in old.leftovers.items():
            if path not in config.leftovers:
                left.remove()
        if not link.again:
            self._choose_by(config)
        if self._servers is None:
            if self._pidfile is not None:
                self._pidfile.look_again()  # it may have been told our pid by now
            self._servers = Servers(
                config,
                self._runtime,
                self._containment,
                self._helpers,
                self._poller,
                lambda: self._networks.others() | self._hooks.pids(),
                self._cgroups,
            )
        sites = None if link.loading is None else link.loading.sites
        last = self._servers.serve(config, link.outbox, self._chooser, sites)
        gc.freeze()  # what lives until the end need not be copied by each fork
        return last

    def _choose_by(self, config: Config) -> None:
        if self._chooser is not None:
            self._chooser.close()
        self._chooser = None
        if config.run_as_file is not None:
            remembered = self._networks.remembered
            recipe = None if remembered is None else remembered.recipe
            parent = self._containment.parent
            self._chooser = Chooser(config.run_as_file, config.cwd, parent, recipe)

    def served_by_none(self) -> None:
        """See Host."""
        if self._servers is not None:
            self._servers.hibernating.wake_all()
            self._servers.outbox.close()

    def last_words(self, words: str) -> None:
        """See Host."""
        print(f"luisito spawner: {words}", file=sys.stderr)  # noqa: T201 - it has no other way to say so
        if self._config is not None and self._config.log is not None:
            logs.say(self._config, words)

    def obey(self, link: Link, order: Order, descriptors: list[int]) -> None:
        """See Host."""
        servers = self._servers
        assert servers is not None  # noqa: S101 - see served_by
        if isinstance(order, wire.Start):
            taken, descriptors[:] = descriptors[:], []
            servers.start(order, taken)
        elif isinstance(order, wire.Signal):
            servers.signal(order)
        elif isinstance(order, wire.Hibernate):
            servers.hibernating.obey(order)
        elif isinstance(order, wire.IsReady):
            servers.is_ready(order)
        elif isinstance(order, wire.Said):
            servers.has_said(order)
        elif isinstance(order, wire.AskList):
            servers.listing(order)
        elif isinstance(order, wire.Adopt):
            servers.adopt(order)
        elif isinstance(order, wire.AskOwns):
            asks.ask_owns(link, order, servers, self._helpers)
        elif isinstance(order, wire.AskFolder) and self._config is not None:
            sites = None if link.loading is None else link.loading.sites
            asks.ask_folder(link, order, self._config, sites, self._helpers)
        else:
            raise WireError(f"{type(order).__name__}: not in this place")

    def obey_any(
        self, link: Link, order: wire.AskLog | wire.AskTail | wire.AskOwnLog, config: Config
    ) -> None:
        """See Host."""
        asks.ask_log(link, order, config, self._helpers)

    def run_hook(self, link: Link, order: wire.RunHook, config: Config) -> None:
        """See Host."""
        self._hooks.start(link, order, config, self._cgroups)

    def ask_config(self, link: Link, order: wire.AskConfig) -> None:
        """See Host."""
        asks.ask_config(link, order, self._helpers)

    def ask_page(self, link: Link, order: wire.AskPage, config: Config) -> None:
        """See Host."""
        asks.ask_page(link, order, config, self._helpers)


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
    privileges.set_no_new_privs()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    contained = containment.enter()
    users.warm_up()
    sys.exit(Loop(sock, contained).run())
