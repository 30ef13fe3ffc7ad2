"""Luisito and the proxies beside it as they are measured: their start, their doors, their end."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from bench.measure import ask
from bench.origin import SITE, Origin
from bench.others import GUESTS, OTHERS, is_there
from bench.processes import BenchError, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.others import Other

# How Luisito is started. {settings}, {port} and {upstream} are filled in.
COMMAND = f"{Path(sys.executable).parent}/twistd -n --pidfile= luisito --settings {{settings}}"
# Seconds until a proxy has to answer its first request.
_START_TIMEOUT = 30.0
_HERE = Path(__file__).parent.parent
# The names of a Luisito from another checkout, and of one with a folder of site files.
OTHER_CHECKOUT = "the other Luisito"
SITE_FILES = "Luisito with site files"
ALL_ON = "Luisito with all on"


@dataclass(frozen=True)
class Door:
    """A port that a proxy listens on, and the process that stands at the head of it.

    `parts` names the programs that are the proxy's too, beside the one of this process.
    """

    port: int
    pid: int
    parts: Sequence[str] = ()


@dataclass(frozen=True)
class Peer:
    """A proxy, and its doors.

    Of a `verified` one it is checked that it keeps its connections to the app alive, as it is
    configured to: if it did not, Luisito would be compared with less than it claims.

    The doors are `logged` (with an access log), `bare` (with none) and, where that is something
    else than `logged`, `spliced` (bodies moved inside the kernel).
    """

    name: str
    verified: bool
    doors: Mapping[str, Door]

    def door(self, kind: str) -> Door:
        """The door of this kind, else the logged one."""
        return self.doors.get(kind, self.doors["logged"])


@dataclass(frozen=True)
class Bench:
    """Where proxies are started: a folder, the core for them, and the app server with its port."""

    folder: Path
    core: int
    origin: Origin
    upstream: int


def require_programs() -> None:
    """Raise BenchError, with the line that installs them, where a program is missing."""
    os.environ["PATH"] += ":/usr/sbin"  # where Debian keeps servers, outside a user's PATH
    packages = {need: other.package for other in OTHERS for need in other.needs}
    packages |= {"wrk": "wrk", "taskset": "util-linux"}
    missing = [program for program in packages if not is_there(program)]
    if missing:
        raise BenchError(
            f"{', '.join(missing)} not found: "
            f"apt install -y {' '.join(packages[program] for program in missing)}"
        )


def versions() -> list[str]:
    """What is compared, with versions, and what by."""
    programs = {
        other.name.split()[0]: other.version  # Passenger is one program, in Apache and alone
        for other in (*OTHERS, *GUESTS)
        if other.version and not other.missing()
    }
    found = []
    for name, argv in {**programs, "wrk": ["wrk", "-v"]}.items():
        output = subprocess.run(argv, capture_output=True, text=True, check=False)
        version = re.search(r"\d+(\.\d+)+", output.stdout + output.stderr)
        found.append(f"{name} {version[0] if version else '?'}")
    return [*found, f"Twisted {metadata.version('twisted')}", f"Python {platform.python_version()}"]


@contextlib.contextmanager
def luisito(
    folder: Path,
    name: str,
    settings: Mapping[str, object],
    cores: Sequence[int],
    command: str = COMMAND,
    upstream: int = 0,
    checkout: Path = _HERE,
) -> Iterator[Door]:
    """A Luisito with these settings; LISTEN is added. Its first site may still be asleep."""
    port = free_port()
    path = folder / f"{name}.py"
    listen = f"tcp:{port}:interface=127.0.0.1"
    lines = [f"{key} = {value!r}" for key, value in {"LISTEN": listen, **settings}.items()]
    path.write_text("\n".join(lines) + "\n")
    argv = shlex.split(command.format(settings=path, port=port, upstream=upstream))
    log = folder / f"{name}.log"
    environment = {"PYTHONPATH": str(checkout)}
    with running(argv, cores, log, folder, environment) as process:
        yield Door(port, process.pid)


@contextlib.contextmanager
def bench(folder: Path, cores: tuple[int, int]) -> Iterator[Bench]:
    """The app server on the second core; the proxies are to be on the first."""
    proxy_core, app_core = cores
    origin = Origin.install(folder, app_core)
    upstream = free_port()
    log = folder / "app.log"
    with running(origin.command(str(upstream)), [app_core], log, folder) as process:
        await_answer(Door(upstream, process.pid), log, process)
        yield Bench(folder, proxy_core, origin, upstream)


@contextlib.contextmanager
def ours(
    bench: Bench,
    command: str,
    checkout: Path | None = None,
    site_files: int = 0,
    *,
    all_on: bool = False,
) -> Iterator[Peer]:
    """Luisito, warm.

    Args:
        bench: where.
        command: it is started by.
        checkout: whose it is, where that is not this one.
        site_files: so many it has.
        all_on: it keeps its history, and serves the operators' page and /metrics, too.
    """
    who, place = ("Luisito", _HERE) if checkout is None else (OTHER_CHECKOUT, checkout)
    served: dict[str, object] = {
        "CMD_TPL": bench.origin.command("%PORT"),
        "ALLOWED_HOSTS": ["*.localhost"],
    }
    if site_files:
        who = SITE_FILES
        served = {"SITES_DIR": str(_site_files(bench, site_files))}
    if all_on:
        who = ALL_ON
    prefix = who.lower().replace(" ", "-")
    doors = {}
    with contextlib.ExitStack() as stack:
        # One more process for Luisito: its access log is a setting of the whole.
        for kind, log in (("logged", str(bench.folder / f"{prefix}-access.log")), ("bare", None)):
            settings = {**served, "ACCESS_LOG": log, "MAX_SERVERS": 2}
            name = f"{prefix}-{kind}"
            if all_on:
                settings |= _all_on(bench.folder / f"{name}-state")
            door = luisito(
                bench.folder, name, settings, [bench.core], command, bench.upstream, place
            )
            doors[kind] = stack.enter_context(door)
            await_answer(doors[kind], bench.folder / f"{name}.log")
        yield Peer(who, verified=False, doors=doors)


def _all_on(state: Path) -> dict[str, object]:
    """What watches over Luisito, and is off without settings."""
    hook = "/bin/true"
    return {
        "STATE_DIR": str(state),
        "ADMIN_LISTEN": f"tcp:{free_port()}:interface=127.0.0.1",
        "HOOKS": {kind: [hook] for kind in ("start", "ready", "failure", "eviction", "exit")},
    }


def _site_files(bench: Bench, count: int) -> Path:
    """A folder with the file of the site that is asked for, and with many others."""
    folder = bench.folder / "sites"
    folder.mkdir()
    command = f"command = {json.dumps(bench.origin.command('%PORT'))}\n"
    more = (
        'aliases = ["www.{}"]\n',
        'hosts = ["*.{}"]\n',
        'redirects = ["old.{}"]\n',
        '[[mount]]\npath = "/api"\n',
        "processes = 2\n",
    )
    for number in range(count - 1):
        name = f"site{number:05}.example.com"
        text = command + more[number % len(more)].format(name)
        (folder / f"{name}.toml").write_text(text)
    (folder / f"{SITE}.toml").write_text(command)
    return folder


@contextlib.contextmanager
def beside(bench: Bench, other: Other) -> Iterator[Peer]:
    """One of the others, warm.

    Raises:
        BenchError: it does not answer.
    """
    place = other.place(bench.folder, bench.upstream, bench.origin)
    log = place.folder / f"{place.folder.name}.log"
    # What a proxy keeps of itself, it is to keep in its folder.
    home = {"XDG_DATA_HOME": str(place.folder), "XDG_CONFIG_HOME": str(place.folder)}
    environment = {**home, **other.environment}
    argv = other.command(place)
    with running(argv, [bench.core], log, place.folder, environment) as process:
        doors = {kind: Door(port, process.pid, other.parts) for kind, port in place.ports.items()}
        for door in doors.values():
            await_answer(door, log, process)
        yield Peer(other.name, other.verified, doors)


def await_answer(
    door: Door,
    log: Path,
    process: subprocess.Popen[bytes] | None = None,
    host: str = SITE,
) -> None:
    """Wait until the door answers, and ask often enough that its code is warm."""
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        try:
            for _ in range(20):
                ask(door.port, host)
        except (OSError, BenchError) as error:
            ended = process is not None and process.poll() is not None
            if ended or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-2000:]
                raise BenchError(
                    f"{log.stem} does not answer ({error}); its log ends:\n{tail}"
                ) from error
            time.sleep(0.05)
        else:
            return
