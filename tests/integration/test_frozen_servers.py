"""Idle servers that are frozen until their next request (HIBERNATE_AFTER), by whole servers."""

import os
import signal

import pytest

from luisito.core import cgroup
from tests.faults.test_reload import crash, reload, replaced
from tests.harness import cgroups, processes
from tests.integration.test_control import listed, status_of
from tests.integration.test_sites import Sites

pytestmark = pytest.mark.cgroups

A = "a.example"


def folder_of(pid):
    with open("/proc/self/mountinfo") as mounts, open(f"/proc/{pid}/cgroup") as its:
        return cgroup.place(mounts.read(), its.read()).folder


def is_frozen(pid):
    return "frozen 1" in cgroups.read(folder_of(pid), "cgroup.events").splitlines()


def until_frozen(pid):
    processes.until(lambda: is_frozen(pid), 20, "the freezing")


class Frozen(Sites):
    """A site whose server is frozen; unless told otherwise at once, whatever it does."""

    def __init__(
        self, serve, keys="hibernate = true", after=0.1, settings=None, options=None, **how
    ):
        text = f"hibernate_after = {after}\n{keys}\n"
        self.options = options or {}
        super().__init__(serve, {A: text, "b.example": ""}, settings, **how)
        self.until(A, A)
        (self.inner,) = self.server.warm(A).values()
        self.pid = self.server.pid(A)
        until_frozen(self.pid)

    def command(self, way="fd", **options):
        return super().command(way, **self.options, **options)


def test_a_quiet_server_is_frozen_and_its_next_request_wakes_it(serve):
    frozen = Frozen(serve, "", after=1)
    frozen.server.wait_for_log(
        rf"{A}: pid {frozen.pid} is frozen until the next request, and takes"
    )
    assert listed(frozen.server)[A]["state"] == "hibernating"
    servers = status_of(frozen.server)["servers"]
    assert (servers["awake"], servers["hibernating"]) == (0, 1)
    assert frozen.server.warm(A) == {A: frozen.inner}
    assert not is_frozen(frozen.pid)
    assert listed(frozen.server)[A]["state"] == "awake"


def test_one_with_a_timer_is_not_and_the_log_says_why(serve):
    site = Sites(serve, {})
    site.write(A, "hibernate_after = 0.1\n", site.command(orphans=1))
    site.until(A, A)
    pid = site.server.pid(A)
    why = r"pid \d+ waits for a time, and not only for requests; write hibernate = true"
    site.server.wait_for_log(rf"{A}: pid {pid} is not frozen though it is idle: {why}")
    assert not is_frozen(pid)
    assert listed(site.server)[A]["state"] == "awake"


def test_it_gives_way_to_others_and_hears_sigterm(serve):
    """Of which it would die without a handler, frozen or not."""
    frozen = Frozen(
        serve, settings={"MAX_SERVERS": 1, "STOP_TIMEOUT": 60}, options={"term_delay": 0}
    )
    assert frozen.status("b.example") == 200
    frozen.server.wait_for_log(rf"{A}: pid {frozen.pid} exited with code 0")


def test_its_stop_command_finds_it_running(serve):
    frozen = Frozen(serve, "hibernate = true\nstop_command = \"sh -c 'kill -INT $MAINPID'\"")
    frozen.server.send_signal(signal.SIGTERM)
    frozen.server.wait(20)
    assert f"pid {frozen.pid} was killed by SIGINT" in frozen.server.log()


@pytest.mark.parametrize("how", ["hangup", "crash"])
def test_whoever_serves_next_finds_it_running(serve, how):
    frozen = Frozen(serve, settings={"ON_CRASH": "replace"}, how="daemon")
    frozen.write(A, "hibernate_after = 1000\nhibernate = true\n")
    assert is_frozen(frozen.pid)
    if how == "hangup":
        reload(frozen.server)
    else:
        crash(frozen.server, [A])
        frozen.server.allow("Taking over: the network process has gone")
        frozen.server.unchecked |= {"conservation", "access lines"}
        replaced(frozen.server)
    processes.until(lambda: not is_frozen(frozen.pid), 20, "the end of that")
    assert frozen.server.warm(A) == {A: frozen.inner}


def test_nothing_is_left_of_it_when_the_spawner_is_killed(serve):
    frozen = Frozen(serve)
    frozen.server.expect("Stopping: ")
    os.kill(frozen.server.spawner()[0], signal.SIGKILL)
    assert frozen.server.wait(20) not in (0, None)
    processes.until(lambda: not frozen.server.left(), 20, "the end of all")
    frozen.server.unchecked |= {"files"}
