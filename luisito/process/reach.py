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


def reach(diag: Diag, way: str, address: str | tuple[str, int], uid: int | None) -> Backend:
    """Tells where a server listens, with what is to be asked of each new connection.

    Args:
        diag: says who listens on a port.
        way: "port", "socket", or "fd", whose socket nobody else can listen on.
        address: the path of a unix socket, or (loopback address, port).
        uid: who the server runs as.
    """
    if way == "fd":
        return Backend(address)
    if isinstance(address, str):
        return Backend(address, admits=partial(_admits, uid))
    return Backend(address, partial(_still_theirs, diag, address, uid))


def _admits(uid: int | None, connection: socket.socket) -> bool:
    # the folder is the user's own, who may have put a link to another's socket there
    return peer_uid(connection) == uid


def _still_theirs(diag: Diag, address: tuple[str, int], uid: int | None) -> bool:
    try:
        listener = diag.owner(*address)
    except (OSError, DiagError):
        return True  # the kernel has no memory for an answer; the last one stands
    return listener is not None and listener.uid == uid
