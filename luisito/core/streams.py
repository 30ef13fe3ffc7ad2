"""Which servers are kept from making room by nothing but silent streams."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from luisito.core.lifecycle import Server

GLANCE: Final = 1.0
"""Seconds after which a server is looked at again that has other leases too, or had a moment ago.

They come and go on the warm path, which tells nobody here.
"""


class Streaming(Protocol):
    """A lease that may be silent for long: of an event stream, or of a tunnel."""

    def __hash__(self) -> int: ...

    def active_at(self, now: float) -> float:
        """When a byte last went by in either direction, in seconds as `now`."""


class Streams:
    """The streams of all servers.

    They are asked for their silence only when somebody waits for room and nothing else makes any,
    and then only when one of them can have been silent for long enough.

    Attributes:
        ending: servers whose streams are being ended.
        due: not before this time, in seconds, does `victim` find another one.
    """

    __slots__ = ("_of", "due", "ending")

    def __init__(self) -> None:
        self._of: dict[Server, dict[Streaming, None]] = {}
        self.ending: set[Server] = set()
        self.due = inf

    def begin(self, server: Server, stream: Streaming, now: float) -> None:
        """Note that a lease is of a stream, which was active just now."""
        self._of.setdefault(server, {})[stream] = None
        self.due = min(self.due, now + _stream_idle(server))

    def limit(self, server: Server) -> None:
        """Note that a server's limits are others now."""
        if server in self._of:
            self.due = 0.0

    def end(self, server: Server, stream: Streaming, now: float) -> None:
        """Note that a stream is over, whose lease is released next; an unknown one is harmless."""
        streams = self._of.get(server)
        if streams is not None and stream in streams:
            del streams[stream]
            if not streams:
                del self._of[server]
            self.due = min(self.due, now + GLANCE)

    def forget(self, server: Server) -> None:
        """Note that a server has been told to stop, or has gone."""
        self._of.pop(server, None)
        self.ending.discard(server)

    def give_up(self, server: Server) -> tuple[Streaming, ...]:
        """Note that all streams of a server are to be ended, and tell which they are."""
        self.ending.add(server)
        return tuple(self._of.pop(server))

    def victim(self, now: float) -> Server | None:
        """Tell the least recently active server all of whose leases are streams silent enough."""
        if now < self.due:
            return None
        self.due = inf
        first: tuple[float, int, Server] | None = None
        for server, streams in self._of.items():
            active = max(stream.active_at(now) for stream in streams)
            due = max(active + _stream_idle(server), server.ready_at + server.limits.min_alive)
            if server.leases > len(streams):
                due = max(due, now + GLANCE)
            if due > now:
                self.due = min(self.due, due)
                continue
            rank = (max(active, server.used_at), server.id, server)
            if first is None or rank < first:
                first = rank
        if first is None:
            return None
        self.due = now  # there may be more of them
        return first[2]


def _stream_idle(server: Server) -> float:
    seconds = server.limits.stream_idle
    return inf if seconds is None else seconds
