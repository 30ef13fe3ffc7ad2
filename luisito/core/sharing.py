"""Sites with several servers: which one a request goes to, and when more of them are started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luisito.core.busyfacts import BusyFacts
from luisito.core.lifecycle import State
from luisito.core.members import Members, first_of, keys_of
from luisito.core.orders import NOTHING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luisito.core.lifecycle import Server
    from luisito.core.orders import Order


class Sharing(BusyFacts):
    """See Policy, of which this is a part.

    Each server of such a site is one for the pool like that of any other site, by a key of its own
    (core.members).
    """

    def share(self, site: str, count: int, now: float) -> Sequence[Order]:
        """Hear how many servers a site has, by its key, which is that of the first one.

        If that is more than before, and the site is awake, they are started. Those that are too
        many now are `removed` by the caller.
        """
        before = len(self.keys(site))
        if count == before:
            return NOTHING
        if count > 1:
            self._shared[site] = Members(keys_of(site, count))
        else:
            del self._shared[site]
        return self.start_more(site, now) if count > before and self.is_awake(site) else NOTHING

    def keys(self, site: str) -> tuple[str, ...]:
        """Tell the keys of all servers of a site."""
        members = self._shared.get(site)
        return (site,) if members is None else members.keys

    @property
    def shares(self) -> bool:
        """Whether any site has several."""
        return bool(self._shared)

    def is_awake(self, site: str) -> bool:
        """Tell whether a site has a server that takes leases."""
        return any(map(self.is_ready, self.keys(site)))

    def choose(
        self, site: str, now: float, liked: str | None = None
    ) -> tuple[str, Sequence[Order]]:
        """Tell which server of a site the next request is to ask for: `take` it, or `requested`.

        Of those that are READY it is the one with the fewest leases; if none is, the one that
        starts or is waited for already, so that all wait in one queue. Where all that are READY are
        in use, the others are started, as far as there is room.

        Args:
            site: its key.
            now: seconds.
            liked: the key of the one to be asked if it is READY.

        Returns:
            A key; and what is to be done.
        """
        members = self._shared.get(site)
        if members is None:
            return site, NOTHING
        ready = self._ready
        key = liked if liked in ready else members.least_busy(ready)
        if key is None:
            return self._awaited(members, now), NOTHING
        return key, self.start_more(site, now) if ready[key].leases else NOTHING

    def start_more(self, site: str, now: float) -> Sequence[Order]:
        """Start those servers of a site that sleep, as far as there is room for them.

        They wait for room for queue_timeout, behind all others.
        """
        if self._closing or site not in self._shared:
            return NOTHING
        more = self._room.more
        asked = False
        orders: list[Order] = []
        for key in self.keys(site):
            record = self._sites.by_name.get(key)
            self._fleet.rouse(key, now, orders)
            if record is not None and (record.server or record.waiters or now < record.until):
                continue
            if key in self._keeping:
                asked |= self._keeping.rests(key) and self._keeping.ask(key, now, now)
            elif more.get(key, now) <= now:
                more[key] = now + self._sites.limits_of(key).queue_timeout
                asked = True
        return self._fill(now, orders) if asked else orders or NOTHING

    def _awaited(self, members: Members, now: float) -> str:
        """The server of a site to wait for, of which none is READY."""
        records = [(key, self._sites.by_name.get(key)) for key in members.keys]
        starting = [key for key, record in records if record is not None and record.server]
        waited = [key for key, record in records if record is not None and record.waiters]
        rested = [key for key, record in records if record is None or now >= record.until]
        return next(iter(starting + waited + rested), members.keys[0])

    def _take_over(self, server: Server, now: float, orders: list[Order]) -> None:
        """Have those served who wait for another server of a site, now that one is READY."""
        for key in self.keys(first_of(server.site)):
            record = self._sites.by_name.get(key)
            if record is None or key == server.site or not record.waiters:
                continue
            for waiter in list(record.waiters):
                self._grant(waiter, server, now, orders)
            if record.server is None:
                self._sites.forget(record)
            elif record.server.state is State.STARTING and not record.server.leases:
                self._fleet.spare(record.server)
