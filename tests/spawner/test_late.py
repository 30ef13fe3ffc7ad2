"""Processes that are late and do not go yet, as in an uninterruptible sleep: no busy loop."""

import os
import signal
import socket
import time

import pytest

from luisito.settings.chooser import _Calls
from luisito.spawner.containment import Containment
from luisito.spawner.helpers import DEADLINE, Helpers


@pytest.fixture
def ends():
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    yield pair
    for end in pair:
        end.close()


def ended_by(pid):
    """The signal; waits for it, and takes the zombie, which until then cannot be killed either."""
    return -os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_late_helper_is_not_killed_without_a_pause():
    containment = Containment.__new__(Containment)
    containment.parent = os.getpid()
    helpers, failures = Helpers(containment), []
    helpers.run(lambda: time.sleep(1000), failures.append)
    (pid,) = helpers.pids()
    now = time.monotonic() + DEADLINE
    helpers.tick(now)
    assert helpers.deadline() > now
    assert ended_by(pid) == signal.SIGKILL
    assert helpers.reaped(pid, 1)
    assert len(failures) == 1
    assert helpers.deadline() is None


def test_a_late_call_of_run_as_is_not_killed_without_a_pause(ends):
    calls = _Calls(ends[0], None)
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    calls._late[pid] = 0.0
    calls._kill_late()
    assert calls._timeout() > 0
    assert ended_by(pid) == signal.SIGKILL
