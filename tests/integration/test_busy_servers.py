"""Servers that say they are busy, or want more time, by whole servers and what follows them."""

import signal
import time

import pytest

from luisito.control import client as control
from tests.faults.test_reload import crash, reload, replaced
from tests.harness import processes
from tests.integration.test_control import luisito

BUSY, DONE = "/notify/X_LUISITO_BUSY=1", "/notify/X_LUISITO_BUSY=0"


def busy(server):
    """The sites whose servers keep themselves."""
    server.wait_for_log("Control socket: ")
    servers = control.ask(f"{server.runtime}/control.sock", "GET", "/servers")[1]["servers"]
    return [row["site"] for row in servers if row["busy_seconds"] is not None]


def says(server, target, host="a.localhost"):
    """The server of a site says something, of which Luisito has heard after it."""
    before = busy(server)
    assert server.request(target, host=host).status == 200
    changed = target in (BUSY, DONE) and (target == BUSY) != (host in before)
    processes.until(lambda: not changed or busy(server) != before, 20, f"{target} to be heard")


def evicted(server, host, wanted_by):
    server.wait_for_log(rf"{host}\.localhost: stopping pid \d+: room was needed for {wanted_by}\.l")


@pytest.mark.parametrize("follows", [None, "restart", "crash"])
def test_45_a_busy_server_is_no_victim_whoever_serves(serve, as_whom, follows):
    """FAULTS 45: the least recently used one has work, so the next one goes."""
    server = serve({"MAX_SERVERS": 2}, ordinary=as_whom, how="daemon" if follows else "twistd")
    says(server, BUSY)
    server.warm("b.localhost")
    pids = {host: server.pid(host) for host in ("a.localhost", "b.localhost")}
    if follows == "restart":
        reload(server, signal.SIGUSR2)
    elif follows == "crash":
        server.allow("Taking over: the network process has gone")
        server.unchecked |= {"conservation", "access lines"}
        crash(server, pids)
        replaced(server)
    assert busy(server) == ["a.localhost"]
    server.warm("c.localhost")
    evicted(server, "b", "c")
    assert server.pid() == pids["a.localhost"]
    says(server, DONE)
    server.warm("c.localhost", "d.localhost")
    evicted(server, "a", "d")


def test_who_is_busy_for_too_long_is_not_believed_until_it_was_not(serve):
    server = serve({"IDLE_TIMEOUT": 0.3, "BUSY_MAX": 1.5})
    began = time.monotonic()
    says(server, BUSY)
    says(server, BUSY)  # which does not begin anew
    server.wait_for_log(r"stopping pid \d+: unused for 0\.3 s")
    assert time.monotonic() - began >= 1.5
    # a new one may say so again
    server.warm("a.localhost")
    says(server, BUSY)
    assert busy(server) == ["a.localhost"]


def test_a_busy_server_ends_when_its_work_is_done(serve):
    """A stop waits for it as for a request."""
    server = serve({"DRAIN_TIMEOUT": 30})
    began = time.monotonic()
    says(server, "/work/1.5")
    processes.until(lambda: busy(server), 20, "the work")
    assert luisito(server, "stop", "a.localhost").returncode == 0
    server.wait_for_log(r"stopping pid \d+: ")
    assert time.monotonic() - began >= 1.5


@pytest.mark.parametrize("most", [600, 0.5])
def test_24_a_start_may_take_longer_where_it_says_so(serve, most):
    """FAULTS 24: but not for ever."""
    first = {"say_first": "EXTEND_TIMEOUT_USEC=15000000", "boot_delay": 2.5}
    server = serve({"START_TIMEOUT": 1, "BUSY_MAX": most}, origin={"*": first})
    if most == 600:
        assert server.request().status == 200
        return
    server.expect("504 for GET", "not ready after 1 s")
    assert server.request().status == 504
    server.wait_for_log(r"not ready after 1 s and 0\.5 s more \(EXTEND_TIMEOUT_USEC\)")


@pytest.mark.parametrize("most", [600, 0.2])
def test_27_an_end_may_take_longer_where_it_says_so(serve, most):
    """FAULTS 27: SIGKILL comes when the time that it asked for is over."""
    last = {"say_last": "EXTEND_TIMEOUT_USEC=15000000", "term_delay": 2}
    server = serve({"STOP_TIMEOUT": 0.5, "BUSY_MAX": most, "IDLE_TIMEOUT": 0.2}, origin={"*": last})
    server.allow("does not stop within")
    server.warm("a.localhost")
    end = server.wait_for_log(r"pid \d+ (exited with code 0|was killed by SIGKILL) .*after ", 20)
    assert (end[1] == "exited with code 0") == (most == 600)
