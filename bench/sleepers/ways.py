"""The ways in which sleeping sites are served: Luisito's, uWSGI's on demand, and Passenger's.

Each way has all sites of one run. uWSGI's vassals are asked on their own sockets, with no proxy in
front of them, as their Emperor has none that knows of sites.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from bench import others, peers
from bench.measure import ask_over
from bench.processes import BenchError, descendants, free_port, running
from bench.sleepers import merging
from bench.sleepers.account import Account, account
from bench.sleepers.sites import APPS, DJANGO, said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from bench.sleepers.sites import Said, Site

PRELOADED = "Luisito, preloaded"
HIBERNATING = "Luisito, hibernating"
PLAIN = "Luisito, runner"
GUNICORN = "Luisito, gunicorn"
WAITRESS = "Luisito, waitress"
UWSGI = "uWSGI on demand"
PASSENGER = "Passenger"

_BIN = Path(sys.executable).parent
_TIMEOUT = 120.0
# What Luisito is told besides where its idle servers are frozen and merged; in seconds.
_HIBERNATES = {"HIBERNATE_AFTER": 5, "HIBERNATE": "merge"}
# Seconds until all has gone that is to go, or has come that is to come.
_PATIENCE = 60.0
# Seconds after a start in which an interpreter expects another; what a child takes beside, in MB.
_FIRST = 60.0
_LIGHT = 4.0
_THREADS = 4
# What a preloaded interpreter is called (luisito.app.preload), and the child that it has ahead.
_TITLE, _AHEAD = b"luisito preload", b"luisito preload-ahead"


@dataclass(frozen=True)
class Served:
    """Sites as they are served in one way.

    Attributes:
        address: of a site, for connect(2).
        pid: of the process at the head.
        account: what all of it is charged to.
        runtime_dir: of a Luisito; None of others.
    """

    address: Callable[[Site], str | tuple[str, int]]
    pid: int
    account: Account
    runtime_dir: Path | None = None

    def ask(self, site: Site, path: str = "/") -> tuple[float, bytes]:
        """GET over a new connection: seconds from connect to the last byte, and the body.

        Raises:
            BenchError: the answer is not a whole 200.
            OSError: there is none.
        """
        address = self.address(site)
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        with socket.socket(family) as client:
            client.settimeout(_TIMEOUT)
            begun = time.perf_counter()
            client.connect(address)
            body = ask_over(client, site.name, path)
            return time.perf_counter() - begun, body

    def wake(self, site: Site) -> tuple[float, Said]:
        """Ask for the page, and see that it is the site's own."""
        took, body = self.ask(site)
        page = said(body)
        if page.name != site.name:
            raise BenchError(f"{site.name} was answered by {page.name}")
        return took, page


@dataclass(frozen=True)
class Way:
    """A way to serve sites.

    Attributes:
        serve: serves sites, each asleep when nobody has asked for so many seconds.
        missing: the line that says how to get it; "" where it is there.
        shares: its servers are forked by a preloaded interpreter.
        hibernates: they are frozen while they are weighed.
    """

    name: str
    serve: Callable[[Path, Sequence[Site], int], AbstractContextManager[Served]]
    missing: str = ""
    shares: bool = False
    hibernates: bool = False


def ways() -> list[Way]:
    """All of them."""
    luisito = {
        GUNICORN: _gunicorn, WAITRESS: _waitress, PLAIN: _plain, PRELOADED: _preloaded,
    }  # fmt: skip
    found = [
        Way(name, _luisito(name, lines), shares=name == PRELOADED)
        for name, lines in luisito.items()
    ]
    lacking = merging.lacks()
    found.append(
        Way(
            HIBERNATING,
            _luisito(HIBERNATING, _preloaded, _HIBERNATES),
            f"{HIBERNATING} is left out: {lacking}" if lacking else "",
            shares=True,
            hibernates=True,
        )
    )
    absent = f"{UWSGI} is left out (uwsgi not found): {_BIN}/pip install uwsgi"
    found.append(Way(UWSGI, _uwsgi, "" if others.is_there(_uwsgi_program()) else absent))
    lines = others.left_out(other for other in others.GUESTS if other.name == others.PASSENGER)
    return [*found, Way(PASSENGER, _passenger, "".join(lines))]


def _gunicorn(site: Site) -> str:
    # Its control socket is of no use here, and takes a thread.
    command = f"gunicorn --threads {_THREADS} --bind fd://%FD --no-control-socket {APPS[site.kind]}"
    return f"command = {json.dumps(command)}\nfolder = {json.dumps(str(site.folder))}\n"


def _waitress(site: Site) -> str:
    command = (
        f"waitress-serve --threads {_THREADS} --unix-socket=%SOCKET --unix-socket-perms=660 "
        f"{APPS[site.kind]}"
    )
    return f"command = {json.dumps(command)}\nfolder = {json.dumps(str(site.folder))}\n"


def _runner(site: Site) -> str:
    folder = json.dumps(str(site.folder))
    if site.kind == DJANGO:
        return f"django = {folder}\n"
    return f"app = {json.dumps(APPS[site.kind])}\nfolder = {folder}\n"


def _plain(site: Site) -> str:
    return _runner(site) + "preload = false\n"


def _preloaded(site: Site) -> str:
    return _runner(site)


def site_file(site: Site, lines: Callable[[Site], str]) -> str:
    """The file of a site for Luisito."""
    return lines(site) + f"virtualenv = {json.dumps(str(site.virtualenv))}\n"


def _luisito(
    name: str, lines: Callable[[Site], str], more: Mapping[str, object] = MappingProxyType({})
) -> Callable[[Path, Sequence[Site], int], AbstractContextManager[Served]]:
    @contextlib.contextmanager
    def serve(folder: Path, sites: Sequence[Site], idle: int) -> Iterator[Served]:
        place = _place(folder, name)
        files = place / "sites"
        files.mkdir()
        for site in sites:
            (files / f"{site.name}.toml").write_text(site_file(site, lines))
        runtime_dir = place / "run"
        settings: dict[str, object] = {
            "SITES_DIR": str(files),
            "RUNTIME_DIR": str(runtime_dir),
            "MAX_SERVERS": len(sites) + 1,
            "IDLE_TIMEOUT": idle,
            "MIN_ALIVE": 0,
            **more,
        }
        with account(place.name) as cpu, contextlib.ExitStack() as stack:
            command = f"{shlex.join(cpu.charge([]))} {peers.COMMAND}"
            cores = sorted(os.sched_getaffinity(0))
            luisito = peers.luisito(place, "luisito", settings, cores, command)
            door = stack.enter_context(luisito)
            served = Served(lambda _: ("127.0.0.1", door.port), door.pid, cpu, runtime_dir)
            _await_listener(served, sites[0], place / "luisito.log")
            yield served

    return serve


def _uwsgi_program() -> str:
    own = _BIN / "uwsgi"
    return str(own) if own.exists() else "uwsgi"


def vassal(site: Site, idle: int) -> str:
    """The file of a site for uWSGI's Emperor."""
    lines = {
        "chdir": site.folder,
        "virtualenv": site.virtualenv,
        "module": APPS[site.kind],
        "protocol": "http",
        "processes": 1,
        "threads": _THREADS,
        "cheap": "true",
        "idle": idle,
        "die-on-idle": "true",
        "need-app": "true",
        "master": "true",
    }
    if not os.geteuid():
        lines |= {"uid": "nobody", "gid": "nogroup"}
    if _uwsgi_program() == "uwsgi":  # Debian's has its languages in plugins
        lines["plugin"] = "python3"
    return "[uwsgi]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items())


@contextlib.contextmanager
def _uwsgi(folder: Path, sites: Sequence[Site], idle: int) -> Iterator[Served]:
    place = _place(folder, UWSGI)
    files, sockets = place / "vassals", place / "sockets"
    files.mkdir()
    sockets.mkdir()
    for site in sites:
        (files / f"{site.name}.ini").write_text(vassal(site, idle))
    argv = [_uwsgi_program(), "--emperor", str(files)]
    argv += ["--emperor-on-demand-directory", str(sockets), "--die-on-term"]
    # So often it looks whose vassal has gone, and listens in its place; in seconds.
    argv += ["--emperor-freq", "1"]
    log = place / "uwsgi.log"
    with (
        account(place.name) as cpu,
        running(cpu.charge(argv), sorted(os.sched_getaffinity(0)), log, place) as process,
    ):
        served = Served(lambda site: str(sockets / f"{site.name}.socket"), process.pid, cpu)
        for site in sites:
            _await_listener(served, site, log)
        yield served


def virtual_host(site: Site, port: int) -> str:
    """The part of a site in Apache's configuration."""
    return (
        f"<VirtualHost 127.0.0.1:{port}>\nServerName {site.name}\n"
        f"DocumentRoot {site.folder}/public\nPassengerAppRoot {site.folder}\n"
        f"PassengerAppType wsgi\nPassengerPython {site.python}\n"
        f"<Directory {site.folder}/public>\nRequire all granted\n</Directory>\n</VirtualHost>\n"
    )


@contextlib.contextmanager
def _passenger(folder: Path, sites: Sequence[Site], idle: int) -> Iterator[Served]:
    place = _place(folder, PASSENGER)
    port = free_port()
    words = {
        "FOLDER": str(place),
        "LOGGED": str(port),
        "ROOM": str(len(sites)),
        "IDLE": str(idle),
        "HOSTS": "".join(virtual_host(site, port) for site in sites),
    }
    others.write("apache-sleepers.conf", place / "site.conf", words)
    path = others.write("apache.conf", place / "apache.conf", words)
    argv = ["apache2", "-f", str(path), "-DFOREGROUND"]
    log = place / "apache.log"
    with (
        account(place.name) as cpu,
        running(cpu.charge(argv), sorted(os.sched_getaffinity(0)), log, place) as process,
    ):
        served = Served(lambda _: ("127.0.0.1", port), process.pid, cpu)
        _await_listener(served, sites[0], log)
        yield served


def _place(folder: Path, name: str) -> Path:
    place = folder / name.lower().replace(",", "").replace(" ", "-")
    place.mkdir()
    return place


def _await_listener(served: Served, site: Site, log: Path) -> None:
    """Wait until it can be connected to, without waking anybody."""
    address = served.address(site)
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            if isinstance(address, str):
                os.stat(address)
            else:
                socket.create_connection(address, _PATIENCE).close()
        except OSError as error:
            if time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-2000:]
                raise BenchError(f"{log.stem} does not listen; its log ends:\n{tail}") from error
            time.sleep(0.05)
        else:
            return


def awake(served: Served, site: Site) -> list[int]:
    """The processes that serve a site: all that run in its folder."""
    shared = interpreters(served)
    return [
        pid
        for pid in descendants(served.pid)
        if pid not in shared and _link(pid, "cwd") == str(site.folder)
    ]


def sleep(served: Served, site: Site) -> None:
    """Wait until a site has gone to sleep."""
    deadline = time.monotonic() + _PATIENCE
    while awake(served, site):
        if time.monotonic() > deadline:
            raise BenchError(f"{site.name} does not go to sleep")
        time.sleep(0.05)


def interpreters(served: Served) -> list[int]:
    """The preloaded interpreters below a Luisito, which are no servers."""
    return [pid for pid in descendants(served.pid) if _arguments(pid)[0] == _TITLE]


def share(served: Served) -> list[int]:
    """What runs for all sites: the interpreters, and what they have forked ahead."""
    return [pid for pid in descendants(served.pid) if _arguments(pid)[0] in (_TITLE, _AHEAD)]


def await_light(served: Served) -> None:
    """Wait until what interpreters have forked ahead has no memory for a start that may come.

    They have that in the first minute after a start (luisito.app.ahead).
    """
    deadline = time.monotonic() + _PATIENCE + _FIRST
    while any(dirty(pid) > _LIGHT for pid in share(served) if _arguments(pid)[0] == _AHEAD):
        if time.monotonic() > deadline:
            raise BenchError("what is forked ahead keeps its memory")
        time.sleep(0.2)


def dirty(pid: int) -> float:
    """What a process shares with no other, in MB; 0 where it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return int(text.partition("Private_Dirty:")[2].split()[0]) * 1024 / 1e6


def _link(pid: int, name: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/{name}")
    except OSError:
        return ""


def _arguments(pid: int) -> Sequence[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return [b""]


def counts(served: Served) -> Mapping[str, object]:
    """What Luisito counts of preloaded interpreters (`luisito status --json`)."""
    found: Mapping[str, object] = json.loads(_told(served, "status", "--json")).get("preload") or {}
    return found


def hibernate(served: Served, site: Site) -> None:
    """Wait until a site is frozen."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        servers = json.loads(_told(served, "list", "--json"))["servers"]
        found = {row["state"] for row in servers if row["site"] == site.name and not row["worker"]}
        if found == {"hibernating"}:
            return
        if time.monotonic() > deadline:
            raise BenchError(f"{site.name} is {' and '.join(found)}, not hibernating")
        time.sleep(0.2)


def stop(served: Served, site: Site) -> None:
    """Have Luisito put a site to sleep."""
    _told(served, "stop", site.name)


def _told(served: Served, command: str, *words: str) -> str:
    argv = [str(_BIN / "luisito"), command, "--runtime-dir", str(served.runtime_dir), *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"luisito {command}: {done.stderr}")
    return done.stdout
