"""A connection that only shows whether a server accepts on the socket that was handed over."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from luisito.net.backend import Backend

_CONNECTED = 10  # ms; to the loopback address it is done at once


class Probe:
    """For a server that starts while its site's old one serves: no request connects to it.

    The connection ends without a request, as soon as it is accepted: a server that does one thing
    at a time must not wait for it.
    """

    def __init__(self) -> None:
        self._sock: socket.socket | None = None

    def begin(self, backend: Backend) -> bool:
        """Connects; where it cannot, the server is not ready unless it says so itself."""
        try:
            self._sock, connecting = backend.connect()
        except OSError:
            return False
        poll = select.poll()
        poll.register(self._sock, select.POLLOUT)
        return not connecting or bool(poll.poll(_CONNECTED))

    def end(self) -> None:
        """Closes the connection; harmless where there is none."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
