"""Reads what an app server says of itself on its NOTIFY_SOCKET (sd_notify(3))."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

from luisito.readiness.credentials import ROOM, sender_uid

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IReactorTime
    from twisted.python.failure import Failure

_MAX_MESSAGE = 4096  # bytes
_AT_ONCE = 8  # datagrams read before the reactor goes on
_BURST = 64  # datagrams read in a window; then the sender has to wait, and not the other sites
_WINDOW = 1.0  # seconds


def parse(message: bytes) -> dict[str, str] | None:
    """Returns the assignments of a message (`READY=1`), or None where it is not made of them."""
    try:
        lines = message.decode().split("\n")
    except UnicodeDecodeError:
        return None
    state = {}
    for line in lines:
        name, equals, value = line.partition("=")
        if equals and name:
            state[name] = value
        elif line:
            return None
    return state or None


@implementer(IReadDescriptor)
class NotifyReader:
    """Reads one server's datagram socket, and owns it from then on.

    Args:
        clock: the reactor, for its time.
        readers: where the socket is read.
        sock: a bound datagram socket; SO_PASSCRED is set on it here too.
        on_state: called with each message from the expected user.
    """

    def __init__(
        self,
        clock: IReactorTime,
        readers: IReactorFDSet,
        sock: socket.socket,
        on_state: Callable[[dict[str, str]], None],
    ) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._clock = clock
        self._readers = readers
        self._socket = sock
        self._on_state = on_state
        self._uid: int | None = None
        self._left = _BURST
        self._window_end = 0.0
        self._pause: IDelayedCall | None = None
        self._is_open = True

    def start(self, uid: int) -> None:
        """Begins to read, and believes this user alone; until then messages wait in the kernel."""
        self._uid = uid
        if self._pause is None and self._is_open:
            self._readers.addReader(self)

    def close(self) -> None:
        """Stops reading and closes the socket; a second time does nothing."""
        if not self._is_open:
            return
        self._is_open = False
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        # First, since a copy of it that lives in the spawner would fire for ever.
        self._readers.removeReader(self)
        self._socket.close()

    def doRead(self) -> None:
        """Reads some of what has come."""
        now = self._clock.seconds()
        if now >= self._window_end:
            self._window_end = now + _WINDOW
            self._left = _BURST
        for _ in range(_AT_ONCE):
            if not self._left:
                self._readers.removeReader(self)
                self._pause = self._clock.callLater(self._window_end - now, self._resume)
                return
            try:
                message, ancillary, flags, _ = self._socket.recvmsg(
                    _MAX_MESSAGE, ROOM, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            self._left -= 1
            if flags & socket.MSG_TRUNC or sender_uid(ancillary) != self._uid:
                continue
            state = parse(message)
            if state is not None:
                self._on_state(state)
                if not self._is_open:
                    return

    def _resume(self) -> None:
        self._pause = None
        self._readers.addReader(self)

    def fileno(self) -> int:
        """Returns the descriptor, for the reactor."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """Returns the name for the reactor's log."""
        return "notify"

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002 - the reactor's signature
        """The reactor gives the socket up."""
        self.close()
