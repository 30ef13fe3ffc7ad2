"""Who gives leases, and who is given all that a pool has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.defer import Deferred

    from luisito.core.lease import Stream, Waiter
    from luisito.core.lifecycle import Server
    from luisito.core.orders import Order
    from luisito.core.sites import Failure
    from luisito.process.start import Start


class Lessor(Protocol):
    """Who gives leases: the pool, or whoever asks another process's for them."""

    def take(self, site: str) -> Server | None:
        """Leases the server of a site that is awake, at once; else None."""

    def release(self, server: Server, now: float) -> Sequence[Order]:
        """Gives a lease back; what it returns, unless that is NOTHING, is for `released`."""

    def release_unnoticed(self, server: Server, now: float) -> Sequence[Order]:
        """As `release`, of a lease that does not count as use of the server."""

    def choose(self, site: str, liked: str | None = None) -> str:
        """Tells which server of a site that has several to ask for, by its key; see Policy."""

    def asleep(self, site: str) -> bool:
        """Whether a request would have the site's server started, and nobody else has yet."""

    def has_failed(self, site: str) -> bool:
        """Whether the site's last start has failed."""

    def probe(self, server: Server) -> None:
        """Who has the lease on a server that counts as starting will not connect to it."""

    def released(self, server: Server, orders: Sequence[Order]) -> None:
        """Carries out what the release of a lease has led to."""

    def request(self, site: str, waiter: Waiter) -> None:
        """Asks for a lease on a site's server; the answer may come before this returns."""

    def cancel(self, waiter: Waiter) -> None:
        """`waiter` waits no longer."""

    def connected(self, server: Server) -> None:
        """Who has the lease on a server that counts as starting has connected to it."""

    def answered(self, server: Server) -> None:
        """A server that counts as starting has answered, so it is ready."""

    def streamed(self, server: Server, stream: Stream) -> None:
        """A lease turns out to be of an event stream or a tunnel."""

    def stream_over(self, server: Server, stream: Stream) -> None:
        """It is over; its lease is released next."""

    def number(self, server: Server) -> int:
        """The spawner's number of a server that is leased."""

    def folder_exists(self, site: str) -> Deferred[bool]:
        """Whether the site's PROJECT_PATH is there.

        Raises:
            LuisitoError: (in the Deferred) it cannot be found out now.
        """


class Lessee(Protocol):
    """Who asks for leases."""

    def lease_from(self, lessor: Lessor) -> None:
        """Asks there from now on, and gives those back there that it has."""


class Heir(Protocol):
    """Who is given all that a pool has."""

    def hold(self, start: Start, early: Waiter | None) -> None:
        """A server; and who has its early lease, if anybody does."""

    def failed(self, failure: Failure) -> None:
        """A site whose starts have failed."""

    def took(self, sizes: Sequence[tuple[str, int]]) -> None:
        """What sites took when they were weighed last, in bytes; that of the last one last."""

    def waits(self, site: str, waiter: Waiter, since: float | None) -> None:
        """Somebody waits for a lease on a site's server; see core.sites.Waiting."""
