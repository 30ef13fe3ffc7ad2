"""Reads what an app server says of itself on its NOTIFY_SOCKET (sd_notify(3))."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from luisito.net.switchboard import IN
from luisito.readiness.credentials import ROOM, sender_uid

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from luisito.net.switchboard import Switchboard

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


class NotifyReader:
    """Reads one server's datagram socket, and owns it from then on.

    Args:
        clock: the reactor, for its time.
        board: where the socket is registered. There is one for each server that lives, so that the
            reactor, which is asked for all of its readers again and again, is no place for it.
        sock: a bound datagram socket; SO_PASSCRED is set on it here too.
        on_state: called with each message from the expected user.
    """

    def __init__(
        self,
        clock: IReactorTime,
        board: Switchboard,
        sock: socket.socket,
        on_state: Callable[[dict[str, str]], None],
    ) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._clock = clock
        self._board = board
        self._socket = sock
        self._on_state = on_state
        self._uid: int | None = None
        self._left = _BURST
        self._window_end = 0.0
        self._pause: IDelayedCall | None = None
        self._registered = False
        self._is_open = True

    def start(self, uid: int) -> None:
        """Begins to read, and believes this user alone; until then messages wait in the kernel."""
        self._uid = uid
        if self._pause is None and self._is_open:
            self._register()

    def close(self) -> None:
        """Stops reading and closes the socket; a second time does nothing."""
        if not self._is_open:
            return
        self._is_open = False
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        # First, since a copy of it that lives in the spawner would fire for ever.
        self._unregister()
        self._socket.close()

    def readable(self) -> None:
        """See Handler: reads some of what has come."""
        now = self._clock.seconds()
        if now >= self._window_end:
            self._window_end = now + _WINDOW
            self._left = _BURST
        for _ in range(_AT_ONCE):
            if not self._left:
                self._unregister()
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
        self._register()

    def _register(self) -> None:
        if not self._registered:
            self._board.register(self._socket.fileno(), self, IN)
            self._registered = True

    def _unregister(self) -> None:
        if self._registered:
            self._board.unregister(self._socket.fileno())
            self._registered = False

    def writable(self) -> None:
        """See Handler."""

    def gone(self) -> None:
        """See Handler: the reactor can do nothing more with the socket."""
        self.close()

    def failed(self) -> None:
        """See Handler."""
        self.close()
