"""The app servers that are known, and how each is told where to listen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping


@attrs.frozen
class Server:
    """How a kind of app server is told where to listen, and other things that Luisito sees to.

    Attributes:
        binds: options that name an address.
        paths: options that name the path of a unix socket.
        ports: options that name a port of this machine.
        hosts: options that say on which of its addresses.
        instead: what stands in their place.
        default: the port where it is not told.
        flags: options without a value that are left out, and why.
        options: options with a value that are left out, and why.
        keys: options with a value that become keys of a site file.
        folder: the option that changes the folder.
    """

    instead: tuple[str, ...]
    default: int
    binds: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    flags: Mapping[str, str] = {}
    options: Mapping[str, str] = {}
    keys: Mapping[str, str] = {}
    folder: str = ""


_BACKGROUND: Final = "it stays in the foreground under Luisito"
_PIDFILE: Final = "Luisito knows its pid"
# gunicorn gives the socket its own group: by such a mask Luisito could not connect
_UMASK: Final = "nobody but Luisito enters the folder of its socket"
_RELOAD: Final = "it is for developers"

SERVERS: Final[Mapping[str, Server]] = {
    "gunicorn": Server(
        instead=("--bind", "unix:%SOCKET"),
        default=8000,
        binds=("-b", "--bind"),
        flags={"-D": _BACKGROUND, "--daemon": _BACKGROUND},
        options={"-p": _PIDFILE, "--pid": _PIDFILE, "-m": _UMASK, "--umask": _UMASK},
        keys={"-u": "user", "--user": "user", "-g": "group", "--group": "group"},
        folder="--chdir",
    ),
    "uvicorn": Server(
        # its default believes 127.0.0.1, from which nobody comes by a unix socket
        instead=("--fd", "%FD", "--forwarded-allow-ips=*"),
        default=8000,
        paths=("--uds",),
        ports=("--port",),
        hosts=("--host",),
        flags={"--reload": _RELOAD},
        options={"--fd": "", "--forwarded-allow-ips": "only Luisito reaches its socket"},
    ),
    "hypercorn": Server(
        instead=("--bind", "unix:%SOCKET"),
        default=8000,
        binds=("-b", "--bind"),
        options={"-p": _PIDFILE, "--pid": _PIDFILE, "-m": _UMASK, "--umask": _UMASK},
        keys={"-u": "user", "--user": "user", "-g": "group", "--group": "group"},
    ),
    "daphne": Server(
        instead=("-u", "%SOCKET"),
        default=8000,
        paths=("-u", "--unix-socket"),
        ports=("-p", "--port"),
        hosts=("-b", "--bind"),
        options={"--fd": ""},
    ),
    "waitress-serve": Server(
        instead=("--unix-socket=%SOCKET", "--unix-socket-perms=660"),
        default=8080,
        binds=("--listen",),
        paths=("--unix-socket",),
        ports=("--port",),
        hosts=("--host",),
        options={"--unix-socket-perms": ""},
    ),
    "puma": Server(
        instead=("-b", "unix://%SOCKET"),
        default=9292,
        binds=("-b", "--bind"),
        ports=("-p", "--port"),
        flags={"-d": _BACKGROUND, "--daemon": _BACKGROUND},
        options={"--pidfile": _PIDFILE},
        folder="--dir",
    ),
    "unicorn": Server(
        instead=("-l", "%SOCKET"),
        default=8080,
        binds=("-l", "--listen"),
        ports=("-p", "--port"),
        hosts=("-o", "--host"),
        flags={"-D": _BACKGROUND, "--daemonize": _BACKGROUND},
    ),
}
