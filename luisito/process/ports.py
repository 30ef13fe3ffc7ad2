"""Chooses the loopback port of each app server, so that no two starts collide."""

from __future__ import annotations

import errno
import secrets
import socket

from luisito.errors import LuisitoError

_MAX_TESTS = 64  # at some 15 us each: a choice must not hold the reactor


class PortsExhaustedError(LuisitoError):
    """No port can be chosen now: all are held, or others listen on them."""


class Ports:
    """The ports for `%PORT`: each is held by one server until its process is reaped.

    Args:
        low: the first port, 1024 or above.
        high: the last port. The range should lie outside net.ipv4.ip_local_port_range
            (ip(7)), since the kernel takes the ports of outgoing connections from there.
    """

    def __init__(self, low: int = 20000, high: int = 29999) -> None:
        self._low = low
        self._count = high - low + 1
        # From a random place, and round robin: a port that was just freed is used last, so that
        # nobody who still knows it reaches the next server.
        self._next = secrets.randbelow(self._count)
        self._held: set[int] = set()

    def choose(self) -> int:
        """Returns a port that nobody listens on, and holds it.

        Raises:
            PortsExhaustedError: none was found; try again when a server has stopped.
        """
        tests = 0
        for _ in range(self._count):
            port = self._low + self._next
            self._next = (self._next + 1) % self._count
            if port in self._held:
                continue
            if _is_unused(port):
                self._held.add(port)
                return port
            tests += 1
            if tests == _MAX_TESTS:
                break
        raise PortsExhaustedError(
            f"no free port of {self._low}-{self._low + self._count - 1}: {len(self._held)} are "
            f"held by servers, {tests} more were tried and are in use; widen the range"
        )

    def hold(self, port: int) -> None:
        """Holds a port that another process has chosen."""
        self._held.add(port)

    def free(self, port: int) -> None:
        """Gives a port back, once its server has been reaped.

        Raises:
            KeyError: it is not held.
        """
        self._held.remove(port)


def _is_unused(port: int) -> bool:
    # An app may bind the loopback address, any IPv4 address, or any address at all. A bind to the
    # wildcards conflicts with a socket on whichever address. With SO_REUSEADDR, connections in
    # TIME_WAIT do not matter (socket(7)).
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104 - never listened on
        try:
            with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((address, port))
        except OSError as error:
            if error.errno in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
                continue  # no IPv6 here
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise PortsExhaustedError(
                f"port {port} cannot be tested: {error.strerror}; if it is for the limit of "
                "descriptors, raise LimitNOFILE (ulimit -n)"
            ) from error
    return True
