"""Connections to ADMIN_LISTEN: whose the kernel says they are, and bounds on them."""

from __future__ import annotations

import socket
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from luisito.control.connections import Connection, Connections, ControlRequest
from luisito.control.roles import STRANGER
from luisito.readiness.credentials import peer_uid

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.internet.unix import Server
    from twisted.web.resource import Resource

    from luisito.control.roles import Roles
    from luisito.readiness.diag import Diag

PER_ADDRESS: Final = 32
"""Connections at a time of one user, or of one address where the user is not known."""
OF_STRANGERS: Final = 96
"""Connections at a time of all together who are no operators to the kernel."""


class GuestRequest(ControlRequest):
    """A request, with the user whose rights it has.

    Attributes:
        rights: the user, as far as the kernel says so, until the request is judged.
    """

    rights: int | None = None

    @property
    def uid(self) -> int:
        """See ControlRequest."""
        return self.guest.uid if self.rights is None else self.rights

    @property
    def guest(self) -> Guest:
        """Who sends it."""
        connection = self._connection
        assert isinstance(connection, Guest)  # noqa: S101 - see Guests.protocol
        return connection

    def process(self) -> None:
        """See Request: it is complete."""
        self.guest.idle = False
        super().process()


class Guest(Connection):
    """One connection.

    Attributes:
        address: of the other end; "" for a unix socket.
        idle: it has asked for nothing as yet, and may go for others.
    """

    idle = True

    def makeConnection(self, transport: Server) -> None:
        """See IProtocol."""
        self.address = _address(transport.getHandle())
        super().makeConnection(transport)

    @property
    def who(self) -> str:
        """By which it is counted; see `_called`."""
        return _called(self.uid, self.address)

    def stay(self) -> None:
        """Its time has no end: it is a stream."""
        if self._end.active():
            self._end.cancel()


class Guests(Connections):
    """All connections.

    Args:
        clock: for their ends.
        resource: what they speak to.
        roles: who is an operator.
        diag: asks the kernel.
    """

    protocol = Guest  # type: ignore[assignment]
    requests = GuestRequest

    def __init__(self, clock: IReactorTime, resource: Resource, roles: Roles, diag: Diag) -> None:
        super().__init__(clock, resource, roles)
        self._diag, self._roles = diag, roles

    def whose(self, sock: socket.socket) -> int:
        """See Connections; STRANGER where the kernel does not know."""
        if sock.family == socket.AF_UNIX:
            return peer_uid(sock)
        try:
            ours, theirs = _end(sock.getsockname()), _end(sock.getpeername())
            if not all(ip_address(address).is_loopback for address, _ in (ours, theirs)):
                return STRANGER
            uid = self._diag.user(ours, theirs)
        except OSError:
            return STRANGER  # it has gone, or the kernel does not answer
        return STRANGER if uid is None else uid

    def welcomes(self, sock: socket.socket) -> bool:
        """See Connections; operators find room beside others.

        Of those others one who has asked for nothing yet goes for the next one, who may have the
        token: nobody knows before he asks.
        """
        uid = self.whose(sock)
        who = _called(uid, _address(sock))
        others = [one for one in self.protocols if isinstance(one, Guest)]
        if sum(one.who == who for one in others) >= PER_ADDRESS:
            return False
        is_operator = self._roles.is_operator
        strangers = [one for one in others if not is_operator(one.uid)]
        if is_operator(uid) or len(strangers) < OF_STRANGERS:
            return True
        longest = next((one for one in strangers if one.idle), None)
        if longest is None:
            return False
        longest.idle = False  # it is here until the reactor's next turn
        longest.abort()
        return True


def _end(address: tuple[str, int]) -> tuple[str, int]:
    """As IPv4 has it, where it is one of IPv4 (RFC 4291 section 2.5.5.2)."""
    return address[0].removeprefix("::ffff:").partition("%")[0], address[1]


def _called(uid: int, address: str) -> str:
    """By which one is known: a user, who may have many loopback addresses, or else an address."""
    return address if uid == STRANGER else f"uid {uid}"


def _address(sock: socket.socket) -> str:
    """Where somebody is: an address, or a /64 of IPv6, all of which one client may have."""
    if sock.family == socket.AF_UNIX:
        return ""
    try:
        address = ip_address(_end(sock.getpeername())[0])
    except OSError:
        return "?"  # it has gone
    return str(address if address.version == 4 else ip_network((address, 64), strict=False))
