"""The body of a request on its way from the client to the app server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from luisito.core.body import ChunkScanner
from luisito.core.http1 import CHUNKED
from luisito.errors import BadMessage
from luisito.net.sockets import SocketStream
from luisito.net.splice import WORTHWHILE, Splice

if TYPE_CHECKING:
    from luisito.proxy.exchange import Exchange
    from luisito.proxy.outward import Outward

# Bytes that buy a body another second, once its first BODY_TIMEOUT is over: what Apache's
# mod_reqtimeout calls MinRate, with the value of its documentation.
_MIN_RATE: Final = 500.0
# Seconds from one look to the next at what an app server takes that reads more slowly than we.
_LOOK: Final = 1.0
# Most app servers say 100 themselves; for one that does not, we do, after so many seconds.
_CONTINUE_AFTER: Final = 1.0


class Upload:
    """Takes the body out of what the client sends, and passes it on as the app server reads.

    Attributes:
        left: bytes still to come, or CHUNKED; 0 when the body is whole.
        flowing: what the client sends now is passed on.
    """

    __slots__ = (
        "_began", "_due", "_exchange", "_held", "_passed", "_progress", "_scanner", "_silent",
        "_taken", "flowing", "left",
    )  # fmt: skip

    # Set by `pace`: when the client has been too slow.
    _due: float
    # While the client is kept from sending: when the app server was last seen to take something,
    # and how far it was at the last look.
    _taken: float
    _progress: int | None

    def __init__(self, exchange: Outward, length: int) -> None:
        self._exchange = cast("Exchange", exchange)
        self.left = length
        self.flowing = False
        self._scanner = ChunkScanner() if length == CHUNKED else None
        self._silent = exchange.fields.expects_continue and bool(exchange.line.minor)
        # When reading began, 0 before that; put off by all the time in which the client was kept
        # from sending.
        self._began = 0.0
        # Since when the client is kept from sending; None while we read.
        self._held: float | None = None
        self._passed = 0

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """Parts what came in into what belongs to the body and what comes after it.

        Raises:
            BadMessage: a chunk is malformed, or the body with its chunks' sizes is too long.
        """
        if self._scanner is not None:
            end = self._scanner.feed(data)
            if end < 0:
                end = len(data)
            else:
                self.left = 0
        else:
            end = min(self.left, len(data))
            self.left -= end
        self._passed += end
        self._silent = False
        limit = self._exchange.down.destination.max_body_size
        if limit is not None and self._passed > limit:
            raise BadMessage(413, f"the body is over {limit} bytes")
        return (data, b"") if end == len(data) else (data[:end], data[end:])

    def start(self, now: float) -> None:
        """The head, and what had come in of the body, has gone to the app server."""
        exchange = self._exchange
        upstream, down = exchange.upstream, exchange.down
        stream = down.stream
        if upstream is None:
            return
        if not self.left:
            if not upstream.stream.pending:
                self.go_on(now)  # all was taken at once, by another connection than the one before
            return
        self._began = self._began or now
        if upstream.stream.pending:
            if not self.flowing:
                self.hold(now)
            return
        self.go_on(now)
        self.flowing = True
        if down.buffer:
            data, down.buffer = down.buffer, b""
            exchange.received(data)
            if exchange.upstream is not upstream or not self.flowing or upstream.stream.pending:
                return
        if down.half_closed:
            exchange.abort("the client ended in the middle of its request")
            return
        stream.resume()
        sink = upstream.stream
        if self.left > WORTHWHILE and isinstance(stream, SocketStream) and stream.pulled_by is None:
            try:
                Splice(stream, sink, self.left, self)
            except OSError:
                return  # no descriptors left for a pipe: the plain way works too
            exchange.replay = None

    def hold(self, now: float) -> None:
        """The client is kept from sending: this time is not counted against it."""
        if self._held is None:
            self._held = self._taken = now
            self._progress = None

    def go_on(self, now: float) -> None:
        """The client may send again."""
        if self._held is not None:
            self._began += now - self._held
            self._held = None

    def pace(self, now: float) -> float:
        """The next deadline, after something has happened.

        A client has BODY_TIMEOUT from one piece to the next, and in all BODY_TIMEOUT and a second
        for each `_MIN_RATE` bytes. While it is kept from sending, RESPONSE_TIMEOUT is the app
        server's, from one time that it takes something to the next.
        """
        if self._silent:
            return now + _CONTINUE_AFTER
        if self._held is not None:
            self._taken, self._progress = now, None
            return now + _LOOK
        if not self.left:
            return now + self._exchange.down.destination.response_timeout
        timeout = self._exchange.down.destination.body_timeout
        self._due = due = min(now + timeout, self._began + timeout + self._passed / _MIN_RATE)
        return due

    def expired(self, now: float) -> int:
        """The deadline has passed: sets another one, or returns the status to refuse with, or 0."""
        exchange = self._exchange
        if self._silent:
            self._silent = False
            exchange.say_continue()
            exchange.down.deadline = self.pace(now)
        elif self._held is not None:
            assert exchange.upstream is not None  # noqa: S101 - for the types
            progress = exchange.upstream.stream.progress()
            if progress != self._progress:
                if self._progress is not None:
                    self._taken = now
                self._progress = progress
            elif now >= self._taken + exchange.down.destination.response_timeout:
                return 504
            exchange.down.deadline = now + _LOOK
        elif now < self._due:
            exchange.down.deadline = self._due
        else:
            return 408
        return 0

    @property
    def under_way(self) -> bool:
        """Some of the body is still to come, or to be taken by the app server."""
        return bool(self.left) or self._held is not None

    # -- Mover

    def moved(self, count: int) -> None:
        """See Mover."""
        self.left -= count
        self._passed += count
        self._silent = False
        self._exchange.uploaded(count)

    def held(self) -> None:
        """See Mover."""
        self._exchange.hold_body()

    def resumed(self) -> None:
        """See Mover."""
        self._exchange.go_on_with_body()

    def complete(self) -> None:
        """See Mover."""
        self.flowing = False
        if self._held is not None:
            self._exchange.go_on_with_body()

    def sink_failed(self) -> None:
        """See Mover: the app server wants no more, and its answer is still to be read."""
        self.flowing = False
        self._exchange.hold_body()
