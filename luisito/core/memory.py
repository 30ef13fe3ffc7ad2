"""How much memory servers take: as measured, or as expected of those that are new."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from luisito.core.lifecycle import Server

FIRST_GUESS: Final = 64 * 1024 * 1024
"""Bytes that a new server is expected to take as long as none has been measured."""

_MOST_SITES: Final = 10_000  # whose last figure is remembered


class Memory:
    """What all servers take, and what a site's next one may be expected to take; in bytes.

    Args:
        limit: that those STARTING, READY and DRAINING are to keep; None is none.

    Attributes:
        limit: the same.
        alive: what these take.
        leaving: what those take that are STOPPING.
        workers: what workers of sites take, which leave so much less for servers.
    """

    __slots__ = ("_of", "_outgrown", "_sizes", "_took", "alive", "leaving", "limit", "workers")

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.alive = self.leaving = self.workers = 0
        self._of: dict[Server, int] = {}
        self._outgrown: set[Server] = set()
        self._took: OrderedDict[str, int] = OrderedDict()  # the site that was weighed last, last
        self._sizes: list[int] = []  # the same figures in order

    # What happens to servers

    def launch(self, server: Server) -> None:
        """Expect of a new server what its site's last one took, or else the median of all sites."""
        self._of[server] = size = self.expected(server.site)
        self.alive += size

    def weigh(self, server: Server, size: int, *, ready: bool, usual: bool = True) -> None:
        """Hear what a server that is no STOPPING one takes.

        One that is not ready yet counts with what is expected of it, until it takes more. Of what
        is not `usual`, its site's next one is not expected.
        """
        server.memory = size
        before = self._of[server]
        now = max(size, 1) if ready else max(size, before)
        self._of[server] = now
        self.alive += now - before
        if ready and usual:
            self.remember([(server.site, now)])

    def expect(self, server: Server) -> None:
        """Note that a server may take at any moment what it, or its site's last one, has taken."""
        more = max(0, self._took.get(server.site, 0) - self._of[server])
        self._of[server] += more
        self.alive += more

    def take_in(self, server: Server, size: int | None, *, ready: bool) -> None:
        """Note what a server of another pool took when it was weighed there, if it was."""
        if size is not None:
            self.weigh(server, size, ready=ready)

    def stop(self, server: Server) -> None:
        """Note that a server is STOPPING."""
        size = self._of[server]
        self.alive -= size
        self.leaving += size

    def remove(self, server: Server, *, stopping: bool) -> None:
        """Note that a server has gone."""
        size = self._of.pop(server)
        self._outgrown.discard(server)
        if stopping:
            self.leaving -= size
        else:
            self.alive -= size

    def clear(self) -> None:
        """Forget all servers, but not what sites took."""
        self._of.clear()
        self._outgrown.clear()
        self.alive = self.leaving = 0

    # Room

    def of(self, server: Server) -> int:
        """Tell what a server counts with."""
        return self._of[server]

    @property
    def over(self) -> bool:
        """Whether the limit is not kept."""
        left = self._left
        return left is not None and self.alive > left

    @property
    def _left(self) -> int | None:
        """What servers may take together; None is any number of bytes."""
        return None if self.limit is None else max(0, self.limit - self.workers)

    def lacks(self, site: str) -> bool:
        """Tell whether something must go before a site's server may start.

        One that is expected to take more than the limit may be alone.
        """
        left = self._left
        return left is not None and self.alive + self._needed(site, left) > left

    def awaits(self, site: str) -> bool:
        """Tell whether that would still be so if those that are STOPPING counted, too."""
        left = self._left
        return left is not None and self.alive + self.leaving + self._needed(site, left) > left

    def spares(self, site: str, share: float) -> bool:
        """Tell whether with a site's server all took no more than a part of the limit."""
        left = self._left
        all_took = self.alive + self.leaving + self.expected(site)
        return left is None or all_took <= left * share

    def outgrown(self, server: Server) -> bool:
        """Tell, once for each server, whether it takes more than the limit by itself."""
        size = server.memory or 0
        if self.limit is None or size <= self.limit or server in self._outgrown:
            return False
        self._outgrown.add(server)
        return True

    def _needed(self, site: str, left: int) -> int:
        return min(self.expected(site), left)

    def expected(self, site: str) -> int:
        """Tell what a server of a site is likely to take."""
        size = self._took.get(site)
        if size is None:
            size = self._sizes[len(self._sizes) // 2] if self._sizes else FIRST_GUESS
        return size

    # Sites

    def took(self) -> list[tuple[str, int]]:
        """What each site's last server took that is remembered, the one weighed last at the end."""
        return list(self._took.items())

    def remember(self, took: Iterable[tuple[str, int]]) -> None:
        """Note what servers of sites take, or took."""
        for site, size in took:
            self.forget(site)
            self._took[site] = size
            insort(self._sizes, size)
            if len(self._took) > _MOST_SITES:
                self.forget(next(iter(self._took)))

    def forget(self, site: str) -> None:
        """Forget what a site's servers took; an unknown one is harmless."""
        size = self._took.pop(site, None)
        if size is not None:
            del self._sizes[bisect_left(self._sizes, size)]
