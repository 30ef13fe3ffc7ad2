"""One request and its answer: from lease to access line."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from luisito.core.http1 import CHUNKED, TO_EOF
from luisito.core.request import IDEMPOTENT
from luisito.core.response import without_coding
from luisito.errors import BadMessage
from luisito.net.deadlines import NEVER
from luisito.proxy.tunnel import Tunnel
from luisito.proxy.upload import Upload

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from luisito.core.policy import Server
    from luisito.core.request import RequestFields, RequestLine
    from luisito.core.response import Response
    from luisito.pool import Refused
    from luisito.proxy.downstream import Downstream
    from luisito.proxy.upstream import Upstream

# After these pauses a connection that could not be made is tried again, the last one repeatedly.
_PAUSES: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
_REFUSED_TRIES: Final = 16
# The shortest time, in seconds, after which app servers in use end an idle connection.
_SURELY_OPEN: Final = 1.0


class Exchange:
    """One request and its answer.

    Attributes:
        keep: the client's connection goes on after this.
        upload: the request's body; None where there is none.
        upstream: the connection it is in flight on.
        replay: all that was sent to the app server so far, as long as it could be sent again.
        waiting: it waits for a lease.
        cold: its server had to be started, or made room for.
        status: of the answer, once its head has been sent; else 0.
    """

    __slots__ = (
        "_continued", "_retried", "_timer", "_tries", "_tunnel", "began", "bytes_in", "bytes_out",
        "cold", "down", "fields", "first_byte", "gateway", "keep", "method", "minor", "replay",
        "server", "status", "streams", "target", "upload", "upstream", "waited", "waiting",
    )  # fmt: skip

    def __init__(
        self, down: Downstream, line: RequestLine, fields: RequestFields, size: int
    ) -> None:
        self.down, self.fields = down, fields
        self.method, self.target, self.minor, _, _ = line
        self.gateway = gateway = down.gateway
        self.bytes_in = size
        gateway.counters.heads += 1
        self.began = gateway.clock()
        self.keep = not fields.close if self.minor else fields.close is False
        self.upload: Upload | None = None
        self.upstream: Upstream | None = None
        self.server: Server | None = None
        self.replay: bytes | None = None
        self.status = self.bytes_out = self._tries = 0
        self.first_byte = self.waited = 0.0
        self.streams = self.cold = self.waiting = self._retried = self._continued = False
        self._timer: IDelayedCall | None = None
        self._tunnel: Tunnel | None = None

    # ------------------------------------------------------------------ towards the app server

    def start(self) -> None:
        """Sets out for a server."""
        fields, gateway = self.fields, self.gateway
        if fields.length:
            if fields.length == CHUNKED and not self.minor:
                self.refuse(400, "Transfer-Encoding was sent with HTTP/1.0")
                return
            self.upload = Upload(self, fields.length)
            if gateway.max_body_size is not None and fields.length > gateway.max_body_size:
                self.refuse(413, f"the body is over {gateway.max_body_size} bytes")
                return
        server = gateway.take(fields.site)
        if server is None:
            self._wait()
        else:
            self.server = server
            self._dispatch()

    def _wait(self) -> None:
        self.cold = self.waiting = True
        self.down.forwarded_lines(self.fields)  # says who the client is, for the access log
        self.down.deadline = NEVER  # the pool counts the time of those who wait
        self.gateway.request(self.fields.site, self)

    def granted(self, server: Server) -> None:
        """See Waiter: the pool gives a lease."""
        self.waiting = False
        self.waited = self.gateway.clock() - self.began
        self.gateway.counters.cold += 1
        self.server = server
        self._dispatch()

    def refused(self, refused: Refused) -> None:
        """See Waiter: the pool gives none."""
        self.waiting = False
        self.waited = self.gateway.clock() - self.began
        self.refuse(refused.status, refused.detail, refused.retry_after)

    def withdrawn(self, server: Server, refused: Refused) -> None:
        """See Waiter: the server will never be ready."""
        if self.server is server and not self.status:
            self.refuse(refused.status, refused.detail, refused.retry_after)

    def _dispatch(self) -> None:
        """Composes the request, as far as it has come in."""
        fields, down = self.fields, self.down
        if self.replay is None:
            message = b"%s %s HTTP/1.1%s%s" % (
                self.method,
                self.target,
                fields.lines,
                down.forwarded_lines(fields),
            )
            if self.upload is not None and down.buffer:
                try:
                    body, down.buffer = self.upload.take(down.buffer)
                except BadMessage as error:
                    self.refuse(error.status, str(error))
                    return
                self.bytes_in += len(body)
                message += body
                down.stream.resume()
            self.replay = message
        self._send()

    def _send(self) -> None:
        """Takes a connection to the server, or makes one, and sends the request."""
        server, message, gateway, down = self.server, self.replay, self.gateway, self.down
        assert server is not None and message is not None  # noqa: PT018,S101 - for the types
        idle = server.data.idle
        now = gateway.clock()
        # A server may end an idle connection at the very moment when it is used. What must not be
        # sent twice goes only where that is unlikely.
        if (
            idle
            and not self._tries
            and (self._replayable() or now - idle[-1].idle_since < _SURELY_OPEN)
        ):
            upstream = idle.pop()
            upstream.client = self
            upstream.stream.wrote = False
        else:
            try:
                upstream = gateway.connect(server.data, self)
            except OSError as error:
                self._not_connected(error)
                return
        self.upstream = upstream
        upload = self.upload
        if upload is None:
            down.deadline = now + gateway.response_timeout
            upstream.stream.send(message)
        else:
            upstream.stream.send(message)
            upload.start()
            down.deadline = upload.pace(now) if upload.left else now + gateway.response_timeout

    def _replayable(self) -> bool:
        return self.upload is None and self.method in IDEMPOTENT

    def _not_connected(self, error: OSError) -> None:
        if error.errno == errno.EAGAIN:
            # the backlog is full: the server lives, and is busy
            if self.gateway.clock() - self.began > self.gateway.queue_timeout + self.waited:
                self.refuse(503, "the app server's backlog stayed full", self.gateway.queue_timeout)
            else:
                self._later(self._send)
        elif error.errno in (errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE, errno.ENOBUFS):
            self.refuse(503, f"no connection to the app server can be made: {error}", 1.0)
        else:
            self._lease_again(f"the app server cannot be reached: {error}")

    def unanswered(self, *, wrote: bool) -> None:
        """The connection ended before a byte of the answer (RFC 9110 section 9.2.2).

        Args:
            wrote: something of the request may have reached the app server.
        """
        self.upstream = None
        if self.upload is not None:
            self.upload.flowing = False
        if self.replay is None or (wrote and (self._retried or not self._replayable())):
            self.bad_gateway("the app server ended the connection without an answer")
            return
        self.gateway.counters.retries += 1
        if wrote:
            self._retried = True
        # not straight to the same server: it may have died, of which the pool hears in a moment
        self._lease_again("the app server ended the connection without an answer")

    def _lease_again(self, reason: str) -> None:
        """The server may be on its way out: asks the pool again, which will know in a moment."""
        if self._tries >= _REFUSED_TRIES:
            self.bad_gateway(reason)
            return
        server, self.server = self.server, None
        if server is not None:
            self.gateway.release(server, self.gateway.clock())
        self._later(self._start_again)

    def _start_again(self) -> None:
        server = self.gateway.take(self.fields.site)
        if server is None:
            self._wait()
        else:
            self.server = server
            self._send()

    def _later(self, call: object) -> None:
        pause = _PAUSES[min(self._tries, len(_PAUSES) - 1)]
        self._tries += 1
        self.down.deadline = NEVER

        def go_on() -> None:
            self._timer = None
            call()  # type: ignore[operator]

        self._timer = self.gateway.reactor.callLater(pause, go_on)

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
        upload, gateway, now = self.upload, self.gateway, self.gateway.clock()
        if upload is not None and not self.status:
            self.down.deadline = upload.pace(now) if upload.left else now + gateway.response_timeout

    def hold_body(self) -> None:
        """The app server reads more slowly than the client sends."""
        if self.upload is not None and self.upload.left:
            self.down.stream.pause()
            if not self.status:
                self.down.deadline = self.gateway.clock() + self.gateway.response_timeout

    def go_on_with_body(self) -> None:
        """The app server has taken what was sent."""
        if self.upload is not None and self.upload.left:
            self.upload.start()
            if not self.status:
                self.down.deadline = self.upload.pace(self.gateway.clock())

    def say_continue(self) -> None:
        """The app server leaves it to us to ask for the body."""
        if not self._continued and not self.status:
            self._continued = True
            self.down.stream.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    # ------------------------------------------------------------------ towards the client

    def interim(self, head: Response) -> None:
        """A 1xx answer other than 101."""
        self.replay = None  # these are bytes of an answer
        if head.status == 100:
            if self._continued or not self.fields.expects_continue:
                return
            self._continued = True
        if self.minor:
            self.down.stream.send(head.lines + b"\r\n")

    def answer(self, head: Response, body: bytes) -> None:
        """The head of the answer, with what came of its body in the same piece."""
        down, lines = self.down, head.lines
        if self.cold:
            self.gateway.answered(self)
        if head.length == TO_EOF or (self.upload is not None and self.upload.left):
            self.keep = False
        elif head.length == CHUNKED and not self.minor:
            self.keep = False
            lines = without_coding(lines)
        if not self.keep:
            data = b"%sConnection: close\r\n\r\n%s" % (lines, body)
        elif self.minor:
            data = b"%s\r\n%s" % (lines, body)
        else:
            data = b"%sConnection: keep-alive\r\n\r\n%s" % (lines, body)
        self.status = head.status
        self.first_byte = now = self.gateway.clock()
        self.bytes_out = len(data)
        self.streams = head.streams
        down.deadline = NEVER if head.streams else now + self.gateway.response_timeout
        down.stream.send(data)

    def relay(self, data: bytes) -> None:
        """More of the answer's body."""
        self.relayed(len(data))
        self.down.stream.send(data)

    def drained(self) -> None:
        """The client has taken all that was sent."""
        if self.streams:
            self.down.deadline = NEVER
        elif self.status:
            self.relayed(0)

    def relayed(self, count: int) -> None:
        """`count` more bytes went to the client."""
        self.bytes_out += count
        if not self.streams:
            self.down.deadline = self.gateway.clock() + self.gateway.response_timeout

    def complete(self, data: bytes, now: float) -> None:
        """The last of the answer came; the connection to the app server is already free."""
        if data:
            self.bytes_out += len(data)
            self.down.stream.send(data)
        self.gateway.counters.answers += 1
        self._close(b"", now)
        self.down.next(now, keep=self.keep, whole=self.upload is None or not self.upload.left)

    def switch(self, upstream: Upstream, lines: bytes, rest: bytes) -> None:
        """101 Switching Protocols: the rest of both connections is a tunnel."""
        down = self.down
        self.upstream = None
        self.status = 101
        self.first_byte = self.gateway.clock()
        down.stream.send(lines + b"\r\n")
        down.deadline = NEVER
        down.tunnelled()
        down.stream.resume()
        self._tunnel = tunnel = Tunnel(down.stream, upstream.stream, self._tunnel_ended)
        if rest:
            tunnel.from_server(rest)
        if down.buffer:
            early, down.buffer = down.buffer, b""
            tunnel.from_client(early)
        if down.half_closed:
            tunnel.client_ended()

    def _tunnel_ended(self, clean: bool, bytes_in: int, bytes_out: int) -> None:
        del clean  # an opaque tunnel that breaks off is no failed answer
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out
        self.gateway.counters.answers += 1
        self._close(b"", self.gateway.clock())
        self.down.forget()

    # ------------------------------------------------------------------ when it goes wrong

    def expired(self, now: float) -> None:
        """The deadline of the client's connection has passed."""
        if self.server is None or self._timer is not None:
            self.down.deadline = NEVER
        elif (
            self.upload is not None
            and self.upload.left
            and not self.status
            # then it is the app server that is too slow
            and not (self.upstream is not None and self.upstream.stream.backed_up)
        ):
            if not self.upload.expired(now):
                self.refuse(408, "the request's body came too slowly")
        elif self.status:
            self.abort("the app server fell silent in the middle of its answer")
        else:
            self.refuse(504, "the app server did not begin to answer in time")

    def bad_gateway(self, reason: str) -> None:
        """The app server's answer cannot be passed on."""
        if self.status:
            self.abort(reason)
        else:
            self.refuse(502, reason)

    def refuse(self, status: int, detail: str, retry_after: float | None = None) -> None:
        """Answers in place of the app server."""
        upload = self.upload
        whole = upload is None or not upload.left
        if not whole:
            self.keep = False
        self.status = status
        self.first_byte = now = self.gateway.clock()
        down = self.down
        down.forwarded_lines(self.fields)  # so that the access line says for whom this was
        if status >= 500:
            self.gateway.report(self, status, detail)
        page = down.page(
            status, detail, retry_after, close=not self.keep, body=self.method != b"HEAD",
            as_json=self.fields.json,
        )  # fmt: skip
        self.bytes_out += len(page)
        self.gateway.counters.answers += 1
        self._close(b"", now)
        down.stream.send(page)
        if whole and down.buffer:
            down.later(keep=self.keep)
        else:
            down.next(now, keep=self.keep, whole=whole)

    def abort(self, reason: str) -> None:
        """Ends without a whole answer, and lets the client see that."""
        if self._tunnel is not None:
            self._tunnel.finish(clean=False)
            return
        self.gateway.counters.aborts += 1
        down = self.down
        down.forwarded_lines(self.fields)
        self._close(reason.encode(), self.gateway.clock())
        down.abort()

    def _close(self, end: bytes, now: float) -> None:
        """Gives back all that the exchange holds, and writes its access line."""
        gateway = self.gateway
        upstream = self.upstream
        if upstream is not None:
            self.upstream = None
            upstream.discard()
        server = self.server
        if server is not None:
            self.server = None
            gateway.release(server, now)
        elif self.waiting:
            self.waiting = False
            gateway.cancel(self)
        if self._timer is not None:
            self._timer.cancel()
        self.down.exchange = None
        gateway.log(self, now, end)
