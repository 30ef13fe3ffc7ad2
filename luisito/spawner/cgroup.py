"""A cgroup for each server (cgroups(7)): it keeps the limits, and ends as one."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from luisito.core import cgroup
from luisito.errors import SettingsError
from luisito.spawner.containment import kill
from luisito.spawner.tree import read

if TYPE_CHECKING:
    from luisito.core.cgroup import Limits, Place

_AGAIN = 0.25  # seconds until the removal of a cgroup that is busy is tried again
_PATIENCE = 5.0  # seconds for what must have ended, where nobody can be served meanwhile
_PAUSE = 0.005
_MAX_PROCS = 1 << 24  # bytes of cgroup.procs
_MARKS = ("trusted.delegate", "user.delegate")  # systemd's, the latter since 251


class Cgroups:
    """The cgroups of the servers, by number.

    Args:
        folder: of ours, where each has one.
        limits: that each is to keep.
        exclusive: no server may write there, so that none can leave its cgroup.
        lock: a descriptor of the folder above, whose lock is ours.

    Attributes:
        killers: of cgroup.kill, where there is one: to write "1" to it kills all servers, which
            anybody may who has it.
    """

    __slots__ = (
        "_exclusive",
        "_files",
        "_folder",
        "_left",
        "_lock",
        "_made",
        "_retry_at",
        "killers",
    )

    def __init__(self, folder: str, limits: Limits, *, exclusive: bool, lock: int) -> None:
        self._folder = folder
        self._files = limits.files()
        self._exclusive = exclusive
        self._lock = lock
        self._made: set[int] = set()
        self._left: set[int] = set()  # those that could not be removed yet
        self._retry_at = 0.0
        self.killers: tuple[int, ...] = ()
        with suppress(FileNotFoundError):  # before Linux 5.14
            self.killers = (os.open(f"{folder}/cgroup.kill", os.O_WRONLY | os.O_CLOEXEC),)

    def make(self, server: int) -> str | None:
        """Make a server's cgroup, with its limits.

        Returns:
            The file by which a process joins it, for `join`. None where it cannot be made, and no
            limit has to be kept.

        Raises:
            OSError: it cannot be made, and there are limits.
        """
        path = self._path(server)
        try:
            os.mkdir(path)
            for name, value in self._files.items():
                _write(f"{path}/{name}", value)
        except OSError:
            if self._files:
                self.remove(server)
                raise
            return None
        self._made.add(server)
        return f"{path}/cgroup.procs"

    def pids(self, server: int) -> list[int] | None:
        """List all processes of a server; None where they have to be searched for."""
        if server not in self._made or not self._exclusive:
            return None
        return _pids(self._path(server))

    def kill(self, server: int) -> None:
        """Kill all that is in a server's cgroup."""
        if server in self._made:
            _kill(self._path(server))

    def over_memory(self, server: int) -> bool:
        """Tell whether the kernel has ended processes of a server that was over its memory."""
        if server not in self._made or "memory.max" not in self._files:
            return False
        events = _text(f"{self._path(server)}/memory.events")
        # The machine's own want of memory counts as oom_kill, but not as oom.
        return bool(cgroup.counted(events, "oom") and cgroup.counted(events, "oom_kill"))

    def remove(self, server: int) -> None:
        """Remove a server's cgroup, soon if not now."""
        self._made.discard(server)
        try:
            _remove(self._path(server))
        except OSError:
            self._left.add(server)
            self._retry_at = time.monotonic() + _AGAIN

    def tick(self, now: float) -> None:
        """Try to remove again what was busy."""
        if self._left and now >= self._retry_at:
            left, self._left = self._left, set()
            for server in left:
                self.remove(server)

    def deadline(self) -> float | None:
        """Tell when tick is worth calling next."""
        return self._retry_at if self._left else None

    def kill_all(self) -> None:
        """Kill every server."""
        _kill(self._folder)

    def end(self) -> None:
        """Remove all of ours, once nothing is in it."""
        with suppress(OSError):
            _remove_soon(self._folder)
            # Not where Luisito's own processes had to move into it; the next one finds them there.
            _remove(os.path.dirname(self._folder))

    def _path(self, server: int) -> str:
        return f"{self._folder}/{server}"


def join(procs: str) -> None:
    """Move this process into a cgroup, which may take the kernel 20 ms.

    Args:
        procs: the cgroup's file of processes.
    """
    _write(procs, "0")


def claim(
    runtime_dir: str, limits: Limits, *, exclusive: bool, root: bool
) -> tuple[Cgroups | None, str]:
    """Get a folder for the cgroups of servers, where there is one to be had.

    What a spawner has left there that was killed is killed and removed.

    Args:
        runtime_dir: RUNTIME_DIR, whose lock we have.
        limits: that each server is to keep.
        exclusive: servers run as other users than we do.
        root: we are root.

    Returns:
        None where there is none to be had, and no limit has to be kept; and words for the log.

    Raises:
        SettingsError: there are limits that cannot be kept.
    """
    settings = limits.settings()
    try:
        at = here(runtime_dir)
        check(at, root=root)
        for controller, setting in settings.items():
            obstacle = lacks(at.folder, controller)
            if obstacle:
                raise SettingsError(f"{setting}: {obstacle}; or remove that setting")
        claimed = _claim(at, cgroup.name(runtime_dir), limits, exclusive=exclusive)
    except CannotDivideError as error:
        if settings:
            what = ", ".join(settings.values())
            raise SettingsError(f"{what}: no cgroup for each server: {error}") from None
        return None, f"no cgroup for each: {error}"
    kept = "".join(f", {setting}" for setting in settings.values())
    return claimed, f"each has a cgroup of its own in {at.folder}{kept}"


class CannotDivideError(Exception):
    """The cgroup that we are in cannot be divided; says why and the mend."""


def here(runtime_dir: str) -> Place:
    """Find the cgroup that may be divided among servers, if it may.

    Args:
        runtime_dir: RUNTIME_DIR.

    Raises:
        CannotDivideError: there are none of version 2.
    """
    found = cgroup.place(_text("/proc/self/mountinfo"), _text("/proc/self/cgroup"))
    if found is None:
        raise CannotDivideError(
            "no cgroup v2 tree is mounted here; boot with systemd.unified_cgroup_hierarchy=1, or"
            " run mount -t cgroup2 none /sys/fs/cgroup"
        )
    return cgroup.base(found, cgroup.name(runtime_dir))


def check(at: Place, *, root: bool) -> None:
    """Check that a cgroup may be divided.

    Args:
        at: where.
        root: we are root.

    Raises:
        CannotDivideError: it may not.
    """
    folder, uid = at.folder, os.geteuid()
    try:
        owned = os.stat(folder).st_uid == uid
        above_owned = os.stat(os.path.dirname(folder)).st_uid == uid
    except OSError as error:
        raise CannotDivideError(f"{folder}: {error.strerror}; mount it for Luisito too") from None
    facts = cgroup.Facts(at.path, root, _is_marked(folder), owned, above_owned)
    reason = cgroup.why_not(facts)
    if reason:
        raise CannotDivideError(reason)
    if not os.access(folder, os.W_OK):
        raise CannotDivideError(f"{folder} is mounted read-only; mount it for writing")


def lacks(folder: str, controller: str) -> str:
    """Say why a controller is not to be had in the cgroup of a folder; "" when it is."""
    available = _text(f"{folder}/cgroup.controllers")
    version_1 = cgroup.held_by_version_1(_text("/proc/self/mountinfo"))
    return cgroup.missing(controller, available, version_1)


def _is_marked(folder: str) -> bool:
    for mark in _MARKS:
        with suppress(OSError):
            if os.getxattr(folder, mark) == b"1":
                return True
    return False


def _claim(at: Place, name: str, limits: Limits, *, exclusive: bool) -> Cgroups:
    ours = f"{at.folder}/{name}"
    servers = f"{ours}/{cgroup.SERVERS}"
    try:
        with suppress(FileExistsError):
            os.mkdir(ours)
        lock = os.open(ours, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(FileExistsError):
            os.mkdir(servers)
        _empty(servers)
        enabled = " ".join(f"+{controller}" for controller in limits.settings())
        if enabled:
            _enable(at.folder, enabled, f"{ours}/{cgroup.SELF}")
            for folder in (ours, servers):
                _write(f"{folder}/cgroup.subtree_control", enabled)
    except BlockingIOError:
        raise CannotDivideError(
            f"another Luisito uses {ours}; give each a RUNTIME_DIR of its own"
        ) from None
    except OSError as error:
        raise CannotDivideError(
            f"{error.filename or ours}: {error.strerror}; start Luisito by systemd with"
            " Delegate=yes"
        ) from None
    return Cgroups(servers, limits, exclusive=exclusive, lock=lock)


def _enable(folder: str, controllers: str, own: str) -> None:
    """Let the cgroups below one have controllers, which takes that no process is in it itself.

    Args:
        folder: of the cgroup, which is ours: whatever is in it belongs to Luisito's unit.
        controllers: for cgroup.subtree_control.
        own: where its processes go if they have to.
    """
    try:
        _write(f"{folder}/cgroup.subtree_control", controllers)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
    else:
        return
    with suppress(FileExistsError):
        os.mkdir(own)
    for pid in _own_pids(folder):
        with suppress(ProcessLookupError):
            _write(f"{own}/cgroup.procs", str(pid))
    _write(f"{folder}/cgroup.subtree_control", controllers)


def _empty(servers: str) -> None:
    """Kill and remove what was left by a spawner that could not."""
    for name in _below(servers):
        _kill(f"{servers}/{name}")
        try:
            _remove_soon(f"{servers}/{name}")
        except OSError as error:
            print(  # noqa: T201 - the spawner has no other way to say so
                f"luisito spawner: the cgroup {servers}/{name} is left from before and cannot be"
                f" removed: {error.strerror}; end the processes in it",
                file=sys.stderr,
            )


def _kill(folder: str) -> None:
    try:
        _write(f"{folder}/cgroup.kill", "1")
    except FileNotFoundError:
        # Before Linux 5.14, or gone. What is frozen has no time to fork, and yet can be killed.
        with suppress(OSError):
            _write(f"{folder}/cgroup.freeze", "1")
        for pid in _pids(folder):
            kill(pid, signal.SIGKILL)
    except OSError:
        pass  # ENODEV: it goes at this moment


def _remove_soon(folder: str) -> None:
    """Remove a cgroup whose processes are on their way out.

    Raises:
        OSError: they are not.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            _remove(folder)
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() >= deadline:
                raise
            _kill(folder)
            time.sleep(_PAUSE)
        else:
            return


def _remove(folder: str) -> None:
    """Remove a cgroup with those that its processes may have made in it.

    Raises:
        OSError: EBUSY, as long as a process is in it.
    """
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return
    except OSError:
        below = _below(folder)
        if not below:
            raise
        for name in below:
            _remove(f"{folder}/{name}")
        os.rmdir(folder)


def _pids(folder: str) -> list[int]:
    pids = _own_pids(folder)
    for name in _below(folder):
        pids += _pids(f"{folder}/{name}")
    return pids


def _own_pids(folder: str) -> list[int]:
    listed = read(f"{folder}/cgroup.procs", _MAX_PROCS)
    return [
        pid for pid in map(int, listed.split()) if pid
    ]  # 0 is of a namespace that we cannot see


def _below(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _text(path: str) -> str:
    return os.fsdecode(read(path, _MAX_PROCS))


def _write(path: str, value: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode("ascii"))
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(descriptor)
