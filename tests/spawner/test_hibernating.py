"""Servers that a real spawner freezes and lets run on, and the memory that is given back."""

import ctypes
import os
import shutil
import signal
import subprocess
from types import SimpleNamespace

import pytest

from luisito.core import cgroup, wire
from luisito.spawner import cgroupfs, reclaiming
from luisito.spawner.hibernating import NO_CGROUP, Hibernating
from tests.harness import cgroups, kernel

from .conftest import PYTHON, wait_until

MB = 1024 * 1024
QUIET = [*PYTHON, "import select; print('here', flush=True); select.epoll().poll()"]
GET_MERGE = 68  # linux/prctl.h
MERGED = f"import ctypes; print(ctypes.CDLL(None).prctl({GET_MERGE}, 0, 0, 0, 0), flush=True)"
in_cgroups = pytest.mark.cgroups


def folder_of(pid):
    with open("/proc/self/mountinfo") as mounts, open(f"/proc/{pid}/cgroup") as its:
        return cgroup.place(mounts.read(), its.read()).folder


def is_frozen(pid):
    return "frozen 1" in cgroups.read(folder_of(pid), "cgroup.events").splitlines()


def started(network, command=QUIET, **changes):
    """A server that runs; its pid."""
    network.launch(command=command, **changes)
    fact, output = network.run()
    network.wait(wire.Running)
    os.set_blocking(output, True)
    assert os.read(output, 100)
    return fact.pid


@in_cgroups
@pytest.mark.parametrize("means", ["freeze", "reclaim"])
def test_a_server_is_frozen_at_once_and_runs_on(as_root, means):
    pid = started(as_root, hibernate=means)
    as_root.order(wire.Hibernate(1, on=True, force=True))
    fact = as_root.wait(wire.Hibernated)
    assert (fact.server, fact.message) == (1, "")
    assert (fact.memory is None) is (means == "freeze")
    assert wait_until(lambda: is_frozen(pid))
    as_root.order(wire.Hibernate(1, on=False))
    assert wait_until(lambda: not is_frozen(pid))


@in_cgroups
def test_one_that_is_wanted_while_it_is_looked_at_is_not_frozen(as_root):
    pid = started(as_root, hibernate="freeze")
    as_root.order(wire.Hibernate(1, on=True))
    as_root.silent()
    as_root.order(wire.Hibernate(1, on=False))
    _, output = as_root.run(2)
    as_root.wait(wire.Running)
    os.set_blocking(output, True)
    assert os.read(output, 100)
    as_root.order(wire.Hibernate(2, on=True))  # which is looked at after it
    assert as_root.wait(wire.Hibernated) == wire.Hibernated(2, "", None)
    assert not is_frozen(pid)


@in_cgroups
def test_one_that_is_told_to_stop_runs_on_and_is_frozen_no_more(as_root):
    pid = started(as_root, hibernate="freeze")
    as_root.order(wire.Hibernate(1, on=True, force=True))
    as_root.wait(wire.Hibernated)
    as_root.order(wire.Signal(1, "TERM"))
    as_root.order(wire.Hibernate(1, on=True, force=True))
    assert as_root.wait(wire.Exited).signal == signal.SIGTERM
    assert not os.path.exists(f"/proc/{pid}")
    as_root.order(wire.Hibernate(1, on=True))
    assert as_root.silent() == []


def test_without_a_cgroup_none_is_frozen(as_user):
    started(as_user, hibernate="freeze")
    why = "" if "each has a cgroup of its own" in as_user.hello.words else NO_CGROUP
    as_user.order(wire.Hibernate(1, on=True))
    assert as_user.wait(wire.Hibernated) == wire.Hibernated(1, why, None)


@pytest.mark.root
@pytest.mark.parametrize("means", ["merge", "freeze"])
def test_servers_may_be_merged_where_that_is_asked_for(as_root, means):
    """Where the kernel keeps that over exec, and only then."""

    def asks():
        ctypes.CDLL(None).prctl(67, 1, 0, 0, 0)

    kept = subprocess.check_output([*PYTHON, MERGED], preexec_fn=asks)
    without = subprocess.check_output([*PYTHON, MERGED])
    as_root.launch(command=[*PYTHON, MERGED], hibernate=means)
    _, output = as_root.run()
    as_root.wait(wire.Exited)
    assert os.read(output, 100) == (kept if means == "merge" else without)


MAPS = f"""
import mmap
file = open({shutil.which(kernel.PROGRAM)!r}, "rb")
mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
sum(mapped[:8 << 20:4096])
print("has it", flush=True)
input()
"""


@pytest.mark.kernel
def test_a_cgroup_that_counts_memory_gives_it_back():
    cgroups.write(cgroups.where(), "cgroup.subtree_control", "+memory")
    path = cgroups.make(f"test-{os.getpid()}")
    process = subprocess.Popen(
        [*PYTHON, MAPS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: cgroupfs.join(path),  # noqa: PLW1509 - no threads
    )
    with process:
        try:
            assert process.stdout.readline()
            before = int(cgroups.read(path, "memory.current"))
            assert before > 8 * MB
            assert reclaiming.by_cgroup(path, lambda: False)
            assert int(cgroups.read(path, "memory.current")) > 8 * MB
            assert reclaiming.by_cgroup(path, lambda: True)
            assert int(cgroups.read(path, "memory.current")) < before - 4 * MB
        finally:
            process.kill()
    cgroups.remove(path)


# -- where helpers fail


class Spawner:
    """What Hibernating needs of it: one server, and helpers that tell what a test says."""

    def __init__(self, folder):
        self.server = SimpleNamespace(
            id=1, pid=os.getpid(), uid=0, stopping=False, code=None, memory=None, weighed_at=0.0
        )
        self.facts = []
        self.outbox = SimpleNamespace(send=self.facts.append)
        self.kin = SimpleNamespace(of=lambda _: [], orphans=list, cgroup_of=lambda _: None)
        self.runs = 0
        poller = SimpleNamespace(register=lambda *_: None, unregister=lambda _: None)
        groups = SimpleNamespace(folder_of=lambda _: folder)
        self.hibernating = Hibernating(self, self, poller, groups)
        self.hibernating.serve("reclaim")

    def get(self, number):
        return self.server if number == 1 else None

    def run(self, _work, failed):
        """A helper that ends at once."""
        del failed
        self.runs += 1

    def turn(self):
        self.hibernating.tick()
        for errand in (self.hibernating._looks, self.hibernating._reclaim):
            self.hibernating.readable(errand._read)


def test_who_cannot_be_looked_at_is_not_frozen(tmp_path):
    spawner = Spawner(str(tmp_path))
    spawner.hibernating.obey(wire.Hibernate(1, on=True))
    spawner.turn()
    assert spawner.facts == [wire.Hibernated(1, "a helper that looked at it has failed", None)]
    spawner.turn()
    assert spawner.runs == 1


def test_whose_memory_cannot_be_given_back_is_left_frozen(tmp_path):
    """And not tried again and again."""
    freeze = tmp_path / "cgroup.freeze"
    freeze.write_text("0")
    spawner = Spawner(str(tmp_path))
    spawner.hibernating.obey(wire.Hibernate(1, on=True, force=True))
    assert freeze.read_text() == "1"
    spawner.turn()
    assert spawner.facts == [wire.Hibernated(1, "", None)]
    spawner.turn()
    assert spawner.runs == 1
    spawner.hibernating.wake_all()
    assert freeze.read_text() == "0"


def test_a_kernel_without_a_freezer_is_told_of(tmp_path):
    spawner = Spawner(str(tmp_path))
    spawner.hibernating.obey(wire.Hibernate(1, on=True, force=True))
    (fact,) = spawner.facts
    assert fact.message == "its cgroup has no cgroup.freeze, which takes Linux 5.2"
