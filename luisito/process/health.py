"""Asks a server that starts for a path, until it answers well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luisito.core import health
from luisito.net.sockets import SocketStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from luisito.net.backend import Backend
    from luisito.net.switchboard import Switchboard

_PATIENCE: Final = 10.0  # seconds for one answer
_REST: Final = 1.0  # seconds for what comes behind a status line


class _Rest:
    """The receiver of an answer of which no more is of interest: the app may write it, and end."""

    def __init__(self, clock: IReactorTime, stream: SocketStream) -> None:
        self._stream = stream
        self._call = clock.callLater(_REST, stream.abort)
        stream.watch(self)

    def received(self, data: bytes) -> None:
        """See Receiver."""

    def ended(self) -> None:
        """See Receiver."""
        self._call.cancel()
        self._stream.close()

    def full(self) -> None:
        """See Receiver."""

    def drained(self) -> None:
        """See Receiver."""

    def lost(self, error: OSError | None) -> None:
        """See Receiver."""
        del error
        self._call.cancel()


class Health:
    """One server that is asked, one connection at a time.

    Args:
        board: where its connections are registered.
        clock: the reactor.
        backend: where it listens.
        site: its key.
        path: that is asked for.
        on_good: called once, when it has answered well.
    """

    def __init__(
        self,
        board: Switchboard,
        clock: IReactorTime,
        backend: Backend,
        site: str,
        path: str,
        on_good: Callable[[], None],
    ) -> None:
        self._board, self._clock, self._backend = board, clock, backend
        self._path, self._request = path, health.request(site, path)
        self._on_good = on_good
        self._stream: SocketStream | None = None
        self._call: IDelayedCall | None = None
        self._data = b""
        self._tries = 0
        self._last = "has not been answered yet"

    def describe(self) -> str:
        """What it is waited for, and what was answered last."""
        return f"GET {self._path} (ready) {self._last}"

    def ask(self) -> None:
        """Begins."""
        self._tries += 1
        self._data = b""
        try:
            sock, connecting = self._backend.connect()
        except OSError as error:
            self._call = None
            self._again(f"could not be sent: {error.strerror or error}")
            return
        self._call = self._clock.callLater(_PATIENCE, self._too_slow)
        self._stream = SocketStream(self._board, sock, self, connecting=connecting)
        self._stream.send(self._request)

    def end(self) -> None:
        """Asks no more; a second time does nothing."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.abort()

    def _too_slow(self) -> None:
        self._call = None
        self.end()
        self._again(f"was not answered within {_PATIENCE:g} s")

    def _again(self, words: str) -> None:
        self._last = words
        self._call = self._clock.callLater(health.pause(self._tries), self.ask)

    # -- Receiver

    def received(self, data: bytes) -> None:
        """See Receiver."""
        self._data += data
        number = health.status(self._data)
        if number is None:
            return
        stream, self._stream = self._stream, None
        self.end()
        if stream is not None:
            _Rest(self._clock, stream)
        if health.is_well(number):
            self._on_good()
        else:
            self._again(f"was answered {number}" if number else "was not answered in HTTP")

    def ended(self) -> None:
        """See Receiver."""
        self.end()
        self._again("was not answered: the server ended the connection")

    def full(self) -> None:
        """See Receiver."""

    def drained(self) -> None:
        """See Receiver."""

    def lost(self, error: OSError | None) -> None:
        """See Receiver."""
        self._stream = None
        self.end()
        why = "the connection was lost" if error is None else error.strerror or str(error)
        self._again(f"was not answered: {why}")
