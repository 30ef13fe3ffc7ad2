"""One end of the SOCK_SEQPACKET pair between network process and spawner (unix(7))."""

from __future__ import annotations

import array
import os
import select
import socket
import struct

from luisito.core.wire import MAX_DESCRIPTORS, MAX_MESSAGE
from luisito.errors import WireError

_SO_PASSRIGHTS = 83  # asm-generic/socket.h; Python has no name for it yet
_ANCILLARY = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)

_UCRED = struct.Struct("3i")  # unix(7): pid, uid, gid
_SIGNATURE = socket.CMSG_SPACE(_UCRED.size)


def refuse_descriptors(sock: socket.socket) -> bool:
    """Have the kernel refuse descriptors that somebody sends to a unix socket, from Linux 6.16 on.

    Nobody needs to take them for them to do harm: where the sender has closed its own copy, the
    last close is ours when we read or close, and closing a TCP connection that has SO_LINGER and a
    full buffer takes as long as the sender likes (socket(7)), on a non-blocking socket too. What a
    listening socket has been told counts for its connections.

    Returns:
        Whether the kernel can do that.
    """
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS, 0)
    except OSError:  # an older kernel: see `patience`
        return False
    return True


def send(sock: socket.socket, data: bytes, descriptors: tuple[int, ...] = ()) -> None:
    """Send one message whole, or raise BlockingIOError."""
    if descriptors:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
        sock.sendmsg([data], [rights])
    else:
        sock.send(data)


def insist(sock: socket.socket, data: bytes, descriptors: tuple[int, ...] = ()) -> None:
    """Send one message whole, as soon as there is room for it."""
    poller = select.poll()
    poller.register(sock, select.POLLOUT)
    while True:
        try:
            send(sock, data, descriptors)
        except BlockingIOError:
            poller.poll()
        else:
            return


def receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    """Receive one message and the descriptors beside it, which the caller owns from then on.

    Returns:
        The message; empty when the other end has gone.

    With no room for its descriptors (EMFILE, ENFILE) it comes with none of them.

    Raises:
        BlockingIOError: there is none now.
        WireError: it was cut because it was too long; its descriptors are closed.
    """
    # CLOEXEC from the first moment: a descriptor that leaked into an app would be a hole.
    data, ancillary, flags, _ = sock.recvmsg(MAX_MESSAGE, _ANCILLARY, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(value[: len(value) - len(value) % descriptors.itemsize])
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        close(list(descriptors))
        del descriptors[:]
    if flags & socket.MSG_TRUNC:
        raise WireError(f"a message over {MAX_MESSAGE} bytes was cut")
    return data, list(descriptors)


def receive_signed(sock: socket.socket, size: int) -> tuple[bytes, int, int]:
    """Receive one message, and who has sent it, as the kernel knows (unix(7), SO_PASSCRED).

    Returns:
        The message, cut to a size in bytes; the process id, 0 where it is not known here; the uid,
        -1 where the kernel does not tell.

    Raises:
        OSError: there is none, or the other end has gone.
    """
    data, ancillary, *_ = sock.recvmsg(size, _SIGNATURE)
    for level, kind, value in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            pid, uid, _ = map(int, _UCRED.unpack(value))
            return data, pid, uid
    return data, 0, -1


def close(descriptors: list[int]) -> None:
    """Close all of them."""
    for descriptor in descriptors:
        os.close(descriptor)
