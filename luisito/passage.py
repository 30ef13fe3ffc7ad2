"""All that goes over from one network process to the next: servers, leases, requests, clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luisito.handover import passing
from luisito.handover.predecessor import Predecessor

if TYPE_CHECKING:
    import socket
    from collections.abc import Container, Sequence

    from twisted.internet.defer import Deferred

    from luisito.handover.yielded import Yielded
    from luisito.net.switchboard import Switchboard
    from luisito.pool import Pool
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
        runs: see handover.Failed.
        files: the sites that have a file, by their keys.
    """

    def __init__(
        self,
        board: Switchboard,
        diag: Diag,
        pool: Pool,
        gateway: Gateway,
        spawner: Spawner,
        runs: str,
        files: Container[str] = (),
    ) -> None:
        self._board, self._diag, self._runs = board, diag, runs
        self._files = files
        self._pool, self._gateway, self._spawner = pool, gateway, spawner
        self._predecessors: list[Predecessor] = []
        self._yielded: Yielded | None = None

    def take_over(self, last: int, pairs: Sequence[socket.socket]) -> Deferred[None]:
        """Called back when all is here that there was; clients come as soon as they are idle.

        Args:
            last: see tenure.Holder; likewise the next.
            pairs: see there.
        """
        gateway = self._gateway
        self._predecessors += [
            Predecessor(
                self._board,
                pair,
                self._pool,
                gateway.request,
                gateway.refusal,
                gateway.take_over,
                self._runs,
            )
            for pair in pairs
        ]
        return passing.take_over(
            self._board, self._spawner, self._pool, last, self._predecessors, self._files
        )

    def make_way(self, pair: socket.socket) -> Deferred[None]:
        """Lets go of all at once, but for what is in flight; called back when that has ended."""
        self._yielded, done = passing.make_way(
            self._board,
            pair,
            self._diag,
            self._pool,
            self._gateway,
            self._predecessors,
            self._runs,
        )
        return done

    def rejoin(self, pair: socket.socket) -> None:
        """Goes on with another one, where who took over has crashed; `pair` as in tenure.Holder."""
        if self._yielded is None:
            pair.close()
        else:
            self._yielded.rejoin(pair)

    def close(self) -> None:
        """Ends it, whatever is still to be told."""
        for predecessor in self._predecessors:
            predecessor.close()
        if self._yielded is not None:
            self._yielded.close()
