"""Clients on their way from one process to the next: how a gateway gives and how it takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from luisito.net.handed import Handed
from luisito.net.listening import peer_of
from luisito.net.sockets import SocketStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from luisito.proxy.gateway import Gateway
    from luisito.proxy.persistent import Persistent

_log: Final = Logger()


class Departure:
    """A gateway that has a successor gives each client away as soon as it is idle.

    Attributes:
        over: is called back when nothing is left, in a turn of its own: whoever was last is still
            in the middle of something.
    """

    def __init__(self, gateway: Gateway, give: Callable[[Handed], None]) -> None:
        self._gateway, self._give = gateway, give
        self.over: Deferred[None] = Deferred()
        self._ending = False

    def leave(self, down: Persistent) -> None:
        """Gives a client away now, or when its exchange has ended."""
        down.parting = True
        if not isinstance(down.stream, SocketStream):
            down.drain()
        elif down.idle:
            self.give(down)

    def give(self, down: Persistent) -> None:
        """Nothing of a client is in flight any more: it goes on elsewhere, or ends."""
        stream = down.stream
        if isinstance(stream, SocketStream):
            sock = stream.detach()
            down.forget()
            self._gateway.counters.given += 1
            self.pass_on(Handed(sock, down.port, down.buffer, down.own))
        else:
            down.close()

    def pass_on(self, handed: Handed) -> None:
        """Gives a connection to the successor."""
        try:
            self._give(handed)
        except OSError as error:
            _log.warn("A client could not be handed over, and is closed: {error}", error=error)

    def look(self) -> None:
        """A connection has gone, or there was none."""
        if self._gateway.empty and not self._ending:
            self._ending = True
            self._gateway.reactor.callLater(0, self.over.callback, None)


def take_over(gateway: Gateway, handed: Handed) -> None:
    """Goes on with a client as if it had connected, and sent what was not read, just now."""
    sock, port, unread, own = handed
    try:
        peer = peer_of(sock)
    except OSError:
        sock.close()  # it has gone meanwhile
        return
    down = gateway.client(peer, port, own)
    stream = SocketStream(gateway.board, sock, down)
    gateway.connected(down, stream)
    gateway.counters.taken += 1
    if not unread:
        down.deadline = gateway.clock() + gateway.keepalive_timeout
        return
    try:
        down.received(unread)
    except Exception:  # noqa: BLE001 - one connection's fault must not end the others
        _log.failure("Unhandled error on a connection that was taken over")
        stream.failed()
