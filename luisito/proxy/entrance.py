"""Lets clients in, as far as MAX_CLIENTS and MAX_CLIENTS_PER_ADDRESS allow."""

from __future__ import annotations

from functools import lru_cache, partial
from heapq import nsmallest
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from luisito.core.admission import Admission, place_of
from luisito.core.bucket import Seldom
from luisito.core.pages import page
from luisito.core.sites import RETRY_AFTER
from luisito.net.sockets import SocketStream

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from luisito.net.stream import Stream
    from luisito.proxy.counters import Counters
    from luisito.proxy.persistent import Persistent
    from luisito.settings import Settings

# Seconds between two lines that say the same.
_TOLD: Final = 10.0
# To look through all clients for idle ones takes milliseconds where there are many thousands: so
# many are closed at a time, and where there were none, nobody looks again for so many seconds.
_CLOSED: Final = 32
_LOOK: Final = 0.1
# The kernel keeps up to 4 MB of an answer for each client (tcp_wmem, tcp(7)), so that some hundreds
# who read slowly would fill the memory that TCP has for all (tcp_mem), and nobody be answered any
# more. Long answers would take half as much CPU time again if no more were kept for anybody; so it
# is for strangers only, and where there are so many clients, of whom each gets so many bytes.
_MANY: Final = 64
_UNSENT: Final = 1 << 18


class Entrance:
    """Counts the clients' connections, and says whether there may be another.

    Both are done when a connection begins and when it is closed; a request does not come by here.

    Args:
        settings: of this, max_clients, max_clients_per_address and trusted_proxies count.
        clients: all who are connected; not changed here.
        counters: of the proxy.
        clock: the monotonic time in seconds.

    Attributes:
        refusal: what whoever is turned away is sent.
    """

    _log = Logger()

    def __init__(
        self,
        settings: Settings,
        clients: AbstractSet[Persistent],
        counters: Counters,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._clients, self._counters, self._clock = clients, counters, clock
        self._admission = Admission(
            settings.max_clients or inf, settings.max_clients_per_address or inf
        )
        self.refusal = page(503, as_json=False, close=True, retry_after=RETRY_AFTER)
        self._place = lru_cache(1024)(self._place_of)
        self._next_look = 0.0
        self._full, self._turned_away = Seldom(_TOLD), Seldom(_TOLD)

    def _place_of(self, peer: bytes) -> bytes | None:
        """Where a client is counted; None for those that may have any number of connections."""
        if not peer or self._settings.trusted_proxies.includes(peer.decode()):
            return None
        return place_of(peer)

    def is_full(self) -> bool:
        """Whether there are as many as there may be."""
        return self._admission.is_full()

    def make_room(self) -> bool:
        """Closes idle connections; whether there may be one more now.

        Those that have been idle longest go first, as nginx does where worker_connections run out.
        """
        now = self._clock()
        if now < self._next_look:
            return False
        idle = [client for client in self._clients if client.idle and not client.buffer]
        for client in nsmallest(_CLOSED, idle, key=attrgetter("deadline")):
            self._counters.closed_for_room += 1
            client.close()
        if idle:
            return not self._admission.is_full()  # a transport of Twisted's closes a moment later
        self._next_look = now + _LOOK
        if self._full.happened(now):
            self._log.warn(
                "All {most} client connections that there may be are in use, so no more are"
                " accepted until one of them ends: see MAX_CLIENTS",
                most=self._settings.max_clients,
            )
        return False

    def welcomes(self, peer: bytes) -> bool:
        """Whether a client may come in, as far as its address goes; counts those who may not."""
        if self._admission.admits(self._place(peer)):
            return True
        self._counters.refused += 1
        times = self._turned_away.happened(self._clock())
        if times:
            self._log.warn(
                "{times} connections were refused, the last one from {peer}, which has"
                " MAX_CLIENTS_PER_ADDRESS = {each} already. A proxy that may have more belongs in"
                " TRUSTED_PROXIES.",
                times=times,
                peer=peer.decode(),
                each=self._settings.max_clients_per_address,
            )
        return False

    def enter(self, peer: bytes, stream: Stream) -> None:
        """A client is connected, until its stream is closed."""
        place = self._place(peer)
        self._admission.enter(place)
        if place is not None and self._admission.open > _MANY and isinstance(stream, SocketStream):
            stream.keep_unsent(_UNSENT)
        stream.closed = partial(self._admission.leave, place)
