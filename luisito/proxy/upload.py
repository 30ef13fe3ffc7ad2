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

# Over a body's whole time, after its first BODY_TIMEOUT: bytes per second.
_MIN_RATE: Final = 500.0
# Most app servers say 100 themselves; for one that does not, we do, after so many seconds.
_CONTINUE_AFTER: Final = 1.0


class Upload:
    """Takes the body out of what the client sends, and passes it on as the app server reads.

    Attributes:
        left: bytes still to come, or CHUNKED; 0 when the body is whole.
        flowing: what the client sends now is passed on.
    """

    __slots__ = ("_began", "_exchange", "_passed", "_scanner", "_silent", "flowing", "left")

    def __init__(self, exchange: Outward, length: int) -> None:
        self._exchange = cast("Exchange", exchange)
        self.left = length
        self.flowing = False
        self._scanner = ChunkScanner() if length == CHUNKED else None
        self._silent = exchange.fields.expects_continue and bool(exchange.line.minor)
        self._began = 0.0
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
        limit = self._exchange.gateway.max_body_size
        if limit is not None and self._passed > limit:
            raise BadMessage(413, f"the body is over {limit} bytes")
        return (data, b"") if end == len(data) else (data[:end], data[end:])

    def start(self) -> None:
        """The head, and what had come in of the body, has gone to the app server."""
        if not self._began:
            self._began = self._exchange.gateway.clock()
        exchange = self._exchange
        upstream, down = exchange.upstream, exchange.down
        stream = down.stream
        if not self.left or upstream is None or upstream.stream.pending:
            return
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

    def pace(self, now: float) -> float:
        """When the client has been too slow: the deadline for its next bytes."""
        if self._silent:
            return now + _CONTINUE_AFTER
        timeout = self._exchange.gateway.body_timeout
        return min(now + timeout, self._began + timeout + self._passed / _MIN_RATE)

    def expired(self, now: float) -> bool:
        """The deadline has passed; returns whether there is to be another one."""
        if self._silent:
            self._silent = False
            self._exchange.say_continue()
        elif now < self._began + self._exchange.gateway.body_timeout:
            pass  # of an earlier deadline
        else:
            return False
        self._exchange.down.deadline = self.pace(now)
        return True

    # -- Mover

    def moved(self, count: int) -> None:
        """See Mover."""
        self.left -= count
        self._passed += count
        self._silent = False
        self._exchange.uploaded(count)

    def complete(self) -> None:
        """See Mover."""
        self.flowing = False

    def sink_failed(self) -> None:
        """See Mover: the app server wants no more, and its answer is still to be read."""
        self.flowing = False
        self._exchange.down.stream.pause()
