"""How a process makes way for another one, and how that takes over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.logger import Logger

from luisito.core.inheritance import inherited
from luisito.handover.yielded import Yielded

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator, Iterable

    from luisito.handover.predecessor import Predecessor
    from luisito.net.switchboard import Switchboard
    from luisito.pool import Lessee, Pool
    from luisito.process.client import Spawner
    from luisito.readiness.diag import Diag

_log = Logger()


def make_way(
    board: Switchboard,
    sock: socket.socket,
    diag: Diag,
    pool: Pool,
    lessees: Iterable[Lessee],
) -> Yielded:
    """Has a successor decide about servers from now on, for all that is still in flight here.

    Args:
        board: the reactor.
        sock: one end of the pair with the successor, non-blocking; owned by what is returned.
        diag: says who listens on a port.
        pool: that has had the say.
        lessees: who asks it for leases: the gateway, and predecessors that have not ended.
    """
    yielded = Yielded(board, sock, diag)
    pool.yield_to(yielded)
    for lessee in lessees:
        lessee.lease_from(yielded)
    yielded.handed()
    return yielded


@inlineCallbacks
def all_done(
    yielded: Yielded, clients: Deferred[None], predecessors: Iterable[Predecessor]
) -> Generator[Deferred[Any], Any, None]:
    """Called back when a process that has made way may end.

    Args:
        yielded: as of `make_way`.
        clients: is called back when none has a connection here.
        predecessors: whose leases are held by way of us, and whose clients pass through.
    """
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
    predecessor: Predecessor | None = None,
) -> Generator[Deferred[Any], Any, None]:
    """Has a pool go on with the servers that live, and with who waits for one.

    Args:
        board: the reactor.
        spawner: that has the servers.
        pool: that has none, and is asked for none before this is done.
        last: the highest number that a server has had.
        predecessor: who served before, if it is there.
    """
    if predecessor is not None:
        yield predecessor.told
    rows = yield spawner.servers()
    now = board.seconds()
    servers = []
    for row in rows:
        number = row["server"]
        if predecessor is None:
            servers.append(inherited(row, now))
        else:
            held = predecessor.held.get(number)
            servers.append(inherited(row, now, held, predecessor.holder(number)))
    yield pool.adopt(servers, last)
    if servers:
        _log.info("Took over {count} app servers", count=len(servers))
    if predecessor is not None:
        predecessor.go_on({one.number for one in servers})
