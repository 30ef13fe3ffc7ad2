"""Cgroups of version 2, made and looked at from outside of Luisito."""

import contextlib
import os
import signal

from luisito.core import cgroup
from tests.harness import processes


def where():
    """The folder of the cgroup that we are in; None where there is no version 2."""
    with open("/proc/self/mountinfo") as mounts, open("/proc/self/cgroup") as own:
        found = cgroup.place(mounts.read(), own.read())
    return None if found is None else found.folder


def writable():
    """Whether we may make cgroups where we are."""
    return where() is not None and os.access(where(), os.W_OK)


def make(name, *, mark=False, owner=None, exist_ok=False):
    """Makes one below ours; `mark` it as systemd does one that is delegated."""
    path = f"{where()}/{name}"
    os.makedirs(path, exist_ok=exist_ok)
    if mark:
        os.setxattr(path, "user.delegate", b"1")
    if owner is not None:
        for file in ("", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads"):
            os.chown(path + file, owner.pw_uid, owner.pw_gid)
    return path


def read(path, file):
    """The text of a file of a cgroup, without its last newline."""
    with open(f"{path}/{file}") as found:
        return found.read().rstrip("\n")


def write(path, file, text):
    with open(f"{path}/{file}", "w") as found:
        found.write(text)


def pids(path):
    """All processes in it, not those further below."""
    return [int(pid) for pid in read(path, "cgroup.procs").split()]


def of(pid):
    """The path of the cgroup of version 2 that a process is in."""
    with open(f"/proc/{pid}/cgroup") as file:
        return next(line[3:].rstrip("\n") for line in file if line.startswith("0::"))


def ours(folder, runtime_dir):
    """The folder of a Luisito's cgroups."""
    return f"{folder}/{cgroup.name(str(runtime_dir))}"


def below(path):
    """The cgroups below one, the deepest first."""
    return [top for top, _folders, _files in os.walk(path, topdown=False)]


def remove(path):
    """Kills all that is in one, and removes it with those below."""
    for folder in below(path):
        for pid in pids(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        processes.until(lambda: _gone(folder), 5, f"the removal of {folder}")  # noqa: B023


def _gone(folder):
    processes.reap_orphans(set())
    with contextlib.suppress(OSError):
        os.rmdir(folder)
    return not os.path.exists(folder)
