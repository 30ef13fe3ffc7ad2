"""All that goes over from one network process to the next: servers, leases, requests, clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, inlineCallbacks

from luisito.handover import passing
from luisito.handover.predecessor import Predecessor

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator

    from luisito.handover.yielded import Yielded
    from luisito.net.switchboard import Switchboard
    from luisito.pool import Lessee, Pool
    from luisito.process.client import Spawner
    from luisito.proxy.gateway import Gateway
    from luisito.readiness.diag import Diag


class Passage:
    """What comes over at the beginning, and goes over at the end.

    Args:
        board: the reactor.
        diag: says who listens on a port.
        pool: has the servers in between.
        gateway: has the clients.
        spawner: knows the servers that live.
    """

    def __init__(
        self, board: Switchboard, diag: Diag, pool: Pool, gateway: Gateway, spawner: Spawner
    ) -> None:
        self._board, self._diag = board, diag
        self._pool, self._gateway, self._spawner = pool, gateway, spawner
        self._predecessors: list[Predecessor] = []
        self._yielded: Yielded | None = None

    def take_over(self, last: int, pair: socket.socket | None) -> Deferred[None]:
        """Called back when all is here that there was; clients come as soon as they are idle.

        Args:
            last: see tenure.Holder; likewise the next.
            pair: see there.
        """
        predecessor = None
        if pair is not None:
            gateway = self._gateway
            predecessor = Predecessor(
                self._board, pair, self._pool, gateway.request, gateway.take_over
            )
            self._predecessors.append(predecessor)
        return passing.take_over(self._board, self._spawner, self._pool, last, predecessor)

    @inlineCallbacks
    def make_way(self, pair: socket.socket) -> Generator[Deferred[Any], Any, None]:
        """Lets go of all at once, but for what is in flight; called back when that has ended."""
        lessees: list[Lessee] = [self._gateway, *self._predecessors]
        self._yielded = yielded = passing.make_way(
            self._board, pair, self._diag, self._pool, lessees
        )
        clients = self._gateway.hand_over(yielded.client)
        # Whose answer still comes has nowhere to go on after it, and is told so with it.
        yielded.lost.addCallback(lambda _: self._gateway.close_idle())
        yield passing.all_done(yielded, clients, self._predecessors)

    def close(self) -> None:
        """Ends it, whatever is still to be told."""
        for predecessor in self._predecessors:
            predecessor.close()
        if self._yielded is not None:
            self._yielded.close()
