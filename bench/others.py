"""The proxies that Luisito is measured beside: what they need, how they are set up and started.

Each has one worker on one core and, where it can be had, an access log with the same fields, the
same forwarded headers, and connections to the app server that are kept alive.

Passenger is no reverse proxy: it starts the app server itself. So does Luisito, and of both is
counted what their own processes take, without the app server's, which is the same one for all:
Passenger is told with PassengerAppStartCommand to start it. It then opens a connection for each
request, as it does to an app of Node too. "Passenger in Apache" is Debian's package for Apache;
what Apache takes is counted, since nothing is served without it. "Passenger alone" is its core
with the HTTP server that is built in (`passenger start --engine builtin`): it keeps no access log
and serves no files.

systemd-socket-proxyd does not read HTTP: it copies bytes, one connection to the app server for each
of a client, with no access log and no forwarded headers.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.origin import APPS
from bench.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bench.origin import Origin

_CONF = Path(__file__).parent / "conf"
# Where Debian and Ubuntu have them.
_APACHE_MODULES = "/usr/lib/apache2/modules"
_PASSENGER_AGENT = "/usr/lib/passenger/support-binaries/PassengerAgent"
_PASSENGER_ROOT = "/usr/lib/ruby/vendor_ruby/phusion_passenger/locations.ini"
_SOCKET_PROXYD = "/usr/lib/systemd/systemd-socket-proxyd"
# The guest that starts Python sites by itself, too.
PASSENGER = "Passenger in Apache"


@dataclass(frozen=True)
class Place:
    """What a proxy is given: a folder of its own, a port for each door, and the app server.

    The app server listens on port `upstream` already; Passenger starts one more.
    """

    folder: Path
    ports: Mapping[str, int]
    upstream: int
    origin: Origin

    def write(self, source: str, name: str | None = None) -> str:
        """Write a file of conf/ into the folder, its words filled in; return its path."""
        words = {
            "FOLDER": str(self.folder),
            "UPSTREAM": str(self.upstream),
            "APP_FOLDER": str(self.origin.folder),
            "APP_COMMAND": " ".join(self.origin.command("$PORT")),
            **{kind.upper(): str(port) for kind, port in self.ports.items()},
        }
        return str(write(source, self.folder / (name or source), words))


def write(source: str, path: Path, words: Mapping[str, str]) -> Path:
    """Write a file of conf/, its words and those for what is installed filled in."""
    installed = {"APACHE_MODULES": _APACHE_MODULES, "PASSENGER_ROOT": _PASSENGER_ROOT}
    path.write_text(filled((_CONF / source).read_text(), installed | dict(words)))
    return path


def filled(text: str, words: Mapping[str, str]) -> str:
    """The text with each @WORD@ replaced; a word that is not there raises KeyError."""
    return re.sub(r"@([A-Z_]+)@", lambda found: words[found[1]], text)


@dataclass(frozen=True)
class Other:
    """A proxy that is not Luisito.

    Attributes:
        name: as it is called in the table.
        command: writes what it needs into its place, and returns what starts it.
        needs: programs, and files by their paths.
        package: of Debian and Ubuntu, that has them.
        version: what prints its version.
        doors: see bench.peers.Peer.
        verified: see bench.peers.Peer.
        parts: names of programs that are its own too, beside the one that is started.
        environment: what it gets beside our own.
    """

    name: str
    command: Callable[[Place], Sequence[str]]
    needs: Sequence[str] = ()
    package: str = ""
    version: Sequence[str] = ()
    doors: Sequence[str] = ("logged",)
    verified: bool = True
    parts: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def place(self, folder: Path, upstream: int, origin: Origin) -> Place:
        """Its place, in a new folder below this one."""
        own = folder / self.name.replace(" ", "-")
        own.mkdir()
        return Place(own, {kind: free_port() for kind in self.doors}, upstream, origin)

    def missing(self) -> list[str]:
        """Which of its needs are not there."""
        return [need for need in self.needs if not is_there(need)]


def is_there(need: str) -> bool:
    """Whether a program, or a file of this path, is there."""
    return os.path.exists(need) if need.startswith("/") else shutil.which(need) is not None


def left_out(others: Iterable[Other]) -> list[str]:
    """A line for each that is not there, with the command that installs it."""
    return [
        f"{other.name} is left out ({', '.join(missing)} not found): apt install -y {other.package}"
        for other in others
        if (missing := other.missing())
    ]


def _nginx(place: Place) -> list[str]:
    path = place.write("nginx.conf")
    # Its own log is opened before the configuration is read, hence -e.
    return ["nginx", "-p", str(place.folder), "-c", path, "-e", "stderr", "-g", "daemon off;"]


def _haproxy(place: Place) -> list[str]:
    return ["haproxy", "-db", "-f", place.write("haproxy.cfg")]


def _reverse_proxy(place: Place) -> list[str]:
    ports = (place.upstream, place.ports["bare"], place.ports["logged"])
    log = place.folder / "access.log"
    return [sys.executable, str(APPS / "reverse_proxy.py"), *map(str, ports), str(log)]


def _caddy(place: Place) -> list[str]:
    return ["caddy", "run", "--adapter", "caddyfile", "--config", place.write("Caddyfile")]


def _apache(site: str) -> Callable[[Place], list[str]]:
    def command(place: Place) -> list[str]:
        place.write(site, "site.conf")
        return ["apache2", "-f", place.write("apache.conf"), "-DFOREGROUND"]

    return command


def _passenger_alone(place: Place) -> list[str]:
    argv = [_PASSENGER_AGENT, "core", "--passenger-root", _PASSENGER_ROOT, "--threads", "1"]
    argv += ["--listen", f"tcp://127.0.0.1:{place.ports['logged']}"]
    argv += ["--data-buffer-dir", str(place.folder), "--ctl", f"spawn_dir={place.folder}"]
    argv += ["--max-pool-size", "2", "--force-max-concurrent-requests-per-process", "0"]
    argv += ["--disable-security-update-check", "--disable-anonymous-telemetry"]
    argv += ["--app-start-command", " ".join(place.origin.command("$PORT"))]
    return [*argv, str(place.origin.folder)]


def _socket_proxyd(place: Place) -> list[str]:
    # In the place of systemd it listens, and becomes the other at the first connection.
    argv = ["systemd-socket-activate", "--listen", f"127.0.0.1:{place.ports['logged']}"]
    return [*argv, _SOCKET_PROXYD, "--connections-max=1024", f"127.0.0.1:{place.upstream}"]


# These are in all works with a warm proxy, and must be there.
OTHERS = (
    Other(
        "nginx",
        _nginx,
        needs=("nginx",),
        package="nginx",
        version=("nginx", "-v"),
        doors=("logged", "bare"),
    ),
    Other(
        "haproxy",
        _haproxy,
        needs=("haproxy",),
        package="haproxy",
        version=("haproxy", "-v"),
        doors=("logged", "bare", "spliced"),
    ),
    Other("ReverseProxyResource", _reverse_proxy, doors=("logged", "bare"), verified=False),
)

# These are in the first work only, and may be missing.
GUESTS = (
    Other(
        "caddy",
        _caddy,
        needs=("caddy",),
        package="caddy",
        version=("caddy", "version"),
        # As many threads that run Go as it has cores.
        environment={"GOMAXPROCS": "1"},
    ),
    Other(
        "Apache",
        _apache("apache-proxy.conf"),
        needs=("apache2", f"{_APACHE_MODULES}/mod_proxy_http.so"),
        package="apache2-bin",
        version=("apache2", "-v"),
    ),
    Other(
        PASSENGER,
        _apache("apache-passenger.conf"),
        needs=("apache2", f"{_APACHE_MODULES}/mod_passenger.so", _PASSENGER_AGENT),
        package="libapache2-mod-passenger",
        version=(_PASSENGER_AGENT, "--version"),
        verified=False,
        parts=(os.path.basename(_PASSENGER_AGENT),),
    ),
    Other(
        "Passenger alone",
        _passenger_alone,
        needs=(_PASSENGER_AGENT,),
        package="passenger",
        version=(_PASSENGER_AGENT, "--version"),
        verified=False,
    ),
    Other(
        "systemd-socket-proxyd",
        _socket_proxyd,
        needs=("systemd-socket-activate", _SOCKET_PROXYD),
        package="systemd",
        version=("systemd-socket-activate", "--version"),
        verified=False,
    ),
)
