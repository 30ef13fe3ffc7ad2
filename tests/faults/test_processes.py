"""FAULTS C: what app servers and their processes do wrong, done for real."""

import math
import os
import re
import resource
import signal
import time

import pytest

from luisito.spawner import starter
from tests.harness import client, processes
from tests.harness.http import BrokenOff
from tests.harness.server import BIN, ordinary_user

WAYS = ["fd", "port", "socket"]
SOON = 10  # seconds; before START_TIMEOUT, 15, is over, however busy the machine is


def timed(call, *args, **how):
    began = time.monotonic()
    return call(*args, **how), time.monotonic() - began


@pytest.mark.parametrize("way", ["%FD", "%PORT", "%SOCKET"])
def test_22_program_is_missing(serve, way, as_whom):
    server = serve({"CMD_TPL": ["/no/such/program", way]}, ordinary=as_whom)
    server.expect("cannot start: no such program", "502 for GET")
    response, seconds = timed(server.request)
    assert response.status == 502
    assert b"no such program: &#x27;/no/such/program&#x27;" in response.body
    assert seconds < SOON
    again = server.request()
    assert again.status == 502
    assert int(again.get("retry-after")) >= 1
    assert server.log().count("cannot start") == 1


def test_22_program_is_not_executable(serve):
    server = serve({"CMD_TPL": ["/etc/passwd", "%FD"]})
    server.expect("cannot be executed", "502 for GET")
    assert server.request().status == 502


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("code", [0, 3])
def test_23_exits_before_it_listens(serve, way, code):
    options = {"*": {"exit_early": code, "say": "my last words"}}
    server = serve(way=way, origin=options)
    server.expect(f"exited with code {code} before it was ready", "502 for GET")
    results, seconds = timed(server.load, client.gets(["a.localhost"] * 5), 5)
    assert client.statuses(results) == {502: 5}
    assert seconds < SOON
    assert "my last words" in server.log()
    assert len(server.seen("boot")) == 1


@pytest.mark.parametrize("way", WAYS)
def test_24_never_listens(serve, way):
    server = serve({"START_TIMEOUT": 1}, way=way, origin={"*": {"never_listen": True}})
    server.expect("not ready after 1 s", "504 for GET")
    results, seconds = timed(server.load, client.gets(["a.localhost"] * 3), 3)
    assert client.statuses(results) == {504: 3}
    assert 1 <= seconds < SOON
    processes.until(lambda: not server.servers(), 10, "its end")


def test_24_the_operator_is_told_why(serve):
    server = serve({"START_TIMEOUT": 1}, way="fd", origin={"*": {"never_listen": True}})
    server.expect("not ready after 1 s", "504 for GET")
    assert b"never accepted on descriptor 3: does the command exec?" in server.request().body


def test_25_dies_in_the_middle_of_an_answer(serve, as_whom):
    server = serve(ordinary=as_whom)
    server.warm("a.localhost")  # else its end may be told before it is known to be ready
    with server.client() as connection:
        connection.ask("/die")
        with pytest.raises(BrokenOff) as broken:
            connection.response()
    assert broken.value.body in (b"", b"half of it")
    assert server.request().status == 200
    assert len(server.seen("boot")) == 2


def test_25_dies_while_idle(serve):
    server = serve()
    for number in range(1, 6):
        assert server.request().status == 200
        os.kill(server.pid(), signal.SIGKILL)
        server.wait_for_log(rf"(?s)(killed by SIGKILL.*){{{number}}}")
    results = server.load(client.gets(["a.localhost"] * 20), 4)
    assert client.statuses(results) == {200: 20}
    assert len(server.seen("boot")) == 6


@pytest.mark.parametrize("busy", [True, False])
def test_25_its_end_is_told_late(serve, busy):
    """Nothing is sent to whom it would be lost, as it can still be connected to."""
    server = serve()
    server.warm("a.localhost")
    pid, spawner = server.pid(), server.spawner()
    with server.client() as connection:
        if busy:
            connection.ask("/sleep/0.5")
            processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        for each in spawner:  # which has the listening socket, too
            os.kill(each, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        processes.until(lambda: processes.stat(pid)[0] == "Z", 5, "its end")
        time.sleep(0.1)
        if not busy:
            connection.ask("/echo", method="POST", body=b"once")
        time.sleep(0.1)
        for each in spawner:
            os.kill(each, signal.SIGCONT)
        assert connection.response().status == 200
    server.wait_for_log("killed by SIGKILL")


def test_25_dies_before_it_answers_a_post(serve):
    server = serve()
    server.expect("502 for POST")
    server.warm("a.localhost")
    assert server.request("/exit", method="POST", body=b"once").status == 502
    assert server.request().status == 200


def test_26_crash_loop(serve):
    server = serve(origin={"a.localhost": {"exit_early": 1}})
    server.expect("exited with code 1", "502 for GET")
    began, boots, passed = time.monotonic(), 0, 0.0
    while passed < 2.5 or boots < 2:
        crashed, well = server.request(host="a.localhost"), server.request(host="b.localhost")
        assert (crashed.status, well.status) == (502, 200)
        boots, passed = len(server.seen("boot", "a.localhost")), time.monotonic() - began
    # the shortest times that it is left alone are 0.5 s, 1 s, 2 s and so on: see core.backoff
    assert boots <= 1 + math.log2(2 * passed + 1)
    assert len(server.seen("boot", "b.localhost")) == 1


def test_27_ignores_sigterm(serve, as_whom):
    server = serve(
        {"MAX_SERVERS": 1, "STOP_TIMEOUT": 1},
        ordinary=as_whom,
        origin={"a.localhost": {"ignore_term": True}},
    )
    server.warm("a.localhost", "b.localhost")
    first = server.wait_for_log(r"a\.localhost: pid \d+ was killed by SIGKILL \(9\)", 20)
    assert first


def test_27_ignores_sigterm_at_the_end(serve):
    server = serve({"STOP_TIMEOUT": 1}, origin={"*": {"ignore_term": True}})
    server.warm("a.localhost", "b.localhost")
    assert server.stop() == 0
    assert 1 <= server.seconds < SOON


def test_28_orphans_go_with_their_server(serve, as_whom):
    server = serve({"MAX_SERVERS": 1}, ordinary=as_whom, origin={"a.localhost": {"orphans": 3}})
    server.warm("a.localhost")
    family = set(server.servers())
    assert len(family) == 4
    server.warm("b.localhost")
    processes.until(lambda: not family & set(server.servers()), 3, "their end")
    assert len(server.servers()) == 1


def test_28_orphans_go_with_a_server_that_dies(serve, as_whom):
    server = serve(ordinary=as_whom, origin={"*": {"orphans": 2}})
    server.warm("a.localhost")
    os.kill(server.pid(), signal.SIGKILL)
    processes.until(lambda: not server.servers(), 3, "their end")


def test_28_a_command_that_daemonises(serve, as_whom):
    command = ["sh", "-c", 'setsid sleep 1000 & echo "in the background"', "sh", "%PORT"]
    server = serve({"CMD_TPL": command}, ordinary=as_whom)
    server.expect("went into the background", "502 for GET")
    response = server.request()
    assert response.status == 502
    found = re.search(rb"exited with code 0 while its child pid (\d+) lived on", response.body)
    assert found, response
    assert b"remove the &amp; from" in response.body
    processes.until(lambda: not server.servers(), 3, "the end of the daemon")


@pytest.mark.needs("perl")
@pytest.mark.timeout(300)
def test_29_a_thousand_spawns(serve, as_whom):
    """FAULTS 29, invariant 7: no zombie, and as many descriptors as before."""
    server = serve(
        {
            "CMD_TPL": ["perl", "fast.pl", "%HOST"],
            "MAX_SERVERS": 2,
            "START_TIMEOUT": 60,
            "QUEUE_TIMEOUT": 60,
        },
        ordinary=as_whom,
        files=("fast.pl",),
    )

    def cycles(count, connections):
        hosts = [f"site-{number % 50}.localhost" for number in range(count)]
        results = server.load(client.gets(hosts), connections, timeout=100, keep=False)
        assert client.statuses(results) == {200: count}

    def at_rest():
        """Two servers, the spawner or its guardian, what is below that, and the next child."""
        below = processes.descendants(server.process.pid).keys() - set(server.starter())
        return len(server.servers()) == 2 and len(below) == 5

    def at_rest_as(before):
        return at_rest() and server.descriptors() == before

    cycles(100, 1)
    processes.until(at_rest, 30, "rest")
    before = processes.steady(server.descriptors)
    cycles(800, 1)
    cycles(100, 8)
    try:
        processes.until(lambda: at_rest_as(before), 30, f"a return to {before}")
    except AssertionError:
        print(server.descriptors(), processes.descendants(server.process.pid), server.servers())
        raise
    assert server.log().count("started as pid") >= 950


def test_31_output_floods(serve):
    """FAULTS 31: a flood of output slows the site itself at most."""
    server = serve({"MAX_SERVERS": 3})
    server.warm("a.localhost", "b.localhost")
    with server.client(timeout=60) as flood:
        flood.ask("/stdout-flood/30000000")
        assert {server.request(host="b.localhost").status for _ in range(50)} == {200}
        assert flood.quiet(0.01)  # it goes on for half a minute
        memory = processes.status(server.process.pid)["VmRSS"]
        assert int(memory.split()[0]) < 150_000
        flood.reset()


def test_31_output_is_closed(serve):
    server = serve()
    assert server.request("/close-stdout").status == 200
    assert [server.request().status for _ in range(3)] == [200] * 3
    assert len(server.seen("boot")) == 1


def test_32_stopped_by_sigstop(serve):
    server = serve({"MAX_SERVERS": 1, "RESPONSE_TIMEOUT": 1, "STOP_TIMEOUT": 1})
    server.expect("504 for GET")
    server.warm("a.localhost")
    response, seconds = timed(server.request, "/stop")
    assert response.status == 504
    assert 0.9 <= seconds < SOON
    assert server.request(host="b.localhost").status == 200
    server.wait_for_log(r"a\.localhost: pid \d+ was killed by SIGKILL \(9\)", 20)


@pytest.mark.root
def test_36_fork_fails(serve):
    """FAULTS 36, as a user whose processes are all ours: 503, and those that live go on."""
    uid = ordinary_user("news").pw_uid
    # Luisito, the guardian, the spawner, its starter, and three that are servers or stand ready to
    # become one
    limit = processes.tasks_of(uid) + 6 + starter.is_built()
    server = serve(
        ordinary="news",
        rlimits={resource.RLIMIT_NPROC: (limit, limit)},
        origin={"*": {"serial": True}},  # it may have no threads either
    )
    server.expect("cannot start a process", "503 for GET")
    found = [server.request(host=f"site-{number}.localhost") for number in range(5)]
    assert [response.status for response in found] == [200, 200, 200, 503, 503]
    assert int(found[4].get("retry-after")) >= 1
    assert server.request(host="site-0.localhost").status == 200
    os.kill(server.pid("site-0.localhost"), signal.SIGKILL)
    # a zombie counts until it is reaped
    server.wait_for_log(r"site-0\.localhost: pid \d+ was killed by SIGKILL \(9\)")
    assert server.request(host="site-4.localhost").status == 200


@pytest.mark.parametrize("bind", [["--bind=unix:%SOCKET"], ["--bind=127.0.0.1:%PORT"], []])
def test_26_an_app_that_breaks_behind_a_server_that_listens(serve, bind):
    """FAULTS 26: gunicorn listens before its worker has loaded the app; then it exits with 3."""
    command = [f"{BIN}/gunicorn", "--no-control-socket", *bind, "nothing_there:app"]
    server = serve({"CMD_TPL": command, "MAX_SERVERS": 2})
    server.expect(r"a\.localhost: the command exited with code 3 ", "502 for GET")
    server.allow("Unhandled|Traceback|ModuleNotFound")  # in the app's last output
    statuses = [server.request("/").status for _ in range(10)]
    assert statuses == [502] * 10
    # the first one, and at most one more after the shortest pause
    assert len(re.findall("started as pid", server.log())) <= 2
    page = server.request("/").body.decode()
    assert "ModuleNotFoundError" in page
