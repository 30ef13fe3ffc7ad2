"""Waits for a server in the place of browsers that were shown a page meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luisito.core.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from luisito.core.lifecycle import Server
    from luisito.pool import Refused
    from luisito.proxy.gateway import Gateway

_LOOK: Final = 0.05  # seconds


class Waker:
    """See Waiter; its lease is given back as soon as the server is ready, and is no use of it.

    Args:
        gateway: asks for the lease, and gives it back.
        over: called when nobody needs to be waited for any more.
    """

    def __init__(self, gateway: Gateway, over: Callable[[], None]) -> None:
        self._gateway, self._over = gateway, over
        self._server: Server | None = None
        self.waiting = True

    def granted(self, server: Server) -> None:
        """See Waiter."""
        self.waiting = False
        self._server = server
        if server.state is State.STARTING:  # its socket was handed over
            self._gateway.probe(server)
        self._look()

    def refused(self, refused: Refused) -> None:
        """See Waiter: whoever asks next is told."""
        del refused
        self.waiting = False
        self._over()

    def withdrawn(self, server: Server, refused: Refused) -> None:
        """See Waiter."""
        del server, refused

    def _look(self) -> None:
        """Gives the lease back, unless its server is still to be found ready."""
        gateway, server = self._gateway, self._server
        assert server is not None  # noqa: S101 - for the types
        if server.state is State.STARTING and server.leases:
            gateway.reactor.callLater(_LOOK, self._look)
            return
        gateway.release_unnoticed(server, gateway.clock())
        self._over()
