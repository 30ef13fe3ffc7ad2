"""One try to start one server: its port or socket, its readiness, its output."""

from __future__ import annotations

import socket
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final

from luisito.core import wire
from luisito.core.busy import NOTHING_SAID
from luisito.core.health import ACCEPT, NOTIFY
from luisito.core.members import first_of
from luisito.errors import LuisitoError
from luisito.net.backend import Backend
from luisito.net.output import Output
from luisito.process.health import Health
from luisito.process.listener import ListeningSocket
from luisito.process.probe import Probe
from luisito.process.reach import reach
from luisito.readiness.diag import DiagError
from luisito.spawner import tree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twisted.internet.interfaces import IReactorTime

    from luisito.core.directory import Destination
    from luisito.core.lifecycle import Server
    from luisito.net.switchboard import Switchboard
    from luisito.process.ports import Ports
    from luisito.process.sitelogs import SiteLogs
    from luisito.readiness.diag import Diag
    from luisito.readiness.watch import Readiness


class CannotPrepareError(LuisitoError):
    """What a server needs before it starts is not to be had now."""


class Ways:
    """What all starts share.

    Args:
        way: "port", "socket" or "fd": that servers of the template are started by.
        tcp: whether the socket handed over to those is a TCP one.
        of_file: the terms of a site that has a file; None for any other.

    Attributes:
        listen_dir: our own folder, for the unix sockets that are handed over.
        runtime_dir: the folder of the servers' folders.
        logs: the files of the sites' output; None where there are none.
        log_rate: bytes of output that are read of each server in a second.
        preload_idle: seconds that a preloaded interpreter outlives the last of its servers.
        heard: is called with what a server says on its NOTIFY_SOCKET (sd_notify(3)).
    """

    def __init__(
        self,
        board: Switchboard,
        clock: IReactorTime,
        readiness: Readiness,
        diag: Diag,
        ports: Ports,
        *,
        way: str,
        tcp: bool,
        of_file: Callable[[str], Destination | None] = lambda _: None,
        listen_dir: str,
        runtime_dir: str,
        logs: SiteLogs | None,
        log_rate: float,
        preload_idle: float = inf,
    ) -> None:
        self.board, self.clock, self.readiness = board, clock, readiness
        self.diag, self.ports = diag, ports
        self._template, self._of_file = (way, tcp), of_file
        self.listen_dir, self.runtime_dir = listen_dir, runtime_dir
        self.logs, self.log_rate, self.preload_idle = logs, log_rate, preload_idle
        self.heard: Callable[[Server, Mapping[str, str]], None] = lambda _server, _state: None

    def way_of(self, site: str) -> tuple[str, bool]:
        """How a site's server is reached, as its file or the template says.

        Returns:
            "port", "socket" or "fd"; and whether a socket that is handed over is a TCP one.
        """
        of_file = self._of_file(site)
        return self._template if of_file is None else (of_file.way, of_file.tcp)

    def ready_of(self, site: str) -> str:
        """What shows that a site's server is ready: ACCEPT, NOTIFY, or the path it is asked for."""
        of_file = self._of_file(site)
        return ACCEPT if of_file is None else of_file.ready


_NOT_EXECUTED: Final = (
    "its command was not executed yet: does a look-up of its user in passwd hang, or of its folder"
    " on a file server?"
)


class Start:
    """One try to start a server.

    Attributes:
        number: what the spawner knows it by.
        server: the policy's.
        tries: how many starts of this server there were, with this one.
        way: see Ways.way_of; one that had been started before may have another one than we know.
        port: for %PORT.
        backend: where it listens, once that is known.
        ready: it has been found to be ready.
        foreign: who else listens on its port; "" where nobody does.
        pid: of its process; 0 before there is one.
        uid: of its process; None before the command was executed.
        argv: its command, once that was executed.
        killed: it was sent SIGKILL.
        signalled_at: when it was last told to stop, in seconds of the reactor's clock.
        said: what it has said of itself, as the spawner was told.
        says_ready: it has said READY=1.
        not_frozen: why it was not, as it was said last; "" where it was not.
        was_connected: a connection to the socket that was handed over has been made.
        log: where its output and what is said of it go; None where they go nowhere. To be released
            when the last was said.
    """

    def __init__(self, ways: Ways, number: int, server: Server, tries: int) -> None:
        self._ways, self.number, self.server, self.tries = ways, number, server, tries
        self.way, self._tcp = ways.way_of(server.site)
        self.port: int | None = None
        self.backend: Backend | None = None
        self.ready = False
        self.foreign = ""
        self.pid = 0
        self.uid: int | None = None
        self.argv: list[str] = []
        self.killed = self.was_connected = False
        self.not_frozen = ""
        self.signalled_at: float | None = None
        self.log = None if ways.logs is None else ways.logs.open(first_of(server.site))
        self._listener: ListeningSocket | None = None
        self._output: Output | None = None
        self._probe = Probe()
        self._shown_by = ways.ready_of(server.site)
        self._health: Health | None = None
        self.said, self.says_ready = NOTHING_SAID, False

    def prepare(self) -> None:
        """Chooses the port, or makes the listening socket.

        Raises:
            CannotPrepareError: no socket is to be had.
            PortsExhaustedError: no port is to be had.
        """
        ways = self._ways
        if self.way == "port":
            self.port = ways.ports.choose()
        elif self.way == "fd":
            path = None if self._tcp else f"{ways.listen_dir}/{self.number}"
            try:
                self._listen(ListeningSocket.make(path))
            except OSError as error:
                raise CannotPrepareError(
                    f"its listening socket cannot be made ({error.strerror}): raise the limit on"
                    f" open files (LimitNOFILE=), or look at {ways.listen_dir}"
                ) from None

    def _listen(self, listener: ListeningSocket) -> None:
        self._listener = listener
        self.backend = self._reach(listener.address)

    def _reach(self, address: str | tuple[str, int]) -> Backend:
        if self.way != "fd":
            return reach(self._ways.diag, address, self.uid)
        return Backend(address, check=self._lives)  # what was handed over, nobody else has

    def _lives(self) -> bool:
        """Whether what is sent to it is not lost: the spawner has its listening socket, too."""
        return not (self.ready and self.pid > 0 and tree.has_ended(self.pid))

    @property
    def listener_fd(self) -> int | None:
        """The socket to hand over."""
        listener = None if self._listener is None else self._listener.sock
        return None if listener is None else listener.fileno()

    @property
    def takes_early(self) -> bool:
        """Whether its first answer shows that it is ready, so that a request may wait for that."""
        return self.listener_fd is not None and self._shown_by == ACCEPT

    @property
    def way_in(self) -> str:
        """Where it listens, for people."""
        if self.port is not None:
            return f"port {self.port}"
        return "a socket handed over" if self.way == "fd" else "a socket of its own"

    @property
    def tail(self) -> str:
        """Its last output."""
        return "" if self._output is None else self._output.tail

    @property
    def heard(self) -> str:
        """The same, for another process."""
        return "" if self._output is None else self._output.heard

    def started(
        self,
        pid: int,
        output: int,
        notify: int,
        on_ready: Callable[[Server], None],
        on_foreign: Callable[[Server, str], None],
    ) -> None:
        """Its process exists: watches for its readiness.

        Args:
            pid: of the process.
            output: the reading end of its output.
            notify: its NOTIFY_SOCKET.
            on_ready: called when it is ready.
            on_foreign: called with who else listens on its port.
        """
        self.pid = pid
        self._read(output)
        self._watch(notify, on_ready, on_foreign)

    def _read(self, output: int, heard: str = "") -> None:
        ways = self._ways
        sink = None if self.log is None else self.log.append
        self._output = Output(ways.board, ways.clock, output, ways.log_rate, sink, heard)

    def _watch(
        self,
        notify: int,
        on_ready: Callable[[Server], None],
        on_foreign: Callable[[Server, str], None],
    ) -> None:
        number, readiness = self.number, self._ways.readiness
        ready = partial(on_ready, self.server)
        told = self._shown_by == NOTIFY
        if not told and self._shown_by != ACCEPT:
            ready = partial(self._ask, ready)
        if self.port is not None:
            readiness.watch_port(
                number,
                self.port,
                None,
                partial(self._found_port, ready),
                partial(on_foreign, self.server),
                told=told,
            )
        elif self._listener is not None and self._listener.sock is not None:
            if told or self._shown_by == ACCEPT:
                readiness.watch_listener(number, self._listener.sock, ready, told=told)
            else:
                ready()  # whoever is asked has to accept
        else:
            path = wire.socket_path(self._ways.runtime_dir, number)
            found = partial(self._found_socket, path, ready)
            readiness.watch_socket(number, path, None, found, told=told)
        self._hear(notify)

    def _hear(self, notify: int) -> None:
        """Listens to what it says of itself, until its end."""
        ways, sock = self._ways, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM, fileno=notify)
        ways.readiness.notify(self.number, sock, None, partial(ways.heard, self.server))

    def _ask(self, ready: Callable[[], None]) -> None:
        """Asks for the path that shows that it is ready, where it listens by now."""
        ways, site = self._ways, self.server.site
        assert self.backend is not None  # noqa: S101 - for the types
        self._health = Health(ways.board, ways.clock, self.backend, site, self._shown_by, ready)
        self._health.ask()

    def _found_port(self, ready: Callable[[], None], address: tuple[str, int]) -> None:
        self.backend = self._reach(address)
        ready()

    def _found_socket(
        self, path: str, ready: Callable[[], None], connection: socket.socket
    ) -> None:
        self.backend = self._reach(path)
        self.backend.first = connection
        ready()

    def running(self, uid: int, argv: list[str]) -> None:
        """The command was executed, as this user; what it writes is read from now on."""
        self.uid, self.argv = uid, argv
        self._ways.readiness.set_uid(self.number, uid)
        if self._output is not None:
            self._output.start()

    def connected(self) -> None:
        """A connection to the handed-over socket was made."""
        self.was_connected = True
        self._ways.readiness.connected(self.number)

    def probe(self) -> None:
        """Connects to the socket that was handed over, since nobody else does; see Probe."""
        if self.backend is not None and self._probe.begin(self.backend):
            self.connected()

    def is_ready(self) -> None:
        """It is ready: nothing is watched any more."""
        self.ready = True
        self._end_probes()
        self._ways.readiness.settle(self.number)
        self._close_listener()

    def missing(self) -> str:
        """What it is waited for; "" where it is ready."""
        try:
            detail = "" if self.ready else self._ways.readiness.describe(self.number)
        except KeyError:
            detail = "" if self._health is None or self.ready else self._health.describe()
        if detail and self.uid is None:
            detail = _NOT_EXECUTED  # so that it could not do what it is waited for
        return detail

    def forget(self) -> str:
        """Stops watching; returns what it was waited for, where it was not ready."""
        detail = self.missing()
        self._ways.readiness.settle(self.number)
        self._end_probes()
        return detail

    def _end_probes(self) -> None:
        self._probe.end()
        if self._health is not None:
            self._health.end()
            self._health = None

    def port_taken(self) -> str:
        """Who listens on its port although its process has gone; "" where nobody does."""
        if self.port is None or self.ready:
            return ""
        try:
            listener = self._ways.diag.owner("127.0.0.1", self.port)
        except (OSError, DiagError):
            return ""
        return f"a process of uid {listener.uid} listens on port {self.port}" if listener else ""

    def retire(self) -> None:
        """It is on its way out: no more requests go there."""
        if self.backend is not None:
            self.backend.retire()

    def let_go(self) -> None:
        """Another process goes on with it: gives back all that is ours, and takes nothing away."""
        self._end_probes()
        self._ways.readiness.forget(self.number)
        self.retire()
        if self._output is not None:
            self._output.let_go()
        self._close_listener()
        if self.log is not None:
            self.log.release()
            self.log = None

    def close(self) -> None:
        """Its process has been reaped: gives back all that it held, but for its log."""
        self._end_probes()
        self._ways.readiness.forget(self.number)
        self.retire()
        if self._output is not None:
            self._output.close()
        if self._listener is not None:
            self._listener.remove()
        if self.port is not None:
            self._ways.ports.free(self.port)

    def _close_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
