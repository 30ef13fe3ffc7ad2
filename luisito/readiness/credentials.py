"""Tells which user is at the other end of a unix socket (unix(7))."""

from __future__ import annotations

import socket
import struct

_UCRED = struct.Struct("=iII")  # pid, uid, gid

ROOM = socket.CMSG_SPACE(_UCRED.size)
"""Bytes of ancillary data that hold the credentials and nothing else.

The kernel drops descriptors that a sender adds, so that none of them can pile up here.
"""


def peer_uid(connected: socket.socket) -> int:
    """Returns the user at the far end of a stream connection: who called listen() or connect()."""
    packed = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    uid: int = _UCRED.unpack(packed)[1]
    return uid


def sender_uid(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    """Returns the user who sent a datagram, from recvmsg() on a socket with SO_PASSCRED."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            uid: int = _UCRED.unpack(data)[1]
            return uid
    return None
