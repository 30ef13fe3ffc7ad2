"""The sites that somebody asks for: who waits for them, and how often they failed."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from luisito.core.clock import Clock
from luisito.core.lifecycle import Server, State
from luisito.core.orders import Limits, Order, Refusal, Refuse, SiteLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from luisito.core.backoff import BackOff

RETRY_AFTER = 5.0  # seconds; nobody knows when a busy pool gets room, so this is a guess


class Site:
    """A site that has a server, waiters or failures; the others are not remembered.

    Attributes:
        name: its key.
        server: the one that is STARTING or READY, and gets the leases.
        beside: the one that is STARTING while `server` is READY, and is to replace it.
        waiters: requests without an answer, first come first.
        failures: starts that failed in a row.
        until: no start before this time, in seconds.
        detail: what failed last, or "".
    """

    __slots__ = ("beside", "detail", "failures", "name", "server", "until", "waiters")

    def __init__(self, name: str) -> None:
        self.name = name
        self.server: Server | None = None
        self.beside: Server | None = None
        self.waiters: dict[Hashable, None] = {}
        self.failures = 0
        self.until = 0.0
        self.detail = ""


class Failure(NamedTuple):
    """A site whose last start failed.

    Attributes:
        site: its key.
        detail: what failed, for an operator.
        until: no start before this time, in seconds.
        times: starts that failed in a row.
        forget_at: when it is forgotten unless somebody asks for the site, likewise.
    """

    site: str
    detail: str
    until: float
    times: int
    forget_at: float


class Waiting(NamedTuple):
    """A request without an answer.

    Attributes:
        site: that it waits for.
        waiter: names it.
        since: since when it waits for room, in seconds; None where its server starts.
    """

    site: str
    waiter: Hashable
    since: float | None


class Sites:
    """The queues of waiting requests, and the memory of failures.

    Attributes:
        by_name: all sites that are remembered.
        waiting: the site of each waiter.
        parked: those waiters whose site waits for room, first come first, and since when; the site
            of the first is the next to start. Before them one entry for all sites that are kept
            up and wait for it (core.keeping).
        patience: when the queue_timeout of each of these is over.
        failed: sites that failed, and when that is to be forgotten.
        closed: sites that are down for maintenance, and after how many seconds who asks may try
            again.
        unreplaced: why the last server that was to replace the READY one of a site could not, by
            the names of sites; until one does, or the old one is on its way out.
    """

    __slots__ = (
        "_back_off", "_limits", "_most", "_own", "_random", "by_name", "closed", "failed",
        "parked", "patience", "unreplaced", "waiting",
    )  # fmt: skip

    def __init__(self, limits: Limits, random: Callable[[], float], back_off: BackOff) -> None:
        self._limits = limits
        self._most = max(1, int(limits.queue_total * limits.queue_share))  # who wait for one site
        self._own: dict[str, SiteLimits] = {}
        self._random = random
        self._back_off = back_off
        self.by_name: dict[str, Site] = {}
        self.waiting: dict[Hashable, Site] = {}
        self.parked: OrderedDict[Hashable, float] = OrderedDict()
        self.patience: Clock[Hashable] = Clock()
        self.failed: OrderedDict[Site, float] = OrderedDict()
        self.closed: dict[str, float] = {}
        self.unreplaced: dict[str, str] = {}

    def limit(self, name: str, limits: SiteLimits | None) -> None:
        """Give a site limits of its own, or the pool's."""
        if limits is None:
            self._own.pop(name, None)
        else:
            self._own[name] = limits

    def limits_of(self, name: str) -> SiteLimits:
        """Tell the limits of a site."""
        return self._own.get(name, self._limits)

    def enqueue(self, name: str, waiter: Hashable, now: float) -> Site | Refuse:
        """Let a request wait for its site, or tell why it may not."""
        if name in self.closed:
            return Refuse(waiter, Refusal.MAINTENANCE, self.closed[name], "", site=name)
        site = self.by_name.get(name)
        if site is not None and site.server is None and now < site.until:
            left = site.until - now
            return Refuse(waiter, Refusal.BACKING_OFF, left, site.detail, site=name)
        queue = 0 if site is None else len(site.waiters)
        limit = min(self.limits_of(name).queue_limit, self._most)
        if queue >= limit or len(self.waiting) >= self._limits.queue_total:
            return Refuse(waiter, Refusal.QUEUE_FULL, RETRY_AFTER, "", site=name)
        if site is None:
            site = self.of(name)
        site.waiters[waiter] = None
        self.waiting[waiter] = site
        return site

    def of(self, name: str) -> Site:
        """A site, remembered from now on."""
        site = self.by_name.get(name)
        if site is None:
            site = self.by_name[name] = Site(name)
        return site

    def serve(self, server: Server) -> None:
        """Note which server is its site's, of one that nobody here has asked for."""
        self.of(server.site).server = server

    def put_beside(self, server: Server) -> None:
        """Note that a STARTING server is to replace the READY one of its site."""
        self.of(server.site).beside = server

    def park(self, waiter: Hashable, since: float) -> None:
        """Let a waiter wait for room; its queue_timeout begins, or has begun in another pool."""
        self.parked[waiter] = since
        timeout = self.limits_of(self.waiting[waiter].name).queue_timeout
        self.patience.set(waiter, since + timeout)

    def unpark(self, waiter: Hashable) -> None:
        """Note that a waiter's server starts, or that it waits no longer."""
        self.parked.pop(waiter, None)
        self.patience.discard(waiter)

    def dequeue(self, waiter: Hashable) -> Site:
        """Take a waiter out; the caller answers it."""
        site = self.waiting.pop(waiter)
        del site.waiters[waiter]
        self.unpark(waiter)
        return site

    def refuse_all(
        self,
        site: Site,
        refusal: Refusal,
        retry_after: float | None,
        detail: str,
        orders: list[Order],
        server: Server | None = None,
    ) -> None:
        """Refuse all who wait for a site."""
        for waiter in list(site.waiters):
            self.dequeue(waiter)
            orders.append(Refuse(waiter, refusal, retry_after, detail, server, site.name))
        self.forget(site)

    def fail(
        self,
        site: Site,
        refusal: Refusal,
        detail: str,
        now: float,
        orders: list[Order],
        server: Server | None = None,
    ) -> None:
        """Refuse all who wait for a site whose start has failed, and leave it alone for a while."""
        delay = self._count(site, detail, now)
        site.until = now + delay
        if site.beside is not None:
            self.unreplaced[site.name] = detail
        self.refuse_all(site, refusal, delay, detail, orders, server)

    def stumble(self, site: Site, seconds: float, detail: str, now: float) -> float:
        """Hear that a server that was to go on has ended, `seconds` after it was ready.

        Returns:
            Before when it is not to be started anew unless somebody asks for it, in seconds.
        """
        if seconds >= self._back_off.steady:
            return now
        return now + self._count(site, detail, now)

    def _count(self, site: Site, detail: str, now: float) -> float:
        """Count a failure; returns how long to wait after it."""
        site.failures += 1
        site.detail = detail
        self.failed[site] = now + self._back_off.forget
        self.failed.move_to_end(site)
        return self._back_off.delay(site.failures, self._random)

    def served(self, site: Site, ready_at: float, now: float) -> None:
        """Hear since when a server was ready that is so no more.

        It says nothing of what has failed since, which is another one that was to replace it.
        """
        failed_at = self.failed.get(site, 0.0) - self._back_off.forget
        if now - ready_at >= self._back_off.steady and failed_at <= ready_at:
            self.forgive(site)

    def tick(self, now: float, orders: list[Order]) -> None:
        """Refuse who has waited for room too long, and forget old failures."""
        for waiter in self.patience.due(now):
            site = self.dequeue(waiter)
            self.forget(site)
            refuse = Refuse(waiter, Refusal.QUEUE_TIMEOUT, RETRY_AFTER, "", site=site.name)
            orders.append(refuse)
        while self.failed:
            site, forget_at = next(iter(self.failed.items()))  # they rise from the front
            if forget_at > now:
                break
            starting = site.server is not None and site.server.state is State.STARTING
            if site.waiters or starting:
                self.failed[site] = now + self._back_off.forget
                self.failed.move_to_end(site)
            else:
                self.forgive(site)

    def forget(self, site: Site) -> None:
        """Drop a site that there is nothing to remember of."""
        if site.server is None and not site.waiters and not site.failures:
            self.by_name.pop(site.name, None)

    def failures(self) -> list[Failure]:
        """Tell which failures are remembered, the oldest in front."""
        return [
            Failure(site.name, site.detail, site.until, site.failures, forget_at)
            for site, forget_at in self.failed.items()
        ]

    def remember(self, failures: Sequence[Failure], now: float) -> None:
        """Take over failures of another pool, the oldest in front; none lasts longer than ours."""
        for failure in failures:
            site = self.of(failure.site)
            site.failures, site.detail = failure.times, failure.detail
            site.until = min(failure.until, now + self._back_off.cap)
            old = site.server
            if old is not None and old.state is State.READY and old.started_at < site.until:
                # A new one would have been started later.
                self.unreplaced[site.name] = site.detail
            self.failed[site] = min(failure.forget_at, now + self._back_off.forget)

    def clear(self) -> list[Waiting]:
        """Forget everything; returns who waits, those for room first, then first come first."""
        waiting = [
            Waiting(self.waiting[waiter].name, waiter, since)
            for waiter, since in self.parked.items()
            if waiter in self.waiting  # else it stands for sites that are kept up
        ]
        waiting += [
            Waiting(site.name, waiter, None)
            for waiter, site in self.waiting.items()
            if waiter not in self.parked
        ]
        for memory in (
            self.by_name, self.waiting, self.parked, self.patience, self.failed, self.unreplaced,
        ):  # fmt: skip
            memory.clear()
        return waiting

    def forgive(self, site: Site) -> None:
        """Forget the failures of a site."""
        site.failures, site.until, site.detail = 0, 0.0, ""
        self.failed.pop(site, None)
        self.forget(site)
