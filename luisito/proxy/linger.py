"""Lets a client read the last answer although not all that it sends is wanted any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from luisito.net.stream import Stream
    from luisito.proxy.gateway import Gateway

_SECONDS: Final = 5.0
_BYTES: Final = 16 << 20


class Linger:
    """Ends our direction, and drops what comes in until the client has ended its own.

    To close with bytes unread would send a reset, which may reach the client before the answer
    and make it throw the answer away (RFC 9112 section 9.6).
    """

    __slots__ = ("_ended", "_gateway", "_left", "_stream", "deadline")

    reads_on = False

    def __init__(self, stream: Stream, gateway: Gateway, *, ended: bool) -> None:
        """Begins to linger; `ended`: the client has ended its direction already."""
        self._stream, self._gateway = stream, gateway
        self._left = _BYTES
        self._ended = ended
        self.deadline = gateway.clock() + _SECONDS
        gateway.lingers(self)
        stream.watch(self)
        stream.resume()
        stream.end()

    def received(self, data: bytes) -> None:
        """See Receiver."""
        self._left -= len(data)
        if self._left < 0:
            self._finish()

    def ended(self) -> None:
        """See Receiver."""
        self._ended = True
        self.drained()

    def full(self) -> None:
        """See Receiver."""

    def drained(self) -> None:
        """See Receiver."""
        if self._ended and not self._stream.pending:
            self.close()

    def lost(self, error: OSError | None) -> None:
        """See Receiver."""
        del error
        self._gateway.lingered(self)

    def expired(self, now: float) -> None:
        """See Item."""
        del now
        self._finish()

    def close(self) -> None:
        """Waits no longer."""
        self._gateway.lingered(self)
        self._stream.close()

    def _finish(self) -> None:
        self._gateway.lingered(self)
        self._stream.abort()
