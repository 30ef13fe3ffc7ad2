"""Remembers what was read from bytes or text that come again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

K = TypeVar("K", bound="bytes | str")
T = TypeVar("T")


class Memo(Generic[K, T]):
    """A function of bytes or text, with a memory of its results, which must be immutable.

    When full it starts afresh: that costs one reading of each, and needs no order to be kept.

    Args:
        read: the function; what raises an exception is not remembered.
        size: how many results are remembered.
        longest: of what is remembered, in bytes or characters.
    """

    __slots__ = ("_longest", "_read", "_seen", "_size")

    def __init__(self, read: Callable[[K], T], *, size: int, longest: int) -> None:
        self._read = read
        self._seen: dict[K, T] = {}
        self._size, self._longest = size, longest

    def get(self, data: K) -> T:
        """As the function."""
        found = self._seen.get(data)
        if found is None:
            found = self._read(data)
            if len(data) <= self._longest:
                if len(self._seen) >= self._size:
                    self._seen.clear()
                self._seen[data] = found
        return found
