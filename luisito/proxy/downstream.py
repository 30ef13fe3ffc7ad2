"""A client's connection: reads request heads, and has one exchange at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luisito.core import pages
from luisito.core.forwarded import forwarded_lines
from luisito.core.mounts import prefix_line
from luisito.core.request import named_by, with_host
from luisito.errors import BadMessage
from luisito.proxy.bound import Bound
from luisito.proxy.exchange import Exchange
from luisito.proxy.persistent import MAX_HELD, Persistent
from luisito.proxy.unnoticed import Unnoticed

if TYPE_CHECKING:
    from luisito.core.directory import Destination, Several
    from luisito.core.mounts import Mount, Mounts
    from luisito.core.request import RequestFields, RequestLine
    from luisito.core.wakerules import Rule
    from luisito.proxy.gateway import Gateway

_CR: Final = 13


class Downstream(Persistent):
    """The receiver of a client's stream.

    Attributes:
        spare: an exchange that is over, for the next request with the same header lines.
        fields: the header lines read last.
        passed: what goes to the app server after the request line: those lines, who asks, and the
            empty line.
        whom: what an access line says of who asked for which site (access.Form.who).
        destination: where the request read last goes; before there is one, to no site.
    """

    __slots__ = (
        "_block", "_named", "_peer", "_trusted", "destination", "fields", "passed", "spare", "whom",
    )  # fmt: skip

    def __init__(self, gateway: Gateway, peer: bytes, port: int) -> None:
        super().__init__(gateway, port)
        self._peer = peer
        self._trusted = gateway.peers.trusts(peer)
        # Something else than Host says the site.
        self._named = gateway.host_header is not None and self._trusted
        self.whom = gateway.form.who(peer or b"unix", b"", b"")
        self.destination = gateway.directory.usual
        self.spare: Exchange | None = None
        # Header lines, up to the empty one, that `fields` were read from, and that need no more
        # than that; empty where there are none, so that nothing can be like them.
        self._block = b""
        self.fields: RequestFields | None = None
        self.passed = b""

    @property
    def peer(self) -> bytes:
        """The address that it comes from; empty for a unix socket."""
        return self._peer

    @property
    def sent(self) -> tuple[tuple[bytes, bytes], ...]:
        """The forwarded fields of the request read last, where they are believed."""
        return self.fields.forwarded if self._trusted and self.fields is not None else ()

    def _tell(
        self,
        fields: RequestFields,
        destination: Destination,
        mount: Mount[Destination] | None = None,
    ) -> None:
        """Composes what the app server is told, and the access log, of this client."""
        self.fields, self.destination = fields, destination
        sent = self.sent
        prefix = b"" if mount is None else prefix_line(mount, sent)
        told = forwarded_lines(self._peer, b"http", fields.host, self.port, sent, prefix)
        self.passed = b"%s%s\r\n" % (fields.lines, told)
        client, form = self.gateway.peers.client_of(self._peer, sent), self.gateway.form
        lines = fields.lines if form.of_agents else b""
        self.whom = form.who(client, destination.site.encode(), lines)

    # ------------------------------------------------------------------ Receiver

    def received(self, data: bytes) -> None:
        """See Receiver."""
        exchange = self.exchange
        if exchange is None and not self._flushing:
            if self.buffer:
                data = self.buffer + data
            start = data.find(b"\r\n")
            # Most heads have the same lines as the one before on their connection.
            if data[start:] == self._block and len(data) <= self.gateway.max_head_size:
                self._again(data[:start], len(data))
            else:
                self._request(data)
        elif exchange is not None and exchange.upload is not None and exchange.upload.flowing:
            exchange.received(data)
        else:
            self.buffer += data
            if len(self.buffer) > MAX_HELD:
                self.stream.pause()

    def ended(self) -> None:
        """See Receiver."""
        self.half_closed = self.parting = True
        exchange = self.exchange
        if exchange is not None:
            upload = exchange.upload
            if upload is not None and upload.left and (upload.flowing or not self.buffer):
                exchange.abort("the client ended in the middle of its request")
            elif exchange.activity is not None:
                # Who reads an event stream and ends has gone: as it has no end, nothing else would
                # tell while it is silent, and its server would count as busy.
                exchange.abort("the client went away")
        elif self._flushing:
            pass  # what is held may be whole requests: `next` sees to them, and then to the end
        elif self.buffer:
            self._bad(400, "the connection ended in the middle of a request head")
        else:
            self.close()

    def expired(self, now: float) -> None:
        """See Item."""
        exchange = self.exchange
        if exchange is not None and (exchange.is_tunnel or not self.stream.backed_up):
            exchange.expired(now)
        elif self.stream.backed_up:
            self.reads_slowly(now)
        elif self.buffer:
            self._bad(408, "the request head took too long")
        else:
            self.close()

    # ------------------------------------------------------------------ requests

    def _request(self, data: bytes) -> None:
        gateway = self.gateway
        if data[0] == _CR and data[:2] == b"\r\n":
            data = data[2:]  # RFC 9112 section 2.2: old clients end a body with an extra one
            if not data:
                self.buffer = b""
                if self.half_closed:
                    self.close()
                return  # and that moves no deadline
        end = data.find(b"\r\n\r\n")
        if end < 0 or end > gateway.max_head_size:
            self._partial(data, whole=end >= 0)
            return
        self.buffer = data[end + 4 :]
        start = data.find(b"\r\n")
        block = data[start : end + 2]
        self._block = b""
        try:
            line = gateway.line(data[:start])
            fields = gateway.fields(block)
            if line.authority is not None:
                fields = gateway.fields(with_host(block, line.authority))
            if self._named:
                fields = self._name(fields)
        except BadMessage as error:
            self._bad(error.status, str(error))
            return
        destination = gateway.known(fields.site) or gateway.find(fields.site)
        if fields is not self.fields or destination is not self.destination:
            self._tell(fields, destination)
        if line.authority is None and not fields.length:
            self._block = data[start : end + 4]
        self.spare = None
        if destination.plain:
            Exchange(self, line, fields, end + 4).start()
            return
        if destination.mounts is not None:
            mounted = self._mounted(line, fields, destination.mounts)
            if mounted is None:
                return
            line = mounted
        if self.destination.status:
            Exchange(self, line, fields, end + 4).turn_away()
        else:
            self._set_out(line, fields, end + 4)

    def _name(self, fields: RequestFields) -> RequestFields:
        """The same request, for the site that it is for; raises BadMessage."""
        header = self.gateway.host_header
        return fields if header is None else named_by(fields, header)

    def _mounted(
        self, line: RequestLine, fields: RequestFields, mounts: Mounts[Destination]
    ) -> RequestLine | None:
        """A request for a site with mounts: the path says whose it is.

        Returns:
            What is asked for there; None where the path is bad, and was answered.
        """
        self._block = b""  # the next one with the same header lines may be another's
        try:
            found = mounts.find(line.target)
        except BadMessage as error:
            self._bad(error.status, str(error))
            return None
        if found is None:
            return line
        mount, target = found
        self._tell(fields, mount.to, mount)
        return line.asking_for(target)

    def _set_out(self, line: RequestLine, fields: RequestFields, size: int) -> None:
        """A request that is the site's or the mount's, for one of its servers."""
        several, liked = self.destination.several, None
        sticky = None if several is None else several.sticky
        if several is not None:
            self._block = b""  # the next one with the same header lines may be another's
            if sticky is not None:
                liked = sticky.liked(fields.lines)
                self.passed = sticky.without(self.passed)
            self.choose(several, liked)
        rule = None if self.destination.wake is None else self._judge(line, fields)
        if rule is not None:
            Unnoticed(self, line, fields, size, rule).start()
        elif sticky is not None:
            Bound(self, line, fields, size, sticky, liked).start()
        else:
            Exchange(self, line, fields, size).start()

    def choose(self, several: Several, liked: str | None = None) -> None:
        """Leads the request to one of several servers: see Lessor.choose."""
        key = self.gateway.choose(several.site, liked)
        self.destination = several.to.get(key, self.destination)  # or its file is another

    def _judge(self, line: RequestLine, fields: RequestFields) -> Rule | None:
        """The rule of WAKE that a request matches."""
        rules = self.destination.wake
        assert rules is not None  # noqa: S101 - for the types
        client = self.gateway.peers.client_of(self._peer, self.sent)
        about = rules.about(fields.lines, client)
        if about is None:
            return None
        self._block = b""  # the next one with the same header lines may be another's
        return about.first(line.method, line.target)

    def _again(self, first: bytes, size: int) -> None:
        """A request whose header lines are those of the one before it."""
        fields = self.fields
        assert fields is not None  # noqa: S101 - for the types
        try:
            line = self.gateway.line(first)
        except BadMessage as error:
            self._bad(error.status, str(error))
            return
        # The site that the host is may have become another one.
        if line.authority is not None or self.gateway.known(fields.site) is not self.destination:
            self._request(first + self._block)
            return
        self.buffer = b""
        exchange, self.spare = self.spare, None
        if exchange is None or not line.minor or line.to_head:
            exchange = Exchange(self, line, fields, size)
        else:
            exchange.renew(line, size)
        exchange.start()

    def _partial(self, data: bytes, *, whole: bool) -> None:
        limit = self.gateway.max_head_size
        if self.half_closed:
            self._bad(400, "the connection ended in the middle of a request head")
            return
        if not whole and len(data) <= limit:
            if not self.buffer:
                # absolute: a byte now and then does not move it
                self.deadline = self.gateway.clock() + self.gateway.head_timeout
            self.buffer = data
            return
        first = data.find(b"\r\n")
        if first < 0 or first > limit:
            self._bad(414, f"the request line is over {limit} bytes")
        else:
            self._bad(431, f"the request head is over {limit} bytes")

    # ------------------------------------------------------------------ our own answers

    def shown(self, detail: str) -> str:
        """What this client may read of why something failed: nothing, unless it is an operator."""
        return detail if self.gateway.peers.is_operator(self._peer, self.fields) else ""

    def _bad(self, status: int, reason: str) -> None:
        """Answers a head that cannot be read, and ends: where the next one begins is unknown."""
        self.buffer = b""
        page = pages.page(status, as_json=False, close=True, detail=self.shown(reason))
        counters = self.gateway.counters
        counters.heads += 1
        counters.answers += 1
        self.gateway.reports.bad(self, status, len(page), reason)
        self.stream.send(page)
        self.linger()
