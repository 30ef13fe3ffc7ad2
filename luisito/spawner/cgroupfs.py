"""What is done to a cgroup through its folder (cgroups(7)): joined, listed, ended, removed."""

from __future__ import annotations

import errno
import os
import signal
import time
from contextlib import suppress

from luisito.spawner import containment, tree

_PAUSE = 0.005
_MAX_FILE = 1 << 24  # bytes, of cgroup.procs


def join(folder: str) -> None:
    """Move this process into a cgroup, which may take the kernel 20 ms."""
    write(f"{folder}/cgroup.procs", "0")


def kill(folder: str) -> None:
    """Kill all that is in a cgroup and in those below it."""
    try:
        write(f"{folder}/cgroup.kill", "1")
    except FileNotFoundError:
        # Before Linux 5.14, or gone. What is frozen has no time to fork, and yet can be killed.
        with suppress(OSError):
            write(f"{folder}/cgroup.freeze", "1")
        for pid in pids(folder):
            containment.kill(pid, signal.SIGKILL)
    except OSError:
        pass  # ENODEV: it goes at this moment


def remove_soon(folder: str, deadline: float) -> None:
    """Kill what is in a cgroup until it can be removed; to be called where nobody waits.

    Args:
        folder: of the cgroup.
        deadline: in seconds of the monotonic clock.

    Raises:
        OSError: it has processes that do not die.
    """
    while True:
        try:
            remove(folder)
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() >= deadline:
                raise
            kill(folder)
            time.sleep(_PAUSE)
        else:
            return


def remove(folder: str) -> None:
    """Remove a cgroup with those that its processes may have made in it.

    Raises:
        OSError: EBUSY, as long as a process is in it.
    """
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return
    except OSError:
        names = below(folder)
        if not names:
            raise
        for name in names:
            remove(f"{folder}/{name}")
        os.rmdir(folder)


def pids(folder: str) -> list[int]:
    """List the processes of a cgroup and of those below it."""
    found = own_pids(folder)
    for name in below(folder):
        found += pids(f"{folder}/{name}")
    return found


def own_pids(folder: str) -> list[int]:
    """List the processes of a cgroup, without those below it."""
    listed = tree.read(f"{folder}/cgroup.procs", _MAX_FILE)
    found = map(int, listed.split())
    return [pid for pid in found if pid]  # 0 is one of a namespace that we cannot see


def below(folder: str) -> list[str]:
    """Name the cgroups that are right below one."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def text(path: str) -> str:
    """Read a file; empty where it cannot be read."""
    return os.fsdecode(tree.read(path, _MAX_FILE))


def write(path: str, value: str) -> None:
    """Write to a file that the kernel has made.

    Raises:
        OSError: the kernel refuses it; with the path.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode("ascii"))
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(descriptor)
