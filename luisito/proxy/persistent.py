"""A client's connection from one exchange to the next, and to its end (RFC 9112 section 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luisito.proxy.linger import Linger

if TYPE_CHECKING:
    from luisito.core.directory import Destination
    from luisito.net.stream import Stream
    from luisito.proxy.exchange import Exchange
    from luisito.proxy.gateway import Gateway

MAX_HELD: Final = 16384
"""Bytes that may come in while they cannot be used yet: the body of a request whose server is
starting, or the next request of a client that pipelines. A read may come before and one on top; to
take that many chunks of one byte must not hold the others up."""


class Persistent:
    """The first half of a client's connection; the second half, Downstream, reads requests.

    Attributes:
        port: at which it came in.
        stream: to the client.
        buffer: what came in and could not be used yet.
        exchange: the one in flight, if any.
        half_closed: the client will send no more.
        parting: it is not to be kept when it is idle: the client has half-closed it, or a successor
            goes on with it.
        deadline: see Deadlines.
    """

    # as in Outward
    __slots__ = (
        "_flushing", "_next_keep", "_progress", "buffer", "deadline", "exchange", "gateway",
        "half_closed", "parting", "port", "stream",
    )  # fmt: skip

    # Whoever has hung up takes no answer.
    reads_on = False

    stream: Stream
    # see Downstream
    destination: Destination

    def __init__(self, gateway: Gateway, port: int) -> None:
        self.gateway, self.port = gateway, port
        self.buffer = b""
        self.exchange: Exchange | None = None
        self.half_closed = self._flushing = self._next_keep = False
        self.parting = gateway.departure is not None
        self._progress = -1
        self.deadline = gateway.clock() + gateway.head_timeout

    @property
    def idle(self) -> bool:
        """Nothing is in flight; a request head may have come in part."""
        return self.exchange is None and not self._flushing

    @property
    def own(self) -> str | None:
        """The site whose own endpoint it came in at; None where Host says it."""
        return None

    # -- the next request, said by Downstream

    def _request(self, data: bytes) -> None:
        """Reads what begins with a request head."""
        raise NotImplementedError

    # -- Receiver

    def full(self) -> None:
        """See Receiver."""
        exchange = self.exchange
        if exchange is not None and exchange.upstream is not None:
            exchange.upstream.hold()
            # an event stream may be silent for ever, but its reader must read
            self.deadline = self.gateway.clock() + self.destination.response_timeout

    def drained(self) -> None:
        """See Receiver."""
        exchange = self.exchange
        if self._flushing:
            self._flushing = False
            self.next(self.gateway.clock(), self._next_keep, whole=True)
        elif exchange is not None and exchange.upstream is not None:
            exchange.upstream.go_on()
            exchange.drained()

    def lost(self, error: OSError | None) -> None:
        """See Receiver."""
        del error
        if self.exchange is not None:
            self.exchange.abort("the client went away")
        else:
            self.forget()

    def read_on(self) -> None:
        """Receives again, unless enough is held: or each request of it would add as much."""
        if len(self.buffer) <= MAX_HELD:
            self.stream.resume()

    # -- after an exchange

    def next(self, now: float, keep: bool, whole: bool) -> None:
        """The exchange is over.

        Args:
            now: on the clock.
            keep: the connection may go on.
            whole: the request has come in to its end.
        """
        stream = self.stream
        if not whole:
            self.linger()
        elif stream.pending:
            # The next answer must not pile up on this one.
            self._flushing, self._next_keep = True, keep
            self._progress = -1
            self.deadline = now + self.destination.response_timeout
        elif not keep:
            self.close()
        elif self.buffer or self.parting:
            self._go_on()
        else:
            self.deadline = now + self.gateway.keepalive_timeout

    def _go_on(self) -> None:
        """There is a next request already, or there will be none here."""
        gateway = self.gateway
        if gateway.departure is not None:
            gateway.departure.give(self)
        elif self.buffer:
            # what is held may be an empty line and no more
            self.deadline = gateway.clock() + gateway.keepalive_timeout
            data, self.buffer = self.buffer, b""
            end = data.find(b"\r\n\r\n")
            if end < 0 or len(data) - end <= MAX_HELD:
                self.stream.resume()
            self._request(data)
        else:
            self.close()

    def later(self, *, keep: bool) -> None:
        """As `next`, after a turn: nobody who pipelines what we refuse keeps the others waiting."""
        self._flushing, self._next_keep = True, keep
        self.gateway.reactor.callLater(0, self._turn)

    def _turn(self) -> None:
        if self._flushing and self.gateway.knows(self):
            self.drained()

    # -- the end

    def drain(self) -> None:
        """Luisito is stopping: the connection ends with the exchange in flight, or now."""
        if self.exchange is not None:
            self.exchange.keep = self.exchange.usual = False
        elif self._flushing:
            self._next_keep = False
        elif not self.buffer:
            self.close()

    def reads_slowly(self, now: float) -> None:
        """Its deadline has passed while something waits to be sent."""
        # A slow reader is no silent one: anything that it took since the last look counts.
        progress = self.stream.progress()
        if progress != self._progress:
            self._progress = progress
            self.deadline = now + self.destination.response_timeout
        elif self.exchange is not None:
            self.exchange.abort("the client stopped reading")
        else:
            self.abort()

    def tunnelled(self) -> None:
        """The stream belongs to a tunnel from now on."""
        self.gateway.deadlines.discard(self)

    def linger(self) -> None:
        """Ends our direction, and waits a moment for the client to end its own."""
        Linger(self.stream, self.gateway, ended=self.half_closed)
        self.forget()

    def close(self) -> None:
        """Closes once all is sent."""
        self.forget()
        self.stream.close()

    def abort(self) -> None:
        """Closes so that the client sees an abort."""
        self.forget()
        self.stream.abort()

    def forget(self) -> None:
        """The connection is over."""
        self.gateway.forget(self)

    # -- Item

    def expired(self, now: float) -> None:
        """See Item."""
        raise NotImplementedError
