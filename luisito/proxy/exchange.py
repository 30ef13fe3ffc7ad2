"""One request and its answer: from lease to access line."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from luisito.core import pages
from luisito.core.http1 import TO_EOF
from luisito.core.maintenance import STATUS as CLOSED
from luisito.core.orders import NOTHING
from luisito.core.response import without_coding
from luisito.core.sites import RETRY_AFTER
from luisito.core.waiting import STATUS
from luisito.errors import BadMessage
from luisito.net.deadlines import NEVER
from luisito.proxy.activity import Activity
from luisito.proxy.outward import Outward
from luisito.proxy.reports import MAINTENANCE, REFUSED, WAITING
from luisito.proxy.tunnel import Tunnel

if TYPE_CHECKING:
    from luisito.core.maintenance import Closed
    from luisito.core.response import Response
    from luisito.proxy.upstream import Upstream


_TOO_SLOW: Final = {
    408: "the request's body came too slowly",
    504: "the app server did not take the request's body in time",
}


class Exchange(Outward):
    """One request and its answer."""

    __slots__ = ()

    # For the access log, where nothing else is (access.Form.how).
    reason = b""

    # ------------------------------------------------------------------ the request's body

    def received(self, data: bytes) -> None:
        """More of the body came in, and the app server takes it."""
        upload, upstream, down = self.upload, self.upstream, self.down
        assert upload is not None and upstream is not None  # noqa: PT018,S101 - for the types
        try:
            body, down.buffer = upload.take(data)
        except BadMessage as error:
            if self.status:
                self.abort(str(error))
            else:
                self.refuse(error.status, str(error))
            return
        self.replay = None
        if not upload.left:
            upload.flowing = False
        self.uploaded(len(body))
        upstream.stream.send(body)

    def uploaded(self, count: int) -> None:
        """`count` bytes of the body came in."""
        self.bytes_in += count
        if self.activity is not None:
            self.active()
        elif self.upload is not None and not self.status:
            self.down.deadline = self.upload.pace(self.gateway.clock())

    def hold_body(self) -> None:
        """The app server reads more slowly than the client sends."""
        upload = self.upload
        if upload is not None:
            if upload.left:
                self.down.stream.pause()
            now = self.gateway.clock()
            upload.hold(now)
            if not self.status:
                self.down.deadline = upload.pace(now)

    def go_on_with_body(self) -> None:
        """The app server has taken what was sent."""
        upload = self.upload
        if upload is not None:
            now = self.gateway.clock()
            upload.go_on(now)
            upload.start(now)
            if not self.status:
                self.down.deadline = upload.pace(now)

    def say_continue(self) -> None:
        """The app server leaves it to us to ask for the body."""
        if not self._continued and not self.status:
            self._continued = True
            self.down.stream.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    # ------------------------------------------------------------------ towards the client

    def interim(self, head: Response) -> None:
        """A 1xx answer other than 101."""
        self.replay = None  # these are bytes of an answer
        self.usual = False
        if head.status == 100:
            if self._continued or not self.fields.expects_continue:
                return
            self._continued = True
        if self.line.minor:
            self.down.stream.send(head.lines + b"\r\n")

    def answer(self, head: Response, body: bytes, now: float) -> None:
        """The head of the answer, with what came of its body in the same piece."""
        status, length, _, lines, streams = head
        down = self.down
        if length < 0 and (length == TO_EOF or not self.line.minor):
            self.keep = False
            lines = without_coding(lines)
        if self.upload is not None and self.upload.left:
            self.keep = False
        if not self.keep:
            data = b"%sConnection: close\r\n\r\n%s" % (lines, body)
        elif self.line.minor:
            data = b"%s\r\n%s" % (lines, body)
        else:
            data = b"%sConnection: keep-alive\r\n\r\n%s" % (lines, body)
        self.status = status
        self.first_byte = now
        self.bytes_out = len(data)
        if streams:
            self._begin_stream(now)
        else:
            down.deadline = now + down.destination.response_timeout
        down.stream.send(data)
        if self.cold:
            self.gateway.answered(self)  # now, since somebody has waited long enough
        if streams:
            self.gateway.streamed(self)

    def relay(self, data: bytes) -> None:
        """More of the answer's body."""
        self.relayed(len(data))
        self.down.stream.send(data)

    def drained(self) -> None:
        """The client has taken all that was sent."""
        if self.activity is not None:
            self.active()
            self.down.deadline = NEVER
        elif self.status:
            self.relayed(0)

    def relayed(self, count: int) -> None:
        """`count` more bytes went to the client."""
        self.bytes_out += count
        now = self.gateway.clock()
        if self.activity is not None:
            self.activity.last = now
        else:
            self.down.deadline = now + self.down.destination.response_timeout

    def complete(self, data: bytes, now: float) -> None:
        """The last of the answer came; the connection to the app server is already free."""
        if data:
            self.bytes_out += len(data)
            self.down.stream.send(data)
        if self.activity is not None:
            self._stream_over()
        self._answered(now)

    def whole(self, status: int, data: bytes, now: float) -> None:
        """As `answer` and `complete` together, of a `usual` exchange.

        Args:
            status: of the answer.
            data: all of it, for the client.
            now: on the clock.
        """
        self.status, self.first_byte, self.bytes_out = status, now, len(data)
        self.down.stream.send(data)
        if self.usual:
            self.down.spare = self
        self._answered(now)

    def _answered(self, now: float) -> None:
        down, gateway = self.down, self.gateway
        gateway.counters.answers += 1
        # as in _close, of which nothing else can be left to do here
        server = self.server
        if server is not None:
            self.server = None
            orders = gateway.release(server, now)
            if orders is not NOTHING:
                gateway.released(server, orders)
        down.exchange = None
        gateway.log(self, now, b"")
        upload = self.upload
        if upload is not None:
            down.read_on()  # where the app server read more slowly than the client sent
        down.next(now, self.keep, upload is None or not upload.left)

    def switch(self, upstream: Upstream, lines: bytes, rest: bytes) -> None:
        """101 Switching Protocols: the rest of both connections is a tunnel."""
        down = self.down
        self.status = 101
        self.first_byte = now = self.gateway.clock()
        self._begin_stream(now)
        self.upstream = None
        down.stream.send(lines + b"\r\n")
        down.tunnelled()
        down.stream.resume()
        ended = partial(self._tunnel_ended, upstream)
        self._tunnel = tunnel = Tunnel(
            down.stream, upstream.stream, self.active, self._half_closed, ended
        )
        if down.destination.websocket_timeout < NEVER:
            self._watch_tunnel(down.destination.websocket_timeout)
        if self.cold:
            self.gateway.answered(self)
        self.gateway.streamed(self)
        if rest:
            tunnel.from_server(rest)
        if down.buffer:
            early, down.buffer = down.buffer, b""
            tunnel.from_client(early)
        if down.half_closed:
            tunnel.client_ended()

    @property
    def is_tunnel(self) -> bool:
        """Whether it was switched to another protocol."""
        return self._tunnel is not None

    def _half_closed(self) -> None:
        """One side of the tunnel has ended: the other may go on, but not be silent for ever.

        Many apps never end their own side, and the client may just have gone away.
        """
        self._watch_tunnel(self._silence)

    def _watch_tunnel(self, seconds: float) -> None:
        """Looks whether anything goes by, from now on."""
        down, gateway = self.down, self.gateway
        watched = down.deadline < NEVER
        down.deadline = gateway.clock() + seconds
        if not watched:
            gateway.deadlines.add(down)

    @property
    def _silence(self) -> float:
        """For how long the tunnel may be silent, in seconds."""
        terms = self.down.destination
        assert self._tunnel is not None  # noqa: S101 - for the types
        half = terms.response_timeout if self._tunnel.half else NEVER
        return min(half, terms.websocket_timeout)

    def _tunnel_ended(self, upstream: Upstream, clean: bool, bytes_in: int, bytes_out: int) -> None:
        del clean  # an opaque tunnel that breaks off is no failed answer
        upstream.backend.ended(upstream)
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out
        self.gateway.counters.answers += 1
        self._close(self._end, self.gateway.clock())
        self.down.forget()

    # ------------------------------------------------------------------ event streams and tunnels

    def _begin_stream(self, now: float) -> None:
        """From now on it may be silent, for as long as nobody else needs its server's room."""
        down, upstream = self.down, self.upstream
        assert upstream is not None  # noqa: S101 - for the types
        down.deadline = NEVER
        self.activity = Activity(now, down.stream, upstream.stream)

    def _stream_over(self) -> None:
        self.activity = None
        self.gateway.stream_over(self)

    def active(self) -> None:
        """Something went by."""
        if self.activity is not None:
            self.activity.last = self.gateway.clock()

    def active_at(self, now: float) -> float:
        """See Streaming."""
        assert self.activity is not None  # noqa: S101 - for the types
        return self.activity.at(now)

    def end_for_room(self, wanted_by: str) -> None:
        """See pool.Stream."""
        now = self.gateway.clock()
        silent = now - self.active_at(now)
        self.gateway.reports.silent(self, silent, wanted_by)
        self.abort(f"silent for {silent:.0f} s; room was needed for {wanted_by}")

    # ------------------------------------------------------------------ when it goes wrong

    def expired(self, now: float) -> None:
        """The deadline of the client's connection has passed."""
        if self._tunnel is not None:
            due = self.active_at(now) + self._silence
            if now < due:
                self.down.deadline = due
            elif self._tunnel.half:
                self.abort("one side of the tunnel had ended, and the other was silent")
            else:
                self.abort("silent for websocket_timeout")
        elif self._line is not None:
            self.refuse(503, f"{self._line.reason}, for QUEUE_TIMEOUT", RETRY_AFTER)
        elif self.server is None or self._timer is not None:
            self.down.deadline = NEVER
        elif self.status:
            self.abort("the app server fell silent in the middle of its answer")
        elif self.upload is not None and self.upload.under_way:
            status = self.upload.expired(now)
            if status:
                self.refuse(status, _TOO_SLOW[status])
        else:
            self.refuse(504, "the app server did not begin to answer in time")

    def bad_gateway(self, reason: str) -> None:
        """The app server's answer cannot be passed on."""
        if self.status:
            self.abort(reason)
        else:
            self.refuse(502, reason)

    def refuse(
        self,
        status: int,
        detail: str,
        retry_after: float | None = None,
        location: str | None = None,
        reason: bytes = b"",
    ) -> None:
        """Answers in place of the app server."""
        self._end_body()
        if not (reason or self.down.destination.status):
            reason = REFUSED
        if status >= 500:
            self.gateway.reports.failed(self, status, detail)
        page = pages.page(
            status, as_json=self.fields.json, close=not self.keep, detail=self.down.shown(detail),
            retry_after=retry_after, body=not self.line.to_head, location=location,
        )  # fmt: skip
        self.reply(status, page, reason)

    def waits_elsewhere(self, page: bytes) -> None:
        """Its site wakes, and the client comes back by itself (see core.waiting)."""
        self.waiting = False
        self.reply(STATUS, page, WAITING)

    def is_closed(self, closed: Closed) -> None:
        """See Outward; the log is not told of each."""
        self._end_body()
        page = pages.page(
            CLOSED, as_json=self.fields.json, close=not self.keep, body=not self.line.to_head,
            retry_after=closed.retry_after, words=closed.words,
        )  # fmt: skip
        self.reply(CLOSED, page, MAINTENANCE)

    def _end_body(self) -> bool:
        """Whether the request has come in to its end; where not, the connection ends with it."""
        whole = self.upload is None or not self.upload.left
        if not whole:
            self.keep = False
        return whole

    def reply(self, status: int, page: bytes, reason: bytes) -> None:
        """Sends a whole answer of our own.

        Args:
            status: of it.
            page: all of it; it says `Connection: close` unless `keep`.
            reason: for the access log.
        """
        upload, down = self.upload, self.down
        self.delayed = True  # as far as the access log goes: it says why
        whole = self._end_body()
        self.status = status
        self.first_byte = now = self.gateway.clock()
        self.bytes_out += len(page)
        self.gateway.counters.answers += 1
        self._close(b"", now, reason)
        down.stream.send(page)
        if upload is not None:
            down.read_on()
        if whole and down.buffer:
            down.later(keep=self.keep)
        else:
            down.next(now, self.keep, whole)

    def abort(self, reason: str) -> None:
        """Ends without a whole answer, and lets the client see that."""
        if self._tunnel is not None:
            self._end = reason.encode()
            self._tunnel.finish(clean=False)
            return
        self.gateway.counters.aborts += 1
        down = self.down
        self._close(reason.encode(), self.gateway.clock())
        down.abort()

    def _close(self, end: bytes, now: float, reason: bytes = b"") -> None:
        """Gives back all that the exchange holds, and writes its access line."""
        gateway = self.gateway
        upstream = self.upstream
        if upstream is not None:
            self.upstream = None
            upstream.discard()
        if self._line is not None:
            self._leave_line(now)
        if self.activity is not None:
            self._stream_over()
        server = self.server
        if server is not None:
            self.server = None
            self._release(server, now)
        elif self.waiting:
            self.waiting = False
            gateway.cancel(self)
        if self._timer is not None:
            self._timer.cancel()
        self.down.exchange = None
        gateway.log(self, now, end, reason)
