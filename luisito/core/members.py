"""Several servers of one site that do the same: their keys, and which of them a request goes to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MOST: Final = 32
"""Servers of one site."""

_MARK: Final = "#"  # stands in no host and in no path of a mount
_number = re.compile(r"[2-9]|[1-9][0-9]").fullmatch


def first_of(key: str) -> str:
    """The key of the first of the servers that one belongs to."""
    return key.partition(_MARK)[0]


def is_further(key: str) -> bool:
    """Whether a key is that of another server than the first one."""
    return _MARK in key


def is_number(mark: str) -> bool:
    """Whether this may stand behind the key of the first one: nothing, or "#" and a number."""
    return not mark or (mark[0] == _MARK and _number(mark[1:]) is not None)


def keys_of(first: str, count: int) -> tuple[str, ...]:
    """The keys of so many servers; the first one has that of the site, or of the mount."""
    return (first, *(f"{first}{_MARK}{number}" for number in range(2, count + 1)))


def each(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The public records of the servers of a site, or of a mount: one where it does not say more.

    They differ in their keys only; workers live with the first.
    """
    yield record
    for key in keys_of(record["site"], record.get("members", 1))[1:]:
        yield {**record, "site": key, "processes": [], "mounts": []}


class Leased(Protocol):
    """A server.

    Attributes:
        leases: what is in flight there.
    """

    leases: int


class Members:
    """The servers of one site.

    Args:
        keys: of them, the first one first.

    Attributes:
        keys: the same.
    """

    __slots__ = ("_turn", "keys")

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = tuple(keys)
        self._turn = 0

    def least_busy(self, ready: Mapping[str, Leased]) -> str | None:
        """The key of the one with the fewest leases; of several such, each in turn.

        Args:
            ready: those that are READY, of all sites.
        """
        keys, least, found = self.keys, -1, -1
        for place in range(self._turn, self._turn + len(keys)):
            server = ready.get(keys[place % len(keys)])
            if server is not None and (found < 0 or server.leases < least):
                least, found = server.leases, place
        if found < 0:
            return None
        self._turn = (found + 1) % len(keys)
        return keys[found % len(keys)]
