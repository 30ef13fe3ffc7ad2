"""The socket that is served, and what a service manager or Luisito is told (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from .errors import UnusableError

if TYPE_CHECKING:
    from .options import Options


def listening(options: Options) -> socket.socket:
    """Open, or make, the socket that is meant.

    Raises:
        UnusableError: there is none, or it cannot be made.
    """
    handed = options.fd
    if handed is None and os.environ.get("LISTEN_PID") == str(os.getpid()):
        handed = 3  # sd_listen_fds(3)
    if options.socket is None and options.port is None and handed is not None:
        return _handed(handed)
    if options.socket is not None:
        return _unix(options.socket)
    sock = socket.socket(socket.AF_INET6 if ":" in options.host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    port = 8000 if options.port is None else options.port
    return _bound(sock, (options.host, port), f"--host {options.host} --port {port}")


def _handed(number: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=number)
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise UnusableError(
            f"--fd {number}: {error.strerror}; it must be a socket that listens"
        ) from None
    if not listens:
        raise UnusableError(f"--fd {number}: the socket does not listen")
    sock.set_inheritable(False)
    return sock


def _unix(path: str) -> socket.socket:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UnusableError(f"--socket {path!r}: {error.strerror}") from None
    return _bound(socket.socket(socket.AF_UNIX), path, f"--socket {path!r}")


def _bound(sock: socket.socket, address: str | tuple[str, int], said: str) -> socket.socket:
    try:
        sock.bind(address)
        sock.listen(1024)
    except OSError as error:
        raise UnusableError(f"{said}: {error.strerror}; write another") from None
    return sock


def name_of(sock: socket.socket) -> str:
    """Say where a socket listens."""
    address = sock.getsockname()
    if isinstance(address, tuple):
        return "http://{}:{}".format(
            f"[{address[0]}]" if ":" in address[0] else address[0], address[1]
        )
    return f"unix:{address or 'of its own'}"


def is_ready() -> None:
    """Tell who started us that requests are answered from now on; nobody need listen."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect("\0" + path[1:] if path.startswith("@") else path)
            sock.send(b"READY=1")
        except OSError:
            pass
