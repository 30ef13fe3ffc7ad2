"""Facts on their way to the network process, which may be slow to read them."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

from luisito.core import wire
from luisito.spawner import channel

if TYPE_CHECKING:
    import socket

    from luisito.core.wire import Fact

_FULL = 256  # messages; no more orders are read while so many wait
_FULL_OF_DESCRIPTORS = 16  # likewise; an answer adds three at most


class Outbox:
    """Sends facts in order and never blocks.

    Attributes:
        broken: the other end has gone.
    """

    __slots__ = ("_descriptors", "_sock", "_waiting", "broken")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._waiting: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._descriptors = 0  # copies that wait with them
        self.broken = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether the other end must read before it may order more."""
        return len(self._waiting) >= _FULL or self._descriptors >= _FULL_OF_DESCRIPTORS

    def send(self, fact: Fact, descriptors: tuple[int, ...] = ()) -> None:
        """Send a fact now, or later with copies of its descriptors."""
        if self.broken:
            return
        data = wire.encode(fact)
        if self._waiting or not self._try(data, descriptors):
            self._waiting.append((data, tuple(map(os.dup, descriptors))))
            self._descriptors += len(descriptors)

    def close(self) -> None:
        """Send nothing any more."""
        self.broken = True
        while self._waiting:
            channel.close(list(self._waiting.popleft()[1]))

    def flush(self) -> None:
        """Send what waits, as far as it goes."""
        while self._waiting and self._try(*self._waiting[0]):
            _, descriptors = self._waiting.popleft()
            channel.close(list(descriptors))
            self._descriptors -= len(descriptors)

    def _try(self, data: bytes, descriptors: tuple[int, ...]) -> bool:
        try:
            channel.send(self._sock, data, descriptors)
        except BlockingIOError:
            return False
        except OSError:
            self.broken = True
        return True
