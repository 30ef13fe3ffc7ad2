"""A child that an interpreter forks before a server is asked for: who asks need not wait for it."""

from __future__ import annotations

import array
import os
import socket
import time
from typing import TYPE_CHECKING

from . import renewal
from .forking import die_with_parent

if TYPE_CHECKING:
    from .forking import Forker, Title

_LATER = (
    0.1  # seconds from a server to the next child, which would take the processor from its boot
)
_TITLE = "luisito preload-ahead"
_AGAIN = 5.0  # seconds until a fork that failed is tried again


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

    def timeout(self) -> float | None:
        """Give the milliseconds after which one should be forked; None where there is one."""
        return None if self._ours else max(0.0, self._at - time.monotonic()) * 1000

    def fork(self) -> socket.socket | None:
        """Fork it, where it is time.

        Returns:
            In the child: the connection, once somebody asks. In the interpreter None.
        """
        if self.timeout() != 0:
            return None
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
                self._title.set(_TITLE, f"LUISITO_SERVER={os.environ.get('LUISITO_SERVER', '')}")
                return _wait(theirs)
        self._ours = ours
        return None

    def hand(self, connection: socket.socket) -> bool:
        """Have it answer a connection; tell whether there was one that can."""
        self._at = time.monotonic() + _LATER
        ours, self._ours = self._ours, None
        if ours is None:
            return False
        with ours:
            rights = socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [connection.fileno()])
            try:
                ours.sendmsg([b"."], [rights])
            except OSError:
                return False  # somebody has killed it
        return True

    def drop(self) -> None:
        """Let it end: it has not what has been loaded since."""
        if self._ours is not None:
            self._ours.close()
            self._ours = None
            self._at = time.monotonic() + _LATER


def _wait(theirs: socket.socket) -> socket.socket:
    """Wait for a connection; do before what any server does, so that its memory is ours."""
    die_with_parent()
    renewal.restore_signals()
    renewal.renew()
    descriptors = array.array("i")
    space = socket.CMSG_SPACE(descriptors.itemsize)
    data, ancillary, _, _ = theirs.recvmsg(1, space, socket.MSG_CMSG_CLOEXEC)
    for _, _, value in ancillary:
        descriptors.frombytes(value)
    if not data or not descriptors:
        os._exit(0)
    return socket.socket(fileno=descriptors[0])
