"""What becomes of servers when their site changes: the part of the policy that hears of sites."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luisito.core.adoption import CHANGED
from luisito.core.keys import site_of
from luisito.core.leasing import Leasing
from luisito.core.lifecycle import State
from luisito.core.members import first_of
from luisito.core.orders import NOTHING, Order, Refusal, SiteLimits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luisito.core.lifecycle import Server

_CLOSED: Final = "its site is down for maintenance"


class SiteFacts(Leasing):
    """See Policy, of which this is a part."""

    def limit(self, site: str, limits: SiteLimits | None) -> None:
        """Give a site limits of its own, or the pool's again (None); ask `deadline` again.

        They count at once for its server, but who waits already waits as long as was said, and a
        server that is on its way out has the stop_timeout that it had.
        """
        self._sites.limit(site, limits)
        record = self._sites.by_name.get(site)
        for server in () if record is None else (record.server, record.beside):
            if server is not None:
                self._fleet.limit(server, self._sites.limits_of(site))
                self._streams.limit(server)

    def keep(self, site: str, now: float, *, on_failure: bool) -> Sequence[Order]:
        """Hear that a site is to be kept up: it is started, and again whenever its server ends.

        Nothing is started before `adopt`. A site without a server holds a place in the pool; that
        less than max_servers are kept up is the caller's care, and so are limits by which they are
        never ended for room (core.keeping).

        Args:
            site: its key.
            now: seconds.
            on_failure: one that ends by itself with status 0 is not started anew until somebody
                asks for the site, or what it starts has changed. So is one after `stop`.
        """
        record = self._sites.by_name.get(site)
        server = None if record is None else record.server
        self._keeping.keep(site, on_failure=on_failure, absent=server is None)
        if server is not None:
            self._fleet.needed(server)
        self._keeping.ask(site, now, now if record is None else record.until)
        return self._fill(now, [])

    def keep_no_longer(self, site: str, now: float) -> Sequence[Order]:
        """Hear that a site is not to be kept up any more: its server goes on like any other."""
        self._keeping.forget(site)
        record = self._sites.by_name.get(site)
        if record is not None:
            self._look_after(record, now)
        return self._fill(now, [])

    def changed(self, site: str, now: float) -> Sequence[Order]:
        """Hear that another thing than before would be started for a site.

        A server that is STARTING goes, and those who wait for it wait for a new one, as in `stop`.
        Beside one that is READY a new one is started, as soon as the site's failures allow it and
        less than max_rolling others roll; until that is ready the old one serves, and for good if
        it fails. One that had been started so already is replaced. If the old one goes before, be
        it unused, for room or because it is stopped, so does the new one; if it dies, the new one
        goes on like one that nobody waits for.

        A site that sleeps is not left alone for earlier failures any longer.
        """
        record = self._sites.by_name.get(site)
        if record is None or record.server is None:
            if record is not None:
                record.until = min(record.until, now)
            return self._fill(now, []) if self._keeping.ask(site, now, now) else NOTHING
        if record.server.state is State.STARTING:
            if record.server in self._fleet.spares:
                self._room.more[site] = now + self._sites.limits_of(site).queue_timeout
            return self._stop(record.server, now, CHANGED)
        orders: list[Order] = []
        if record.beside is not None:
            self._room.terminate(record.beside, CHANGED, now, orders)
        self._rolls.ask(record, now, record.until)
        return self._fill(now, orders)

    def removed(self, site: str, now: float) -> Sequence[Order]:
        """Hear that a site is no more: who waits is refused, and its server goes as in `stop`.

        Its limits and failures are forgotten, and what its servers took.
        """
        self._sites.limit(site, None)
        self._sites.closed.pop(site, None)
        self._fleet.memory.forget(site)
        why = f"its {'mount' if site_of(site) != first_of(site) else 'site'} is no more"
        return self._turn_out(site, Refusal.NO_SITE, None, why, now)

    def close(self, site: str, retry_after: float, now: float) -> Sequence[Order]:
        """Hear that a site is down for maintenance: nothing is started for it until `open`.

        Who waits is refused, and so is who asks; its server goes as in `stop`, and it is not kept
        up. Its failures are forgotten. One that is adopted goes, too.

        Args:
            site: its key.
            retry_after: seconds, for those who are refused.
            now: seconds.
        """
        self._sites.closed[site] = retry_after
        return self._turn_out(site, Refusal.MAINTENANCE, retry_after, _CLOSED, now)

    def open(self, site: str) -> None:
        """Hear that this is over; it is harmless where it was not so."""
        self._sites.closed.pop(site, None)

    def is_closed(self, site: str) -> bool:
        """Tell whether a site is down for maintenance."""
        return site in self._sites.closed

    def waiting_for(self, site: str) -> int:
        """Tell how many requests wait for a site's server."""
        record = self._sites.by_name.get(site)
        return 0 if record is None else len(record.waiters)

    def is_rolling(self, site: str) -> bool:
        """Tell whether another server is to take the place of the one that is READY."""
        record = self._sites.by_name.get(site)
        if record is None or record.server is None:
            return False
        turns = self._rolls
        return record.beside is not None or record in turns.pending or record in turns.delayed

    def retry(self, site: str, now: float) -> None:
        """Leave a site alone no longer for its failures: somebody says that they are mended."""
        record = self._sites.by_name.get(site)
        if record is not None:
            record.until = min(record.until, now)
            self._rolls.drop(record)

    def _turn_out_closed(self, now: float, orders: list[Order]) -> None:
        """Let the servers go that were adopted of sites that are down for maintenance."""
        for site in self._sites.closed:
            record = self._sites.by_name.get(site)
            if record is not None and record.server is not None:
                self._room.retire(record.server, _CLOSED, now, orders)

    def _turn_out(
        self, site: str, refusal: Refusal, retry_after: float | None, reason: str, now: float
    ) -> Sequence[Order]:
        """Refuse who waits for a site, and let its server go."""
        self._room.more.pop(site, None)
        self._keeping.forget(site)
        record = self._sites.by_name.get(site)
        if record is None:
            return NOTHING
        orders: list[Order] = []
        self._sites.forgive(record)
        self._sites.refuse_all(record, refusal, retry_after, "", orders)
        if record.server is not None:
            self._asking.excuse(record.server)
            self._room.retire(record.server, reason, now, orders)
        return self._fill(now, orders)

    def stop(self, site: str, now: float, reason: str) -> Sequence[Order]:
        """Let the server of a site go: at once, or when its last lease is released.

        Requests that waited for it wait for a new one, and their queue_timeout begins anew. Unless
        there are any, a site that is kept up rests until somebody asks for it.
        """
        record = self._sites.by_name.get(site)
        if record is None or record.server is None:
            return NOTHING
        if not record.waiters:
            self._keeping.rest(site, ended=False)
        self._room.more.pop(site, None)
        return self._stop(record.server, now, reason)

    def _stop(self, server: Server, now: float, reason: str) -> Sequence[Order]:
        orders: list[Order] = []
        for waiter in self._sites.by_name[server.site].waiters:
            self._sites.park(waiter, now)
        self._asking.excuse(server)
        self._room.retire(server, reason, now, orders)
        return self._fill(now, orders)
