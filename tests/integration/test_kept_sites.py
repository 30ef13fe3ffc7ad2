"""Sites that are pinned or always on, in whole servers."""

import json
import os
import signal

import pytest

from luisito.control.client import ControlError, ask
from tests.harness import processes
from tests.harness.server import PYTHON
from tests.integration.test_control import luisito
from tests.integration.test_sites import Sites

ALWAYS = 'keep = "always"\n'


@pytest.fixture
def sites(serve):
    def make(files, settings=None, **how):
        return Sites(serve, files, settings, **how)

    return make


def rows(server):
    """What `luisito list` is told, by site and worker."""
    server.wait_for_log("Control socket: ")
    try:
        status, found = ask(str(server.runtime / "control.sock"), "GET", "/servers")
    except ControlError:  # between two network processes
        return {}
    assert status == 200
    return {(row["site"], row["worker"]): row for row in found["servers"]}


def up(served, site, worker=None, other_than=None):
    """Waits until a site's server, or worker, runs, without asking for it; returns its pid."""
    found = []

    def ready():
        row = rows(served.server).get((site, worker), {"state": ""})
        found[:] = [row.get("pid")]
        return row["state"] == "awake" and row["pid"] != other_than

    processes.until(ready, 20, f"{site} to be up")
    return found[0]


def test_always_on(sites):
    """It is started with Luisito, when its file appears, and when its server has been killed."""
    served = sites({"a.example": ALWAYS, "b.example": ""}, {"IDLE_TIMEOUT": 0.2})
    first = up(served, "a.example")
    served.write("c.example", ALWAYS, command=served.command("port"))
    up(served, "c.example")
    assert {row["site"]: row["keep"] for row in rows(served.server).values()} == {
        "a.example": "always", "c.example": "always",
    }  # fmt: skip
    assert "always" in luisito(served.server, "list").stdout
    os.kill(served.server.pid("a.example"), signal.SIGKILL)
    up(served, "a.example", other_than=first)
    assert served.site("a.example") == "a.example"


def test_one_that_ends_again_and_again_is_left_alone_longer_each_time(sites):
    served = sites({"b.example": ""})
    served.server.expect("a.example: the command exited with code 3 before it was ready")
    served.write("a.example", ALWAYS, command="command = \"sh -c 'exit 3' %PORT\"\n")
    log = served.server
    failed = "a.example: the command exited with code 3"
    processes.until(lambda: log.log().count(failed) >= 2, 20, "two starts")
    assert served.site("b.example") == "b.example"
    row = rows(log)["a.example", None]
    assert (row["state"], row["keep"]) == ("failed", "always")
    served.write("a.example", ALWAYS)
    up(served, "a.example")


def test_one_that_has_done_its_work_rests(sites):
    """Until its file changes."""
    served = sites({"b.example": ""})
    done = served.path.parent / "seen" / "done"
    script = (
        "import socket, time; socket.socket(fileno=3).accept(); time.sleep(0.1);"
        f" open({str(done)!r}, 'a').write('x')"
    )
    command = f"command = {json.dumps([PYTHON, '-I', '-S', '-W', 'ignore', '-c', script, '%FD'])}\n"
    text = 'keep = "always"\nrestart = "on-failure"\n'
    served.write("a.example", text, command=command)
    processes.until(done.exists, 20, "its work")
    served.server.wait_for_log("a.example: pid .*exited with code 0 after", 20)
    assert served.site("b.example") == "b.example"
    assert done.read_text() == "x"
    served.write("a.example", text + "idle_timeout = 5\n", command=command)
    processes.until(lambda: done.read_text() == "xx", 20, "its work once more")


def test_pinned_is_never_ended_for_room(sites):
    """Until its file says so no more; and what a file says of that restarts nothing."""
    names = ("p.example", "a.example", "b.example", "c.example")
    served = sites(dict.fromkeys(names, ""), {"MAX_SERVERS": 2})
    assert served.site("p.example") == "p.example"
    pid = served.server.pid("p.example")
    served.write("p.example", 'keep = "pinned"\n')
    kept(served, "p.example", "pinned")
    for site in ("a.example", "b.example", "c.example", "a.example"):
        assert served.site(site) == site
    assert served.server.pid("p.example") == pid
    served.write("p.example")
    kept(served, "p.example", "demand")
    assert served.server.pid("p.example") == pid
    assert served.site("b.example") == "b.example"
    served.server.wait_for_log("p.example: stopping .*room was needed for b.example")


def kept(served, site, how):
    processes.until(
        lambda: rows(served.server)[site, None]["keep"] == how, 20, f"{site} to be {how}"
    )


def test_those_that_leave_no_room_are_named(sites):
    served = sites({"a.example": ALWAYS}, {"MAX_SERVERS": 2})
    served.server.expect("2 site files say keep = pinned or always.*raise MAX_SERVERS to 3")
    served.write("b.example", ALWAYS)
    served.server.wait_for_log("raise MAX_SERVERS to 3")
    status = luisito(served.server, "status").stdout
    assert "b.example is served on demand until there is; raise MAX_SERVERS to 3" in status
    checked = luisito(served.server, "check-settings", str(served.path.parent / "settings.py"))
    assert "write MAX_SERVERS = 3" in checked.stdout
    up(served, "a.example")
    assert served.site("b.example") == "b.example"
    assert served.site("a.example") == "a.example"


def test_after_a_crash_of_the_network_process_it_goes_on(sites):
    served = sites({"a.example": ALWAYS}, how="daemon")
    pid = up(served, "a.example")
    network = served.server.network
    served.server.expect("Taking over: the network process has gone")
    served.server.unchecked |= {"conservation", "access lines"}
    os.kill(network, signal.SIGKILL)
    processes.until(lambda: {*served.server.networks()} - {network}, 20, "a successor")
    assert served.site("a.example") == "a.example"
    assert up(served, "a.example") == pid
