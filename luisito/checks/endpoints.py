"""The endpoints of sites: whose a place is, and what would keep Luisito from listening there."""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from luisito.checks import files
from luisito.checks.eyes import Eyes, status
from luisito.checks.report import Mend, Problem
from luisito.core.text import visible
from luisito.readiness.diag import Diag, DiagError
from luisito.settings.sites.claims import LISTEN
from luisito.settings.sites.listen import port_and_address
from luisito.spawner import tree

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    from luisito.checks.machine import Kernel
    from luisito.checks.whom import Whom
    from luisito.readiness.diag import Listener

_ALL: Final = ("0.0.0.0", "::")  # noqa: S104 - told, not listened on
_OURS: Final = re.compile(rb"luisito(\..*)?").fullmatch  # a word in the command line of Luisito


class Where(NamedTuple):
    """Where something listens, or is asked for.

    Attributes:
        port: of TCP; None for a unix socket.
        address: of TCP, in its normal form; "" for whichever; or the path.
    """

    port: int | None
    address: str

    @classmethod
    def of(cls, endpoint: str) -> Where | None:
        """Read an endpoint; None where it is none that a site can have."""
        found = port_and_address(endpoint)
        return None if found is None else cls(*found)

    def meets(self, other: Where) -> bool:
        """Whether what comes in at one may come in at the other; so both cannot be had."""
        if self.port is None or other.port is None:
            return self == other
        if self.port != other.port:
            return False
        mine, theirs = self.address, other.address
        if "" in (mine, theirs) or mine == theirs or "::" in (mine, theirs):
            return True
        # all of IPv4, and an address of it
        return any(
            one == _ALL[0] and ":" not in two for one, two in ((mine, theirs), (theirs, mine))
        )


class Own(NamedTuple):
    """An endpoint of a site.

    Attributes:
        site: its key.
        path: of its file.
        endpoint: as it is written there.
        where: the same.
    """

    site: str
    path: str
    endpoint: str
    where: Where


def owned(records: Iterable[Mapping[str, Any]]) -> list[Own]:
    """List the endpoints of sites, by the sites' public records."""
    return [
        Own(one["site"], one["path"], endpoint, where)
        for one in records
        for endpoint in one["listen"]
        if (where := Where.of(endpoint)) is not None
    ]


def owner(owns: Iterable[Own], listen: Iterable[str], asked: Where) -> Own | None:
    """Tell whose endpoint a connection comes in at.

    Args:
        owns: the endpoints of sites.
        listen: those of all, of LISTEN.
        asked: where a client connects to.

    Returns:
        None for nobody's, and where the address would have to be known.
    """
    shared = [where for one in listen if (where := Where.of(one)) is not None]
    if asked in shared:
        return None
    found = [own for own in owns if own.where.meets(asked)]
    exact = [own for own in found if own.where == asked]
    if exact:
        return exact[0]
    sites = {own.site for own in found}
    return found[0] if len(sites) == 1 and not any(one.meets(asked) for one in shared) else None


def asked_of(host: str, port: int) -> Where:
    """Where a client connects to that was given a URL."""
    name = host.strip("[]")
    try:
        return Where(port, str(ipaddress.ip_address(name)))
    except ValueError:
        return Where(port, "")


def problems(
    owns: Sequence[Own], listen: Iterable[str], kernel: Kernel, who: Whom, *, root: bool
) -> list[tuple[Own, Problem]]:
    """What would keep endpoints from being opened.

    Args:
        owns: the endpoints of sites.
        listen: those of all, of LISTEN.
        kernel: says which ports are for whom.
        who: Luisito.
        root: it would be started by root.
    """
    others = [("LISTEN", where) for one in listen if (where := Where.of(one)) is not None]
    taken = _taken({0, who.starter.uid, who.network.uid})
    found = []
    for own in owns:
        clash = next((one for one, where in others if where.meets(own.where)), None)
        others.append((own.path, own.where))
        port = own.where.port
        if clash is not None:
            what = f"cannot be had, as {clash} has that, or a part of it, too"
            problem: Problem | None = _problem(what, "write another")
        elif port is None:
            folder = os.path.dirname(own.where.address)
            problem = files.folder(folder, Eyes(who.starter), LISTEN)
            at = status(own.where.address)
            if problem is None and at is not None and not stat.S_ISSOCK(at.mode):
                problem = _problem("is there, and no socket", "remove that, or write another")
        elif port < kernel.unprivileged and not (root or kernel.binds):
            what = f"needs root, as all ports below {kernel.unprivileged} do"
            mend = f"start Luisito as root, or write another, such as {8000 + port}"
            problem = _problem(what, mend)
        else:
            by = taken(own.where)
            problem = _problem(f"is taken: {by} listens there", "end that, or write another")
            problem = problem if by else None
        if problem is not None:
            found.append((own, problem))
    return found


def _problem(what: str, mend: str) -> Problem:
    return Problem(LISTEN, what, Mend("do", mend))


def _taken(ours: Container[int]) -> Callable[[Where], str]:
    """Returns what tells who listens on a port, but for Luisito itself; "" for nobody.

    Args:
        ours: the users that one who runs may be, where we may not see more.
    """
    try:
        diag = Diag()
        listening = diag.listeners()
        diag.close()
    except (DiagError, OSError):
        return lambda _: ""

    def taken(where: Where) -> str:
        for one in listening.get(where.port or 0, ()):
            if Where(where.port, one.address).meets(where):
                return _by(one, ours)
        return ""

    return taken


def _by(listener: Listener, ours: Container[int]) -> str:
    """A program that has a socket, as far as we may see that; see _taken."""
    found = ""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if tree.owns([int(pid)], listener.inode):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().rstrip(b"\0").split(b"\0")
            except OSError:
                continue
            if any(_OURS(os.path.basename(word)) for word in words):
                return ""  # it has the endpoint already
            found = f"{visible(os.fsdecode(b' '.join(words)[:80]))} (pid {pid})"
    return found or ("" if listener.uid in ours else f"a program of uid {listener.uid}")
