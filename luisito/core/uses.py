"""How often each site is used in the long run: counted from its servers, and told to others."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from luisito.core.members import first_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from luisito.core.lifecycle import Server

HALF_LIFE: Final = 86_400.0
"""Seconds after which a use counts half."""
VISIT: Final = 60.0
"""Seconds within which all uses of a site together count as one."""

_MOST_SITES: Final = 10_000  # whose uses are remembered
_VERSION: Final = 1  # of what `written` writes
_LONGEST: Final = 512 * 1024  # bytes of it


class Used(NamedTuple):
    """A site that was used.

    Attributes:
        site: its key.
        uses: as they count now.
        memory: what its server took when it was weighed last, in bytes; None where it never was.
    """

    site: str
    uses: float
    memory: int | None = None


class Uses:
    """The uses of sites, each of which counts half after HALF_LIFE.

    That a visit of many requests looks like no habit, each use counts for the time since the one
    before, and not more than for VISIT.

    The pool's warm path does not call this class: what a server has been used for is counted when
    somebody wants to know, and when it goes.

    Attributes:
        changes: how often uses were counted.
    """

    __slots__ = ("_seen", "_uses", "changes")

    def __init__(self) -> None:
        self.changes = 0
        self._seen: dict[Server, int] = {}  # how many uses of a server have been counted
        # of each site: its uses, and until when those were counted; what was counted last, last
        self._uses: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def rate(self, server: Server, now: float) -> float:
        """Tell how many uses of a server's site there are in a second."""
        return _decayed(self.count(server), now) * math.log(2) / HALF_LIFE

    def leave(self, server: Server) -> None:
        """Forget a server that is no longer READY; its uses count for its site's next one."""
        self.count(server)
        self._seen.pop(server, None)

    def count(self, server: Server) -> tuple[float, float]:
        """Count what a server has been used for since it was counted last.

        When each of these uses was is not known: they are taken to be spread evenly.

        Returns:
            The uses of its site, and as of when.
        """
        uses, at = self._uses.get(server.site, (0.0, -math.inf))
        released = server.released - server.unnoticed
        unseen = released - self._seen.get(server, 0)
        if not unseen:
            return uses, at
        now = max(server.used_at, at)
        since = now - max(at, server.ready_at - VISIT)
        halves = since / HALF_LIFE
        new = min(float(unseen), since / VISIT)
        if halves > 0:
            new *= -math.expm1(-halves * math.log(2)) / (halves * math.log(2))
            uses *= 2 ** ((at - now) / HALF_LIFE)
        self._seen[server] = released
        self._set(server.site, uses + new, now)
        return self._uses[server.site]

    def hottest(self, now: float, most: int) -> list[tuple[str, float]]:
        """Tell which sites are used most, and how much that counts now, the most used one first.

        Several servers of a site count together, by the key of the first.
        """
        of: dict[str, float] = {}
        for key, counted in self._uses.items():
            site = first_of(key)
            of[site] = of.get(site, 0.0) + _decayed(counted, now)
        return sorted(of.items(), key=lambda one: (-one[1], one[0]))[:most]

    def remember(self, uses: Iterable[tuple[str, float]], now: float) -> None:
        """Take over what was counted elsewhere, as if that were now.

        A use from now on counts whole, and one that was counted there twice, but not more than one.
        """
        for site, count in uses:
            self._set(site, count * 2 ** (VISIT / HALF_LIFE), now - VISIT)

    def _set(self, site: str, uses: float, at: float) -> None:
        self.changes += 1
        self._uses[site] = uses, at
        self._uses.move_to_end(site)
        if len(self._uses) > _MOST_SITES:
            self._uses.popitem(last=False)


def _decayed(counted: tuple[float, float], now: float) -> float:
    uses, at = counted
    return uses * 2 ** ((at - now) / HALF_LIFE) if uses else 0.0


def written(used: Iterable[Used]) -> bytes:
    """Write uses for a later Luisito, the first ones where it would be too long; see `read`."""
    rows, size = list[str](), 0
    for one in used:
        row = json.dumps([one.site, round(one.uses, 4), one.memory])
        size += len(row) + 2
        if size > _LONGEST:
            break
        rows.append(row)
    text = ",\n".join(rows)
    return f'{{"version": {_VERSION}, "sites": [\n{text}\n]}}\n'.encode("ascii")


def read(data: bytes) -> list[Used]:
    """Read what `written` has written.

    Times are not in it: while nothing served nobody could be used, and a wall clock may jump.

    Raises:
        ValueError: it is something else.
    """
    try:
        found = json.loads(data)
        if found["version"] != _VERSION:
            raise ValueError(f"its version is {found['version']!r}")
        return [_used(*row) for row in found["sites"]]
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _used(site: object, uses: object, memory: object) -> Used:
    if not isinstance(site, str) or not isinstance(uses, (int, float)) or not 0 <= uses < math.inf:
        raise ValueError(f"a site is wrong: {site!r}, {uses!r}")
    if memory is not None and not (isinstance(memory, int) and memory >= 0):
        raise ValueError(f"the memory of {site} is wrong: {memory!r}")
    return Used(site, float(uses), memory)
