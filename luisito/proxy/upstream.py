"""A connection to an app server: sends requests, reads responses, one exchange at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from luisito.core.body import ChunkScanner
from luisito.core.http1 import CHUNKED, TO_EOF
from luisito.core.response import upgraded
from luisito.errors import BadMessage
from luisito.net.sockets import SocketStream
from luisito.net.splice import WORTHWHILE, Splice

if TYPE_CHECKING:
    from luisito.core.response import Response
    from luisito.net.backend import Backend
    from luisito.proxy.exchange import Exchange
    from luisito.proxy.gateway import Gateway
    from luisito.proxy.outward import Outward

_MAX_HEAD: Final = 65536


class Upstream:
    """The receiver of a stream to an app server.

    Attributes:
        client: whose request is in flight here; None while idle.
        reused: it has carried an exchange before this one.
        idle_since: on the clock, in seconds; while idle.
        deadline: see Deadlines; an idle connection ends before the app server ends it.
    """

    __slots__ = (
        "_buffer", "_gateway", "_keep", "_left", "_passed", "_scanner", "_seen", "_size",
        "_status", "backend", "client", "deadline", "idle_since", "paused", "reused", "stream",
    )  # fmt: skip

    # What an app server said before it hung up is still read, however long its client takes.
    reads_on = True

    def __init__(self, gateway: Gateway, backend: Backend, client: Exchange) -> None:
        """Connects; raises OSError as Backend.connect does."""
        sock, connecting = backend.connect()
        self._gateway, self.backend = gateway, backend
        self.client: Exchange | None = client
        self.reused = self.paused = False
        self.idle_since = self.deadline = 0.0
        self._buffer = b""
        self._keep = True
        # None while a head is awaited; else what is left of the body, CHUNKED or TO_EOF
        self._left: int | None = None
        self._scanner: ChunkScanner | None = None
        # see _learn
        self._size, self._seen, self._passed, self._status = 0, b"", b"", 0
        self.stream = SocketStream(gateway.board, sock, self, connecting=connecting)
        gateway.counters.upstream_connections += 1
        backend.open.add(self)

    # -- idleness

    def rest(self, client: Exchange, now: float) -> None:
        """Its exchange is over, at a time on the clock; it waits for the next one."""
        self.client = None
        self._left = None
        if not self._keep:
            self.close()
            return
        gateway, backend = self._gateway, self.backend
        if not self.reused:
            self.reused = True
            gateway.deadlines.add(self)
        if self.paused:
            self.go_on()
        if backend.claimed:
            self._give_away(backend)
            return
        self.idle_since = now
        self.deadline = now + client.down.destination.upstream_keepalive
        backend.idle.append(self)

    def _give_away(self, backend: Backend) -> None:
        if backend.line is None or backend.retired:
            self.close()
        else:
            backend.line.hand_over(self)

    def claim(self, client: Outward) -> None:
        """The next request goes on it."""
        self.client = cast("Exchange", client)
        self.stream.wrote = False

    def hold(self) -> None:
        """The client reads more slowly than the app server sends."""
        self.paused = True
        self.stream.pause()

    def go_on(self) -> None:
        """The client has taken what was sent."""
        self.paused = False
        self.stream.resume()

    def close(self) -> None:
        """See Connection."""
        self._ended()
        self.stream.shut()

    def discard(self) -> None:
        """Ends it in the middle of an exchange; the app server sees an abort."""
        self.client = None
        self._ended()
        self.stream.abort()

    def expired(self, now: float) -> None:
        """See Item: it has been idle long enough."""
        del now
        if self.client is None:
            self._forget()
            self.close()

    def _ended(self) -> None:
        self._gateway.deadlines.discard(self)
        self.backend.ended(self)

    def _forget(self) -> None:
        try:
            self.backend.idle.remove(self)
        except ValueError:
            pass

    # -- Receiver

    def received(self, data: bytes) -> None:
        """See Receiver."""
        client = self.client
        if client is None:
            # bytes that answer nothing: whose answer would they be taken for?
            self._forget()
            self.discard()
            return
        left = self._left
        if left is None:
            # In a busy second, answers often have the same head as the one before.
            if (
                len(data) == self._size
                and client.usual
                and not self._buffer
                and data.startswith(self._seen)
            ):
                now = self._gateway.clock()
                client.upstream = None
                self.rest(client, now)
                client.whole(self._status, self._passed + data[len(self._seen) :], now)
            else:
                self._head(client, data)
        elif left >= 0:
            size = len(data)
            if size < left:
                self._left = left - size
                client.relay(data)
            else:
                if size > left:
                    self._keep = False
                    data = data[:left]
                self._complete(client, data, self._gateway.clock())
        elif self._scanner is not None:
            self._chunks(client, data)
        else:
            client.relay(data)

    def ended(self) -> None:
        """See Receiver."""
        client = self.client
        if client is not None and self._left == TO_EOF:
            self._keep = False
            self._complete(client, b"", self._gateway.clock())
        else:
            self.lost(None)

    def lost(self, error: OSError | None) -> None:
        """See Receiver."""
        del error
        client, self.client = self.client, None
        wrote, partial = self.stream.wrote, bool(self._buffer)
        self._ended()
        self.stream.shut()
        if client is None:
            self._forget()
        elif self._left is None and not partial:
            client.unanswered(wrote=wrote)
        else:
            client.upstream = None
            client.bad_gateway("the app server broke off in the middle of its answer")

    def full(self) -> None:
        """See Receiver."""
        if self.client is not None:
            self.client.hold_body()

    def drained(self) -> None:
        """See Receiver."""
        if self.client is not None:
            self.client.go_on_with_body()

    # -- the response

    def _head(self, client: Exchange, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > _MAX_HEAD:
                    self._bad(client, "the head of its response is over 64 KiB")
                else:
                    self._buffer = data
                return
            try:
                head = self._gateway.response(data[: end + 2], to_head=client.line.to_head)
            except BadMessage as error:
                self._bad(client, str(error))
                return
            status, length, self._keep, _, _ = head
            if status >= 200:
                break
            if status == 101:
                self._switch(client, data[: end + 2], data[end + 4 :])
                return
            client.interim(head)
            data = data[end + 4 :]
        body = data[end + 4 :]
        size = len(body)
        now = self._gateway.clock()
        if length >= 0:
            if size >= length:
                self._left = 0
                if size > length:
                    self._keep = False
                    body = body[:length]
                else:
                    self._learn(client, data[: end + 4], head)
                client.answer(head, body, now)
                self._complete(client, b"", now)
                return
            self._left = length - size
            client.answer(head, body, now)
            if self.client is client and length - size > WORTHWHILE:
                self._splice(client)
        elif length == TO_EOF:
            self._left = TO_EOF
            client.answer(head, body, now)
        else:
            self._left = CHUNKED
            self._scanner = ChunkScanner(decode=not client.line.minor)
            client.answer(head, b"", now)
            if size and self.client is client:
                self._chunks(client, body)

    def _learn(self, client: Exchange, head: bytes, read: Response) -> None:
        """Remembers the head, with its empty line, of an answer that came whole in one piece.

        If the next one begins with the same head and is as long, it is as whole.
        """
        if client.usual:
            self._seen, self._size = head, len(head) + read.length
            self._passed, self._status = read.lines + b"\r\n", read.status

    def _switch(self, client: Exchange, head: bytes, rest: bytes) -> None:
        if not client.fields.upgrade or not client.line.minor:
            self._bad(client, "it switched protocols without being asked")
            return
        self.client = None
        self._gateway.deadlines.discard(self)
        client.switch(self, upgraded(head), rest)

    def _bad(self, client: Exchange, reason: str) -> None:
        self.discard()
        client.upstream = None
        client.bad_gateway(f"the app server's answer cannot be passed on: {reason}")

    def _chunks(self, client: Exchange, data: bytes) -> None:
        scanner = self._scanner
        assert scanner is not None  # noqa: S101 - the caller has looked
        try:
            end = scanner.feed(data)
        except BadMessage as error:
            self.discard()
            client.upstream = None
            client.bad_gateway(f"the app server's body cannot be passed on: {error}")
            return
        if 0 <= end < len(data):
            self._keep = False
            data = data[:end]
        if scanner.payload is not None:
            data = b"".join(scanner.payload)
            scanner.payload.clear()
        if end < 0:
            if data:
                client.relay(data)
        else:
            self._scanner = None
            self._complete(client, data, self._gateway.clock())

    def _complete(self, client: Exchange, data: bytes, now: float) -> None:
        if client.upload is not None and (client.upload.left or self.stream.pending):
            # answered before the whole request was sent: the rest of it must not come to stand
            # before, or behind the head of, the next one
            self._keep = False
        client.upstream = None
        self.rest(client, now)
        client.complete(data, now)

    # -- long bodies

    def _splice(self, client: Exchange) -> None:
        stream = client.down.stream
        if not isinstance(stream, SocketStream) or stream.pending or self._left is None:
            return
        try:
            Splice(self.stream, stream, self._left, self)
        except OSError:
            pass  # no descriptors left for a pipe: the plain way works too

    def moved(self, count: int) -> None:
        """See Mover."""
        if self._left is not None and self.client is not None:
            self._left -= count
            self.client.relayed(count)

    def held(self) -> None:
        """See Mover: a slow reader is dealt with by Downstream.expired."""

    resumed = held

    def complete(self) -> None:
        """See Mover."""
        if self.client is not None:
            self._complete(self.client, b"", self._gateway.clock())

    def sink_failed(self) -> None:
        """See Mover."""
        if self.client is not None:
            self.client.abort("the client went away")
