"""Workers: processes without a socket beside a site's server, in whole servers."""

import json
import os
import signal

import pytest

from luisito.commands.top import SORTS
from luisito.control.client import ask
from tests.harness import processes
from tests.integration.test_control import luisito
from tests.integration.test_kept_sites import rows, up
from tests.integration.test_sites import Sites


@pytest.fixture
def sites(serve):
    def make(files, settings=None, **how):
        return Sites(serve, files, settings, **how)

    return make


def worker(name, command="echo here; exec sleep 1000", **keys):
    said = {"name": name, "command": ["sh", "-c", command], **keys}
    return "\n[[process]]\n" + "".join(f"{key} = {json.dumps(said[key])}\n" for key in said)


ALWAYS = {"with": "always"}


def test_a_worker_lives_while_the_server_of_its_site_does(sites):
    served = sites({"a.example": worker("celery"), "b.example": ""}, {"MAX_SERVERS": 1})
    assert served.site("b.example") == "b.example"
    assert ("a.example", "celery") not in rows(served.server)
    assert served.site("a.example") == "a.example"
    up(served, "a.example", "celery")
    table = luisito(served.server, "list").stdout
    assert "a.example (celery)  awake  site" in table
    for column in SORTS:
        assert "a.example (celery)  awake" in luisito(served.server, "top", "--sort", column).stdout
    assert "workers      0 waking, 1 awake" in luisito(served.server, "status").stdout
    assert served.site("b.example") == "b.example"  # it counts in no MAX_SERVERS
    processes.until(lambda: rows(served.server).keys() == {("b.example", None)}, 20, "its end")
    served.server.wait_for_log(r"a.example \(celery\): stopping pid .*: its site's server has gone")


def test_what_it_is_started_with_and_where_its_output_goes(sites):
    """As its site: variables, folder, user; but for what tells a server where to listen."""
    served = sites({"b.example": ""}, {"OUTPUT_LOG_DIR": "<folder>/logs"})
    folder = served.path.parent
    one = worker(
        "celery", "pwd; id -u; echo all; exec sleep 1000", **ALWAYS, **{"env.MINE": "%HOST"}
    )
    site = 'env = { OURS = "1", BIND = "%FD" }\nfolder = "/"\n'
    if os.getuid() == 0:
        site += 'user = "games"\n'
    served.write("a.example", site + one)
    pid = up(served, "a.example", "celery")
    log = folder / "logs" / "a.example.log"
    processes.until(lambda: log.exists() and "celery: all\n" in log.read_text(), 20, "its output")
    said = log.read_text()
    assert f"celery: /\ncelery: {processes.status(pid)['Uid'].split()[0]}\n" in said
    assert f"celery: started as pid {pid}, " in said
    environ = processes.environ(pid)
    assert (environ["MINE"], environ["OURS"]) == ("a.example", "1")
    assert not environ.keys() & {"BIND", "PORT", "LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET"}


def test_one_that_is_killed_and_one_that_ends_again_and_again(sites):
    served = sites({"b.example": ""})
    served.server.expect(r"a.example \(bad\): pid \d+ exited with code 3")
    served.server.expect(r"c.example \(none\): cannot start: no such program")
    served.write("a.example", worker("good", **ALWAYS) + worker("bad", "exit 3", **ALWAYS))
    served.write("c.example", '[[process]]\nname = "none"\ncommand = "nowhere"\nwith = "always"\n')
    first = up(served, "a.example", "good")
    failed = r"a.example (bad): pid"
    processes.until(lambda: served.server.log().count(failed) >= 2, 20, "two starts")
    os.kill(first, signal.SIGKILL)
    up(served, "a.example", "good", first)
    row = rows(served.server)["a.example", "bad"]
    assert row["state"] in ("failed", "waking", "awake")
    processes.until(lambda: rows(served.server)["c.example", "none"]["error"], 20, "why")
    assert served.site("b.example") == "b.example"
    served.write("a.example", worker("good", **ALWAYS) + worker("bad", **ALWAYS))
    up(served, "a.example", "bad")


def test_only_what_has_changed_is_started_anew(sites):
    """Neither the server nor other workers; nor a worker when the server rolls."""
    both = worker("a") + worker("b")
    served = sites({"a.example": both})
    assert served.site("a.example") == "a.example"
    pids = {name: up(served, "a.example", name) for name in "ab"}
    served.write("a.example", worker("a", "exec sleep 999") + worker("b"))
    pids["a"] = up(served, "a.example", "a", pids["a"])
    assert up(served, "a.example", "b") == pids["b"]
    assert len(served.server.seen("boot")) == 1
    rolled = worker("a", "exec sleep 999") + worker("b")
    served.write("a.example", rolled, command=served.command(boot_delay=0.1))
    processes.until(lambda: len(served.server.seen("boot")) == 2, 20, "a roll")
    served.server.wait_for_log("a.example: stopping .*a newer server, which is ready", 20)
    assert {name: up(served, "a.example", name) for name in "ab"} == pids
    # but all of them where somebody says so
    assert (
        ask(f"{served.server.runtime}/control.sock", "POST", "/sites/a.example/restart")[0] == 202
    )
    assert {name: up(served, "a.example", name, pids[name]) for name in "ab"} != pids
    processes.until(lambda: len(served.server.seen("boot")) == 3, 20, "another server")


def test_one_that_does_not_end_is_killed(sites):
    deaf = worker("deaf", "trap '' INT; echo here; while :; do sleep 0.1; done",
                  stop_signal="INT", stop_timeout=0.5, **ALWAYS)  # fmt: skip
    served = sites({"a.example": deaf})
    up(served, "a.example", "deaf")
    served.write("a.example")
    served.server.wait_for_log(r"a.example \(deaf\): pid \d+ does not stop within stop_timeout", 20)
    served.server.wait_for_log(r"a.example \(deaf\): pid \d+ was killed by SIGKILL", 20)


def test_a_successor_takes_them_over(sites):
    """After SIGHUP, and after a crash of the network process."""
    served = sites({"a.example": worker("a", **ALWAYS) + worker("b")}, how="daemon")
    server = served.server
    server.expect("Taking over: the network process has gone")
    server.unchecked |= {"conservation", "access lines"}
    assert served.site("a.example") == "a.example"
    pids = {name: up(served, "a.example", name) for name in "ab"}
    for number in (signal.SIGHUP, signal.SIGKILL):
        before = server.network
        os.kill(before, number)
        processes.until(lambda before=before: {*server.networks()} - {before}, 20, "a successor")
        server.wait_for_log("Took over 2 workers", 20)
        processes.until(lambda before=before: before not in server.networks(), 20, "the end")
        assert {name: up(served, "a.example", name) for name in "ab"} == pids
    os.kill(pids["a"], signal.SIGKILL)
    up(served, "a.example", "a", pids["a"])  # it hears of it
