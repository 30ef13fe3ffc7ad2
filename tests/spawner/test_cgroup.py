"""Cgroups of servers by themselves, in the tree of this machine."""

import os
import signal
import subprocess
import sys
import time

import pytest

from luisito.core.cgroup import Limits
from luisito.errors import SettingsError
from luisito.spawner import cgroupfs, delegation
from luisito.spawner.cgroup import Cgroups
from tests.harness import cgroups

from .conftest import wait_until

pytestmark = [pytest.mark.root, pytest.mark.cgroups]

# Forks as fast as it can, each child a session of its own, and none older than a moment.
RUNAWAY = """
import os, time
end = time.monotonic() + 60
while time.monotonic() < end:
    if os.fork():
        time.sleep(0.002)
        os._exit(0)
    os.setsid()
"""


@pytest.fixture
def folder():
    path = cgroups.make(f"test-{os.getpid()}")
    yield path
    cgroups.remove(path)


@pytest.fixture
def made(folder):
    return Cgroups(folder, Limits(), exclusive=True, lock=-1)


def run(made, server, *command):
    """Runs a command in the cgroup of a server."""
    own = made.make(server)
    return subprocess.Popen(command, preexec_fn=lambda: cgroupfs.join(own))  # noqa: PLW1509 - no threads


def empty(folder, server):
    return not cgroups.pids(f"{folder}/{server}")


def test_a_life(folder, made):
    process = run(made, 3, "sleep", "1000")
    assert wait_until(lambda: made.pids(3) == [process.pid])
    assert made.pids(4) is None
    made.kill(3)
    assert process.wait(5) == -signal.SIGKILL
    made.remove(3)
    assert made.deadline() is None
    assert cgroups.below(folder) == [folder]


@pytest.mark.parametrize("kernel", ["of today", "before 5.14"])
def test_no_process_outruns_its_end(folder, made, kernel, monkeypatch):
    """Cgroup.kill, or freezing and then killing each."""
    if kernel != "of today":

        def write(path, value, write=cgroupfs.write):
            if path.endswith("/cgroup.kill"):
                raise FileNotFoundError(path)
            write(path, value)

        monkeypatch.setattr(cgroupfs, "write", write)
    first = run(made, 3, sys.executable, "-I", "-S", "-c", RUNAWAY)
    assert first.wait(10) == 0  # and its children go on

    def ended():
        made.kill(3)
        return empty(folder, 3)

    assert made.pids(3)
    assert wait_until(ended)
    assert not wait_until(lambda: not empty(folder, 3), 0.1)


def test_what_is_busy_is_ended_and_removed_later(folder, made):
    process = run(made, 3, "sleep", "1000")
    assert wait_until(lambda: not empty(folder, 3))
    made.remove(3)
    soon = made.deadline()
    assert soon > time.monotonic()
    assert process.wait(5) == -signal.SIGKILL
    made.tick(soon - 1)
    assert os.path.exists(f"{folder}/3")
    made.tick(soon)
    assert not os.path.exists(f"{folder}/3")
    assert made.deadline() is None


def test_those_that_a_server_made_below_its_own_go_too(folder, made):
    process = run(made, 3, "sleep", "1000")
    assert wait_until(lambda: not empty(folder, 3))
    os.makedirs(f"{folder}/3/a/b")
    cgroups.write(f"{folder}/3/a/b", "cgroup.procs", str(process.pid))
    assert made.pids(3) == [process.pid]
    made.kill(3)
    assert process.wait(5) == -signal.SIGKILL
    made.remove(3)
    assert cgroups.below(folder) == [folder]


def test_a_server_needs_a_cgroup_where_it_has_limits_only(folder):
    os.mkdir(f"{folder}/3")
    free = Cgroups(folder, Limits(), exclusive=True, lock=-1)
    assert free.make(3) is None
    assert free.pids(3) is None
    bound = Cgroups(folder, Limits(pids=10), exclusive=True, lock=-1)
    with pytest.raises(OSError, match="exists"):
        bound.make(3)


def test_two_never_share_one(tmp_path):
    place = delegation.here(str(tmp_path))
    one, words = delegation.claim(str(tmp_path), Limits(), exclusive=True, root=True)
    try:
        assert words == f"each has a cgroup of its own in {place.folder}"
        two, words = delegation.claim(str(tmp_path), Limits(), exclusive=True, root=True)
        assert two is None
        assert words.startswith("no cgroup for each: another Luisito uses ")
        with pytest.raises(SettingsError, match="PIDS_MAX = 5: "):
            delegation.claim(str(tmp_path), Limits(pids=5), exclusive=True, root=True)
    finally:
        one.kill_all()
        one.end()
        os.close(one._lock)
        for killer in one.killers:
            os.close(killer)
    assert not os.path.exists(cgroups.ours(place.folder, tmp_path))
