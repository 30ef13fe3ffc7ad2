"""The control socket in the file system, and those who come in by it or by another one."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

from luisito.control.connections import TOO_MANY
from luisito.errors import SettingsError
from luisito.spawner.channel import refuse_descriptors

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorSocket
    from twisted.python.failure import Failure

    from luisito.control.connections import Connections
    from luisito.net.switchboard import Switchboard

_BACKLOG: Final = 128
_ACCEPTS: Final = 16
_PAUSE: Final = 0.1


def bind(path: str, kept: int | None = None) -> socket.socket:
    """Makes the socket, which every user may connect to.

    Nobody else uses its folder, so that what is left there under its name is of no use any more.

    Args:
        path: where.
        kept: it, where another process has made it; owned by what is returned.

    Raises:
        SettingsError: that is not possible.
    """
    if kept is not None:
        return socket.socket(fileno=kept)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        sock.bind(path)
        os.chmod(path, 0o666)  # noqa: S103 - who they are is asked of the kernel
        refuse_descriptors(sock)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise SettingsError(
            f"RUNTIME_DIR = {os.path.dirname(path)!r}: the control socket cannot be made there:"
            f" {error.strerror or error}"
        ) from None
    return sock


@implementer(IReadDescriptor)
class Door:
    """Accepts connections and hands them to Twisted, as long as there is room.

    Args:
        reactor: whose the connections are.
        board: where the listening socket is watched.
        sock: it.
        connections: the factory.
        name: of it, for the log.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorSocket,
        board: Switchboard,
        sock: socket.socket,
        connections: Connections,
        name: str = "the control socket",
    ) -> None:
        self._reactor, self._board, self._socket = reactor, board, sock
        self._connections, self._name = connections, name
        self._resume: IDelayedCall | None = None
        self._closed = False

    def open(self) -> None:
        """Begins to accept."""
        self._board.addReader(self)

    def close(self) -> None:
        """Ends all connections; its file is the spawner's to remove."""
        if self._closed:
            return
        self._closed = True
        if self._resume is not None:
            self._resume.cancel()
        self._board.removeReader(self)
        self._socket.close()
        self._connections.abort()

    def fileno(self) -> int:
        """See IFileDescriptor."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """See ILoggingContext."""
        return "control"

    def connectionLost(self, reason: Failure) -> None:
        """See IFileDescriptor: the reactor is stopping."""

    def doRead(self) -> None:
        """See IReadDescriptor: somebody is there."""
        for _ in range(_ACCEPTS):
            try:
                sock, _address = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._pause(error)
                return
            with sock:
                self._let_in(sock)

    def _let_in(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        try:
            if self._connections.welcomes(sock):
                # Twisted works with a copy. A WrappingFactory is for both ends, whatever its type.
                self._reactor.adoptStreamConnection(
                    sock.fileno(),
                    sock.family,
                    self._connections,  # type: ignore[arg-type]
                )
            else:
                sock.send(TOO_MANY)
        except OSError:
            pass  # it has gone, or there is no descriptor for the copy: it finds its end
        except Exception:  # noqa: BLE001 - the reactor would throw the door out, with all to come
            self._log.failure("Unhandled error on a new connection")

    def _pause(self, error: OSError) -> None:
        self._log.warn(
            "Cannot accept a connection to {name}: {error}; trying again in {pause} s",
            name=self._name,
            error=error,
            pause=_PAUSE,
        )
        self._board.removeReader(self)
        self._resume = self._board.callLater(_PAUSE, self._go_on)

    def _go_on(self) -> None:
        self._resume = None
        self._board.addReader(self)
