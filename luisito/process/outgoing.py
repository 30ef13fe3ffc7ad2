"""Messages for a SOCK_SEQPACKET socket: each goes in its turn, at once or when there is room."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

from luisito.spawner import channel

if TYPE_CHECKING:
    import socket


class Outgoing:
    """What is to be sent; nothing in it ever waits.

    Args:
        sock: non-blocking; its owner's to close.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._waiting: deque[tuple[bytes, tuple[int, ...]]] = deque()

    def __bool__(self) -> bool:
        """Whether something waits for room."""
        return bool(self._waiting)

    def send(self, data: bytes, descriptors: tuple[int, ...] = ()) -> bool:
        """Send a message, now or later; the descriptors stay the caller's.

        Returns:
            Whether it is the first that waits: `flush` is to be called when there is room.

        Raises:
            OSError: it has to wait, and there are no descriptors for that; it is not sent.
        """
        if not self._waiting and self._send(data, descriptors):
            return False
        self._waiting.append((data, _copies(descriptors)))
        return len(self._waiting) == 1

    def flush(self) -> bool:
        """Send what waits, as far as there is room; tell whether that was all."""
        while self._waiting:
            data, descriptors = self._waiting[0]
            if not self._send(data, descriptors):
                return False
            self._waiting.popleft()
            channel.close(list(descriptors))
        return True

    def clear(self) -> None:
        """Give up what waits."""
        for _, descriptors in self._waiting:
            channel.close(list(descriptors))
        self._waiting.clear()

    def _send(self, data: bytes, descriptors: tuple[int, ...]) -> bool:
        try:
            channel.send(self._sock, data, descriptors)
        except BlockingIOError:
            return False
        except OSError:
            pass  # the other end has gone, which is found when its last messages have been read
        return True


def _copies(descriptors: tuple[int, ...]) -> tuple[int, ...]:
    copies: list[int] = []
    try:
        for descriptor in descriptors:
            copies.append(os.dup(descriptor))  # noqa: PERF401 - those made so far are to be closed
    except OSError:
        channel.close(copies)
        raise
    return tuple(copies)
