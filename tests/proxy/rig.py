"""A Gateway between the test's own clients and its own app server; the pool is the smallest."""

import json
import os
import re
import socket
import tempfile
from collections.abc import Sequence

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock

from luisito.core.directory import Directory
from luisito.core.lifecycle import Server
from luisito.core.orders import NOTHING, Order
from luisito.core.routing import Routes
from luisito.net.backend import Backend
from luisito.net.handed import Handed, pack, unpack
from luisito.net.sockets import SocketStream
from luisito.net.switchboard import Switchboard
from luisito.net.transport import TransportStream
from luisito.pool import Refused, Stream, Waiter
from luisito.proxy.counters import Counters
from luisito.proxy.gateway import Gateway
from luisito.settings import from_mapping
from luisito.settings.terms import terms
from luisito.spawner.channel import close, receive, send
from tests.net.turns import Far, Turns, tcp_pair, unix_pair

HOST = b"Host: a.test\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Pool:
    """One server, which is awake unless a test says otherwise."""

    def __init__(self, server: Server, *, any_site: bool = False) -> None:
        self.server, self.any_site = server, any_site
        self.awake = True
        self.waiters: list[Waiter] = []
        self.leases = 0
        self.answers = self.unnoticed = self.probed = 0
        self.failed = False
        self.streams: list[Stream] = []
        self.chosen: list[str] = []
        self.liked: list[str | None] = []
        self.folders: dict[str, bool] = {}

    def take(self, site: str) -> Server | None:
        if not (self.any_site or site == self.server.site) or not self.awake:
            return None
        self.leases += 1
        return self.server

    def release(self, server: Server, now: float) -> Sequence[Order]:
        self.leases -= 1
        return NOTHING

    def release_unnoticed(self, server: Server, now: float) -> Sequence[Order]:
        self.unnoticed += 1
        return self.release(server, now)

    def choose(self, site: str, liked: str | None = None) -> str:
        self.liked.append(liked)
        return self.chosen.pop(0) if self.chosen else liked or site

    def has_failed(self, site: str) -> bool:
        return self.failed

    def probe(self, server: Server) -> None:
        self.probed += 1

    def asleep(self, site: str) -> bool:
        return not self.awake and not self.waiters

    def released(self, server: Server, orders: Sequence[Order]) -> None:
        raise AssertionError("NOTHING is to be done")

    def request(self, site: str, waiter: Waiter) -> None:
        self.waiters.append(waiter)

    def cancel(self, waiter: Waiter) -> None:
        if waiter in self.waiters:
            self.waiters.remove(waiter)

    def answered(self, server: Server) -> None:
        self.answers += 1

    def streamed(self, server: Server, stream: Stream) -> None:
        self.streams.append(stream)

    def stream_over(self, server: Server, stream: Stream) -> None:
        assert self.leases > 0
        self.streams.remove(stream)

    def folder_exists(self, site: str) -> Deferred[bool]:
        return succeed(self.folders[site])

    def grant(self) -> None:
        """The server is ready."""
        self.awake = True
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            self.leases += 1
            waiter.granted(self.server)

    def refuse(self, *why: object) -> None:
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter.refused(Refused(*why))


class Rig(Turns):
    """Everything together; `succeed` makes another gateway, which the clients are handed to.

    Attributes:
        gateway: the one that new clients come to, with its `pool` and `backend`.
        counters: of it.
        gateways: all, in order, and their `pools`.
        over: of each that was succeeded, whether nothing is left.

    Args:
        kind: "socket" or "transport": which Stream the clients have.
        way: "unix" or "tcp": how the app server is reached.
        names: settings.
    """

    def __init__(self, kind: str, way: str, names: dict[str, object]) -> None:
        super().__init__()
        self.kind = kind
        self.clock = Clock()
        self.clock.advance(1000)
        self.folder = tempfile.TemporaryDirectory()
        if way == "unix":
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(f"{self.folder.name}/app")
            self.listener.listen(64)
        else:
            self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.hosts = names.get("ALLOWED_HOSTS", ["a.test"])
        self.settings = from_mapping({"CMD_TPL": "x", **names})
        self.gateways: list[Gateway] = []
        self.pools: list[Pool] = []
        self.over: list[list[None]] = []
        self._begin(self.board)
        self._pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in self._pair:
            end.setblocking(False)

    def _begin(self, board: Switchboard) -> None:
        """As a process does, with connections of its own to the app server."""
        server = Server(1, "a.test", self.clock.seconds())
        server.data = self.backend = Backend(self.listener.getsockname())
        routes = None if self.hosts is None else Routes(self.hosts)
        self.directory = Directory(routes, terms(self.settings), files=routes is None)
        self.pool = Pool(server, any_site=self.hosts == ["*"])
        self.gateway = gateway = Gateway(
            self.clock, board, self.settings, self.directory, self.pool, self.clock.seconds
        )
        self.gateways.append(gateway)
        self.pools.append(self.pool)
        fd = os.open(self._log_path(gateway), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        gateway.access.write_to(fd)

    def _log_path(self, gateway: Gateway) -> str:
        return f"{self.folder.name}/access.{self.gateways.index(gateway)}.log"

    @property
    def counters(self) -> Counters:
        return self.gateway.counters

    def succeed(self) -> Gateway:
        """Another gateway is there, and the old one, which is returned, hands its clients over."""
        old = self.gateway
        self.backend.retire()
        self._begin(Switchboard(self.reactor, turn=0))
        heir = len(self.gateways) - 1
        over: list[None] = []
        self.over.append(over)
        old.hand_over(lambda handed: self._send(heir, handed)).addCallback(over.append)
        return old

    def _send(self, heir: int, handed: Handed) -> None:
        port, descriptors = pack(handed)
        message = b"%d %d" % (heir, port)
        try:
            send(self._pair[0], message, tuple(descriptors))
        except BlockingIOError:
            self.deliver()  # the pair is full
            send(self._pair[0], message, tuple(descriptors))
        close(descriptors)

    def deliver(self) -> None:
        """What was handed over arrives."""
        while True:
            try:
                data, descriptors = receive(self._pair[1])
            except BlockingIOError:
                return
            heir, port = map(int, data.split())
            self.gateways[heir].take_over(unpack(port, descriptors))

    def turn(self, delay: float = 0) -> None:
        if self.over:
            self.deliver()
        super().turn(delay)
        self.clock.advance(0)  # what was put off to the next turn

    def client(
        self,
        peer: bytes = b"127.0.0.1",
        port: int = 8080,
        buffer: int | None = None,
        *,
        unix: bool = False,
    ) -> Far:
        """A new client."""
        ours, far = unix_pair(buffer) if unix else tcp_pair(buffer)
        receiver = self.gateway.accept(peer, port)
        if self.kind == "socket":
            self.gateway.connected(receiver, SocketStream(self.board, ours, receiver))
        else:
            factory = Factory.forProtocol(
                lambda: TransportStream(
                    receiver, lambda stream: self.gateway.connected(receiver, stream)
                )
            )
            self.reactor.adoptStreamConnection(ours.fileno(), socket.AF_INET, factory)
            ours.close()
        return self.far(far)

    def accept(self) -> Far:
        """The app server takes the next connection."""
        taken: list[socket.socket] = []

        def there() -> bool:
            try:
                taken.append(self.listener.accept()[0])
            except BlockingIOError:
                return False
            return True

        self.until(there)
        return self.far(taken[0])

    def no_connection(self) -> bool:
        """Nobody connects to the app server."""
        self.after(0.5)
        try:
            self.listener.accept()[0].close()
        except BlockingIOError:
            return True
        return False

    def expect(self, far: Far, end: bytes) -> bytes:
        """Waits for something to come in, and takes all up to and including it."""
        self.until(lambda: end in far.got or far.over)
        at = far.got.find(end)
        assert at >= 0, (end, far.got[-500:], far.ended, far.reset)
        return far.cut(at + len(end))

    def head(self, far: Far) -> bytes:
        return self.expect(far, b"\r\n\r\n")

    def page(self, far: Far) -> tuple[int, bytes, bytes]:
        """An answer with a length: status, head and body."""
        head = self.head(far)
        length = re.search(rb"Content-Length: (\d+)", head)
        assert length is not None, head
        size = int(length[1])
        self.until(lambda: len(far.got) >= size or far.over)
        body = far.cut(size)
        assert len(body) == size
        return int(head[9:12]), head, body

    def asked(self, request: bytes = GET) -> tuple[Far, Far]:
        """A client and the app server that has read the head of its request."""
        client = self.client()
        client.send(request)
        app = self.accept()
        self.head(app)
        return client, app

    def opened(self) -> tuple[Far, Far, bytes]:
        """A client and an app server after a first exchange, and what the client got."""
        client, app = self.asked()
        app.send(OK)
        return client, app, self.expect(client, b"ok")

    def exchange(self, client: Far, app: Far, request: bytes = GET, answer: bytes = OK) -> bytes:
        """A whole small exchange; returns the head that the app server got."""
        client.send(request)
        head = self.head(app)
        app.send(answer)
        assert self.expect(client, b"\r\n\r\nok").startswith(b"HTTP/1.1 200 OK\r\n")
        return head

    def after(self, seconds: float) -> None:
        """Time goes by."""
        self.settle()
        for _ in range(int(seconds * 8) + 1):
            self.clock.advance(1 / 8)
        self.settle()

    def lines(self, gateway: Gateway | None = None) -> list[dict[str, object]]:
        """The access lines so far, of the gateway that clients come to, or of another."""
        gateway = gateway or self.gateway
        gateway.access.flush()
        with open(self._log_path(gateway), "rb") as file:
            return [json.loads(line) for line in file]

    def check(self) -> None:
        """What holds once all clients have gone: conservation, leases, descriptors."""
        for far in self.fars:
            far.close()
        self.until(lambda: not any(gateway._clients for gateway in self.gateways))
        self.settle()
        for gateway in self.gateways:
            counters = gateway.counters
            assert counters.open == 0
            assert counters.heads == counters.answers + counters.aborts
            assert counters.heads == counters.lines == len(self.lines(gateway))
            assert counters.lines == sum(one.requests for one in gateway.tally.by_site.values())
            assert counters.aborts <= sum(line["end"] != "" for line in self.lines(gateway))
        for pool in self.pools:
            assert pool.leases == 0
            assert pool.waiters == []
            assert pool.streams == []

    def close(self) -> None:
        self.backend.retire()
        self.after(6)
        assert all(map(len, self.over))
        handlers = [gateway.board._handlers for gateway in self.gateways]
        for gateway in self.gateways:
            gateway.close_all()
            gateway.access.close()
            if gateway.board is not self.board:
                gateway.board.close()
        self.listener.close()
        self.folder.cleanup()
        super().close()
        for end in self._pair:
            end.close()
        assert not any(handlers)
