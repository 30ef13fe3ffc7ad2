"""A request on its way to an app server: its lease, its connection, and when to try again."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from luisito.core.directory import REDIRECT
from luisito.core.http1 import CHUNKED
from luisito.core.orders import NOTHING
from luisito.core.redirect import location
from luisito.core.request import without_upgrade
from luisito.core.sites import RETRY_AFTER
from luisito.errors import BadMessage
from luisito.net.deadlines import NEVER
from luisito.proxy.line import PAUSES, Line
from luisito.proxy.upload import Upload

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall

    from luisito.core.lifecycle import Server
    from luisito.core.maintenance import Closed
    from luisito.core.request import RequestFields, RequestLine
    from luisito.net.backend import Backend
    from luisito.pool import Refused
    from luisito.proxy.activity import Activity
    from luisito.proxy.downstream import Downstream
    from luisito.proxy.tunnel import Tunnel
    from luisito.proxy.upstream import Upstream

_REFUSED_TRIES: Final = 16
_UNANSWERED: Final = "the app server ended the connection without an answer"
# The shortest time, in seconds, after which app servers in use end an idle connection.
_SURELY_OPEN: Final = 1.0


class Outward:
    """The first half of an exchange; the second half, Exchange, says how it ends.

    Attributes:
        line: what the request line says.
        fields: what the header lines say.
        keep: the client's connection goes on after this.
        usual: no more is to be done for the answer than to pass it on: a request without a body,
            in HTTP/1.1, for a server that was awake, on a connection that goes on.
        upload: the request's body; None where there is none.
        activity: of an event stream or a tunnel, as long as it lasts.
        upstream: the connection it is in flight on.
        server: the one that it holds a lease on.
        replay: all that was sent to the app server so far, as long as it could be sent again.
        waiting: it waits for a lease.
        cold: its server had to be started, or made room for.
        delayed: it had to wait, for its server or for a connection to it.
        status: of the answer, once its head has been sent; else 0.
        queued: seconds that it waited for a place in the pool, or for a connection.
        starting: seconds that it waited for its server to be ready.
    """

    # Slots, all of them set at once: attributes of an instance that are found in its class, or in
    # a dict, cost the warm path more.
    __slots__ = (
        "_continued", "_end", "_line", "_retried", "_timer", "_tries", "_tunnel", "activity",
        "began", "bytes_in", "bytes_out", "cold", "delayed", "down", "fields", "first_byte",
        "gateway", "keep", "line", "queued", "replay", "server", "starting", "status", "upload",
        "upstream", "usual", "waiting",
    )  # fmt: skip

    def __init__(
        self, down: Downstream, line: RequestLine, fields: RequestFields, size: int
    ) -> None:
        self.down, self.fields = down, fields
        self.gateway = down.gateway
        self.upload: Upload | None = None
        self.upstream: Upstream | None = None
        self.server: Server | None = None
        self._timer: IDelayedCall | None = None
        self._tunnel: Tunnel | None = None
        self._line: Line | None = None
        self._end = b""
        self.activity: Activity | None = None
        self._tries = 0
        self.queued = self.starting = 0.0
        self.cold = self.delayed = self.waiting = False
        self._retried = self._continued = False
        if line.minor:
            self.keep = not fields.close
            self.usual = self.keep and not line.to_head and not fields.length
        else:
            self.keep, self.usual = fields.close is False, False
        self.renew(line, size)

    def renew(self, line: RequestLine, size: int) -> None:
        """Begins.

        To begin anew costs less than to make another exchange; one that went as usual, for the same
        header lines, has left nothing behind that is not set here.
        """
        self.line = line
        self.replay: bytes | None = None
        self.bytes_in = size
        self.gateway.counters.heads += 1
        self.began = self.gateway.clock()
        self.status = self.bytes_out = 0
        self.first_byte = 0.0

    # -- how it ends, said by Exchange

    def refuse(
        self,
        status: int,
        detail: str,
        retry_after: float | None = None,
        location: str | None = None,
        reason: bytes = b"",
    ) -> None:
        """Answers in place of the app server."""
        raise NotImplementedError

    def bad_gateway(self, reason: str) -> None:
        """The app server's answer cannot be passed on."""
        raise NotImplementedError

    def is_closed(self, closed: Closed) -> None:
        """Its site is down for maintenance."""
        raise NotImplementedError

    # -- the lease

    def turn_away(self) -> None:
        """As `start`, where nothing is woken: the host is no site, a closed one, or redirected."""
        down, fields = self.down, self.fields
        down.exchange = self  # type: ignore[assignment] # both halves are one
        destination = down.destination
        self.delayed, self.usual = True, False
        if fields.length and not self._take_body():
            return
        if destination.closed is not None:
            self.is_closed(destination.closed)
            return
        to = None
        if destination.status == REDIRECT:
            to = location(destination.site, self.line.target, fields.host, fields.site, down.sent)
        self.refuse(destination.status, destination.why, location=to)

    def start(self) -> None:
        """Sets out for a server; from now on it is its connection's exchange."""
        gateway, down = self.gateway, self.down
        down.exchange = self  # type: ignore[assignment] # both halves are one
        destination = down.destination
        if self.fields.length and not self._take_body():
            return
        server = gateway.take(destination.site)
        if server is None:
            self._wait()
            return
        self.server = server
        if self.upload is None:
            line = self.line
            # nearly all requests ask for no upgrade, and are composed without a call
            message = self._message() if self.fields.upgrade else line.passed + down.passed
            self.replay = message
            idle = server.data.idle
            if idle and line.idempotent:
                # as in _send, which has no more to do than this for nearly all requests
                self.upstream = upstream = idle.pop()
                upstream.client = self
                down.deadline = self.began + destination.response_timeout
                stream = upstream.stream
                stream.wrote = False
                stream.send(message)
            else:
                self._send()
        else:
            self._dispatch()

    def _take_body(self) -> bool:
        length, limit = self.fields.length, self.down.destination.max_body_size
        if length == CHUNKED and not self.line.minor:
            self.keep = False  # where this request ends is unknown
            self.refuse(400, "Transfer-Encoding was sent with HTTP/1.0")
            return False
        self.upload = Upload(self, length)
        if limit is not None and length > limit:
            self.refuse(413, f"the body is over {limit} bytes")
            return False
        return True

    def _message(self) -> bytes:
        """The head to send."""
        line, passed = self.line, self.down.passed
        if self.fields.upgrade and not line.minor:
            # from HTTP/1.0 an upgrade is ignored (RFC 9110 section 7.8)
            passed = without_upgrade(passed)
        return line.passed + passed

    def _wait(self) -> None:
        self.cold = self.delayed = self.waiting = True
        self.usual = False
        self.down.deadline = NEVER  # the pool counts the time of those who wait
        self.gateway.wanted(self)  # type: ignore[arg-type] # both halves are one

    def granted(self, server: Server) -> None:
        """See Waiter: the pool gives a lease."""
        self.waiting = False
        waited = self.gateway.clock() - self.began
        self.queued = min(max(0.0, server.started_at - self.began), waited)
        self.starting = waited - self.queued
        self.gateway.counters.cold += 1
        self.server = server
        self._dispatch()

    def refused(self, refused: Refused) -> None:
        """See Waiter: the pool gives none."""
        self.waiting = False
        waited = self.gateway.clock() - self.began
        if refused.status == 503:  # for want of room; else it is the server that did not come up
            self.queued = waited
        else:
            self.starting = waited
        self.refuse(
            refused.status, refused.detail, refused.retry_after, reason=refused.reason.encode()
        )

    def withdrawn(self, server: Server, refused: Refused) -> None:
        """See Waiter: the server will never be ready."""
        if self.server is server and not self.status:
            self.refuse(
                refused.status, refused.detail, refused.retry_after, reason=refused.reason.encode()
            )

    # -- the connection

    def _dispatch(self) -> None:
        """Composes the request, as far as it has come in, unless that was done before."""
        down = self.down
        if self.replay is None:
            message = self._message()
            if self.upload is not None and down.buffer:
                try:
                    body, down.buffer = self.upload.take(down.buffer)
                except BadMessage as error:
                    self.refuse(error.status, str(error))
                    return
                self.bytes_in += len(body)
                message += body
                down.read_on()
            self.replay = message
        self._send()

    def _send(self) -> None:
        """Takes a connection to the server, or makes one, and sends the request."""
        server, gateway = self.server, self.gateway
        assert server is not None  # noqa: S101 - for the types
        backend: Backend = server.data
        idle = backend.idle
        now = gateway.clock()
        # A server may end an idle connection at the very moment when it is used. What must not be
        # sent twice goes only where that is unlikely.
        if (
            idle
            and not self._tries
            and (self._replayable() or now - idle[-1].idle_since < _SURELY_OPEN)
        ):
            upstream: Upstream = idle.pop()  # type: ignore[assignment] # we have put it there
            upstream.claim(self)
        else:
            most = self.down.destination.upstream_max
            if idle and len(backend.open) >= most:
                idle.pop(0).close()
            if backend.line is not None or len(backend.open) >= most:
                self._wait_in_line(backend, now)
                return
            try:
                upstream = gateway.connect(backend, self)
            except OSError as error:
                self.not_connected(error)
                return
        self._send_on(upstream, now)

    def _send_on(self, upstream: Upstream, now: float) -> None:
        message, upload = self.replay, self.upload
        timeout = self.down.destination.response_timeout
        assert message is not None  # noqa: S101 - for the types
        self.upstream = upstream
        if upload is None:
            self.down.deadline = now + timeout
            upstream.stream.send(message)
        else:
            upstream.stream.send(message)
            upload.start(now)
            self.down.deadline = upload.pace(now) if upload.left else now + timeout

    def _replayable(self) -> bool:
        return self.upload is None and self.line.idempotent

    def _wait_in_line(self, backend: Backend, now: float) -> Line | None:
        """Waits for a connection; returns where, or None if too many wait there already."""
        line = backend.line or Line(self.gateway, backend, self.down.destination)
        assert isinstance(line, Line)  # noqa: S101 - for the types
        self.usual, self.delayed = False, True
        if not line.join(self, now):
            self.refuse(503, f"{line.reason}, and QUEUE_LIMIT requests wait already", RETRY_AFTER)
            return None
        self._line = line
        self.down.deadline = now + self.down.destination.queue_timeout
        return line

    def _leave_line(self, now: float) -> None:
        line, self._line = self._line, None
        assert line is not None  # noqa: S101 - for the types
        self.queued += now - line.leave(self)

    def connected(self, upstream: Upstream) -> None:
        """It was in line, and here is its connection."""
        now = self.gateway.clock()
        self._leave_line(now)
        self._send_on(upstream, now)

    def not_connected(self, error: OSError) -> None:
        """No connection can be made."""
        now = self.gateway.clock()
        if self._line is not None:
            self._leave_line(now)
        if error.errno == errno.EAGAIN:
            # the backlog is full: the server lives, and is busy
            assert self.server is not None  # noqa: S101 - for the types
            line = self._wait_in_line(self.server.data, now)
            if line is not None:
                line.try_again()
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
            self.upload.hold(self.gateway.clock())
        if self.replay is None or (wrote and (self._retried or not self._replayable())):
            self.bad_gateway(_UNANSWERED)
            return
        self.gateway.counters.retries += 1
        if wrote:
            self._retried = True
        # not straight to the same server: it may have died, of which the pool hears in a moment
        self._lease_again(_UNANSWERED)

    def _lease_again(self, reason: str) -> None:
        """The server may be on its way out: asks the pool again, which will know in a moment."""
        if self._tries >= _REFUSED_TRIES:
            self.bad_gateway(reason)
            return
        server, self.server = self.server, None
        if server is not None:
            self._release(server, self.gateway.clock())
        self._later(self._start_again)

    def _release(self, server: Server, now: float) -> None:
        orders = self.gateway.release(server, now)
        if orders is not NOTHING:
            self.gateway.released(server, orders)

    def _start_again(self) -> None:
        server = self.gateway.take(self.down.destination.site)
        if server is None:
            self._wait()
        else:
            self.server = server
            self._send()

    def _later(self, call: Callable[[], None]) -> None:
        pause = PAUSES[min(self._tries, len(PAUSES) - 1)]
        self._tries += 1
        self.usual = False
        self.down.deadline = NEVER

        def go_on() -> None:
            self._timer = None
            call()

        self._timer = self.gateway.reactor.callLater(pause, go_on)
