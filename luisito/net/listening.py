"""Listening sockets on the Switchboard, made from Twisted's endpoint strings."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from luisito.net.endpoints import BACKLOG, ask, place
from luisito.net.sockets import SocketStream
from luisito.net.switchboard import IN
from luisito.spawner.channel import refuse_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress

    from luisito.net.stream import Receiver
    from luisito.net.switchboard import Switchboard

_ACCEPTS: Final = 64
_PAUSE: Final = 0.1
# Seconds after which the other handlers have their turn: the first requests of many clients may
# take long to read.
_TURN: Final = 0.01
_UNREAD: Final = 65536
# Errors of accept(2) that say something of one connection, not of the listener.
_PASSING: Final = frozenset(
    [errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.EHOSTDOWN, errno.EHOSTUNREACH,
     errno.EOPNOTSUPP, errno.ENETUNREACH, errno.ENOPROTOOPT, errno.ENONET, errno.EPERM]
)  # fmt: skip


def _told(address: tuple[str, int]) -> bytes:
    """A client's address, without what IPv6 adds: the prefix of IPv4, the zone of a link-local."""
    return address[0].removeprefix("::ffff:").partition("%")[0].encode()


def peer_of(sock: socket.socket) -> bytes:
    """Tells what an Acceptor is told of a client.

    Raises:
        OSError: it has gone, so that nobody knows any more (ENOTCONN).
    """
    return b"" if sock.family == socket.AF_UNIX else _told(sock.getpeername())


class Acceptor(Protocol):
    """Who takes new connections."""

    @property
    def refusal(self) -> bytes:
        """What a client is sent that is not taken."""

    def is_full(self) -> bool:
        """Whether there is no room for another client."""

    def make_room(self) -> bool:
        """Somebody waits and there is no room: whether there is now; else they wait on."""

    def accept(self, peer: bytes, port: int) -> Receiver | None:
        """A client has connected; None where it is not taken.

        Args:
            peer: its address; empty for a unix socket.
            port: the port at which it came in; 0 for a unix socket.
        """

    def connected(self, receiver: Receiver, stream: SocketStream) -> None:
        """Its stream is there."""


@implementer(IListeningPort)
class Listener:
    """Accepts connections on one listening socket."""

    _log = Logger()

    def __init__(
        self, board: Switchboard, clock: IReactorTime, sock: socket.socket, acceptor: Acceptor
    ) -> None:
        self._board, self._clock, self.socket, self._acceptor = board, clock, sock, acceptor
        self._tcp = sock.family != socket.AF_UNIX
        self._port = sock.getsockname()[1] if self._tcp else 0
        self.path: str | None = None
        """Of a unix socket whose file is ours to remove."""
        self.shared = False
        """Whoever started us listens there too."""
        self._resume: Any = None
        self.open = False

    @property
    def name(self) -> str:
        """Where it listens, for people."""
        address = self.socket.getsockname()
        if not self._tcp:
            return f"unix:{os.fsdecode(address)}"
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        return f"http://{host}:{address[1]}/"

    def startListening(self) -> None:
        """See IListeningPort."""
        self.open = True
        self._board.register(self.socket.fileno(), self, IN)

    def stopListening(self) -> None:
        """See IListeningPort."""
        if self.open:
            if not self.shared:
                # Nobody listens any more from this moment on, whoever has copies.
                with suppress(OSError):
                    self.socket.shutdown(socket.SHUT_RDWR)
            self.let_go()
            if self.path is not None:
                try:
                    os.unlink(self.path)
                except OSError:
                    pass

    def let_go(self) -> None:
        """Accepts no more; whoever connects waits for another process that listens there."""
        if self.open:
            self.open = False
            if self._resume is None:
                self._board.unregister(self.socket.fileno())
            else:
                self._resume.cancel()
            self.socket.close()

    def getHost(self) -> IAddress:
        """See IListeningPort."""
        raise NotImplementedError("ask for .name")

    def readable(self) -> None:
        """See Handler: clients are waiting."""
        acceptor, seconds = self._acceptor, self._clock.seconds
        if acceptor.is_full() and not acceptor.make_room():
            self._pause()
            return
        end = seconds() + _TURN
        for _ in range(_ACCEPTS):
            try:
                sock, address = self.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _PASSING:
                    continue
                self._log.warn(
                    "Cannot accept a connection: {error}; trying again in {pause} s. Where this"
                    " comes often, raise the limit on open files (LimitNOFILE= or ulimit -n).",
                    error=error,
                    pause=_PAUSE,
                )
                self._pause()
                return
            sock.setblocking(False)
            if self._tcp:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                receiver = acceptor.accept(_told(address), self._port)
            else:
                receiver = acceptor.accept(b"", 0)
            if receiver is None:
                _turn_away(sock, acceptor.refusal)
                continue
            stream = SocketStream(self._board, sock, receiver)
            acceptor.connected(receiver, stream)
            try:
                stream.readable()  # the first request is often there by now
            except Exception:  # noqa: BLE001 - one connection's fault must not end the others
                self._log.failure("Unhandled error on a new connection")
                stream.failed()
            if acceptor.is_full() or seconds() >= end:
                return  # whether anybody waits still, the next call will show

    def writable(self) -> None:
        """See Handler."""

    def gone(self) -> None:
        """See Handler."""

    def failed(self) -> None:
        """See Handler: that was one client's; the others are welcome."""

    def _pause(self) -> None:
        """No room, no descriptors or no memory: those who wait stay in the backlog for a moment."""
        self._board.unregister(self.socket.fileno())
        self._resume = self._clock.callLater(_PAUSE, self._go_on)

    def _go_on(self) -> None:
        self._resume = None
        self._board.register(self.socket.fileno(), self, IN)


def _turn_away(sock: socket.socket, refusal: bytes) -> None:
    """Ends a connection with an answer that its client can read, where its request has come."""
    with sock, suppress(OSError):
        sock.send(refusal)
        sock.shutdown(socket.SHUT_WR)
        # to close with this unread would send a reset, and that might take the answer away
        sock.recv(_UNREAD)


class _Sockets:
    """What a server endpoint uses of a reactor: makes Listeners where that would make Ports."""

    def __init__(self, make: Callable[[socket.socket], Listener]) -> None:
        self._make = make

    def listenTCP(
        self, port: int, _factory: object, backlog: int = BACKLOG, interface: str = ""
    ) -> Listener:
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        sock = socket.socket(family)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((interface, port))
            sock.listen(max(backlog, BACKLOG))
        except OSError as error:
            sock.close()
            raise CannotListenError(interface, port, error) from None
        return self._make(sock)

    def listenUNIX(
        self,
        address: str,
        _factory: object,
        backlog: int = BACKLOG,
        mode: int = 0o666,
        wantPID: int = 0,  # noqa: ARG002, N803 - Twisted's
    ) -> Listener:
        sock = socket.socket(socket.AF_UNIX)
        try:
            _remove_stale(address)
            sock.bind(address)
            os.chmod(address, mode)
            refuse_descriptors(sock)
            sock.listen(max(backlog, BACKLOG))
        except OSError as error:
            sock.close()
            raise CannotListenError(address, None, error) from None
        listener = self._make(sock)
        listener.path = address
        return listener

    def adoptStreamPort(self, fd: int, family: int, _factory: object) -> Listener:
        sock = socket.socket(family, socket.SOCK_STREAM, fileno=os.dup(fd))
        if family == socket.AF_UNIX:
            refuse_descriptors(sock)
        listener = self._make(sock)
        listener.shared = True
        return listener


def _remove_stale(path: str) -> None:
    """Removes a unix socket that nobody listens on any more."""
    probe = socket.socket(socket.AF_UNIX)
    probe.setblocking(False)  # where its backlog is full, connect(2) would wait
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        os.unlink(path)
    except OSError:
        pass
    finally:
        probe.close()


def listen(
    description: str,
    board: Switchboard,
    clock: IReactorTime,
    acceptor: Acceptor,
    kept: int | None = None,
) -> Listener:
    """Binds the socket that an endpoint string describes; `startListening` begins to accept.

    Args:
        description: `tcp:8080`, `tcp:80:interface=127.0.0.1`, `tcp6:...`, `unix:/run/x.sock` or
            `systemd:domain=INET:index=0`.
        board: where it is registered.
        clock: for pauses.
        acceptor: who takes the connections.
        kept: a socket that another process has bound for the same string; owned by the listener
            from now on. None to bind one.

    Raises:
        EndpointError: the string is not understood, or it cannot be listened on.
    """

    def make(sock: socket.socket) -> Listener:
        sock.setblocking(False)
        return Listener(board, clock, sock, acceptor)

    if kept is not None:
        listener = make(socket.socket(fileno=kept))
        listener.path = place(description).path or None
        listener.shared = description.startswith("systemd:")
        return listener
    bound: Listener = ask(_Sockets(make), description)
    return bound
