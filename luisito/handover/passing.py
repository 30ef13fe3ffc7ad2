"""How a process makes way for another one, and how that takes over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.logger import Logger

from luisito.core.inheritance import inherited
from luisito.handover.yielded import Yielded

if TYPE_CHECKING:
    import socket
    from collections.abc import Container, Generator, Mapping, Sequence

    from luisito.core.codec import Scalar
    from luisito.core.inheritance import Inherited
    from luisito.handover.predecessor import Predecessor
    from luisito.net.switchboard import Switchboard
    from luisito.pool import Lessee, Pool
    from luisito.process.client import Spawner
    from luisito.proxy.gateway import Gateway
    from luisito.readiness.diag import Diag

_log = Logger()


def make_way(
    board: Switchboard,
    sock: socket.socket,
    diag: Diag,
    pool: Pool,
    gateway: Gateway,
    predecessors: Sequence[Predecessor],
    runs: str = "",
) -> tuple[Yielded, Deferred[None]]:
    """Has a successor decide about servers from now on, for all that is still in flight here.

    Args:
        board: the reactor.
        sock: one end of the pair with the successor, non-blocking; owned by what is returned.
        diag: says who listens on a port.
        pool: that has had the say.
        gateway: that has the clients.
        predecessors: whose leases are held by way of us, and whose clients pass through.
        runs: see handover.Failed.

    Returns:
        What goes on asking for leases; and a Deferred that is called back when nothing is left
        here.
    """
    yielded = Yielded(board, sock, diag, runs)
    pool.yield_to(yielded)
    lessees: list[Lessee] = [gateway, *predecessors]
    for lessee in lessees:
        lessee.lease_from(yielded)
    yielded.handed()
    # Whose answer still comes has nowhere to go on after it, and is told so with it.
    yielded.lost.addCallback(lambda _: gateway.close_idle())
    return yielded, _all_done(yielded, gateway.hand_over(yielded.client), predecessors)


@inlineCallbacks
def _all_done(
    yielded: Yielded, clients: Deferred[None], predecessors: Sequence[Predecessor]
) -> Generator[Deferred[Any], Any, None]:
    yield clients
    for predecessor in predecessors:
        yield predecessor.ended
    yield yielded.over
    yield yielded.flush()


@inlineCallbacks
def take_over(
    board: Switchboard,
    spawner: Spawner,
    pool: Pool,
    last: int,
    predecessors: Sequence[Predecessor] = (),
    files: Container[str] = (),
) -> Generator[Deferred[Any], Any, None]:
    """Has a pool go on with the servers that live, and with who waits for one.

    Args:
        board: the reactor.
        spawner: that has the servers.
        pool: that has none, and is asked for none before this is done.
        last: the highest number that a server has had.
        predecessors: who served before, and still has something in flight.
        files: the sites that have a file.
    """
    for predecessor in predecessors:
        yield predecessor.told
    rows = yield spawner.servers()
    now = board.seconds()
    servers = [_inherited(row, now, predecessors, files) for row in rows if row["worker"] is None]
    waiting = [one for each in predecessors for one in each.waiting()]
    failures = [one for each in predecessors for one in each.failures]
    took = [one for each in predecessors for one in each.took]
    pool.crew.preloads.adopt(rows)  # before the end of any of them can be told
    yield pool.adopt(servers, last, waiting, failures, took)
    if servers:
        _log.info("Took over {count} app servers", count=len(servers))
    workers = [row for row in rows if row["worker"] is not None]
    yield pool.crew.adopt(workers)
    if workers:
        _log.info("Took over {count} workers", count=len(workers))
    for predecessor in predecessors:
        predecessor.go_on({one.number for one in servers})


def _inherited(
    row: Mapping[str, Scalar],
    now: float,
    predecessors: Sequence[Predecessor],
    files: Container[str],
) -> Inherited:
    number = int(row["server"] or 0)
    held = [each.held[number] for each in predecessors if number in each.held]
    lent = [one for each in predecessors for one in each.lent.get(number, ())]
    return inherited(
        row,
        now,
        held[0] if held else None,
        [holder for each in predecessors for holder in each.holders(number)],
        # only one lease at a time is given before it is ready, so that any other tells more
        early=bool(lent) and all(one.early for one in lent),
        has_file=row["site"] in files,
    )
