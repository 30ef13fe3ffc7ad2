"""The listening socket that is handed over to an app server: our copy of it, and its path."""

from __future__ import annotations

import os
import socket
from typing import Final

_BACKLOG: Final = 1024


class ListeningSocket:
    """Our copy of a listening socket, open as long as its server starts.

    Attributes:
        sock: it; None once it is closed.
        address: the path of a unix socket, or (loopback address, port).
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock: socket.socket | None = sock
        self.address: str | tuple[str, int] = sock.getsockname()

    @classmethod
    def make(cls, path: str | None) -> ListeningSocket:
        """Makes one.

        Args:
            path: of a unix socket; None for a port of the loopback address.

        Raises:
            OSError: it cannot be made.
        """
        # Blocking, as the app server expects it: the flag belongs to all copies (F_SETFL).
        sock = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX)
        try:
            sock.bind(("127.0.0.1", 0) if path is None else path)
            sock.listen(_BACKLOG)
        except OSError:
            sock.close()
            if path is not None:
                _unlink(path)
            raise
        return cls(sock)

    def close(self) -> None:
        """Closes our copy; the server has its own."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def remove(self) -> None:
        """Closes it once its server has gone, too."""
        self.close()
        if isinstance(self.address, str):
            _unlink(self.address)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
