"""The first process of a kernel of its own: runs the tests whose names come on its console.

Each in a fork of this process, which has imported what takes long there; between two of them all is
put back that a test may have left.
"""

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from tests.harness import cgroups, kernel, server  # noqa: F401 - for the forks

READY = "the kernel is ready"
END = "the test ended with"
OPTIONS = ("-q", "--color=no", "-p", "no:xdist", "--override-ini", "timeout=80")


def main():
    # what is below would end all processes of this machine
    assert kernel.inside()
    assert os.getpid() == 1
    print(f"\n{READY}", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            # what follows is for us
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            status = pytest.main([*OPTIONS, line.rstrip("\n")])
            sys.stdout.flush()
            os._exit(status)
        status = _wait_for(pid)
        _clear()
        print(f"\n{END} {status}", flush=True)
    os.sync()
    Path("/proc/sysrq-trigger").write_text("o")
    signal.pause()  # the first process must not end


def _wait_for(pid):
    """The exit status of a child; reaps orphans, which come to us."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def _clear():
    """Ends all other processes, and removes the cgroups and files that are left."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    top = cgroups.where()
    for name in os.listdir(top):
        if os.path.isdir(f"{top}/{name}"):
            cgroups.remove(f"{top}/{name}")
    for controller in cgroups.read(top, "cgroup.subtree_control").split():
        cgroups.write(top, "cgroup.subtree_control", f"-{controller}")
    for path in Path(os.environ["TMPDIR"]).iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


if __name__ == "__main__":
    main()
