"""A client's connection on its way from one process to the next."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from luisito.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_UNREAD: Final = 16 << 20
"""Bytes; more than a process keeps of what a client has sent."""

_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


class Handed(NamedTuple):
    """A connection that one process has done with, and that another goes on with.

    What the kernel keeps goes along with the socket: bytes that nobody has read, the end of what
    the client sends, the client's address, options such as TCP_NODELAY.

    Attributes:
        sock: non-blocking; owned by whoever holds this.
        port: at which the client came in (see Acceptor.accept); 0 for a unix socket.
        unread: what had been read, and not used yet.
        own: the site whose own endpoint the client came in at; None for none.
    """

    sock: socket.socket
    port: int
    unread: bytes
    own: str | None = None


def pack(handed: Handed) -> tuple[int, list[int]]:
    """Take a connection apart into what goes into a message, and what travels beside it.

    Returns:
        The port, and the descriptors, which the caller sends (SCM_RIGHTS) and then closes: the
        socket, and a memfd that holds the unread bytes, where there are any.

    Raises:
        OSError: no memfd is to be had (EMFILE, ENFILE, ENOMEM); the socket is closed.
    """
    sock, port, unread, _ = handed
    if not unread:
        return port, [sock.detach()]
    try:
        memory = os.memfd_create("luisito-unread", os.MFD_CLOEXEC)
    except OSError:
        sock.close()
        raise
    with open(memory, "wb", closefd=False) as file:
        file.write(unread)
    return port, [sock.detach(), memory]


def unpack(port: int, descriptors: Sequence[int], own: str | None = None) -> Handed:
    """Put together what `pack` took apart; owns the descriptors from then on.

    Raises:
        WireError: these are no client's connection, or there was no room for them in this process
            (see channel.receive); they are closed.
    """
    try:
        if not 1 <= len(descriptors) <= 2:
            raise WireError(f"{len(descriptors)} descriptors came with it, not 1 or 2")
        if not 0 <= port <= 65535:
            raise WireError(f"{port} is no port")
        unread = b"".join(map(_content, descriptors[1:]))
        sock = _connection(descriptors[0])
    except (WireError, OSError) as error:
        for descriptor in descriptors:
            os.close(descriptor)
        raise WireError(f"a client cannot be taken over: {error}") from None
    for descriptor in descriptors[1:]:
        os.close(descriptor)
    return Handed(sock, port, unread, own)


def _content(descriptor: int) -> bytes:
    """What is in a memfd."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_UNREAD:
        raise WireError(f"its unread bytes are no file of at most {MAX_UNREAD} bytes")
    return os.pread(descriptor, status.st_size, 0)


def _connection(descriptor: int) -> socket.socket:
    """The socket of a client; raises OSError where it is none at all."""
    sock = socket.socket(fileno=descriptor)
    listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if sock.family not in _FAMILIES or sock.type != socket.SOCK_STREAM or listens:
        sock.detach()
        raise WireError("its socket is none of a client")
    sock.setblocking(False)
    return sock
