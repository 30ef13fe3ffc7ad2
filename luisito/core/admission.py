"""Who may have a connection: how many there are in all, and of each address."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Final

from luisito.core.addresses import address

OF_A_CLIENT: Final = 4
"""Descriptors that a client takes, at most: its own, that of the connection to its app server, and
two of a pipe, through which long bodies go."""
OF_A_SERVER: Final = 8
"""Descriptors that an app server takes, at most: its sockets, its output and the file for that."""
OF_OURS: Final = 200
"""Descriptors that neither clients nor servers take: the control socket's connections (112), pipes
that are kept for reuse (32), logs, listeners, what Python itself opens."""
OF_THE_PAGE: Final = 200
"""Descriptors that ADMIN_LISTEN takes, where it is set: its connections (192)."""


def most_clients(files: int, servers: int, *, page: bool) -> int:
    """How many clients a limit on open files has room for; at least 1.

    Args:
        files: the limit (RLIMIT_NOFILE).
        servers: how many app servers there may be at a time.
        page: ADMIN_LISTEN is set.
    """
    return max(1, (files - files_for(0, servers, page=page)) // OF_A_CLIENT)


def files_for(clients: int, servers: int, *, page: bool) -> int:
    """The limit on open files that so many clients need."""
    ours = OF_OURS + OF_THE_PAGE * page
    return clients * OF_A_CLIENT + ours + OF_A_SERVER * servers


def place_of(peer: bytes) -> bytes:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 address.

    Whoever has one IPv6 address has 2**64 of them (RFC 6177).

    Args:
        peer: the address as text, as the kernel gives it.

    Raises:
        ValueError: it looks like an IPv6 address, and is none.
    """
    if b":" not in peer:
        return peer
    found = address(peer.decode())
    return str(found).encode() if isinstance(found, IPv4Address) else found.packed[:8]


class Admission:
    """Counts connections.

    Args:
        most: of all together.
        each: of one place (`place_of`).

    Attributes:
        open: how many there are.
    """

    __slots__ = ("_at", "_each", "_most", "open")

    def __init__(self, most: float, each: float) -> None:
        self._most, self._each = most, each
        self._at: dict[bytes, int] = {}
        self.open = 0

    def is_full(self) -> bool:
        """There are as many as there may be."""
        return self.open >= self._most

    def admits(self, place: bytes | None) -> bool:
        """Whether a place may have one more; None may always."""
        return place is None or self._at.get(place, 0) < self._each

    def enter(self, place: bytes | None) -> None:
        """One more is open, whether there should be or not."""
        self.open += 1
        if place is not None:
            self._at[place] = self._at.get(place, 0) + 1

    def leave(self, place: bytes | None) -> None:
        """One that has entered is closed."""
        self.open -= 1
        if place is not None:
            left = self._at.pop(place) - 1
            if left:
                self._at[place] = left
