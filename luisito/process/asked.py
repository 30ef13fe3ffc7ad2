"""Asks a server that is awake whether it may be stopped (pre_stop)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luisito.core import health
from luisito.net.sockets import SocketStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from luisito.net.backend import Backend
    from luisito.net.switchboard import Switchboard

NOT_YET: Final = 409
_PATIENCE: Final = 1.0  # seconds for the answer


class Asked:
    """One question to one server, on a connection of its own.

    Args:
        board: where the connection is registered.
        clock: the reactor.
        backend: where the server listens; None where it cannot be reached.
        site: its key.
        path: that is asked for.
        on_answer: called once, and not before this returns, unless it was ended: with the status of
            the answer, or 0 where there was none.
    """

    def __init__(
        self,
        board: Switchboard,
        clock: IReactorTime,
        backend: Backend | None,
        site: str,
        path: str,
        on_answer: Callable[[int], None],
    ) -> None:
        self._clock, self._on_answer = clock, on_answer
        self._stream: SocketStream | None = None
        self._data = b""
        self._call = clock.callLater(_PATIENCE, self._answered, 0)
        if backend is None:
            self._call.reset(0)
            return
        backend.close_idle()  # a server that serves one connection at a time waits for their end
        try:
            sock, connecting = backend.connect()
        except OSError:
            self._call.reset(0)
            return
        self._stream = SocketStream(board, sock, self, connecting=connecting)
        self._stream.send(health.request(site, path))

    def end(self) -> None:
        """Nobody wants to know any more; harmless after the answer."""
        if self._call.active():
            self._call.cancel()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.abort()

    def _answered(self, status: int) -> None:
        self.end()
        self._on_answer(status)

    # -- Receiver

    def received(self, data: bytes) -> None:
        """See Receiver."""
        self._data += data
        status = health.status(self._data)
        if status is not None and self._stream is not None:
            self._stream.close()
            self._stream = None
            self._answered(status)

    def ended(self) -> None:
        """See Receiver."""
        self._answered(0)

    def full(self) -> None:
        """See Receiver."""

    def drained(self) -> None:
        """See Receiver."""

    def lost(self, error: OSError | None) -> None:
        """See Receiver."""
        del error
        if self._stream is not None:
            self._stream = None
            self._answered(0)
