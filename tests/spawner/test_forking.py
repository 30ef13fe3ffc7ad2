"""A child that was just forked."""

import os
import subprocess
import sys

import pytest

from luisito.spawner import forking
from tests.harness import cgroups

# The child sends itself a signal before it returns from the fork.
SIGNALLED_AT_ONCE = """
import os, signal, sys, time
from luisito.spawner import forking
wake, wakeup = os.pipe2(os.O_NONBLOCK)
forking.handle_signals(wakeup)
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
pid = forking.fork_into(sys.argv[1]) if sys.argv[1:] else forking.fork()
if pid == 0:
    time.sleep(20)
    os._exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
heard = os.read(wake, 100)
os.kill(os.getpid(), signal.SIGHUP)
print(code, signal.SIGTERM in heard, signal.SIGHUP in os.read(wake, 100))
"""
# It is there from the first, works as one of fork(2), and its parent, too.
FORKED = """
import json, os, subprocess, sys, threading
from luisito.spawner import forking
seen = []
os.register_at_fork(
    before=lambda: seen.append("before"),
    after_in_parent=lambda: seen.append("parent"),
    after_in_child=lambda: seen.append("child"),
)
for _ in range(3):
    pid = forking.fork_into(sys.argv[1])
    if pid == 0:
        import colorsys  # takes the lock of imports
        with open("/proc/self/cgroup") as file:
            place = file.read().splitlines()[-1]
        threading.Thread(target=seen.append, args=[os.path.basename(place) in sys.argv[1]]).start()
        said = subprocess.run(["echo", "done"], capture_output=True).stdout.decode()
        print(seen[-3:], said, end="", flush=True)
        os._exit(7)
    print(os.waitpid(pid, 0)[1], seen[-2:], flush=True)
"""


@pytest.fixture
def cgroup():
    path = cgroups.make(f"test-forking-{os.getpid()}")
    yield path
    cgroups.remove(path)


def python(*argv):
    return subprocess.run(
        [sys.executable, "-c", *argv], check=False, capture_output=True, text=True, timeout=60
    )


def test_a_signal_to_a_child_at_once_ends_the_child_and_wakes_nobody_else():
    found = python(SIGNALLED_AT_ONCE)
    assert found.stdout.split() == ["143", "False", "True"], found


@pytest.mark.root
@pytest.mark.cgroups
def test_a_signal_to_a_child_in_a_cgroup_at_once_likewise(cgroup):
    found = python(SIGNALLED_AT_ONCE, cgroup)
    assert found.stdout.split() == ["-15", "False", "True"], found


@pytest.mark.root
@pytest.mark.cgroups
def test_a_child_in_a_cgroup_is_as_any_other(cgroup):
    found = python(FORKED, cgroup)
    child = "['before', 'child', True] done"
    assert found.stdout.splitlines() == 3 * [child, f"{7 << 8} ['before', 'parent']"], found


def test_a_kernel_that_does_not_is_no_error(tmp_path):
    before = os.listdir("/proc/self/fd")
    assert forking.fork_into(str(tmp_path)) is None  # no cgroup: EBADF
    assert os.listdir("/proc/self/fd") == before
