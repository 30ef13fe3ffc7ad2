"""A whole proxy in one process: clients and app servers at the far ends of socket pairs.

Nothing in it hangs on time or chance: its clock is advanced by hand, and its sockets deliver at
once, so that an input does the same each time.
"""

import errno
import json
import math
import os
import socket
from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from luisito.core.directory import Directory
from luisito.core.lifecycle import Server
from luisito.core.routing import Routes
from luisito.net.backend import Backend
from luisito.net.sockets import READ_SIZE, SocketStream
from luisito.net.splice import close_pipes
from luisito.net.switchboard import Switchboard
from luisito.proxy.gateway import Gateway
from luisito.settings import from_mapping
from luisito.settings.terms import terms
from tests.net.turns import Far, unix_pair
from tests.proxy.rig import Pool

SETTINGS = from_mapping(
    {
        "CMD_TPL": "x",
        "TRUSTED_PROXIES": [],
        "HEAD_TIMEOUT": 2,
        "BODY_TIMEOUT": 2,
        "RESPONSE_TIMEOUT": 2,
        "KEEPALIVE_TIMEOUT": 2,
        "QUEUE_TIMEOUT": 2,
        "QUEUE_LIMIT": 3,
        "UPSTREAM_MAX": 2,
        "MAX_BODY_SIZE": 1 << 20,
        "MAX_HEAD_SIZE": 4096,
    }
)
TICK = 1 / 8  # seconds from one look at deadlines to the next
_TURNS = 5000  # until nothing moves any more; far more than any input can keep going
_PATIENCE = 60.0  # seconds of the world's clock in which everything has ended
# What may be kept for a peer that does not read: what was read at once, and as much more.
_KEPT = 4 * READ_SIZE
_HELD = 16384 + 2 * READ_SIZE

errors: list[str] = []


def _note(event: dict[str, object]) -> None:
    if event["log_level"] >= LogLevel.error:
        failure = event.get("log_failure")
        text = failure.getTraceback() if failure is not None else ""
        errors.append(f"{formatEvent(event)}\n{text}")


globalLogPublisher.addObserver(_note)


class Timers(Clock):
    """The reactor: a clock. The Switchboard is turned by hand."""

    def addReader(self, reader: object) -> None:
        pass

    removeReader = addReader

    def getReaders(self) -> list[object]:
        return []

    getWriters = getReaders


class Watched(SocketStream):
    """A stream that knows whether it was aborted, which a socket pair cannot show."""

    __slots__ = ("aborted",)

    def __init__(self, *args: object) -> None:
        self.aborted = False
        super().__init__(*args)

    def abort(self) -> None:
        self.aborted = True
        super().abort()


class Door(Backend):
    """Where app servers are reached; `shut` refuses connections."""

    __slots__ = ("_arrived", "shut")

    def __init__(self, arrived: Callable[[socket.socket], None]) -> None:
        super().__init__("/nowhere")
        self._arrived = arrived
        self.shut = False

    def connect(self) -> tuple[socket.socket, bool]:
        if self.shut:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "shut")
        ours, theirs = unix_pair()
        self._arrived(theirs)
        return ours, False


class Peer(Far):
    """A far end that remembers what it sent."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._given = bytearray()
        self._dropped = 0

    def send(self, data: bytes) -> None:
        self._given += data
        super().send(data)

    def drop(self) -> None:
        self._dropped += self.left
        super().drop()

    @property
    def closed(self) -> bool:
        return self.sock.fileno() < 0

    @property
    def said(self) -> bytes:
        """What has gone out."""
        return bytes(self._given[: len(self._given) - self._dropped - self.left])


class Client(Peer):
    """A client.

    Attributes:
        address: of its own, by which it is known at the app server and in the log.
        stream: our end.
    """

    address: str
    stream: Watched


class World:
    """A Gateway, its clients and its app servers' connections."""

    def __init__(self) -> None:
        errors.clear()
        self.timers = Timers()
        self.timers.advance(1000)
        self.board = Switchboard(self.timers, turn=0, clock=self.timers.seconds)
        self.clients: list[Client] = []
        self.apps: list[Peer] = []
        self.door = Door(lambda sock: self.apps.append(Peer(sock)))
        server = Server(1, "a.test", self.timers.seconds())
        server.data = self.door
        self.pool = Pool(server)
        self.gateway = Gateway(
            self.timers,
            self.board,
            SETTINGS,
            Directory(Routes(["a.test"]), terms(SETTINGS)),
            self.pool,
            self.timers.seconds,
        )
        # nor on the time of day
        self.gateway._next_second, self.gateway._stamp = math.inf, b"2024-05-01T12:00:00Z"
        self.counters = self.gateway.counters
        self._log = os.memfd_create("access")
        self.gateway.access.write_to(self._log)

    def connect(self) -> Client:
        """A new client."""
        ours, far = unix_pair()
        client = Client(far)
        client.address = f"127.0.0.{len(self.clients) + 1}"
        receiver = self.gateway.accept(client.address.encode(), 80)
        client.stream = Watched(self.board, ours, receiver)
        self.gateway.connected(receiver, client.stream)
        self.clients.append(client)
        return client

    def settle(self) -> None:
        """Until nothing moves any more."""
        fars = [*self.clients, *self.apps]
        before = None
        for _ in range(_TURNS):
            self.board.doRead()
            self.timers.advance(0)
            if len(fars) != len(self.clients) + len(self.apps):
                fars = [*self.clients, *self.apps]
            for far in fars:
                far.poll()
            now = [(far.count, far.left) for far in fars]
            if now == before and not self.board._epoll.poll(0):
                break
            before = now
        else:
            raise AssertionError("it turns for ever")
        self._check_bounds()

    def after(self, seconds: float) -> None:
        """Time goes by."""
        for _ in range(int(seconds / TICK) + 1):
            self.timers.advance(TICK)
            if self.board._epoll.poll(0):
                self.settle()
        self.settle()

    def _check_bounds(self) -> None:
        """Whatever comes in, and whoever reads it not, little is kept."""
        for down in self.gateway._clients:
            assert len(down.buffer) <= _HELD, f"{len(down.buffer)} bytes of a client are held"
        for upstream in self.door.open:
            head = len(upstream._buffer)
            assert head <= 65536 + READ_SIZE, f"{head} bytes of an answer's head are held"
            self._check_kept(upstream.stream)
        for client in self.clients:
            self._check_kept(client.stream)

    @staticmethod
    def _check_kept(stream: SocketStream) -> None:
        kept = sum(map(len, stream._out))
        assert kept <= _KEPT, f"{kept} bytes are kept for a peer that does not read"

    def finish(self) -> None:
        """The app server goes; its clients stay, and read all that comes."""
        self.door.shut = True
        for client in self.clients:
            client.reading = not client.closed
        for app in self.apps:
            app.reading = not app.closed
        self.settle()
        for app in self.apps:
            app.close()
        end = self.timers.seconds() + _PATIENCE
        while self.gateway._clients or self.board._handlers:
            assert self.timers.seconds() < end, f"it hangs: {self.gateway._clients}"
            self.pool.refuse(503, "the test is over", 1.0)
            self.after(0.5)

    def lines(self) -> list[dict[str, object]]:
        """The access lines."""
        self.gateway.access.flush()
        data = os.pread(self._log, 1 << 24, 0)
        return [json.loads(line) for line in data.splitlines()]

    def check(self) -> None:
        """What holds when all has ended: nothing in the log, and nothing is lost or left."""
        assert not errors, "\n".join(errors)
        counters = self.counters
        assert counters.open == 0
        assert counters.heads == counters.answers + counters.aborts, counters.as_dict()
        assert counters.heads == counters.lines == len(self.lines()), counters.as_dict()
        assert counters.lines == sum(one.requests for one in self.gateway.tally.by_site.values())
        assert self.pool.leases == 0
        assert self.pool.waiters == []
        assert self.pool.streams == []
        assert self.door.line is None
        assert self.door.open == set()
        assert self.door.idle == []

    def close(self) -> None:
        self.gateway.close_all()
        self.gateway.access.close()
        for far in (*self.clients, *self.apps):
            far.sock.close()
        for client in self.clients:
            client.stream.shut()
        for upstream in list(self.door.open):
            upstream.stream.shut()
        self.board.close()
        close_pipes()
