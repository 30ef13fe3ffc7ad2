"""The socket that is served: one that was handed over, or one that is made here."""

from __future__ import annotations

import os
import socket
import stat

from .errors import UnusableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .options import Options

_BACKLOG = 1024
_HANDED = 3  # sd_listen_fds(3)
_PORT = 8000


class Listener:
    """A socket that listens.

    Args:
        sock: of it.
        handed: somebody else has opened it, and may have it served by others, too.

    Attributes:
        path: of a unix socket that was made here; "" else.
    """

    def __init__(self, sock: socket.socket, *, handed: bool, path: str = "") -> None:
        self.sock, self.handed, self.path = sock, handed, path

    def remove(self) -> None:
        """Removes the unix socket that was made here."""
        if self.path:
            try:
                os.unlink(self.path)
            except OSError:
                pass  # somebody else has

    @property
    def unix(self) -> bool:
        """Whether it is a unix socket."""
        return self.sock.family == socket.AF_UNIX

    def __str__(self) -> str:
        name = self.sock.getsockname()
        if self.unix:
            return f"unix:{name}"
        host = f"[{name[0]}]" if ":" in name[0] else name[0]
        return f"http://{host}:{name[1]}/"


def listen(options: Options) -> Listener:
    """Opens what is to be served.

    Raises:
        UnusableError: it cannot be.
    """
    if options.fd is not None:
        return _handed(options.fd, f"--fd {options.fd}")
    if options.socket:
        return _unix(options.socket)
    if options.port is not None:
        return _tcp(options.host, options.port)
    if os.environ.get("LISTEN_FDS", "0") != "0" and os.environ.get("LISTEN_PID") == str(
        os.getpid()
    ):
        return _handed(_HANDED, "LISTEN_FDS")
    said = os.environ.get("PORT", "")
    return _tcp(options.host, int(said) if said.isascii() and said.isdigit() else _PORT)


def _handed(descriptor: int, said_by: str) -> Listener:
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise UnusableError(
            f"{said_by}: is no open socket: {error.strerror}; name one that was handed over"
        ) from None
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.detach()
        raise UnusableError(f"{said_by}: is no socket that listens; name one that does")
    sock.set_inheritable(False)
    return Listener(sock, handed=True)


def _unix(path: str) -> Listener:
    sock = socket.socket(socket.AF_UNIX)
    try:
        _remove_stale(path)
        sock.bind(path)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        why = error.strerror or str(error)
        raise UnusableError(
            f"--socket {path!r}: cannot listen there: {why}; name a path in a folder of your own"
        ) from None
    return Listener(sock, handed=False, path=path)


def _remove_stale(path: str) -> None:
    """Removes a socket at which nobody listens any more."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
    except OSError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError:
            pass


def _tcp(host: str, port: int) -> Listener:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, proto)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UnusableError(f"--host {host!r}: {why}; write an address of this machine") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise UnusableError(
            f"--host {host} --port {port}: cannot listen there: {error.strerror};"
            " use an address of this machine and a free port"
        ) from None
    return Listener(sock, handed=False)
