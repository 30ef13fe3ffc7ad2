"""How many cold starts there would be with other numbers of servers: reuse distances of sites."""

from __future__ import annotations

import heapq
import math
import zlib
from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUTS: Final = (60.0, 300.0, 600.0, 1800.0, 3600.0, 14_400.0, 43_200.0, 86_400.0)
"""Seconds without a request after which a server may be ended, for which that is counted."""

MOST: Final = 8192
"""Sites that are looked at."""

_SPACE: Final = 1 << 32  # of what sites are hashed to
_FEWEST: Final = 1024  # positions of the stack


class _Use:
    """The last use of a site: its position in the order of uses, when, and bytes of its server."""

    __slots__ = ("at", "position", "size")

    def __init__(self, at: float, size: int) -> None:
        self.position, self.at, self.size = 0, at, size


class Reuse:
    """What a pool of any size would have done with the same requests, where the LRU server goes.

    A request finds its site awake if fewer others than there are servers were asked for since its
    last one (Mattson, Gecsei, Slutz and Traiger, Evaluation techniques for storage hierarchies, IBM
    Systems Journal 9, 1970), and, where servers end after `idle`, if that was not longer ago. How
    many others these are is a sum in a Fenwick tree over the order of last uses: O(log n).

    Of more than `most` sites those are looked at whose hash is small, so many as fit, and each
    counts for those that are left out (Waldspurger, Park, Garthwaite and Ahmad, SHARDS, FAST 2015,
    with a fixed size). Set against all requests rather than those looked at, that is SHARDS-adj. It
    is far off for pools of fewer servers than a few times 1 / `rate`.

    Args:
        most: sites that are looked at.
        idle: seconds after which a server that nobody uses is ended; None for never.

    Attributes:
        requests: that were seen.
        rate: the part of sites that is looked at.
    """

    def __init__(self, most: int = MOST, idle: float | None = None) -> None:
        self.requests, self.rate = 0, 1.0
        self._most, self._idle = most, idle
        self._below = _SPACE  # hashes that are looked at
        self._hashes: list[tuple[int, str]] = []  # the largest first, negative
        self._uses: dict[str, _Use] = {}
        self._top: _Use | None = None
        self._began: float | None = None
        self._ended = 0.0
        self._always = 0.0  # requests that find no server in a pool of any size
        self._firsts = 0.0
        self._by_servers: defaultdict[int, float] = defaultdict(float)
        self._by_memory: defaultdict[int, float] = defaultdict(float)
        # of uses whose site was not asked for longer than the timeout before: how many; seconds
        self._gaps = [0.0] * (len(TIMEOUTS) + 1)
        self._gap_seconds = [0.0] * (len(TIMEOUTS) + 1)
        self._clear(_FEWEST)

    @property
    def sites(self) -> float:
        """How many there are."""
        return self._firsts

    @property
    def seconds(self) -> float:
        """From the first request to the last."""
        return 0.0 if self._began is None else self._ended - self._began

    def saw(self, site: str, at: float, size: int = 0) -> None:
        """Note a request.

        Args:
            site: that was asked for.
            at: seconds of a clock that never goes back.
            size: bytes that its server takes.
        """
        self.requests += 1
        if self._began is None:
            self._began = at
        self._ended = at
        use = self._uses.get(site)
        if use is None:
            self._first(site, at, size)
            return
        weight, gap = 1 / self.rate, at - use.at
        use.at = at
        slot = bisect_left(TIMEOUTS, gap)
        self._gaps[slot] += weight
        self._gap_seconds[slot] += gap * weight
        others, room = 0, size
        if use is not self._top or use.size != size:
            others, room = self._above(use.position)
            room += size
            self._add(use.position, -1, -use.size)
            use.size = size
            self._push(use)
        if self._idle is not None and gap > self._idle:
            self._always += weight
            return
        if self.rate < 1:
            others, room = _coarse(round(others / self.rate)), round(room / self.rate)
        self._by_servers[others] += weight
        self._by_memory[_coarse(room)] += weight

    def since(self, now: float) -> float:
        """Tell how many seconds ago the first request was; 0.0 where there was none."""
        return 0.0 if self._began is None else now - self._began

    def state(self, now: float) -> dict[str, Any]:
        """Tell all that was seen, for JSON and for `resumed`; times are ages of then."""
        return {
            "idle": self._idle,
            "requests": self.requests,
            "below": self._below,
            "began": None if self._began is None else now - self._began,
            "always": self._always,
            "firsts": self._firsts,
            "by_servers": list(self._by_servers.items()),
            "by_memory": list(self._by_memory.items()),
            "gaps": self._gaps,
            "gap_seconds": self._gap_seconds,
            "uses": [
                [site, round(now - use.at, 3), use.size]
                for site, use in sorted(self._uses.items(), key=lambda one: one[1].position)
            ],
        }

    @classmethod
    def resumed(
        cls, state: dict[str, Any], now: float, most: int = MOST, idle: float | None = None
    ) -> Reuse:
        """Go on with what `state` has told, as if no time had passed since.

        While nothing served, nobody could be asked for. What was seen with another `idle` tells
        nothing of this one, and is left out.

        Raises:
            ValueError: it is something else.
        """
        made = cls(most, idle)
        try:
            if state["idle"] != idle:
                return made
            made.requests = int(state["requests"])
            made._below = int(state["below"])
            made._resume(state, now)
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from None
        return made

    def _resume(self, state: dict[str, Any], now: float) -> None:
        self.rate = self._below / _SPACE
        if not 0.0 < self.rate <= 1.0 or len(state["uses"]) > self._most:
            raise ValueError("its sample is none")
        for site, age, size in state["uses"]:
            use = self._uses[str(site)] = _Use(now - float(age), int(size))
            self._push(use)
            heapq.heappush(self._hashes, (-zlib.crc32(site.encode()), site))
        if state["began"] is not None:
            self._began, self._ended = now - float(state["began"]), now
        self._always, self._firsts = float(state["always"]), float(state["firsts"])
        for mine, told in (
            (self._by_servers, state["by_servers"]),
            (self._by_memory, state["by_memory"]),
        ):
            mine.update({int(size): float(count) for size, count in told})
        for gaps, told in ((self._gaps, state["gaps"]), (self._gap_seconds, state["gap_seconds"])):
            if len(told) != len(gaps):
                raise ValueError("its gaps are others")
            gaps[:] = map(float, told)

    def cold(self, servers: int) -> float:
        """Tell how many requests would have had to wait for a start, with so many servers."""
        return self._always + sum(n for others, n in self._by_servers.items() if others >= servers)

    def cold_in(self, memory: int) -> float:
        """Tell how many would have had to, with so many bytes; within 1 % of these."""
        return self._always + sum(n for room, n in self._by_memory.items() if room > memory)

    def curve(self) -> list[tuple[int, float]]:
        """Tell all numbers of servers from which on there are fewer cold starts, and these."""
        return self._falling({others + 1: n for others, n in self._by_servers.items()})

    def curve_in(self) -> list[tuple[int, float]]:
        """Tell the same of bytes."""
        return self._falling(self._by_memory)

    def kept(self) -> list[tuple[float, float, float]]:
        """Tell what came of it if there were room for all, and servers ended after a while unused.

        Returns:
            For each of TIMEOUTS, seconds: the cold starts, and how many servers there were on
            average.
        """
        found, seconds = list[tuple[float, float, float]](), self.seconds
        for number, timeout in enumerate(TIMEOUTS):
            late = math.fsum(self._gaps[number + 1 :])
            awake = math.fsum(self._gap_seconds[: number + 1]) + late * timeout
            awake += (
                sum(min(timeout, self._ended - use.at) for use in self._uses.values()) / self.rate
            )
            found.append((timeout, self._firsts + late, awake / seconds if seconds else 0.0))
        return found

    def _falling(self, counts: dict[int, float]) -> list[tuple[int, float]]:
        left = self._always + math.fsum(counts.values())
        points = []
        for size, count in sorted(counts.items()):
            left -= count
            points.append((size, max(left, self._always)))
        return points

    # Which sites are looked at

    def _first(self, site: str, at: float, size: int) -> None:
        hashed = zlib.crc32(site.encode())
        if hashed >= self._below:
            return
        self._always += 1 / self.rate
        self._firsts += 1 / self.rate
        use = self._uses[site] = _Use(at, size)
        self._push(use)
        heapq.heappush(self._hashes, (-hashed, site))
        while len(self._uses) > self._most:
            self._thin()

    def _thin(self) -> None:
        self._below = -self._hashes[0][0]
        self.rate = self._below / _SPACE
        while self._hashes and -self._hashes[0][0] >= self._below:
            use = self._uses.pop(heapq.heappop(self._hashes)[1])
            self._add(use.position, -1, -use.size)
            if use is self._top:
                self._top = None

    # The order of uses

    def _push(self, use: _Use) -> None:
        self._last += 1
        if self._last == len(self._counts):
            self._renumber(use)
        use.position = self._last
        self._add(self._last, 1, use.size)
        self._top = use

    def _renumber(self, new: _Use) -> None:
        """Take the gaps out of the order, without the use that is to be the last."""
        uses = sorted(self._uses.values(), key=lambda use: use.position)
        self._clear(max(_FEWEST, 2 * len(uses)))
        for use in uses:
            if use is not new:
                self._last += 1
                use.position = self._last
                self._add(self._last, 1, use.size)
        self._last += 1

    def _clear(self, positions: int) -> None:
        self._counts, self._sizes = [0] * (positions + 2), [0] * (positions + 2)
        self._last = self._sum = self._whole = 0

    def _add(self, position: int, count: int, size: int) -> None:
        counts, sizes = self._counts, self._sizes
        self._sum += count
        self._whole += size
        while position < len(counts):
            counts[position] += count
            sizes[position] += size
            position += position & -position

    def _above(self, position: int) -> tuple[int, int]:
        """How many sites were used since, and the bytes of their servers."""
        counts, sizes = self._counts, self._sizes
        others, room = self._sum, self._whole
        while position:
            others -= counts[position]
            room -= sizes[position]
            position &= position - 1
        return others, room


def _coarse(number: int) -> int:
    """The number, or one that is a little larger: there are a few thousand of them."""
    shift = max(0, number.bit_length() - 8)
    return -(-number >> shift) << shift


def at_size(curve: Sequence[tuple[int, float]], size: int, none: float) -> float:
    """Tell the cold starts at a size, by what `curve` or `curve_in` told; `none` below all."""
    number = bisect_left(curve, (size + 1, -math.inf))
    return curve[number - 1][1] if number else none
