"""A reactor that is turned by hand, and the far ends of connections."""

import fcntl
import os
import socket
import struct
import termios
import time
from collections.abc import Callable

from twisted.internet.epollreactor import EPollReactor

from luisito.net.switchboard import Switchboard

ABORT = struct.pack("ii", 1, 0)


def descriptors() -> dict[str, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            pass  # that of the listing itself
    return found


class Far:
    """The far end of a connection: a client, or an app server.

    Attributes:
        got: all that came in.
        ended: the end came, cleanly.
        reset: the connection was aborted.
        reading: it takes what comes in.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.got = bytearray()
        self.count = 0
        self.ended = self.reset = False
        self.reading = True
        self.keeps = True
        self._out = memoryview(b"")
        self._shut = False

    @property
    def over(self) -> bool:
        return self.ended or self.reset

    @property
    def left(self) -> int:
        """Bytes that are still to be sent."""
        return len(self._out)

    @property
    def sent(self) -> bool:
        """All that was to be sent has been taken by the connection."""
        return not self._out

    def send(self, data: bytes) -> None:
        self._out = memoryview(bytes(self._out) + data if self._out else data)
        self.poll()

    def end(self) -> None:
        self._shut = True
        self.poll()

    def close(self) -> None:
        self.sock.close()
        self.reading = False
        self.drop()

    def abort(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        self.close()

    def take(self) -> bytes:
        """What came in since the last time."""
        return self.cut(len(self.got))

    def cut(self, count: int) -> bytes:
        """Takes the first bytes of what came in."""
        got = bytes(self.got[:count])
        del self.got[:count]
        return got

    def drop(self) -> None:
        """Sends no more of what it has not sent yet."""
        self._out = memoryview(b"")

    def poll(self, limit: int = 1 << 22) -> None:
        if self.sock.fileno() < 0:
            return
        try:
            while self._out:
                self._out = self._out[self.sock.send(self._out[:262144]) :]
            if self._shut:
                self._shut = False
                self.sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            self.drop()
        try:
            while self.reading and not self.over and limit > 0:
                data = self.sock.recv(min(limit, 262144))
                self.ended = not data
                limit -= len(data)
                self.count += len(data)
                if self.keeps:
                    self.got += data
        except BlockingIOError:
            pass
        except ConnectionResetError:
            self.reset = True

    @property
    def waiting(self) -> int:
        """Bytes that came in and were not read."""
        return struct.unpack("i", fcntl.ioctl(self.sock.fileno(), termios.FIONREAD, b"\0" * 4))[0]


class Turns:
    """A reactor that is neither installed nor running, its Switchboard and the far ends."""

    def __init__(self) -> None:
        self.reactor = EPollReactor()
        self._wakers = set(self.reactor._internalReaders)
        self.board = Switchboard(self.reactor, turn=0)
        self.fars: list[Far] = []

    def far(self, sock: socket.socket) -> Far:
        far = Far(sock)
        self.fars.append(far)
        return far

    def turn(self, delay: float = 0) -> None:
        self.reactor.iterate(delay)
        for far in self.fars:
            far.poll()

    def settle(self, turns: int = 12) -> None:
        """Until all that is under way has arrived: loopback delivers at once."""
        for _ in range(turns):
            self.turn()

    def until(self, condition: Callable[[], object], seconds: float = 5) -> None:
        end = time.monotonic() + seconds
        turns = 0
        while not condition():
            turns += 1
            if turns > 50:
                assert time.monotonic() < end, f"it did not happen in time: {self.fars!r}"
            self.turn(0 if turns < 50 else 0.001)

    def close(self) -> None:
        for far in self.fars:
            far.sock.close()
        self.settle(3)
        self.board.close()
        left = self.reactor.removeAll()
        calls = self.reactor.getDelayedCalls()
        self.reactor._poller.close()
        for waker in self._wakers:
            waker.connectionLost(None)
        assert left == []
        assert calls == []


def tcp_pair(buffer: int | None = None) -> tuple[socket.socket, socket.socket]:
    """Two ends of a loopback connection: ours, and the far one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.socket()
        if buffer is not None:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            # on the loopback interface a segment would be larger than such a window
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
        far.connect(listener.getsockname())
        ours, _ = listener.accept()
    if buffer is not None:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    for sock in (ours, far):
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ours, far


def unix_pair(buffer: int | None = None) -> tuple[socket.socket, socket.socket]:
    ours, far = socket.socketpair()
    if buffer is not None:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    ours.setblocking(False)
    far.setblocking(False)
    return ours, far
