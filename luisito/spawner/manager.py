"""The service manager: it listens to its main process only, and that is the spawner."""

from __future__ import annotations

import socket
from contextlib import suppress


class Manager:
    """Where $NOTIFY_SOCKET is.

    Args:
        address: see core.sdnotify.address.
    """

    __slots__ = ("_address",)

    def __init__(self, address: str) -> None:
        self._address = address

    def say(self, words: list[str]) -> None:
        """Pass something on; what finds no room, or nobody, is lost."""
        if not self._address:
            return
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        with suppress(OSError), socket.socket(socket.AF_UNIX, kind) as sock:
            sock.sendto("\n".join(words).encode("ascii"), self._address)
