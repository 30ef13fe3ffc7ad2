"""A child that an interpreter forks before a server is asked for: who asks need not wait for it."""

from __future__ import annotations

import array
import os
import select
import socket
import time
from typing import TYPE_CHECKING

from . import renewal, warming
from .forking import die_with_parent

if TYPE_CHECKING:
    from .forking import Forker, Title

# Seconds from a server to the next child, which would take the processor from its boot.
_LATER = 0.1
_AGAIN = 5.0  # seconds until a fork that failed is tried again
_WARM = 60.0  # seconds without an order, after which a child with less memory takes its place
_BEGINS = 2.0  # seconds in which a server comes to write to what it needs
_MOST = 16 << 20  # bytes that it takes before it is asked for
_TITLE = "luisito preload-ahead"

WARMS = "LUISITO_WARMS"
"""The variable that lets it take memory ahead: no limit of a site's counts that."""


class Ahead:
    """One such child at most; it is our parent's, as the server will be that it becomes.

    It waits for the connection of whoever asks, and ends when we do.

    Args:
        forker: forks it.
        title: of our process; it gets another.
    """

    def __init__(self, forker: Forker, title: Title) -> None:
        self._forker, self._title = forker, title
        self._ours: socket.socket | None = None
        self._at = 0.0
        # What the next children have of their own: what a server came to write to that had nothing
        # ahead, since nobody can tell of another what it was given in vain.
        self._pieces: array.array[int] = array.array("Q")
        self._begun = -1  # the pagemap of such a server that begins
        self._until = 0.0  # when it has begun

    def timeout(self) -> float | None:
        """Give the milliseconds after which `fork` has something to do; None where nothing has."""
        if self._ours is not None and not self._pieces:
            return None
        return max(0.0, self._at - time.monotonic()) * 1000

    def fork(self) -> socket.socket | None:
        """Fork it, where it is time.

        Returns:
            In the child: the connection, once somebody asks. In the interpreter None.
        """
        if self.timeout() != 0:
            return None
        if self._ours is not None:
            self.drop()
        self._learn()
        self._at = time.monotonic() + _AGAIN
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:
            return None
        with theirs:
            try:
                child = self._forker.fork() == 0
            except OSError:
                ours.close()
                return None
            if child:
                ours.close()
                return self._wait(theirs)
        self._ours = ours
        self._at = time.monotonic() + _WARM
        return None

    def hand(self, connection: socket.socket) -> bool:
        """Have it answer a connection; tell whether there was one that can."""
        self._at = time.monotonic() + _LATER
        ours, self._ours = self._ours, None
        if ours is None:
            return False
        with ours:
            try:
                _send(ours, connection.fileno())
                pagemap = _receive(ours, socket.MSG_DONTWAIT)
            except OSError:
                return False  # somebody has killed it
        if pagemap is not None:
            self._forget()
            self._begun, self._until = pagemap, time.monotonic() + _BEGINS
        return True

    def drop(self) -> None:
        """Let it end: it has not what has been loaded since."""
        if self._ours is not None:
            self._ours.close()
            self._ours = None
            self._at = time.monotonic() + _LATER
        self._pieces = array.array("Q")
        self._forget()

    def _learn(self) -> None:
        if self._begun < 0:
            return
        try:
            self._pieces = warming.own(self._begun, _MOST) or self._pieces
        except OSError:
            pass  # it has gone, or the kernel does not tell
        if time.monotonic() >= self._until:
            self._forget()

    def _forget(self) -> None:
        if self._begun >= 0:
            os.close(self._begun)
            self._begun = -1

    def _wait(self, theirs: socket.socket) -> socket.socket:
        """Wait for a connection; do before what any server does, so that its memory is ours."""
        die_with_parent()
        renewal.renew()
        asked = select.poll()
        asked.register(theirs, select.POLLIN)
        try:
            if self._pieces:
                warming.have(self._pieces, lambda: bool(asked.poll(0)))
            elif WARMS in os.environ:
                pagemap = warming.pagemap()
                _send(theirs, pagemap)
                os.close(pagemap)
        except OSError:
            pass  # it begins as it is
        self._title.set(_TITLE, f"LUISITO_SERVER={os.environ.get('LUISITO_SERVER', '')}")
        connection = _receive(theirs)
        if connection is None:
            os._exit(0)
        return socket.socket(fileno=connection)


def _send(sock: socket.socket, descriptor: int) -> None:
    rights = socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor])
    sock.sendmsg([b"."], [rights])


def _receive(sock: socket.socket, flags: int = 0) -> int | None:
    """Receive a descriptor; None where the other end has gone, or has sent none."""
    descriptors = array.array("i")
    space = socket.CMSG_SPACE(descriptors.itemsize)
    try:
        _, ancillary, _, _ = sock.recvmsg(1, space, socket.MSG_CMSG_CLOEXEC | flags)
    except BlockingIOError:
        return None
    for _, _, value in ancillary:
        descriptors.frombytes(value)
    return descriptors[0] if descriptors else None
