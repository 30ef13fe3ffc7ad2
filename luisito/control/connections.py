"""Connections to the control socket: who is there, and bounds on how many, how long, how much."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, cast

from twisted.internet.interfaces import IFileDescriptorReceiver
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.http import HTTPChannel
from twisted.web.server import Request, Site
from zope.interface import implementer

from luisito.control.answers import refuse
from luisito.readiness.credentials import peer_uid

if TYPE_CHECKING:
    import socket

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.internet.unix import Server
    from twisted.python.failure import Failure
    from twisted.web.resource import Resource

    from luisito.control.roles import Roles

LIFETIME: Final = 10.0
"""Seconds from a connection to its end, whatever goes on there."""
PER_USER: Final = 16
"""Connections at a time of one user."""
OF_MEMBERS: Final = 64
"""Connections at a time of all together who are no operators."""
MAX_BODY: Final = 4096
"""Bytes of a request's body, for which there is no use yet."""


def _whole(status: bytes, why: bytes) -> bytes:
    """A response of which no request knows."""
    body = b'{"error": "%s"}\n' % why
    return (
        b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
        b"Connection: close\r\n\r\n%s" % (status, len(body), body)
    )


_TOO_LARGE: Final = _whole(b"413 Payload Too Large", b"a body has at most %d bytes" % MAX_BODY)
TOO_MANY: Final = _whole(b"503 Service Unavailable", b"too many connections at a time")


class ControlRequest(Request):
    """A request, with the user it comes from.

    Attributes:
        gone: the client has gone, so that nobody waits for an answer.
    """

    _log = Logger()
    gone = False
    _left = MAX_BODY

    @property
    def uid(self) -> int:
        """Who asks."""
        return self._connection.uid

    @property
    def _connection(self) -> Connection:
        return cast("Connection", self.transport)

    def gotLength(self, length: int | None) -> None:
        """See Request: its head is complete."""
        super().gotLength(0)  # or a long body would go into a file
        if length is not None and length > MAX_BODY:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        """See Request: more of its body, which is thrown away."""
        if self._left >= 0:
            self._left -= len(data)
            if self._left < 0:
                self._refuse()

    def process(self) -> None:
        """See Request: it is complete."""
        if self._left >= 0:
            super().process()

    def connectionLost(self, reason: Failure) -> None:
        """See Request."""
        self.gone = True
        super().connectionLost(reason)

    def processingFailed(self, reason: Failure) -> Failure:
        """See Request; whoever asks learns no more than that the log knows why."""
        self._log.failure("{request} could not be answered", reason, request=self)
        if self.startedWriting:
            self.abort()
        else:
            refuse(self, 500, "this is a fault of Luisito's own: its log says more")
        return reason

    def abort(self) -> None:
        """Ends the connection at once."""
        self._connection.abort()

    def _refuse(self) -> None:
        self._left = -1
        self._connection.write(_TOO_LARGE)
        self._connection.loseConnection()


class _Channel(HTTPChannel):
    """HTTP/1.1 with one request on each connection."""

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        """See HTTPChannel."""
        del version
        request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        return False


class _ControlSite(Site):
    """The factory of the channels; it has no log of its own."""

    # without the choice between HTTP/1.1 and HTTP/2 before it, which is all that the type allows
    protocol = _Channel  # type: ignore[assignment]

    def __init__(
        self, resource: Resource, reactor: IReactorTime, requests: type[ControlRequest]
    ) -> None:
        super().__init__(resource, requests, timeout=None, reactor=reactor)


@implementer(IFileDescriptorReceiver)
class Connection(ProtocolWrapper):
    """One connection, whose time has an end.

    Attributes:
        uid: the user at the other end.
    """

    factory: Connections
    _server: Server
    _end: IDelayedCall

    def makeConnection(self, transport: Server) -> None:
        """See IProtocol."""
        self._server = transport
        self.uid = self.factory.whose(transport.getHandle())
        self._end = self.factory.clock.callLater(LIFETIME, self.abort)
        super().makeConnection(transport)

    def abort(self) -> None:
        """Ends it at once."""
        self._server.abortConnection()

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """See IFileDescriptorReceiver: nobody has a use for one here."""
        os.close(descriptor)
        self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See IProtocol."""
        if self._end.active():
            self._end.cancel()
        super().connectionLost(reason)


class Connections(WrappingFactory):
    """All connections.

    Args:
        clock: for their ends.
        resource: what they speak to.
        roles: who is an operator.
    """

    protocol = Connection
    requests = ControlRequest

    def __init__(self, clock: IReactorTime, resource: Resource, roles: Roles) -> None:
        super().__init__(_ControlSite(resource, clock, self.requests))
        self.clock = clock
        self._is_operator = roles.is_operator

    def whose(self, sock: socket.socket) -> int:
        """The user at the other end.

        Raises:
            OSError: it has gone.
        """
        return peer_uid(sock)

    def welcomes(self, sock: socket.socket) -> bool:
        """Whether whoever is at the other end may have one more connection.

        Raises:
            OSError: it has gone.
        """
        return self.admits(self.whose(sock))

    def admits(self, uid: int) -> bool:
        """Whether a user may have one more connection; operators always find room beside others."""
        uids = [connection.uid for connection in self.protocols]
        if uids.count(uid) >= PER_USER:
            return False
        return (
            self._is_operator(uid) or sum(not self._is_operator(one) for one in uids) < OF_MEMBERS
        )

    def abort(self) -> None:
        """Ends all."""
        for connection in list(self.protocols):
            connection.abort()
