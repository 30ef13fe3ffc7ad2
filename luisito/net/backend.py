"""Where an app server listens, and the connections to it."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any, Protocol

from luisito.spawner.channel import refuse_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable


class Connection(Protocol):
    """A connection to an app server."""

    def __hash__(self) -> int: ...

    idle_since: float

    def close(self) -> None:
        """Closes it, while it is idle."""


class Seekers(Protocol):
    """Those who wait for a connection."""

    def hand_over(self, connection: Any, /) -> None:  # noqa: ANN401 - the proxy's own kind
        """This one has done its work."""

    def ended(self) -> None:
        """One has ended."""


class Backend:
    """One app server's address.

    Attributes:
        address: as it was told.
        uid: likewise.
        first: a connection that was made to see whether the server is ready, for its first use.
        open: all connections, tunnels too; but for `first`.
        idle: those that wait for their next request, the one used last at the end.
        line: those who wait for a connection; None where nobody does.
        retired: its server is on its way out; nothing is kept for it any more.
        claimed: a connection that has done its work is not to be idle: somebody waits for it, or
            the server is on its way out.
    """

    __slots__ = (
        "_admits", "_check", "_family", "address", "claimed", "first", "idle", "line", "open",
        "retired", "uid",
    )  # fmt: skip

    def __init__(
        self,
        address: str | tuple[str, int],
        check: Callable[[], bool] | None = None,
        admits: Callable[[socket.socket], bool] | None = None,
        uid: int | None = None,
    ) -> None:
        """Takes an address.

        Args:
            address: the path of a unix socket, or (loopback address, port).
            check: asked before each new connection whether the server still listens there.
            admits: asked of each new connection to a unix socket, likewise.
            uid: that user; None where nobody else can listen there.
        """
        self.address, self.uid = address, uid
        self._check, self._admits = check, admits
        if isinstance(address, str):
            self._family = socket.AF_UNIX
        else:
            self._family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.first: socket.socket | None = None
        self.open: set[Connection] = set()
        self.idle: list[Connection] = []
        self.line: Seekers | None = None
        self.retired = self.claimed = False

    def connect(self) -> tuple[socket.socket, bool]:
        """A non-blocking socket that is connected or, where the second value says so, connecting.

        Raises:
            OSError: BlockingIOError where the backlog of a unix socket is full.
        """
        if self.first is not None:
            first, self.first = self.first, None
            return first, False
        if self._check is not None and not self._check():
            raise ConnectionRefusedError(errno.ECONNREFUSED, "its server does not listen there")
        sock = socket.socket(self._family)
        sock.setblocking(False)
        if self._family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            refuse_descriptors(sock)
        try:
            sock.connect(self.address)
        except BlockingIOError as error:
            if error.errno == errno.EINPROGRESS:
                return sock, True
            sock.close()
            raise
        except OSError:
            sock.close()
            raise
        if self._admits is not None and not self._admits(sock):
            sock.close()
            raise ConnectionRefusedError(errno.ECONNREFUSED, "another user listens there")
        return sock, False

    def ended(self, connection: Connection) -> None:
        """A connection has ended, so that another one may take its place."""
        self.open.discard(connection)
        if self.line is not None:
            self.line.ended()

    def retire(self) -> None:
        """The server is on its way out: closes what is idle."""
        self.retired = self.claimed = True
        if self.first is not None:
            self.first.close()
            self.first = None
        self.close_idle()

    def close_idle(self) -> None:
        """Closes the connections that wait for their next request."""
        while self.idle:
            self.idle.pop().close()
