"""Control groups, version 2 (cgroups(7)): which of them are ours, and what is written there."""

import re
from typing import Final, NamedTuple

CPU_PERIOD: Final = 100_000  # microseconds; what the kernel takes by itself
SERVERS: Final = "servers"  # in our folder: a cgroup for each server, by its number
SELF: Final = "self"  # beside it: Luisito's own processes, where they must leave the cgroup above

# In a name, everything else becomes %XX; "/" becomes "-".
_ODD = re.compile(rb"[^A-Za-z0-9._/]")
_ESCAPED = re.compile(r"\\([0-7]{3})")  # in mountinfo
_UNIT = re.compile(r".+\.(service|scope|slice)")  # systemd.unit(5)


class Limits(NamedTuple):
    """What each server may use; None is no limit.

    Attributes:
        memory: bytes.
        cpu: microseconds of processor time in each CPU_PERIOD.
        pids: processes and threads.
    """

    memory: int | None = None
    cpu: int | None = None
    pids: int | None = None

    def settings(self) -> dict[str, str]:
        """Tell which controllers they need, and the setting that says so, as it was written."""
        found: dict[str, str] = {}
        if self.memory is not None:
            found["memory"] = f"MEMORY_MAX = {self.memory}"
        if self.cpu is not None:
            found["cpu"] = f"CPU_MAX = {self.cpu / CPU_PERIOD:g}"
        if self.pids is not None:
            found["pids"] = f"PIDS_MAX = {self.pids}"
        return found

    def files(self) -> dict[str, str]:
        """Tell what is written to which files of a server's cgroup."""
        found: dict[str, str] = {}
        if self.memory is not None:
            # With the group: half a site that goes on is no site.
            found |= {"memory.max": str(self.memory), "memory.oom.group": "1"}
        if self.cpu is not None:
            found["cpu.max"] = f"{self.cpu} {CPU_PERIOD}"
        if self.pids is not None:
            found["pids.max"] = str(self.pids)
        return found


class Place(NamedTuple):
    """The cgroup that a process is in.

    Attributes:
        path: of it, as /proc/PID/cgroup has it.
        folder: the same in the file system.
        top: the folder of the tree, or of the part of it that can be seen here.
    """

    path: str
    folder: str
    top: str


class Facts(NamedTuple):
    """What tells whether a cgroup may be divided further.

    Attributes:
        path: of it.
        root: we are root.
        marked: systemd has marked it as delegated.
        owned: it belongs to our user.
        above_owned: so does the one above it.
    """

    path: str
    root: bool
    marked: bool
    owned: bool
    above_owned: bool


def place(mountinfo: str, cgroup: str) -> Place | None:
    """Find the cgroup of version 2 that a process is in.

    On hybrid machines it is anywhere (/sys/fs/cgroup/unified).

    Args:
        mountinfo: /proc/PID/mountinfo.
        cgroup: /proc/PID/cgroup.

    Returns:
        None where no such tree is mounted, or not with this cgroup in it.
    """
    paths = [line[3:] for line in cgroup.splitlines() if line.startswith("0::/")]
    for path in paths:
        for fields, kind, _options in _mounts(mountinfo):
            root = "" if fields[3] == "/" else fields[3]
            if kind == "cgroup2" and f"{path}/".startswith(f"{root}/"):
                inside = path[len(root) :].rstrip("/")
                top = _unescaped(fields[4])
                return Place(path, top.rstrip("/") + inside or "/", top)
    return None


def _mounts(mountinfo: str) -> list[tuple[list[str], str, str]]:
    """List mounts: the first fields, the type, the options of the file system (proc(5))."""
    found = []
    for line in mountinfo.splitlines():
        first, _, last = line.partition(" - ")
        fields, rest = first.split(" "), last.split(" ")
        if len(fields) >= 6 and len(rest) >= 3:
            found.append((fields, rest[0], rest[2]))
    return found


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)


def held_by_version_1(mountinfo: str) -> set[str]:
    """List the controllers that version 1 has, so that they cannot be in the tree of version 2."""
    return {
        option
        for _fields, kind, options in _mounts(mountinfo)
        if kind == "cgroup"
        for option in options.split(",")
    }


def base(at: Place, name: str) -> Place:
    """Find the cgroup that was divided, from the one that Luisito's own processes were moved to.

    Args:
        at: where we are.
        name: of our folder.
    """
    moved = f"/{name}/{SELF}"
    if not at.path.endswith(moved):
        return at
    return Place(at.path.removesuffix(moved) or "/", at.folder.removesuffix(moved), at.top)


def why_not(facts: Facts) -> str:
    """Say why a cgroup may not be divided further; "" when it may.

    What systemd has not delegated is systemd's alone to write to.
    """
    if facts.marked:
        return ""
    unit = facts.path.rpartition("/")[2]
    if _UNIT.fullmatch(unit):
        # An older systemd marks it in a way that only root can see, but gives it to the user.
        if not facts.root and facts.owned and not facts.above_owned:
            return ""
        return (
            f"systemd has not handed the cgroup of {unit} over; write Delegate=yes into the"
            " [Service] of Luisito's unit"
        )
    if facts.root or facts.owned:
        return ""
    return f"the cgroup {facts.path} is not its user's; start it by systemd with Delegate=yes"


def missing(controller: str, available: str, version_1: set[str]) -> str:
    """Say why a controller is not to be had, and the mend; "" when it is.

    Args:
        controller: that is needed.
        available: cgroup.controllers.
        version_1: see `held_by_version_1`.
    """
    if controller in available.split():
        return ""
    if controller in version_1:
        return (
            f"cgroup v1 has the controller {controller}; boot with cgroup_no_v1={controller}, or"
            " with systemd.unified_cgroup_hierarchy=1"
        )
    return (
        f"the controller {controller} is not among those of its cgroup"
        f" ({' '.join(available.split()) or 'none'}); write Delegate=yes into Luisito's unit, or"
        f" boot with cgroup_enable={controller}"
    )


def name(runtime_dir: str) -> str:
    """Name our folder, of which each Luisito has its own, as it has a RUNTIME_DIR.

    Args:
        runtime_dir: an absolute path.
    """
    quoted = _ODD.sub(
        lambda odd: b"%%%02X" % odd[0][0], runtime_dir.encode("utf-8", "surrogateescape")
    )
    return "luisito" + quoted.decode("ascii").replace("/", "-")


def counted(events: str, what: str) -> int:
    """Read a number of a file like memory.events; 0 where it has none."""
    for line in events.splitlines():
        name, _, number = line.partition(" ")
        if name == what and number.isdecimal():
            return int(number)
    return 0
