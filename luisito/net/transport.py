"""TransportStream: a Stream over any of Twisted's stream transports (TLS, tests in memory)."""

from __future__ import annotations

import errno
import os
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from zope.interface import implementer

from luisito.net.stream import NOBODY, queued

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from luisito.net.stream import Receiver

_BYTES_ACKED: Final = 120
"""Offset of tcpi_bytes_acked in struct tcp_info (linux/tcp.h)."""


@implementer(IHalfCloseableProtocol, IPushProducer)
class TransportStream(Protocol):
    """A Stream that is also the protocol of a transport.

    The transport keeps what its peer does not take, and says so as to a push producer. Twisted does
    not watch a transport that is paused: a peer that leaves meanwhile is noticed at `resume`.
    """

    transport: Any  # a transport, also with loseWriteConnection, which no one interface has

    def __init__(self, receiver: Receiver, made: Callable[[TransportStream], None]) -> None:
        """Takes who is called back.

        Args:
            receiver: who is called back from the connection on.
            made: called once, when the connection is there.
        """
        self._receiver = receiver
        self._made = made
        self.closed: Callable[[], None] | None = None
        self._full = self._paused = self._ending = self._over = self._registered = False

    # -- called by the owner

    def watch(self, receiver: Receiver) -> None:
        """See Stream."""
        self._receiver = receiver

    @property
    def pending(self) -> bool:
        """See Stream."""
        return self._full

    @property
    def backed_up(self) -> bool:
        """See Stream."""
        return self._full

    def progress(self) -> int:
        """See Stream; always 0 where the transport has no socket."""
        fileno = getattr(self.transport, "fileno", None)
        if fileno is None or self._over:
            return 0
        with socket.socket(fileno=os.dup(fileno())) as sock:
            if sock.family == socket.AF_UNIX:
                return queued(sock.fileno())
            # The transport fills up the kernel's queue unseen, so what was acknowledged counts.
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
            return int.from_bytes(info[_BYTES_ACKED:], sys.byteorder)

    def send(self, data: bytes) -> None:
        """See Stream."""
        if not self._over:
            full = self._full
            self.transport.write(data)
            if full:
                self._receiver.full()

    def pause(self) -> None:
        """See Stream."""
        if not self._paused and not self._over:
            self._paused = True
            self.transport.pauseProducing()

    def resume(self) -> None:
        """See Stream."""
        if self._paused and not self._over:
            self._paused = False
            self.transport.resumeProducing()

    def end(self) -> None:
        """See Stream; a transport that cannot end one direction alone, as TLS, ends both."""
        self._ending = True
        if not self._full and not self._over:
            self._flushed()

    def close(self) -> None:
        """See Stream."""
        if not self._over:
            self._let_go()
            self.transport.loseConnection()

    def abort(self) -> None:
        """See Stream."""
        if not self._over:
            self._let_go()
            self.transport.abortConnection()

    # -- called by the transport, to which we are a producer

    def pauseProducing(self) -> None:
        """See IPushProducer: the transport's buffer is full."""
        if not self._full:
            self._full = True
            self._receiver.full()

    def resumeProducing(self) -> None:
        """See IPushProducer: the transport's buffer is empty."""
        self._full = False
        self._flushed()

    def stopProducing(self) -> None:
        """See IPushProducer: connectionLost says the same."""

    # -- called by the transport, to which we are a protocol

    def connectionMade(self) -> None:
        """See IProtocol."""
        self.transport.registerProducer(self, streaming=True)
        self._registered = True
        self._made(self)

    def dataReceived(self, data: bytes) -> None:
        """See IProtocol."""
        self._receiver.received(data)

    def readConnectionLost(self) -> None:
        """See IHalfCloseableProtocol."""
        self._receiver.ended()

    def writeConnectionLost(self) -> None:
        """See IHalfCloseableProtocol."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See IProtocol."""
        closed, self.closed = self.closed, None
        if closed is not None:
            closed()
        receiver = self._receiver
        self._over = True
        self._receiver = NOBODY
        receiver.lost(ConnectionResetError(errno.ECONNRESET, reason.getErrorMessage()))

    # -- inside

    def _flushed(self) -> None:
        if self._ending:
            self._unregister()
            end = getattr(self.transport, "loseWriteConnection", None)
            if end is None or ISSLTransport.providedBy(self.transport):
                self.transport.loseConnection()
            else:
                end()
        self._receiver.drained()

    def _let_go(self) -> None:
        self._over = True
        self._receiver = NOBODY
        self._unregister()

    def _unregister(self) -> None:
        if self._registered:
            self._registered = False
            self.transport.unregisterProducer()
