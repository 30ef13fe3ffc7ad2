"""What a process that has yielded still has in flight, for which its successor gives the leases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from luisito.core import handover
from luisito.core.ending import SOON
from luisito.core.handover import micros, seconds
from luisito.core.lease import Refused
from luisito.core.lifecycle import Server, State
from luisito.core.orders import NOTHING
from luisito.handover.pair import Pair
from luisito.net.handed import pack
from luisito.process.reach import reach
from luisito.spawner import channel

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from twisted.internet.interfaces import IDelayedCall

    from luisito.core.codec import Scalar
    from luisito.core.lease import Stream, Waiter
    from luisito.core.orders import Order
    from luisito.core.sites import Failure
    from luisito.net.handed import Handed
    from luisito.net.switchboard import Switchboard
    from luisito.process.start import Start
    from luisito.readiness.diag import Diag

REJOIN_WITHIN: Final = 10.0
"""Seconds to wait for another one where whoever took over has crashed."""

_GONE: Final = "the process that took over has crashed"
_RETRY_AFTER: Final = 1.0  # seconds; it is replaced at once


class Yielded:
    """A pool that owns no server: it asks the successor's for leases, and gives them back there.

    It is a Lessor, and the Heir of this process's own pool. One lease stands for all that is in
    flight on a server when it is handed over; it is given back with the last of them.

    Args:
        board: the reactor.
        sock: one end of the pair with the successor, non-blocking; owned by this from now on.
        diag: says who listens on a port.
        runs: see handover.Failed.

    Attributes:
        over: is called back, in a turn of its own, when nobody waits and no lease is held.
        lost: is called back where the successor has gone before that, and no other has come in
            time; one that comes later is still welcome.
    """

    _log = Logger()

    def __init__(self, board: Switchboard, sock: socket.socket, diag: Diag, runs: str = "") -> None:
        self._board, self._diag, self._runs = board, diag, runs
        self._clock = board.seconds
        self._leases: dict[Server, int] = {}
        self._servers: dict[int, Server] = {}
        self._early: dict[Server, Waiter] = {}
        self._connected: set[Server] = set()  # of the early ones
        self._numbers: dict[Waiter, int] = {}
        self._waiters: dict[int, tuple[Waiter, str, int]] = {}
        self._spawned: dict[Server, int] = {}
        self._homeless: list[Handed] = []
        self._last = 0
        self._give_up: IDelayedCall | None = None
        self._settled: Deferred[None] | None = None
        self._handed = self._ending = self._closed = False
        self.over: Deferred[None] = Deferred()
        self.lost: Deferred[None] = Deferred()
        self._begin(sock)

    def _begin(self, sock: socket.socket) -> None:
        self._pair = Pair(self._board, sock, self._received, self._successor_has_gone)
        self._pair.send(handover.Begin(handover.VERSION))

    def handed(self) -> None:
        """All that there was has been handed over."""
        self._pair.send(handover.Handed())
        self._handed = True
        self._look()

    def client(self, handed: Handed) -> None:
        """Passes a client's connection on, and owns it from then on.

        Raises:
            OSError: no descriptor is to be had for it; it is closed.
        """
        if self._give_up is not None or self._pair.hung_up:
            self._homeless.append(handed)
            return
        port, descriptors = pack(handed)
        own = handed.own
        told = handover.Client(port) if own is None else handover.OwnClient(port, own)
        try:
            self._pair.send(told, descriptors)
        finally:
            channel.close(descriptors)

    def flush(self) -> Deferred[None]:
        """Called back once all that was to be told has been sent; asked for once."""
        settled: Deferred[None] = Deferred()
        self._settled = settled
        self._settle()
        return settled

    def _settle(self) -> None:
        if self._settled is not None and not self._homeless:
            settled, self._settled = self._settled, None
            self._pair.flush().chainDeferred(settled)

    def close(self) -> None:
        """Ends: the successor takes all leases back."""
        self._closed = True
        self._wait_no_more()
        self._pair.close()
        self._close_homeless()

    # -- see Heir

    def hold(self, start: Start, early: Waiter | None) -> None:
        """See Heir."""
        server, now = start.server, self._clock()
        lease = None
        if server.leases:
            self._last += 1
            lease = self._hold(self._last, server, start.number, early)
            if early is not None and start.was_connected:
                self._connected.add(server)
        is_old = server.ready_at and now - server.ready_at >= SOON  # nobody asks for what it said
        address = None if start.backend is None else start.backend.address
        self._pair.send(
            handover.Held(
                start.number,
                server.state.value,
                lease,
                server.early,
                start.was_connected,
                address is not None and address[0] == "::1",
                server.released,
                micros(server.started_at),
                micros(server.ready_at) if server.ready_at else None,
                micros(server.used_at),
                None if start.signalled_at is None else micros(start.signalled_at),
                start.killed,
                "" if is_old else start.heard[-handover.MAX_TEXT :],
            )
        )

    def failed(self, failure: Failure) -> None:
        """See Heir."""
        detail = failure.detail[-handover.MAX_TEXT :]
        until, forget_at = micros(failure.until), micros(failure.forget_at)
        self._pair.send(
            handover.Failed(failure.site, self._runs, detail, until, failure.times, forget_at)
        )

    def took(self, sizes: Sequence[tuple[str, int]]) -> None:
        """See Heir."""
        rows: list[dict[str, Scalar]] = [{"site": site, "memory": size} for site, size in sizes]
        most = handover.SITES_IN_A_MESSAGE
        for at in range(0, len(rows), most):
            self._pair.send(handover.Took(rows[at : at + most]))

    def waits(self, site: str, waiter: Waiter, since: float | None) -> None:
        """See Heir."""
        self._want(site, waiter, None if since is None else micros(since))

    # -- see Lessor

    def take(self, site: str) -> None:
        """See Lessor: who has a server that is awake is decided elsewhere."""

    def request(self, site: str, waiter: Waiter) -> None:
        """See Lessor."""
        self._want(site, waiter, None)

    def _want(self, site: str, waiter: Waiter, since: int | None) -> None:
        if self._give_up is None and not self._pair.is_open:
            waiter.refused(Refused(503, _GONE, _RETRY_AFTER))
            return
        self._last += 1
        self._numbers[waiter] = self._last
        asked = micros(self._clock()) if since is None else since
        self._waiters[self._last] = waiter, site, asked
        self._pair.send(handover.Want(self._last, site, since))

    def cancel(self, waiter: Waiter) -> None:
        """See Lessor."""
        number = self._numbers.pop(waiter, None)
        if number is not None:
            del self._waiters[number]
            self._pair.send(handover.Unwant(number))
            self._look()

    def connected(self, server: Server) -> None:
        """See Lessor."""
        if server in self._early:
            self._connected.add(server)
            self._pair.send(handover.Connected(self._leases[server]))

    def answered(self, server: Server) -> None:
        """See Lessor."""
        if self._is_early_no_more(server) is not None:
            server.ready_at = self._clock()
            self._pair.send(handover.Answered(self._leases[server]))

    def release(self, server: Server, now: float) -> Sequence[Order]:
        """See Lessor."""
        if server.leases:
            server.leases -= 1
            server.released += 1
            server.used_at = now
            if not server.leases:
                self._give_back(server)
        return NOTHING

    release_unnoticed = release

    def choose(self, site: str, liked: str | None = None) -> str:
        """See Lessor: the successor knows which are ready, and what others have in flight."""
        return liked or site

    def asleep(self, site: str) -> bool:
        """See Lessor: what is asked from here on was let in before."""
        del site
        return False

    def has_failed(self, site: str) -> bool:
        """See Lessor: the successor knows."""
        del site
        return True

    def probe(self, server: Server) -> None:
        """See Lessor: a successor connects to servers that it adopts."""

    def released(self, server: Server, orders: Sequence[Order]) -> None:
        """See Lessor: there are no orders."""

    def streamed(self, server: Server, stream: Stream) -> None:
        """See Lessor: a server that is leased to another process is not stopped for room."""

    stream_over = streamed

    def folder_exists(self, site: str) -> Deferred[bool]:
        """See Lessor: the successor asks."""
        del site
        return succeed(True)

    def number(self, server: Server) -> int:
        """See Lessor."""
        return self._spawned[server]

    # -- leases

    def _hold(self, lease: int, server: Server, number: int, early: Waiter | None) -> int:
        self._leases[server], self._servers[lease] = lease, server
        self._spawned[server] = number
        if early is not None:
            self._early[server] = early
        return lease

    def _give_back(self, server: Server) -> None:
        lease = self._leases.pop(server, None)
        if lease is not None:
            del self._servers[lease], self._spawned[server]
            self._is_early_no_more(server)
            self._pair.send(handover.Released(lease))
            self._look()

    def _is_early_no_more(self, server: Server) -> Waiter | None:
        self._connected.discard(server)
        return self._early.pop(server, None)

    def _look(self) -> None:
        if self._handed and not self._ending and not self._leases and not self._waiters:
            self._ending = True
            self._board.callLater(0, self.over.callback, None)

    # -- what the successor says

    def _received(self, data: bytes, descriptors: list[int]) -> None:
        del descriptors
        reply = handover.decode_reply(data)
        if isinstance(reply, handover.Granted):
            self._granted(reply)
        elif isinstance(reply, handover.Refused):
            retry_after = None if reply.retry_after is None else reply.retry_after / 1e3
            self._refuse(reply.waiter, Refused(reply.status, reply.detail, retry_after))
        else:
            self._withdraw(reply)

    def _granted(self, reply: handover.Granted) -> None:
        waiter, site, _ = self._waiters.pop(reply.waiter, (None, "", 0))
        if waiter is None:  # it has left meanwhile
            self._pair.send(handover.Released(reply.lease))
            return
        del self._numbers[waiter]
        server = Server(reply.lease, site, seconds(reply.started_at))
        server.state, server.leases = State.DRAINING, 1
        server.early = reply.early
        address = reply.address if reply.port is None else (reply.address, reply.port)
        server.data = backend = reach(self._diag, address, reply.uid)
        backend.retire()  # a connection that has done its work is not kept
        self._hold(reply.lease, server, reply.server, waiter if reply.early else None)
        waiter.granted(server)
        if backend.open:
            self.connected(server)

    def _refuse(self, number: int, refused: Refused) -> None:
        waiter, *_ = self._waiters.pop(number, (None, "", 0))
        if waiter is not None:
            del self._numbers[waiter]
            waiter.refused(refused)
            self._look()

    def _withdraw(self, reply: handover.Withdrawn) -> None:
        server = self._servers.get(reply.lease)
        waiter = None if server is None else self._is_early_no_more(server)
        if server is not None and waiter is not None:
            waiter.withdrawn(server, Refused(reply.status, reply.detail))

    # -- where the successor crashes

    def rejoin(self, sock: socket.socket) -> None:
        """Goes on with the successor of the successor.

        Args:
            sock: one end of a pair with it, non-blocking; owned by this from now on. It is closed
                where nobody is missing, and after `close`.
        """
        if self._pair.hung_up:
            self._pair.close()  # which would have been noticed in a moment
            self._successor_has_gone()
        if self._pair.is_open or self._closed:
            sock.close()
            return
        self._wait_no_more()
        self._begin(sock)
        for server, lease in self._leases.items():
            self._pair.send(handover.Lent(self._spawned[server], lease, server in self._early))
        for number, (_, site, asked) in self._waiters.items():
            self._pair.send(handover.Want(number, site, asked))
        self._pair.send(handover.Handed())
        for server in self._connected:  # else one that has accepted meanwhile would go unnoticed
            self.connected(server)
        homeless, self._homeless = self._homeless, []
        for handed in homeless:
            try:
                self.client(handed)
            except OSError:
                pass  # it is closed
        self._settle()

    def _successor_has_gone(self) -> None:
        self._give_up = self._board.callLater(REJOIN_WITHIN, self._is_lost)
        self._log.warn(
            "The process that took over has crashed: {waiters} requests, and the servers of"
            " {leases} others, wait for the next",
            waiters=len(self._waiters),
            leases=len(self._leases),
        )

    def _wait_no_more(self) -> None:
        if self._give_up is not None:
            if self._give_up.active():
                self._give_up.cancel()
            self._give_up = None

    def _is_lost(self) -> None:
        self._give_up = None
        self._log.error(
            "The process that took over has crashed, and none has come within {seconds:g} s:"
            " {waiters} requests that waited are refused",
            seconds=REJOIN_WITHIN,
            waiters=len(self._waiters),
        )
        if not self.lost.called:
            self.lost.callback(None)
        for number in list(self._waiters):
            self._refuse(number, Refused(503, _GONE, _RETRY_AFTER))
        self._close_homeless()

    def _close_homeless(self) -> None:
        homeless, self._homeless = self._homeless, []
        for handed in homeless:
            handed.sock.close()
        self._settle()
