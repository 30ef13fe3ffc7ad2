"""One end of the SOCK_SEQPACKET pair between two network processes, on the reactor."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.logger import Logger
from zope.interface import implementer

from luisito.core import handover
from luisito.errors import WireError
from luisito.process.outgoing import Outgoing
from luisito.spawner import channel

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IReactorFDSet
    from twisted.python.failure import Failure

_A_TURN: Final = 64  # messages that are read; then other sites' sockets have their turn


@implementer(IReadWriteDescriptor)
class Pair:
    """Sends and receives messages in order; nothing in it ever waits.

    Args:
        reactor: where to wait.
        sock: the end, non-blocking; owned by this from now on.
        received: called with each message and the descriptors beside it. Those that it takes out of
            the list are its own; the others are closed. It may raise WireError.
        lost: called once when the other end has gone, after the last of its messages; not when this
            one was closed.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorFDSet,
        sock: socket.socket,
        received: Callable[[bytes, list[int]], None],
        lost: Callable[[], None],
    ) -> None:
        self._reactor, self._sock = reactor, sock
        self._received, self._lost = received, lost
        self._outgoing = Outgoing(sock)
        self._open = True
        self._reading = False
        self._flushed: Deferred[None] | None = None
        self.go_on()

    def send(
        self, message: handover.Told | handover.Reply, descriptors: Sequence[int] = ()
    ) -> None:
        """Sends a message, now or later; the descriptors stay the caller's."""
        if not self._open:
            return
        if self._outgoing.send(handover.encode(message), tuple(descriptors)):
            self._reactor.addWriter(self)

    def flush(self) -> Deferred[None]:
        """Called back once all has been sent, or never will be; asked for once."""
        flushed: Deferred[None] = Deferred()
        self._flushed = flushed
        self._look()
        return flushed

    def _look(self) -> None:
        if self._flushed is not None and not self._outgoing:
            flushed, self._flushed = self._flushed, None
            flushed.callback(None)

    @property
    def is_open(self) -> bool:
        """Neither end has been closed, as far as is known."""
        return self._open

    @property
    def hung_up(self) -> bool:
        """The other end has gone, whatever it has said is still to be read."""
        if not self._open:
            return False
        poller = select.poll()
        poller.register(self._sock, 0)
        return bool(poller.poll(0))

    def pause(self) -> None:
        """Receives nothing more until `go_on`; messages wait in the kernel."""
        if self._reading:
            self._reading = False
            self._reactor.removeReader(self)

    def go_on(self) -> None:
        """Receives messages."""
        if self._open and not self._reading:
            self._reading = True
            self._reactor.addReader(self)

    def close(self) -> None:
        """Ends it; what has not been sent yet never will be."""
        if not self._open:
            return
        self._open = False
        # Unregister before closing: a closed descriptor cannot be found in epoll any more.
        self.pause()
        self._reactor.removeWriter(self)
        self._sock.close()
        self._outgoing.clear()
        self._look()

    # -- for the reactor

    def fileno(self) -> int:
        """See IFileDescriptor."""
        return self._sock.fileno()

    def logPrefix(self) -> str:
        """See ILoggingContext."""
        return "succession"

    def doWrite(self) -> None:
        """See IWriteDescriptor."""
        if self._outgoing.flush():
            self._reactor.removeWriter(self)
        self._look()

    def doRead(self) -> None:
        """See IReadDescriptor."""
        for _ in range(_A_TURN):
            if not self._reading:
                return
            try:
                data, descriptors = channel.receive(self._sock)
            except BlockingIOError:
                return
            except ConnectionResetError:
                # It went with messages of ours unread, which is said before its own last ones.
                continue
            except WireError as error:
                self._log.error("from the other network process: {error}", error=error)
                continue
            if not data:
                self._end()
                return
            self._receive(data, descriptors)

    def connectionLost(self, reason: Failure) -> None:
        """See IFileDescriptor."""
        del reason
        self._end()

    def _receive(self, data: bytes, descriptors: list[int]) -> None:
        try:
            self._received(data, descriptors)
        except WireError as error:
            self._log.error("from the other network process: {error}", error=error)
        except Exception:  # noqa: BLE001 - one message's fault must not cost the others
            self._log.failure("a message of the other network process could not be dealt with")
        finally:
            channel.close(descriptors)

    def _end(self) -> None:
        if self._open:
            self.close()
            self._lost()
