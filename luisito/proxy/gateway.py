"""What all connections share: the pool, the settings that count per request, and counters."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from twisted.internet.defer import succeed

from luisito.core import access
from luisito.core.directory import REDIRECT
from luisito.core.keys import site_of
from luisito.core.memo import Memo
from luisito.core.orders import NOTHING
from luisito.core.request import request_fields, request_line
from luisito.core.response import LinesMemo
from luisito.core.routing import CANNOT_TELL, NO_SITE
from luisito.core.tally import Tally
from luisito.errors import SettingsError
from luisito.net.deadlines import Deadlines
from luisito.pool import Refused
from luisito.proxy.accesslog import AccessLog
from luisito.proxy.counters import Counters
from luisito.proxy.doorkeeper import Doorkeeper
from luisito.proxy.downstream import Downstream
from luisito.proxy.entrance import Entrance
from luisito.proxy.folders import Folders
from luisito.proxy.owned import Owned
from luisito.proxy.peers import Peers
from luisito.proxy.reports import Reports
from luisito.proxy.succession import Departure, take_over
from luisito.proxy.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime

    from luisito.core.directory import Directory
    from luisito.core.lifecycle import Server
    from luisito.core.request import RequestLine
    from luisito.net.backend import Backend
    from luisito.net.handed import Handed
    from luisito.net.stream import Stream
    from luisito.net.switchboard import Switchboard
    from luisito.pool import Lessor, Waiter
    from luisito.proxy.exchange import Exchange
    from luisito.proxy.linger import Linger
    from luisito.proxy.outward import Outward
    from luisito.proxy.persistent import Persistent
    from luisito.settings import Settings

    T = TypeVar("T", bound=Waiter)


class Gateway:
    """Accepts clients and connects them with the pool.

    Attributes:
        board: where all sockets are registered.
        clock: the monotonic time in seconds.
        counters: what has been done so far.
        deadlines: of all connections.
        entrance: who may come in.
        form: of the access log's lines.
        access: the access log; it counts requests where none is written, too.
        tally: the requests that are over, but for those that `access` still keeps.
        line: reads a request line (request_line).
        fields: reads the header lines of a request (request_fields).
        response: reads the head of a response (LinesMemo.response).
        directory: where hosts go.
        known: the same, of a host that was looked up lately and is a site; else None
            (Directory.known).
        find: the same, of any host (Directory.find).
        take: leases a site's server where it is awake; else None (Policy.take).
        release: gives a lease back; what it returns is for `released` (Policy.release).
        released: see Pool.
        choose: which server of a site that has several to take (Lessor.choose).
        asleep: whether a request would wake a site (Lessor.asleep).
        has_failed: whether a site's last start has failed (Lessor.has_failed).
        probe: see Lessor.
        doorkeeper: who may wake a site.
        peers: what is believed of clients.
        departure: where a successor takes the clients.
        reports: what the logs are told.
        log: writes the access line of an exchange that is over (Reports.over).
    """

    def __init__(
        self,
        reactor: IReactorTime,
        board: Switchboard,
        settings: Settings,
        directory: Directory,
        pool: Lessor,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reactor, self.board = reactor, board
        self.clock = clock
        self.counters = Counters()
        self.deadlines = Deadlines(reactor, self.clock)
        self.form = access.form(settings.access_log_format)
        self.line = Memo(self._read_line, size=4096, longest=256).get
        self.fields = Memo(request_fields, size=2048, longest=4096).get
        self.response = LinesMemo().response
        self.tally = Tally(self.form)
        self.access = AccessLog(reactor, self.counters, self.form, self.tally.add)
        self.reports = Reports(self.clock, self.counters, self.form, self.access)
        board.turned = self.access.turn
        self.log = self.reports.over
        self.directory = directory
        self.known, self.find = directory.known.get, directory.find
        self.lease_from(pool)
        self._settings, self.peers = settings, Peers(settings)
        self.head_timeout = settings.head_timeout
        self.keepalive_timeout = settings.keepalive_timeout
        self.max_head_size = settings.max_head_size
        header = settings.host_header
        self.host_header = None if header is None else header.lower().encode()
        self._clients: set[Persistent] = set()
        self.entrance = Entrance(settings, self._clients, self.counters, clock)
        self._lingers: set[Linger] = set()
        self.departure: Departure | None = None
        self._folders = Folders(self._ask_folder, self.clock)
        self.doorkeeper = Doorkeeper(self, settings, self._ask_pool)

    def lease_from(self, lessor: Lessor) -> None:
        """See Lessee."""
        self._pool = lessor
        self.take, self.release, self.released = lessor.take, lessor.release, lessor.released
        self.asleep, self.has_failed, self.probe = lessor.asleep, lessor.has_failed, lessor.probe
        self.choose = lessor.choose

    def _read_line(self, data: bytes) -> RequestLine:
        line = request_line(data)
        line.logged = self.form.asked(line.method, line.target, line.minor)
        return line

    # -- clients

    def accept(self, peer: bytes, port: int, own: str | None = None) -> Downstream | None:
        """See Acceptor; `own` as in `client`."""
        return self.client(peer, port, own) if self.entrance.welcomes(peer) else None

    def client(self, peer: bytes, port: int, own: str | None = None) -> Downstream:
        """Whoever receives what a client sends, for `connected`; see Acceptor.accept.

        Args:
            peer: see there; likewise the next.
            port: see there.
            own: the site whose own endpoint it came in at; None where Host says the site.
        """
        return Downstream(self, peer, port) if own is None else Owned(self, peer, port, own)

    def connected(self, receiver: Downstream, stream: Stream) -> None:
        """See Acceptor."""
        receiver.stream = stream
        self.entrance.enter(receiver.peer, stream)
        self.counters.connections += 1
        self.counters.open += 1
        self.access.arm()
        self._clients.add(receiver)
        self.deadlines.add(receiver)

    def knows(self, down: Persistent) -> bool:
        """Whether a client is still connected."""
        return down in self._clients

    def forget(self, down: Persistent) -> None:
        """A client's connection is over."""
        if down in self._clients:
            self._clients.remove(down)
            self.counters.open -= 1
            self.deadlines.discard(down)
            self.access.arm()  # for the lines of a tunnel, or of an answer that ends here
            self._look()

    def lingers(self, linger: Linger) -> None:
        """A client that we have done with reads its last answer."""
        self._lingers.add(linger)
        self.deadlines.add(linger)

    def lingered(self, linger: Linger) -> None:
        """It has, or had its time."""
        self._lingers.discard(linger)
        self.deadlines.discard(linger)
        self._look()

    @property
    def empty(self) -> bool:
        """Whether no client has a connection here."""
        return not (self._clients or self._lingers)

    def _look(self) -> None:
        if self.departure is not None:
            self.departure.look()

    # -- from one process to the next

    def hand_over(self, give: Callable[[Handed], None]) -> Deferred[None]:
        """Gives the clients to a successor, each as soon as nothing of it is in flight.

        That is now, with what came in of the next request head, or when its exchange is over; whom
        we close, and event streams and tunnels, stay to their end. What cannot be given (see
        SocketStream) is closed as `close_idle` does. The caller has stopped the listeners.

        Args:
            give: takes a connection, and owns it from then on; where it raises OSError it has
                closed it (see handed.pack).

        Returns:
            Is called back once nothing is left.
        """
        self.departure = departure = Departure(self, give)
        for down in list(self._clients):
            departure.leave(down)
        departure.look()
        return departure.over

    def take_over(self, handed: Handed) -> None:
        """Goes on with a client of the process before, as if it had come in here."""
        if self.departure is None:
            take_over(self, handed)
        else:
            self.departure.pass_on(handed)

    def close_idle(self) -> None:
        """Closes the connections that have no exchange; the others close after theirs."""
        for down in list(self._clients):
            down.drain()

    def close_own(self, site: str) -> None:
        """The same for those that came in at a site's own endpoint."""
        for down in [one for one in self._clients if one.own == site]:
            down.drain()

    def close_all(self) -> None:
        """Ends every connection."""
        for down in list(self._clients):
            if down.exchange is not None:
                down.exchange.abort("Luisito is stopping")
            else:
                down.abort()
        for linger in list(self._lingers):
            linger.close()
        self.deadlines.stop()

    @property
    def busy(self) -> int:
        """Exchanges that are in flight."""
        return sum(down.exchange is not None for down in self._clients)

    # -- servers

    def request(self, site: str, waiter: Waiter) -> None:
        """Asks the pool for a server; `waiter` is granted or refused one, perhaps at once."""
        self._request(site, waiter, self._ask_pool)

    def wanted(self, exchange: Exchange) -> None:
        """As `request`, of a request that comes by the doorkeeper first."""
        self._request(exchange.down.destination.site, exchange, self.doorkeeper.let_in)

    def _request(self, site: str, waiter: T, ask: Callable[[str, T], None]) -> None:
        refused = self.refusal(site)
        if refused is not None:
            waiter.refused(refused)
        elif self._has_no_folder(site) or (known := self._folders.known(site)):
            ask(site, waiter)
        elif known is not None:
            waiter.refused(Refused(NO_SITE, f"{site} has no folder: see PROJECT_PATH"))
        else:
            self._folders.ask(site, partial(self._asked_folder, site, waiter, ask))

    def release_unnoticed(self, server: Server, now: float) -> None:
        """Gives back a lease that was no use (Policy.release_unnoticed)."""
        orders = self._pool.release_unnoticed(server, now)
        if orders is not NOTHING:
            self.released(server, orders)

    def _ask_pool(self, site: str, waiter: Waiter) -> None:
        self._pool.request(site, waiter)

    def _has_no_folder(self, site: str) -> bool:
        """Whether a site needs none: it has a file, or PROJECT_PATH is not set."""
        return self._settings.project_path is None or self.directory.of(site) is not None

    def refusal(self, site: str) -> Refused | None:
        """Why a site may have no server here; None where it may, as far as its key tells."""
        if self.directory.of(site) is not None:
            return None
        if site_of(site) != site:
            return Refused(NO_SITE, f"{site} is no mount of {site_of(site)}")
        to = self.directory.judge(site)
        if to.status in (0, REDIRECT) and to.site != site:
            return Refused(NO_SITE, f"{site} is {to.site} here: see {to.path}")
        return Refused(to.status, to.why) if to.status else None

    def is_site(self, site: str) -> Deferred[bool]:
        """Whether a site is one: it has a file, or is allowed, and has its PROJECT_PATH.

        Raises:
            SettingsError: the function that ALLOWED_HOSTS is has failed.
        """
        refused = self.refusal(site)
        if refused is not None and refused.status == CANNOT_TELL:
            raise SettingsError(refused.detail)
        if refused is not None or self._has_no_folder(site):
            return succeed(refused is None)
        return self._pool.folder_exists(site)

    def _ask_folder(self, site: str) -> Deferred[bool]:
        return self._pool.folder_exists(site)  # of whoever gives the leases by now

    def _asked_folder(self, site: str, waiter: T, ask: Callable[[str, T], None], why: str) -> None:
        if why and waiter.waiting:
            waiter.refused(Refused(503, f"whether {site} has a folder: {why}", 1.0))
        elif waiter.waiting:
            self._request(site, waiter, ask)

    def cancel(self, exchange: Exchange) -> None:
        """`exchange` waits no longer."""
        self._pool.cancel(exchange)

    def connect(self, backend: Backend, exchange: Outward) -> Upstream:
        """A new connection to an app server; raises OSError."""
        return Upstream(self, backend, cast("Exchange", exchange))

    def answered(self, exchange: Exchange) -> None:
        """A server that was started for this exchange has begun to answer."""
        server = exchange.server
        if server is not None:
            self._pool.answered(server)
            # where the socket was handed over, the request has waited there, with its lease
            until = min(server.ready_at, exchange.first_byte)
            exchange.starting = max(exchange.starting, until - exchange.began - exchange.queued)

    def streamed(self, exchange: Exchange) -> None:
        """It turns out to be an event stream or a tunnel."""
        if exchange.server is not None:
            self._pool.streamed(exchange.server, exchange)

    def stream_over(self, exchange: Exchange) -> None:
        """It is over, and its lease is given back next."""
        if exchange.server is not None:
            self._pool.stream_over(exchange.server, exchange)
