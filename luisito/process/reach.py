"""How an app server is connected to: nowhere but where its own user listens."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from luisito.net.backend import Backend
from luisito.readiness.credentials import peer_uid
from luisito.readiness.diag import DiagError

if TYPE_CHECKING:
    import socket

    from luisito.readiness.diag import Diag


def reach(diag: Diag, address: str | tuple[str, int], uid: int | None) -> Backend:
    """Tells where a server listens, with what is to be asked of each new connection.

    Args:
        diag: says who listens on a port.
        address: the path of a unix socket, or (loopback address, port).
        uid: who the server runs as; None where nobody else can listen there.
    """
    if uid is None:
        return Backend(address)
    if isinstance(address, str):
        return Backend(address, admits=partial(_admits, uid), uid=uid)
    return Backend(address, partial(_still_theirs, diag, address, uid), uid=uid)


def _admits(uid: int, connection: socket.socket) -> bool:
    # the folder is the user's own, who may have put a link to another's socket there
    return peer_uid(connection) == uid


def _still_theirs(diag: Diag, address: tuple[str, int], uid: int) -> bool:
    try:
        listener = diag.owner(*address)
    except (OSError, DiagError):
        return True  # the kernel has no memory for an answer; the last one stands
    return listener is not None and listener.uid == uid
