"""A Stream over a plain socket on the Switchboard."""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, Final

from luisito.net.stream import NOBODY, queued
from luisito.net.switchboard import IN, OUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall

    from luisito.net.splice import Splice
    from luisito.net.stream import Receiver
    from luisito.net.switchboard import Switchboard

READ_SIZE: Final = 32768
"""Bytes of one read: heads are small, and long bodies go by splice."""

_RESET: Final = struct.pack("ii", 1, 0)


class SocketStream:
    """A Stream over a connected, or connecting, non-blocking stream socket."""

    __slots__ = (
        "_board", "_closing", "_connecting", "_ended", "_ending", "_events", "_hung_up", "_out",
        "_pushing", "_reading", "_receiver", "_recv", "_send", "closed", "fd", "pulled_by",
        "pushed_by", "socket", "wrote",
    )  # fmt: skip

    def __init__(
        self,
        board: Switchboard,
        sock: socket.socket,
        receiver: Receiver,
        *,
        connecting: bool = False,
    ) -> None:
        """Begins to receive.

        Args:
            board: where the socket is registered.
            sock: non-blocking; owned by the stream from now on.
            receiver: who is called back.
            connecting: a connect is in progress: what is sent is kept until it is made.
        """
        self._board, self.socket, self._receiver = board, sock, receiver
        self.fd = sock.fileno()
        self.closed: Callable[[], None] | None = None
        self._recv, self._send = sock.recv, sock.send
        self._out: list[bytes | memoryview] = []
        self._connecting = connecting
        self.wrote = False
        self._closing = self._ending = self._ended = self._hung_up = False
        self._reading = True
        # The splices that this stream is the source or the sink of.
        self.pulled_by: Splice | None = None
        self.pushed_by: Splice | None = None
        self._pushing = 0
        self._events = IN | OUT if connecting else IN
        board.register(self.fd, self, self._events)

    def watch(self, receiver: Receiver) -> None:
        """See Stream."""
        self._receiver = receiver

    @property
    def pending(self) -> bool:
        """See Stream."""
        return bool(self._out) or self.pushed_by is not None

    @property
    def backed_up(self) -> bool:
        """See Stream."""
        return bool(self._events & OUT)

    def progress(self) -> int:
        """See Stream."""
        kept = sum(map(len, self._out))
        if self.pushed_by is not None:
            kept += self.pushed_by.in_pipe
        return kept + queued(self.fd)

    # -- called by the Switchboard

    def readable(self) -> None:
        """See Handler."""
        if self.pulled_by is not None:
            self.pulled_by.pull()
            return
        try:
            data = self._recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(error)
            return
        if data:
            self._receiver.received(data)
        elif self._connecting:
            # closed before the connect was seen to be made
            self.fail(ConnectionResetError(errno.ECONNRESET, "closed at once"))
        else:
            self.read_ended()

    def read_ended(self) -> None:
        """The peer has ended its direction."""
        self._ended = True
        self._set()
        self._receiver.ended()

    def writable(self) -> None:
        """See Handler."""
        if self._connecting and not self._connected():
            return
        if self.pushed_by is not None and not self._out:
            self.pushed_by.push()
            return
        out = self._out
        try:
            while out:
                sent = self._send(out[0])
                self.wrote = True
                if sent < len(out[0]):
                    out[0] = memoryview(out[0])[sent:]
                    return
                del out[0]
        except BlockingIOError:
            return
        except OSError:
            self._broken()
            return
        self._set()
        self._flushed()

    def gone(self) -> None:
        """See Handler."""
        if self._connecting and not self._connected():
            return
        if self._reading and not self._ended:
            self.readable()
        elif self._reading or not self._receiver_may_read_on():
            self.fail(ConnectionResetError(errno.ECONNRESET, "the peer has gone"))
        else:
            # Paused: what came before the hang-up is still to be read. It would fire for ever.
            self._hung_up = True
            self._board.unregister(self.fd)

    # -- called by the owner

    def send(self, data: bytes) -> None:
        """See Stream."""
        if self._out or self._connecting:
            self._out.append(data)
            if not self._connecting:
                self._receiver.full()
            return
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._broken()
            return
        self.wrote = True
        if sent < len(data):
            self._out.append(memoryview(data)[sent:])
            self._set()
            self._receiver.full()

    def pause(self) -> None:
        """See Stream."""
        if self._reading:
            self._reading = False
            self._set()

    def resume(self) -> None:
        """See Stream."""
        if not self._reading:
            self._reading = True
            if self._hung_up:
                self._hung_up = False
                self._events = self._wanted()
                self._board.register(self.fd, self, self._events)
            else:
                self._set()

    def end(self) -> None:
        """See Stream."""
        self._ending = True
        if not self._out and not self._connecting:
            self._flushed()

    def close(self) -> None:
        """See Stream."""
        if self._out or self._connecting:
            self._closing = True
            self._receiver = NOBODY
        else:
            self.shut()

    def abort(self) -> None:
        """See Stream."""
        if self.fd >= 0:
            try:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            except OSError:
                pass
            self.shut()

    def detach(self) -> socket.socket:
        """Lets go of the socket, for which nothing is pending, and which the caller owns from now.

        Nothing is called back any more.
        """
        if not self._hung_up:
            self._board.unregister(self.fd)
        self.fd = -1
        self._receiver = NOBODY
        closed, self.closed = self.closed, None
        if closed is not None:
            closed()
        return self.socket

    def shut(self) -> None:
        """Closes the descriptor."""
        if self.fd >= 0:
            sock = self.detach()
            self._out.clear()
            splice, self.pulled_by = self.pulled_by, None
            if splice is not None:
                splice.drop()
            splice, self.pushed_by = self.pushed_by, None
            if splice is not None:
                splice.drop()
            sock.close()

    def want_out(self, wanted: bool) -> None:
        """A splice waits, or no longer waits, for room in this socket."""
        self._pushing = OUT if wanted else 0
        self._set()

    def gather(self, count: int) -> None:
        """Reads no sooner than so many bytes are there, or the end.

        That is SO_RCVLOWAT (socket(7)), which counts for TCP alone.
        """
        if self.fd >= 0:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)

    def keep_unsent(self, count: int) -> None:
        """Has the kernel keep no more than so many bytes beyond what is on its way to the peer.

        That is TCP_NOTSENT_LOWAT (tcp(7)); a unix socket keeps less anyway.
        """
        if self.socket.family != socket.AF_UNIX:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, count)

    def later(self, seconds: float, call: Callable[[], None]) -> IDelayedCall:
        """Calls something by the clock of the reactor."""
        return self._board.callLater(seconds, call)

    # -- inside

    def _wanted(self) -> int:
        reading = self._reading and not self._ended
        writing = self._out or self._connecting
        return (IN if reading else 0) | (OUT if writing else self._pushing)

    def _set(self) -> None:
        events = self._wanted()
        if events != self._events and self.fd >= 0 and not self._hung_up:
            self._events = events
            self._board.modify(self.fd, events)

    def _connected(self) -> bool:
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.fail(OSError(code, "cannot connect"))
            return False
        self._connecting = False
        self.wrote = True
        self._set()
        return True

    def _flushed(self) -> None:
        if self._closing:
            self.shut()
            return
        if self._ending:
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        self._receiver.drained()

    def _broken(self) -> None:
        """Nothing more can be sent.

        What the peer said before it went is still read; the end of that, or the error that stands
        behind it, is what ends the stream.
        """
        self._out.clear()
        if self._closing:
            self.shut()
        else:
            self._set()

    def _receiver_may_read_on(self) -> bool:
        return getattr(self._receiver, "reads_on", False)

    def fail(self, error: OSError) -> None:
        """The connection cannot be used any more: tells the receiver."""
        receiver = self._receiver
        self.shut()
        receiver.lost(error)

    def failed(self) -> None:
        """See Handler."""
        self.fail(OSError(errno.EIO, "an error of our own"))
