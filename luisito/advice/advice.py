"""What is advised: how many servers, by the cold starts that each number of them would have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from luisito.core.reuse import at_size
from luisito.core.text import mebibytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DAY: Final = 86_400.0
_PARTS: Final = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)  # of those there are, in the table
_NONE: Final = 1.0  # cold starts a day that are not worth a word
_LIKE: Final = 1.05  # so many times as many are about the same
GIGA: Final = 1 << 30
_ROUGH: Final = (
    (3600.0, " (do not rely on it: less than an hour was seen; ask again after some days)"),
    (_DAY, " (roughly: less than a day was seen)"),
)


@dataclass(frozen=True)
class Found:
    """What was seen of requests.

    Attributes:
        now: servers that are allowed.
        seconds: in which it was seen.
        requests: that were seen; of a running pool, uses.
        sites: that were asked for.
        curve: numbers of servers from which on there are fewer cold starts, and these.
        memory_each: bytes that a server takes, on average; None where nobody knows.
    """

    now: int
    seconds: float
    requests: int
    sites: int
    curve: Sequence[tuple[int, float]]
    memory_each: float | None = None

    @classmethod
    def of(
        cls, told: Mapping[str, Any], now: int | None = None, memory_each: float | None = None
    ) -> Found:
        """What a running Luisito tells of itself (GET /advice).

        Args:
            told: it.
            now: servers that are allowed, where another number is meant.
            memory_each: bytes that a server takes, where that is known better.
        """
        return cls(
            now or told["max_servers"],
            told["seconds"],
            told["uses"],
            told["sites"],
            [(size, cold) for size, cold in told["cold_starts"]],
            memory_each or told["memory_each"],
        )

    def a_day(self, servers: int) -> float:
        """Cold starts a day with so many servers."""
        return self._daily(at_size(self.curve, servers, float(self.requests)))

    def _daily(self, number: float) -> float:
        return number * _DAY / max(self.seconds, 1.0)

    @property
    def most(self) -> int:
        """The number of servers from which on more would change nothing."""
        return self.curve[-1][0] if self.curve else 1

    def advised(self) -> int:
        """The number of servers that is advised.

        From those that are allowed up to `most`, that is where the curve is farthest below the
        straight line between its ends: from there on each one more yields less than one does on
        average. Where more would yield nothing, it is the fewest with which it is about the same.
        """
        now, most = self.now, self.most
        here, least = self.a_day(now), self.a_day(most)
        if most <= now or here - least < _NONE:
            enough = max(here * _LIKE, here + _NONE)
            fewer = (n for n, _ in self.curve if n < now and self.a_day(n) <= enough)
            return min(fewer, default=now)

        def gain(servers: int) -> float:
            part = (here - self.a_day(servers)) / (here - least)
            return part - (servers - now) / (most - now)

        return max((n for n, _ in self.curve if n > now), key=gain)

    def rows(self) -> list[tuple[int, float]]:
        """Some numbers of servers, and the cold starts a day with them."""
        some = {max(1, round(self.now * part)) for part in _PARTS}
        kept = {size for size in some if size <= self.most or size <= self.now}
        return [(size, self.a_day(size)) for size in sorted(kept | {self.advised(), self.most})]

    def words(self) -> str:
        """What is advised, in one line."""
        if not self.curve:
            return "no site was asked for twice, so that nothing can be said"
        to, now = self.advised(), self.now
        rough = next((words for least, words in _ROUGH if self.seconds < least), "")
        if to == now:
            return f"{now} servers are right: cold starts {figure(self.a_day(now))} a day{rough}"
        if to < now:
            told = f"{now} servers are enough, and {to} would be: cold starts "
        else:
            told = f"{now} -> {to} servers: cold starts "
        told += f"{figure(self.a_day(now))} -> {figure(self.a_day(to))} a day"
        if self.memory_each is not None:
            sign = "+" if to > now else "-"
            told += f", {sign} {amount(abs(to - now) * self.memory_each)}"
        return told + rough

    def as_dict(self) -> dict[str, object]:
        """The same for programs."""
        each = self.memory_each
        return {
            "words": self.words(),
            "max_servers": self.now,
            "advised": self.advised() if self.curve else None,
            "seconds": self.seconds,
            "requests": self.requests,
            "sites": self.sites,
            "memory_each": None if each is None else round(each),
            "rows": [
                {
                    "servers": size,
                    "memory_bytes": None if each is None else round(size * each),
                    "cold_a_day": round(cold, 3),
                }
                for size, cold in (self.rows() if self.curve else [])
            ],
        }


def amount(size: float) -> str:
    """Bytes for a person."""
    return f"{size / GIGA:.1f} GB" if size >= GIGA else mebibytes(round(size)).replace("MiB", "MB")


def figure(number: float) -> str:
    """A number of cold starts for a person."""
    return f"{number:,.0f}" if number >= 10 or number == 0 else f"{number:.1f}"
