"""What the machine has to give: ports to listen on, ports for servers, open files."""

from __future__ import annotations

import os
import re
import resource
from typing import TYPE_CHECKING, NamedTuple

from luisito.checks.report import Mend, Problem
from luisito.core.admission import files_for, most_clients
from luisito.net.endpoints import Place, place
from luisito.spawner.servers import files_needed

if TYPE_CHECKING:
    from luisito.settings import Settings
    from luisito.spawner.config import Config

_CAP_NET_BIND_SERVICE = 10  # linux/capability.h
_CAP_SYS_RESOURCE = 24
_FROM = 1024


class Kernel(NamedTuple):
    """What the kernel says.

    Attributes:
        unprivileged: the first port that anybody may listen on (ip_unprivileged_port_start).
        local: the first and the last port of outgoing connections (ip_local_port_range).
        reserved: ports among those that are left alone (ip_local_reserved_ports).
        files: how many files a process may have open, at most; None for any number.
        binds: we may listen on any port.
        root: we are root.
        raises: we may raise hard limits (setrlimit(2)).
        most_files: the highest limit of open files that anybody may have (fs.nr_open).
    """

    unprivileged: int
    local: tuple[int, int]
    reserved: frozenset[int]
    files: int | None
    binds: bool
    root: bool
    raises: bool
    most_files: int


def kernel() -> Kernel:
    """Asks the kernel."""
    low, high = map(int, _read("net/ipv4/ip_local_port_range", "32768 60999").split())
    reserved: set[int] = set()
    for part in filter(None, _read("net/ipv4/ip_local_reserved_ports", "").split(",")):
        first, _, last = part.partition("-")
        reserved.update(range(int(first), int(last or first) + 1))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
        effective = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    return Kernel(
        int(_read("net/ipv4/ip_unprivileged_port_start", "1024")),
        (low, high),
        frozenset(reserved),
        None if hard == resource.RLIM_INFINITY else hard,
        bool(int(effective, 16) >> _CAP_NET_BIND_SERVICE & 1),
        os.geteuid() == 0,
        bool(int(effective, 16) >> _CAP_SYS_RESOURCE & 1),
        int(_read("fs/nr_open", "1048576")),
    )


def _read(name: str, default: str) -> str:
    try:
        with open(f"/proc/sys/{name}", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return default


def ports(settings: Settings, config: Config, found: Kernel) -> list[Problem]:
    """What is wrong with LISTEN, ADMIN_LISTEN and PORT_RANGE.

    Raises:
        SettingsError: LISTEN has what is no endpoint.
    """
    places = [place(description) for description in settings.listen]
    problems = _admin_port(settings.admin_listen, places, config, found)
    for index, (description, where) in enumerate(zip(settings.listen, places, strict=True)):
        port = where.port
        if port is None or port >= found.unprivileged or config.root or found.binds or port == 0:
            continue
        meant = list(settings.listen)
        meant[index] = re.sub(rf":{port}\b", f":{8000 + port}", description, count=1)
        what = f"{description!r} needs root, as all ports below {found.unprivileged} do"
        problems.append(Problem("LISTEN", what, Mend("write", f"LISTEN = {meant!r}")))
    if config.way == "port":
        listening = {where.port: "LISTEN" for where in places if where.port}
        if settings.admin_listen is not None and (port := place(settings.admin_listen).port):
            listening.setdefault(port, "ADMIN_LISTEN")
        problems += _port_range(settings.port_range, listening, found)
    return problems


def _admin_port(
    said: str | None, others: list[Place], config: Config, found: Kernel
) -> list[Problem]:
    at = None if said is None else place(said).port
    if said is None or not at:
        return []
    low = at < found.unprivileged and not config.root and not found.binds
    if any(where.port == at for where in others):
        what, meant = f"port {at} is one of LISTEN", at + 1 if at < 65535 else at - 1
    elif low:
        what, meant = f"{said!r} needs root, as all ports below {found.unprivileged} do", 8000 + at
    else:
        return []
    moved = re.sub(rf":{at}\b", f":{meant}", said, count=1)
    return [Problem("ADMIN_LISTEN", what, Mend("write", f"ADMIN_LISTEN = {moved!r}"))]


def _port_range(chosen: tuple[int, int], listening: dict[int, str], found: Kernel) -> list[Problem]:
    first, last = chosen
    low, high = found.local
    own = sorted(port for port in listening if first <= port <= last)
    outgoing = range(max(first, low), min(last, high) + 1)
    if own:
        whose = f"port {own[0]} of {listening[own[0]]}"
        what = f"holds {whose}, which a server could take before Luisito does"
    elif not found.reserved.issuperset(outgoing):
        what = (
            f"holds ports of outgoing connections, which the kernel takes from {low} to {high}, so"
            " that a server may find its port taken"
        )
    else:
        return []
    # moved to where nothing is in its way: below what it met with, else above
    size = last - first
    taken = sorted([(low, high), *((port, port) for port in listening)])
    starts = [start - size - 1 for start, _ in taken] + [end + 1 for _, end in taken]
    for start in starts:
        free = all(end < start or begin > start + size for begin, end in taken)
        if free and start >= _FROM and start + size <= 65535:
            meant = (start, start + size)
            return [Problem("PORT_RANGE", what, Mend("write", f"PORT_RANGE = {meant}"))]
    return [Problem("PORT_RANGE", what, Mend("do", "choose a smaller range outside of those"))]


def open_files(settings: Settings, config: Config, found: Kernel) -> Problem | None:
    """Whether MAX_SERVERS fits the limit on open files."""
    needed = files_needed(config.max_alive)
    if found.files is None or found.files >= needed:
        return None
    what = (
        f"its servers need {needed} open files, and the limit is {found.files} here"
        " (ulimit -Hn, LimitNOFILE=)"
    )
    beside = config.max_alive - settings.max_servers
    fewer = settings.max_servers
    while fewer and files_needed(fewer + beside) > found.files:
        fewer -= 1
    if not fewer:
        return Problem("MAX_SERVERS", what, Mend("do", f"raise that limit to {needed}"))
    return Problem("MAX_SERVERS", what, Mend("write", f"MAX_SERVERS = {fewer}"))


def clients(settings: Settings, found: Kernel) -> Problem | None:
    """Whether MAX_CLIENTS fits it, too."""
    most, servers = settings.max_clients, settings.max_servers + settings.overlap
    if most is None or found.files is None:
        return None
    page = settings.admin_listen is not None
    needed = files_for(most, servers, page=page)
    if needed <= found.files:
        return None
    what = (
        f"so many clients need {needed} open files, and the limit is {found.files} here"
        " (ulimit -Hn, LimitNOFILE=)"
    )
    fewer = f"MAX_CLIENTS = {most_clients(found.files, servers, page=page)}"
    return Problem("MAX_CLIENTS", what, Mend("write", fewer))
