"""Getting a cgroup that may be divided among servers, and making it ready for that."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from luisito.core import cgroup
from luisito.core.cgroup import Limits
from luisito.errors import SettingsError
from luisito.spawner import cgroupfs
from luisito.spawner.cgroup import Cgroups

if TYPE_CHECKING:
    from luisito.core.cgroup import Place

_PATIENCE = 5.0  # seconds for the end of what was left there from before
_TRIES = 10  # processes may fork while they are moved
_MARKS = ("trusted.delegate", "user.delegate")  # systemd's, the latter since 251


class CannotDivideError(Exception):
    """The cgroup that we are in cannot be divided; says why and the mend."""


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
        _check_controllers(at, limits)
        claimed = _claim(at, cgroup.name(runtime_dir), limits, exclusive=exclusive)
    except CannotDivideError as error:
        if settings:
            what = ", ".join(settings.values())
            raise SettingsError(f"{what}: no cgroup for each server: {error}") from None
        return None, f"no cgroup for each: {error}"
    return claimed, _words(at, limits)


def extend(runtime_dir: str, limits: Limits) -> str:
    """Have other limits kept in the folder that was got before, by servers to come.

    Args:
        runtime_dir: as for `claim`.
        limits: that each server is to keep.

    Returns:
        Words for the log.

    Raises:
        SettingsError: there are limits that cannot be kept.
    """
    try:
        at = here(runtime_dir)
        _check_controllers(at, limits)
        _delegate(at, cgroup.name(runtime_dir), limits)
    except (CannotDivideError, OSError) as error:
        what = ", ".join(limits.settings().values()) or "cgroups"
        raise SettingsError(f"{what}: {error}; stop and start Luisito") from None
    return _words(at, limits)


def offer(runtime_dir: str) -> dict[str, str]:
    """Have all limits to be had in the folder that was got before, for sites that want some.

    Args:
        runtime_dir: as for `claim`.

    Returns:
        By the controllers that are not to be had, why not.
    """
    at = here(runtime_dir)
    lacking: dict[str, str] = {}
    for one in (Limits(memory=0), Limits(cpu=0), Limits(pids=0)):
        for controller in one.settings():
            obstacle = lacks(at.folder, controller)
            try:
                if not obstacle:
                    _delegate(at, cgroup.name(runtime_dir), one)
            except OSError as error:
                obstacle = f"{error.filename}: {error.strerror}"
            if obstacle:
                lacking[controller] = obstacle
    return lacking


def _check_controllers(at: Place, limits: Limits) -> None:
    for controller, setting in limits.settings().items():
        obstacle = lacks(at.folder, controller)
        if obstacle:
            raise SettingsError(f"{setting}: {obstacle}; or remove that setting")


def _words(at: Place, limits: Limits) -> str:
    kept = "".join(f", {setting}" for setting in limits.settings().values())
    return f"each has a cgroup of its own in {at.folder}{kept}"


def here(runtime_dir: str) -> Place:
    """Find the cgroup that may be divided among servers, if it may.

    Args:
        runtime_dir: RUNTIME_DIR.

    Raises:
        CannotDivideError: there are none of version 2.
    """
    found = cgroup.place(cgroupfs.text("/proc/self/mountinfo"), cgroupfs.text("/proc/self/cgroup"))
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
    # Whoever moves a process must be allowed to write to the latter file above both its cgroups.
    if not all(os.access(path, os.W_OK) for path in (folder, f"{folder}/cgroup.procs")):
        raise CannotDivideError(
            f"{folder} or cgroup.procs in it cannot be written; mount it for writing, or start"
            " Luisito by systemd with Delegate=yes"
        )


def lacks(folder: str, controller: str) -> str:
    """Say why a controller is not to be had in the cgroup of a folder; "" when it is."""
    available = cgroupfs.text(f"{folder}/cgroup.controllers")
    version_1 = cgroup.held_by_version_1(cgroupfs.text("/proc/self/mountinfo"))
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
        _delegate(at, name, limits)
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


def _delegate(at: Place, name: str, limits: Limits) -> None:
    """Let the cgroups of servers have the controllers that the limits take."""
    ours = f"{at.folder}/{name}"
    enabled = " ".join(f"+{controller}" for controller in limits.settings())
    if enabled:
        _enable(at.folder, enabled, f"{ours}/{cgroup.SELF}")
        for folder in (ours, f"{ours}/{cgroup.SERVERS}"):
            cgroupfs.write(f"{folder}/cgroup.subtree_control", enabled)


def _enable(folder: str, controllers: str, own: str) -> None:
    """Let the cgroups below one have controllers, which takes that no process is in it itself.

    Args:
        folder: of the cgroup, which is ours: whatever is in it belongs to Luisito's unit.
        controllers: for cgroup.subtree_control.
        own: where its processes go if they have to.
    """
    for tries in range(_TRIES):
        try:
            cgroupfs.write(f"{folder}/cgroup.subtree_control", controllers)
        except OSError as error:
            if error.errno != errno.EBUSY or tries == _TRIES - 1:
                raise
        else:
            return
        with suppress(FileExistsError):
            os.mkdir(own)
        for pid in cgroupfs.own_pids(folder):
            with suppress(ProcessLookupError):
                cgroupfs.write(f"{own}/cgroup.procs", str(pid))


def _empty(servers: str) -> None:
    """Kill and remove what was left by a spawner that could not."""
    cgroupfs.kill(servers)
    deadline = time.monotonic() + _PATIENCE
    for name in cgroupfs.below(servers):
        try:
            cgroupfs.remove_soon(f"{servers}/{name}", deadline)
        except OSError as error:
            print(  # noqa: T201 - the spawner has no other way to say so
                f"luisito spawner: the cgroup {servers}/{name} is left from before and cannot be"
                f" removed: {error.strerror}; end the processes in it",
                file=sys.stderr,
            )
