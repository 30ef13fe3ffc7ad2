"""Asks the kernel whose TCP sockets are, over one netlink socket (sock_diag(7))."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

from luisito.errors import LuisitoError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NETLINK_SOCK_DIAG = 4  # linux/netlink.h
_SOCK_DIAG_BY_FAMILY = 20  # linux/sock_diag.h
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_REQUEST = 0x1
_NLM_F_DUMP = 0x300
_TCP_ESTABLISHED = 1  # net/tcp_states.h
_TCP_LISTEN = 10

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port id
_ERROR = struct.Struct("=i")  # struct nlmsgerr, its first field
# struct inet_diag_req_v2: family, protocol, extensions, padding, states; then inet_diag_sockid:
# source port, destination port (both in network order), source, destination, interface, cookie.
_QUERY = struct.Struct("=BBBxI2s2s16s16sI8s")
# struct inet_diag_msg: family, state, timer, retransmits; sockid; expiry, queues, uid, inode.
_FOUND = struct.Struct("=BBxx2s2s16s16sI8sIIIII")
_ANY_COOKIE = b"\xff" * 8  # INET_DIAG_NOCOOKIE
_NO_PORT = bytes(2)
_NO_ADDRESS = bytes(16)
_MAPPED = bytes(10) + b"\xff\xff"
_LOOPBACK_INDEX = 1  # LOOPBACK_IFINDEX, include/net/flow.h: so in every network namespace
_BUFFER = 65536  # bytes; the kernel makes no longer parts of a dump than 32 KiB


class DiagError(LuisitoError):
    """The kernel does not answer sock_diag queries."""


class Listener(NamedTuple):
    """A listening TCP socket.

    Attributes:
        uid: the user who created it.
        inode: the number in the `socket:[inode]` links of /proc/PID/fd.
        address: the address it is bound to, as text.
    """

    uid: int
    inode: int
    address: str


class Diag:
    """One netlink socket, asked synchronously: the kernel answers within the calls.

    Raises:
        DiagError: sock_diag, inet_diag or tcp_diag is missing from the kernel.
    """

    def __init__(self) -> None:
        self._sequence = 0
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_SOCK_DIAG
            )
            # Without tcp_diag a single look-up says ENOENT, just as for a free port: a dump tells.
            self.listeners()
        except OSError as error:
            raise DiagError(
                f"the kernel cannot say who listens on a port ({error.strerror}): "
                "load the modules inet_diag and tcp_diag"
            ) from error

    def close(self) -> None:
        """Closes the netlink socket."""
        self._socket.close()

    def owner(self, address: str, port: int) -> Listener | None:
        """Returns who would get a connection to a loopback address now, or None for nobody.

        The kernel looks it up as it does for a SYN, so its cost does not grow with the number of
        listeners on the machine.

        Args:
            address: "127.0.0.1" or "::1".
            port: 1 to 65535.

        Raises:
            OSError: the kernel did not answer.
        """
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        packed = socket.inet_pton(family, address).ljust(16, b"\0")
        try:
            return next(self._ask(family, 0, port, packed))[1]
        except FileNotFoundError:
            return None

    def listeners(self) -> dict[int, list[Listener]]:
        """Returns all listening TCP sockets of this network namespace by port.

        Raises:
            OSError: the kernel did not answer.
        """
        found: dict[int, list[Listener]] = {}
        for family in (socket.AF_INET, socket.AF_INET6):
            for port, listener in self._ask(family, _NLM_F_DUMP, 0, _NO_ADDRESS):
                found.setdefault(port, []).append(listener)
        return found

    def user(self, ours: tuple[str, int], theirs: tuple[str, int]) -> int | None:
        """Returns the user who made the far end of a loopback connection.

        None where no process has that end any more: then it is root's to the kernel (before Linux
        6.17), and another socket may have its port.

        Args:
            ours: address and port of the near end.
            theirs: of the far end.

        Raises:
            OSError: the kernel did not answer.
        """
        first, second = self._connection(ours, theirs), self._connection(ours, theirs)
        if first is None or second is None:
            return None
        # A socket that no process has is without an inode, and never has one again. That there is
        # one the second time means that a process had the socket all the first time.
        return first[0] if first == second and second[1] else None

    def _connection(self, ours: tuple[str, int], theirs: tuple[str, int]) -> tuple[int, int] | None:
        """The user and the inode of the far end, where there is the connection."""
        family = socket.AF_INET6 if ":" in theirs[0] else socket.AF_INET
        here, there = (
            (socket.inet_pton(family, address).ljust(16, b"\0"), port.to_bytes(2, "big"))
            for address, port in (ours, theirs)
        )
        query = (1 << _TCP_ESTABLISHED, there[1], here[1], there[0], here[0], _LOOPBACK_INDEX)
        try:
            data, at = next(self._exchange(family, 0, *query))
        except FileNotFoundError:
            return None
        _, _, source, port, _, far, _, _, _, _, _, uid, inode = _FOUND.unpack_from(data, at)
        # Where there is no such connection, it may be a listener on the port of the far end. One
        # of IPv4 may have been made with a socket of IPv6 (RFC 4291 section 2.5.5.2).
        ends = (source, port, far.removeprefix(_MAPPED).ljust(16, b"\0"))
        return (uid, inode) if ends == (there[1], here[1], here[0]) else None

    def _ask(
        self, family: int, flags: int, port: int, source: bytes
    ) -> Iterator[tuple[int, Listener]]:
        # No connection has port 0 at its far end, so that only a listener can match.
        ends = (port.to_bytes(2, "big"), _NO_PORT, source, source)
        interface = 0 if flags else _LOOPBACK_INDEX
        for data, at in self._exchange(family, flags, 1 << _TCP_LISTEN, *ends, interface):
            yield _read(data, at)

    def _exchange(
        self, family: int, flags: int, *query: int | bytes
    ) -> Iterator[tuple[bytes, int]]:
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        packed = _QUERY.pack(family, socket.IPPROTO_TCP, 0, *query, _ANY_COOKIE)
        header = _HEADER.pack(
            _HEADER.size + len(packed),
            _SOCK_DIAG_BY_FAMILY,
            _NLM_F_REQUEST | flags,
            self._sequence,
            0,
        )
        self._socket.send(header + packed)
        return self._answers()

    def _answers(self) -> Iterator[tuple[bytes, int]]:
        while True:
            data = self._socket.recv(_BUFFER)
            at = 0
            while at + _HEADER.size <= len(data):
                length, kind, _, sequence, _ = _HEADER.unpack_from(data, at)
                body = at + _HEADER.size
                at += (max(length, _HEADER.size) + 3) & ~3
                if sequence != self._sequence:
                    continue  # left over from a query that was given up
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:
                    number = -_ERROR.unpack_from(data, body)[0]
                    raise OSError(number, os.strerror(number))
                yield data, body


def _read(data: bytes, at: int) -> tuple[int, Listener]:
    family, _, port, _, source, _, _, _, _, _, _, uid, inode = _FOUND.unpack_from(data, at)
    packed = source[:4] if family == socket.AF_INET else source
    return int.from_bytes(port, "big"), Listener(uid, inode, socket.inet_ntop(family, packed))
