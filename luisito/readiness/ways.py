"""The three ways in to an app server, and what shows on each that it is ready."""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING, Protocol

from twisted.logger import Logger

from luisito.errors import LuisitoError
from luisito.readiness.credentials import peer_uid
from luisito.spawner.channel import refuse_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from luisito.readiness.diag import Diag, Listener

_LOOPBACK = ("127.0.0.1", "::1")


class Way(Protocol):
    """A way in that is being watched."""

    def check(self, uid: int | None) -> Callable[[], None] | None:
        """Looks once, without blocking; returns what to call now that the wait is over.

        Args:
            uid: the user the server runs as, None where it is not known yet.
        """

    def told(self) -> None:
        """The server said READY=1; a check follows."""

    def describe(self) -> str:
        """Returns what is being waited for, and what the last check found."""

    def close(self) -> None:
        """Gives up what the watch itself holds."""


class PortWay:
    """%PORT: ready when a process of the server listens on it, on a loopback address.

    Args:
        diag: says who listens.
        port: 1 to 65535.
        owns: whether a socket's inode belongs to the server's processes.
        recheck: called when that answer has come.
        on_ready: called with the address to connect to.
        on_foreign: called with a description when the listener is somebody else's.
    """

    _log = Logger()

    def __init__(
        self,
        diag: Diag,
        port: int,
        owns: Callable[[int], Deferred[bool]],
        recheck: Callable[[], None],
        on_ready: Callable[[tuple[str, int]], None],
        on_foreign: Callable[[str], None],
    ) -> None:
        self._diag = diag
        self._port = port
        self._owns = owns
        self._recheck = recheck
        self._on_ready = on_ready
        self._on_foreign = on_foreign
        self._asking = False
        self._answer: tuple[int, bool] | None = None
        self._trouble = ""

    def check(self, uid: int | None) -> Callable[[], None] | None:
        """As in `Way`."""
        if uid is None or self._asking:
            return None
        self._trouble = ""
        try:
            for address in _LOOPBACK:
                listener = self._diag.owner(address, self._port)
                if listener is not None:
                    return self._judge(uid, address, listener)
        except OSError as error:
            self._trouble = f"the kernel did not say who listens ({error.strerror})"
        return None

    def _judge(self, uid: int, address: str, listener: Listener) -> Callable[[], None] | None:
        if listener.uid != uid:
            return self._foreign(f"a process of uid {listener.uid}, not {uid}", address)
        # The same inode as was asked for: the answer may be older than a close and another's bind.
        if self._answer is None or self._answer[0] != listener.inode:
            self._asking = True
            self._owns(listener.inode).addCallbacks(
                self._answered, self._unanswered, callbackArgs=(listener.inode,)
            )
            return None
        if self._answer[1]:
            return lambda: self._on_ready((address, self._port))
        return self._foreign(f"another process of uid {uid}", address)

    def _foreign(self, who: str, address: str) -> Callable[[], None]:
        return lambda: self._on_foreign(f"{who} listens on port {self._port} of {address}")

    def _answered(self, yes: bool, inode: int) -> None:
        self._asking = False
        self._answer = (inode, yes)
        self._recheck()

    def _unanswered(self, failure: Failure) -> None:
        # Not asked again: it would fail as often as there are ticks.
        self._trouble = f"its owner could not be found ({failure.getErrorMessage()})"
        if not isinstance(failure.value, LuisitoError):
            self._log.failure("Finding the owner of port {port}", failure, port=self._port)

    def told(self) -> None:
        """As in `Way`: the listener and its owner count all the same."""

    def describe(self) -> str:
        """As in `Way`."""
        if self._trouble:
            return f"port {self._port}: {self._trouble}"
        try:
            elsewhere = self._diag.listeners().get(self._port, [])
        except OSError:
            elsewhere = []
        if elsewhere:
            addresses = ", ".join(listener.address for listener in elsewhere)
            return (
                f"port {self._port} is listened on at {addresses}: "
                "let the command listen on 127.0.0.1"
            )
        return f"nothing listens on port {self._port}: does the command use %PORT?"

    def close(self) -> None:
        """As in `Way`: nothing is held."""


class SocketWay:
    """%SOCKET: ready when a connection to the path is taken by a listener of the right user.

    Args:
        path: of the unix socket.
        on_ready: called with that connection, non-blocking, for the first request.
    """

    def __init__(self, path: str, on_ready: Callable[[socket.socket], None]) -> None:
        self._path = path
        self._on_ready = on_ready
        self._socket: socket.socket | None = None
        self._trouble = "not tried yet"

    def check(self, uid: int | None) -> Callable[[], None] | None:
        """As in `Way`."""
        if uid is None:
            return None
        # One socket for all tries: a connect that failed leaves it as it was.
        try:
            if self._socket is None:
                self._socket = socket.socket(
                    socket.AF_UNIX,
                    socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
                )
                refuse_descriptors(self._socket)
            self._socket.connect(self._path)
        except OSError as error:
            # A name that is too long has an error without a number, and no strerror.
            self._trouble = error.strerror or str(error)
            return None
        connected = self._socket
        self._socket = None
        listening = peer_uid(connected)
        if listening != uid:
            connected.close()
            self._trouble = f"a process of uid {listening} listens there, not of uid {uid}"
            return None
        return lambda: self._on_ready(connected)

    def told(self) -> None:
        """As in `Way`: the connection counts all the same."""

    def describe(self) -> str:
        """As in `Way`."""
        return f"socket {self._path}: {self._trouble}; does the command use %SOCKET?"

    def close(self) -> None:
        """As in `Way`."""
        if self._socket is not None:
            self._socket.close()


class ToldWay:
    """Any of the ways, of a server that is ready when it says READY=1, and not before.

    Args:
        way: what has to be found then, too.
    """

    def __init__(self, way: Way) -> None:
        self._way = way
        self._is_told = False

    def check(self, uid: int | None) -> Callable[[], None] | None:
        """As in `Way`."""
        return self._way.check(uid) if self._is_told else None

    def told(self) -> None:
        """As in `Way`."""
        self._is_told = True
        self._way.told()

    def describe(self) -> str:
        """As in `Way`."""
        if self._is_told:
            return self._way.describe()
        return 'it never sent READY=1 to $NOTIFY_SOCKET, which ready = "notify" waits for'

    def close(self) -> None:
        """As in `Way`."""
        self._way.close()


class ListenerWay:
    """%FD: ready when a connection that waited on the listening socket has been accepted.

    Args:
        listener: our own copy of the listening socket; it stays the caller's.
        on_accepted: called without arguments.
    """

    def __init__(self, listener: socket.socket, on_accepted: Callable[[], None]) -> None:
        self._on_accepted = on_accepted
        self._poll = select.poll()
        self._poll.register(listener.fileno(), select.POLLIN)
        self._has_waited = False
        self._is_told = False

    def connected(self) -> None:
        """A connection has been made, though no check may have seen it wait."""
        self._has_waited = True

    def check(self, uid: int | None) -> Callable[[], None] | None:  # noqa: ARG002 - as in Way
        """As in `Way`; nobody else has the socket, so the user does not matter."""
        waits = bool(self._poll.poll(0))
        if self._is_told or (self._has_waited and not waits):
            return self._on_accepted
        self._has_waited = self._has_waited or waits
        return None

    def told(self) -> None:
        """As in `Way`: its word is enough."""
        self._is_told = True

    def describe(self) -> str:
        """As in `Way`; "" where it has accepted since the last check."""
        if self.check(None) is not None:
            return ""
        if self._has_waited:
            return "it never accepted on descriptor 3: does the command exec?"
        return "nothing has connected to descriptor 3 yet"

    def close(self) -> None:
        """As in `Way`: the listening socket stays the caller's."""
