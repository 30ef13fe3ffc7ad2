"""The service manager: it listens to its main process only, the spawner or its guardian."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress

HAS_SAID = signal.SIGRTMIN  # the guardian is told so that words wait for it
_MOST = 4096  # bytes of a message, and of an address before it
_AT_ONCE = socket.MSG_DONTWAIT


class Manager:
    """Speaks to it from here.

    Attributes:
        address: see core.sdnotify.address; "" for nobody.
    """

    __slots__ = ("address",)

    def __init__(self) -> None:
        self.address = ""

    def say(self, words: list[str]) -> None:
        """Pass something on; what finds no room, or nobody, is lost."""
        if self.address:
            self._say("\n".join(words).encode("ascii"))

    def _say(self, words: bytes) -> None:
        _send(os.fsencode(self.address), words)


class GuardedManager(Manager):
    """Speaks to it by way of the guardian, which is the main process: nobody else is heard.

    Args:
        sock: one end of a SOCK_DGRAM pair; the guardian has the other.
        guardian: its pid.
    """

    __slots__ = ("_guardian", "_sock")

    def __init__(self, sock: socket.socket, guardian: int) -> None:
        super().__init__()
        self._sock, self._guardian = sock, guardian

    def _say(self, words: bytes) -> None:
        with suppress(OSError):
            # An abstract address begins with NUL, and no other has one.
            self._sock.send(os.fsencode(self.address) + b"\0\n" + words, _AT_ONCE)
            os.kill(self._guardian, HAS_SAID)


def pass_on(sock: socket.socket) -> None:
    """Say, in the guardian, what waits in its end of the pair."""
    with suppress(BlockingIOError):
        while True:
            address, _, words = sock.recv(2 * _MOST, _AT_ONCE).partition(b"\0\n")
            _send(address, words)


def _send(address: bytes, words: bytes) -> None:
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    with suppress(OSError), socket.socket(socket.AF_UNIX, kind) as sock:
        sock.sendto(words, address)
