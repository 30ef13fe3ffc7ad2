"""The process that served before, as its successor sees it: one that asks for leases."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from luisito.core import handover
from luisito.core.handover import micros, seconds
from luisito.core.lease import Refused
from luisito.core.orders import NOTHING
from luisito.core.sites import Failure, Waiting
from luisito.errors import WireError
from luisito.handover.pair import Pair
from luisito.net.handed import unpack

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection, Container

    from luisito.core.handover import Held, Lent
    from luisito.core.lifecycle import Server
    from luisito.net.handed import Handed
    from luisito.net.switchboard import Switchboard
    from luisito.pool import Lessor

TOLD_WITHIN: Final = 5.0
"""Seconds it may take to tell what it had; nobody is served meanwhile."""

_ENDED: Final = Refused(502, "the server ended while it was handed over")


class Holder:
    """A lease that it held when it yielded (see Waiter)."""

    waiting = False

    def __init__(self, predecessor: Predecessor, lease: int) -> None:
        self._predecessor, self._lease = predecessor, lease

    def granted(self, server: Server) -> None:
        """See Waiter: it goes on being held."""
        self._predecessor.holds(self._lease, server)

    def refused(self, refused: Refused) -> None:
        """See Waiter: it was not asked for."""

    def withdrawn(self, server: Server, refused: Refused) -> None:
        """See Waiter."""
        del server
        self._predecessor.withdraw(self._lease, refused)


class Absent:
    """A request that waits there for a lease from here (see Waiter)."""

    def __init__(self, predecessor: Predecessor, number: int) -> None:
        self._predecessor, self._number = predecessor, number
        self._lease = 0
        self.waiting = True

    def granted(self, server: Server) -> None:
        """See Waiter."""
        self.waiting = False
        self._lease = self._predecessor.grant(self._number, server)

    def refused(self, refused: Refused) -> None:
        """See Waiter."""
        self.waiting = False
        self._predecessor.refuse(self._number, refused)

    def withdrawn(self, server: Server, refused: Refused) -> None:
        """See Waiter."""
        del server
        self._predecessor.withdraw(self._lease, refused)


class Predecessor:
    """Hears what it had, and gives it leases until it has ended; then takes them back.

    Args:
        board: the reactor.
        sock: one end of the pair with it, non-blocking; owned by this from now on.
        lessor: gives the leases (Pool).
        ask: asks for a lease on a site's server (Gateway.request).
        refusal: why a host is no site here; None where it is one (Gateway.refusal).
        client: goes on with each client (Gateway.take_over).
        runs: see handover.Failed.

    Attributes:
        held: what it has told of servers, by number.
        lent: the leases that it holds on servers of which it knows no more, likewise.
        took: what its sites took when they were weighed last, in bytes.
        failures: the sites that it had left alone for a while, and still would be.
        told: is called back when that is all of it, as far as it could be told. After that nothing
            more is heard until `go_on`.
        ended: is called back when it has ended, and all that it said has been heard.
    """

    _log = Logger()

    def __init__(
        self,
        board: Switchboard,
        sock: socket.socket,
        lessor: Lessor,
        ask: Callable[[str, Absent], None],
        refusal: Callable[[str], Refused | None],
        client: Callable[[Handed], None],
        runs: str = "",
    ) -> None:
        self._clock = board.seconds
        self._lessor = lessor
        self._ask, self._refusal, self._client = ask, refusal, client
        self._runs = runs
        self.failures: list[Failure] = []
        self.took: list[tuple[str, int]] = []
        self.held: dict[int, Held] = {}
        self.lent: dict[int, list[Lent]] = {}
        self.told: Deferred[None] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self._wanted: dict[int, handover.Want] = {}
        self._known: set[int] = set()  # the leases of what it has told
        self._begun = self._all_told = False
        self._leases: dict[int, Server] = {}
        self._waiters: dict[int, Absent] = {}
        self._last = 0
        self._late = board.callLater(TOLD_WITHIN, self._too_late)
        self._pair = Pair(board, sock, self._received, self._has_gone)

    def lease_from(self, lessor: Lessor) -> None:
        """See Lessee: we have yielded ourselves."""
        self._lessor = lessor

    def holders(self, number: int) -> list[Holder]:
        """Who holds each lease on a server that it told of."""
        if not self._pair.is_open:
            return []
        leases = [lent.lease for lent in self.lent.get(number, ())]
        held = self.held.get(number)
        if held is not None and held.lease is not None:
            leases.append(held.lease)
        return [Holder(self, lease) for lease in leases]

    def waiting(self) -> list[Waiting]:
        """Who waited there, for the pool to answer; those for no site of ours are refused."""
        found = []
        wanted, self._wanted = self._wanted, {}
        for want in wanted.values():
            absent = self._absent(want)
            refused = self._refusal(want.site)
            if refused is None:
                since = None if want.since is None else seconds(want.since)
                found.append(Waiting(want.site, absent, since))
            else:
                absent.refused(refused)
        return found

    def go_on(self, living: Collection[int]) -> None:
        """All has been adopted: hears the rest.

        Args:
            living: the numbers of the servers that there were.
        """
        for held in self.held.values():
            # others find that their connection has ended
            if held.server not in living and held.lease is not None and held.ready_at is None:
                self.withdraw(held.lease, _ENDED)
        for lent in chain(*self.lent.values()):
            if lent.server not in living and lent.early:
                self.withdraw(lent.lease, _ENDED)
        self.held.clear()
        self.lent.clear()
        self._known.clear()
        self._pair.go_on()

    def close(self) -> None:
        """Ends it: what it still has in flight has no lease any more."""
        self._pair.close()
        self._has_gone()

    # -- for Holder and Absent

    def holds(self, lease: int, server: Server) -> None:
        """It held a lease when it yielded."""
        self._leases[lease] = server

    def grant(self, number: int, server: Server) -> int:
        """Gives a lease, and returns its number."""
        del self._waiters[number]
        self._last += 1
        self._leases[self._last] = server
        backend = server.data
        address = backend.address
        path, port = (address, None) if isinstance(address, str) else address
        early = server.early and not server.ready_at
        began = micros(server.started_at)
        spawned = self._lessor.number(server)
        granted = handover.Granted(
            number, self._last, spawned, early, path, port, backend.uid, began
        )
        self._pair.send(granted)
        return self._last

    def refuse(self, number: int, refused: Refused) -> None:
        """Gives none."""
        del self._waiters[number]
        after = None if refused.retry_after is None else round(refused.retry_after * 1e3)
        self._pair.send(handover.Refused(number, refused.status, _cut(refused.detail), after))

    def withdraw(self, lease: int, refused: Refused) -> None:
        """Tells that the server of an early lease will never be ready."""
        self._pair.send(handover.Withdrawn(lease, refused.status, _cut(refused.detail)))

    # -- what it says

    def _received(self, data: bytes, descriptors: list[int]) -> None:
        told = handover.decode_told(data)
        if not self._begun:
            self._begin(told)
        elif self._all_told:
            self._hear(told, descriptors)
        elif isinstance(told, handover.Held):
            self._knows(told.lease)
            self.held[told.server] = told
        elif isinstance(told, handover.Lent):
            self._knows(told.lease)
            self.lent.setdefault(told.server, []).append(told)
        elif isinstance(told, handover.Failed):
            self._failed(told)
        elif isinstance(told, handover.Took):
            self.took += handover.sizes(told)
        elif isinstance(told, handover.Want):
            self._is_new(told, self._wanted)
            self._wanted[told.waiter] = told
        elif isinstance(told, handover.Handed):
            self._has_told()
        else:
            raise WireError(f"out of turn: {told!r:.200}")

    def _begin(self, told: handover.Told) -> None:
        if isinstance(told, handover.Begin) and told.version == handover.VERSION:
            self._begun = True
            return
        self._log.warn(
            "The process that served before speaks another version, so that what it has in flight"
            " may lose its server"
        )
        self.close()

    def _hear(self, told: handover.Told, descriptors: list[int]) -> None:
        if isinstance(told, handover.Released):
            self._release(self._leases.pop(told.lease, None))
        elif isinstance(told, handover.Want):
            self._want(told)
        elif isinstance(told, handover.Unwant):
            self._unwant(self._waiters.pop(told.waiter, None))
        elif isinstance(told, handover.Client | handover.OwnClient):
            taken, descriptors[:] = descriptors[:], []
            own = told.site if isinstance(told, handover.OwnClient) else None
            self._client(unpack(told.port, taken, own))
        elif isinstance(told, handover.Connected | handover.Answered):
            server = self._leases.get(told.lease)
            if server is None:
                return  # it has gone meanwhile
            if isinstance(told, handover.Connected):
                self._lessor.connected(server)
            else:
                self._lessor.answered(server)
        else:
            raise WireError(f"out of turn: {told!r:.200}")

    def _knows(self, lease: int | None) -> None:
        if lease is None:
            return
        if lease in self._known:
            raise WireError(f"lease {lease} is held already")
        self._known.add(lease)
        self._last = max(self._last, lease)

    def _is_new(self, want: handover.Want, waiting: Container[int]) -> None:
        if want.waiter in waiting:
            raise WireError(f"request {want.waiter} waits already")

    def _failed(self, failed: handover.Failed) -> None:
        if failed.runs == self._runs:
            until, forget_at = seconds(failed.until), seconds(failed.forget_at)
            self.failures.append(
                Failure(failed.site, failed.detail, until, failed.times, forget_at)
            )

    def _want(self, want: handover.Want) -> None:
        self._is_new(want, self._waiters)
        self._ask(want.site, self._absent(want))

    def _absent(self, want: handover.Want) -> Absent:
        absent = self._waiters[want.waiter] = Absent(self, want.waiter)
        return absent

    def _unwant(self, absent: Absent | None) -> None:
        if absent is not None:
            absent.waiting = False
            self._lessor.cancel(absent)

    def _release(self, server: Server | None) -> None:
        if server is not None:
            orders = self._lessor.release(server, self._clock())
            if orders is not NOTHING:
                self._lessor.released(server, orders)

    # -- its end

    def _has_told(self) -> None:
        if not self._all_told:
            self._all_told = True
            if self._late.active():
                self._late.cancel()
            self._pair.pause()
            self.told.callback(None)

    def _too_late(self) -> None:
        self._log.error(
            "The process that served before has not told what it has in flight within {seconds:g}"
            " s, and may lose its servers",
            seconds=TOLD_WITHIN,
        )
        self.close()

    def _has_gone(self) -> None:
        self._wanted.clear()
        while self._waiters:
            self._unwant(self._waiters.popitem()[1])
        while self._leases:
            self._release(self._leases.popitem()[1])
        self._has_told()
        if not self.ended.called:
            self.ended.callback(None)


def _cut(detail: str) -> str:
    return detail[-handover.MAX_TEXT :]
