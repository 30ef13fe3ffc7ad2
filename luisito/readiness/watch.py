"""Watches all starting app servers in one ticking loop, and tells when each is ready."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

from luisito.readiness.notify import NotifyReader
from luisito.readiness.ways import ListenerWay, PortWay, SocketWay, ToldWay

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from luisito.net.switchboard import Switchboard
    from luisito.readiness.diag import Diag
    from luisito.readiness.ways import Way

# Seconds between ticks while the youngest start is younger than so many seconds: a quick server
# must not lose its speed here, and one that is slow anyway need not cost much. Where the first
# answer tells it too, ticks would only take the processor from the boot.
_PACES = ((2.0, 0.002), (10.0, 0.010))
_UNHURRIED = ((10.0, 0.010),)
_SLOWEST = 0.050


@attrs.define(eq=False)
class _Server:
    uid: int | None = None
    way: Way | None = None
    since: float = 0.0
    notify: NotifyReader | None = None


class Readiness:
    """Tells when app servers are ready.

    A server is watched in one of the three ways, once for each start (again after a foreign
    listener), and its NOTIFY_SOCKET is read until it is forgotten. Until its uid is known, nothing
    is reported and nothing it says is believed. The callbacks are called from the reactor, never
    from within a method of this class, and not after `forget`.

    Args:
        clock: the reactor, for its time.
        board: where the NOTIFY_SOCKETs are read.
        diag: says who listens on a port.
        owns: asks whether a socket's inode belongs to the processes of a server.
    """

    def __init__(
        self,
        clock: IReactorTime,
        board: Switchboard,
        diag: Diag,
        owns: Callable[[int, int], Deferred[bool]],
    ) -> None:
        self._clock = clock
        self._board = board
        self._diag = diag
        self._owns = owns
        self._servers: dict[int, _Server] = {}
        self._starting: dict[int, _Server] = {}
        self._tick_call: IDelayedCall | None = None

    def watch_port(
        self,
        server_id: int,
        port: int,
        expected_uid: int | None,
        on_ready: Callable[[tuple[str, int]], None],
        on_foreign: Callable[[str], None],
        *,
        told: bool = False,
    ) -> None:
        """Watches a port.

        Args:
            server_id: of the server that was given the port.
            port: 1 to 65535.
            expected_uid: the user it runs as, None where `set_uid` will say.
            on_ready: called with the address to connect to, ("127.0.0.1" or "::1", port).
            on_foreign: called with words that say who listens, where it is somebody else.
            told: the server must have said READY=1, too.
        """
        recheck = partial(self._recheck, server_id)
        owns = partial(self._owns, server_id)
        way = PortWay(self._diag, port, owns, recheck, on_ready, on_foreign)
        self._watch(server_id, ToldWay(way) if told else way, expected_uid)

    def watch_socket(
        self,
        server_id: int,
        path: str,
        expected_uid: int | None,
        on_ready: Callable[[socket.socket], None],
        *,
        told: bool = False,
    ) -> None:
        """Watches the path of a unix socket.

        Args:
            server_id: of the server that was given the path.
            path: of the socket, whether it exists yet or not.
            expected_uid: the user it runs as, None where `set_uid` will say.
            on_ready: called with a connection, non-blocking, which is the caller's from then on.
            told: see watch_port.
        """
        way = SocketWay(path, on_ready)
        self._watch(server_id, ToldWay(way) if told else way, expected_uid)

    def watch_listener(
        self,
        server_id: int,
        listener: socket.socket,
        on_accepted: Callable[[], None],
        *,
        told: bool = False,
    ) -> None:
        """Watches a listening socket that was handed over to a server.

        Args:
            server_id: of that server.
            listener: our copy, which must stay open until the server is ready or forgotten.
            on_accepted: called when a connection was accepted, or READY=1 came.
            told: only the latter counts.
        """
        way = ListenerWay(listener, on_accepted)
        self._watch(server_id, ToldWay(way) if told else way, None)

    def connected(self, server_id: int) -> None:
        """Says that a connection to the handed-over socket has been made.

        Without it, one that was accepted between two ticks would never be noticed.
        """
        server = self._starting.get(server_id)
        if server is not None and isinstance(server.way, ListenerWay):
            server.way.connected()

    def notify(
        self,
        server_id: int,
        sock: socket.socket,
        expected_uid: int | None,
        on_notify: Callable[[dict[str, str]], None],
    ) -> None:
        """Reads a server's NOTIFY_SOCKET, until it is forgotten.

        Args:
            server_id: of the server that was given the socket's path.
            sock: bound datagram socket; closed by `forget`.
            expected_uid: the user it runs as, None where `set_uid` will say.
            on_notify: called with the assignments of each of its messages (sd_notify(3)).
        """
        server = self._servers.setdefault(server_id, _Server())
        on_state = partial(self._notified, server_id, on_notify)
        server.notify = NotifyReader(self._clock, self._board, sock, on_state)
        self._set_uid(server, expected_uid)

    def told(self, server_id: int) -> None:
        """Says that a starting server has said READY=1, to whoever read its NOTIFY_SOCKET then."""
        server = self._starting.get(server_id)
        if server is not None and server.way is not None:
            server.way.told()

    def set_uid(self, server_id: int, uid: int) -> None:
        """Says which user a server runs as; of one that is forgotten, nothing happens."""
        server = self._servers.get(server_id)
        if server is not None:
            self._set_uid(server, uid)

    def describe(self, server_id: int) -> str:
        """Returns what a starting server is waited for, and what was found last.

        Raises:
            KeyError: it is not being watched.
        """
        way = self._starting[server_id].way
        assert way is not None  # noqa: S101 - what is in _starting has one
        return way.describe()

    def settle(self, server_id: int) -> None:
        """Stops watching a server, but for its NOTIFY_SOCKET; of an unknown one, nothing."""
        server = self._servers.get(server_id)
        if server is not None:
            self._end(server_id, server)

    def forget(self, server_id: int) -> None:
        """Stops watching a server and closes its NOTIFY_SOCKET; of an unknown one, nothing."""
        server = self._servers.pop(server_id, None)
        if server is None:
            return
        self._end(server_id, server)
        if server.notify is not None:
            server.notify.close()

    def _watch(self, server_id: int, way: Way, uid: int | None) -> None:
        server = self._servers.setdefault(server_id, _Server())
        self._end(server_id, server)
        server.way = way
        server.since = self._clock.seconds()
        self._starting[server_id] = server
        self._set_uid(server, uid)
        # A slow pace set for older starts would keep this one waiting.
        pace = self._pace()
        call = self._tick_call
        if call is None or call.getTime() > server.since + pace:
            if call is not None:
                call.cancel()
            self._tick_call = self._clock.callLater(pace, self._tick)

    def _set_uid(self, server: _Server, uid: int | None) -> None:
        if uid is not None:
            server.uid = uid
        if server.uid is not None and server.notify is not None:
            server.notify.start(server.uid)

    def _end(self, server_id: int, server: _Server) -> None:
        self._starting.pop(server_id, None)
        if server.way is not None:
            server.way.close()
            server.way = None
        if not self._starting and self._tick_call is not None:
            self._tick_call.cancel()
            self._tick_call = None

    def _tick(self) -> None:
        # Armed first: a callback that raises must not end the watch of the others.
        self._tick_call = self._clock.callLater(self._pace(), self._tick)
        for server_id in list(self._starting):
            self._recheck(server_id)

    def _pace(self) -> float:
        # The newest is the last that was put in.
        newest = next(reversed(self._starting.values()))
        age = self._clock.seconds() - newest.since
        paces = _UNHURRIED if isinstance(newest.way, ListenerWay) else _PACES
        pace = next((pace for limit, pace in paces if age < limit), _SLOWEST)
        # A tick costs as much as there are starts to look at; a crowd must not cost more time.
        return min(_SLOWEST, pace * len(self._starting))

    def _recheck(self, server_id: int) -> None:
        server = self._starting.get(server_id)
        if server is None or server.way is None:
            return
        outcome = server.way.check(server.uid)
        if outcome is not None:
            self._end(server_id, server)
            outcome()

    def _notified(
        self, server_id: int, on_notify: Callable[[dict[str, str]], None], state: dict[str, str]
    ) -> None:
        on_notify(state)
        server = self._starting.get(server_id)
        if state.get("READY") == "1" and server is not None and server.way is not None:
            server.way.told()
            self._recheck(server_id)
