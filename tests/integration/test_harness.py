"""The harness objects: each invariant is broken on purpose once."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.harness import cgroups, client, invariants, processes
from tests.harness.http import BadResponse, BrokenOff, reader
from tests.harness.server import Server


@pytest.fixture(scope="module")
def stopped():
    """A server that has served, been stopped, and broke nothing; its files are still there."""
    server = Server().start()
    assert server.request(method="POST", body=b"hello").body == b"hello"
    assert invariants.while_it_runs(server) == []
    assert server.stop() == 0
    assert invariants.after_its_end(server) == []
    yield server
    assert server.finish() == []


@pytest.fixture
def objections(stopped):
    """Calls a check after something was broken; all is mended afterwards."""
    paths = (stopped.log_path, stopped.access_path, stopped.origin_log)
    kept = {path: path.read_bytes() for path in paths}
    yield lambda: invariants.after_its_end(stopped)
    for path, content in kept.items():
        path.write_bytes(content)
    stopped.ledger.faults.clear()
    assert invariants.after_its_end(stopped) == []


def append(path, text):
    with open(path, "a") as file:
        file.write(text + "\n")


def test_all_is_well(objections):
    assert objections() == []


@pytest.mark.parametrize("change", ["heads", "answers", "aborts", "lines", "open"])
def test_counters_that_do_not_add_up(stopped, objections, change):
    counters = {**stopped.counters, change: stopped.counters[change] + 1}
    append(stopped.log_path, f"counters: {json.dumps(counters)}")
    assert any(words.startswith("conservation: ") for words in objections())


def test_no_counters(stopped, objections):
    stopped.log_path.write_text(stopped.log().replace("counters:", "nothing:"))
    assert "conservation: it wrote no counters at its end" in objections()


def test_clients_got_more_than_was_counted(stopped, objections):
    stopped.ledger.finals += 1
    assert any("clients got" in words for words in objections())
    stopped.ledger.finals -= 1


def test_a_lost_access_line(stopped, objections):
    stopped.access_path.write_text("")
    assert any(words.startswith("access lines: ") for words in objections())


def test_an_access_line_that_was_cut(stopped, objections):
    stopped.access_path.write_bytes(stopped.access_path.read_bytes()[:-10] + b"\n")
    assert any("no JSON" in words for words in objections())


def test_a_doubled_post(stopped, objections):
    head = next(line for line in stopped.seen("head") if line["method"] == "POST")
    append(stopped.origin_log, json.dumps(head))
    assert any(words.startswith("nonces: ") for words in objections())


def test_a_swapped_nonce(stopped, objections):
    stopped.ledger.answered(answer(b"HTTP/1.1 200 OK\r\nX-Nonce: 2\r\n"), "1")
    stopped.ledger.finals -= 1
    assert any("nonce 1 was answered with ['2']" in words for words in objections())


def answer(head):
    reading = reader()
    next(reading)
    with pytest.raises(StopIteration) as done:
        reading.send(head + b"Content-Length: 0\r\n\r\n")
    return done.value.value


@pytest.mark.parametrize(
    ("head", "times", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Site: a\r\n", 1, "was answered with []"),
        (b"HTTP/1.1 200 OK\r\nX-Nonce: 1\r\n", 2, "nonce 1 was answered twice"),
        (b"HTTP/1.1 503 Busy\r\n", 1, "503 without Retry-After"),
    ],
)
def test_answers_that_are_nobodys_or_say_too_little(head, times, words):
    ledger = client.Ledger()
    for _ in range(times):
        assert ledger.faults == []
        ledger.answered(answer(head), "1")
    assert words in ledger.faults[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"queued": 22.1, "total": 23},  # QUEUE_TIMEOUT is 10 here, twice, and 2 s
        {"starting": 17.1, "total": 18},
        {"first_byte": 80, "total": 80},
    ],
)
def test_a_request_that_took_too_long(stopped, objections, changes):
    line = json.loads(stopped.access_path.read_text().splitlines()[0])
    append(stopped.access_path, json.dumps({**line, "method": "GET", **changes}))
    assert any(words.startswith("bounded time: ") for words in objections())


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["a started as pid 1,", "b started as pid 2,", "c started as pid 3,"], True),
        (["a started as pid 1,", "b started as pid 2,", "a stopping pid 1: room",
          "c started as pid 3,"], False),
        (["a started as pid 1,", "b started as pid 2,", "a stopping pid 1: room",
          "c started as pid 3,", "b stopping pid 2: room", "d started as pid 4,"], True),
        (["a started as pid 1,", "b started as pid 2,", "a stopping pid 1: room",
          "c started as pid 3,", "b stopping pid 2: room", "a pid 1 was killed by SIGTERM (15)",
          "d started as pid 4,"], False),
        (["a started as pid 1,", "b stopping pid 2: room", "b started as pid 2,",
          "c started as pid 3,"], False),
        (["a started as pid 1,", "b started as pid 2,", "b pid 2 exited with code 0 after 1 s",
          "c started as pid 3,"], False),
        (["a started as pid 1,", "a the command exited with code 1 before it was ready",
          "b started as pid 2,", "c started as pid 3,"], False),
        (["a started as pid 1,", "a a process of uid 0 listens on port 2; trying another port",
          "a started as pid 2,", "b started as pid 3,"], False),
    ],
)  # fmt: skip
def test_more_servers_than_there_may_be(stopped, objections, lines, found):
    stopped.settings["MAX_SERVERS"] = 2
    for line in lines:
        site, _, words = line.partition(" ")
        append(stopped.log_path, f"2026-11-25T12:00:00+0000 [x#info] {site}.localhost: {words}")
    assert any(words.startswith("pool: ") for words in objections()) == found
    del stopped.settings["MAX_SERVERS"]


def test_memory_that_grows(serve, monkeypatch):
    server = serve()
    server.warm("a.localhost")
    assert invariants.while_it_runs(server) == []
    monkeypatch.setattr(invariants, "_MEMORY", 1024)
    words = invariants.while_it_runs(server)
    assert len(words) >= 2  # of Luisito and its spawner
    assert all(each.startswith("memory: ") for each in words)
    monkeypatch.undo()


def test_a_request_that_the_app_could_not_read(stopped, objections):
    append(stopped.origin_log, '{"event": "malformed", "site": "a.localhost"}')
    assert any(words.startswith("malformed: ") for words in objections())


def test_a_child_that_is_left(objections):
    code = "import os, time; os.fork() and os._exit(0); os.setsid(); time.sleep(60)"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)
    found = [words for words in objections() if words.startswith("descendants: ")]
    pid = int(found[0].split()[2])
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_a_folder_that_is_left(stopped, objections):
    (stopped.runtime / "1").mkdir()
    assert any(words.startswith("files: ") for words in objections())
    (stopped.runtime / "1").rmdir()


@pytest.mark.root
@pytest.mark.cgroups
def test_a_cgroup_that_is_left(stopped, objections):
    os.makedirs(f"{stopped.cgroups}/servers/1")
    assert any(words.startswith("cgroups: ") for words in objections())
    cgroups.remove(stopped.cgroups)


def test_a_port_that_is_left(stopped, objections):
    with socket.create_server(stopped.address):
        assert any(words.startswith("ports: ") for words in objections())


def test_a_reactor_that_was_held(stopped, objections):
    append(stopped.log_path, f"counters: {json.dumps({**stopped.counters, 'stalls': 1})}")
    assert any(words.startswith("stalls: ") for words in objections())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("uids", [0, 0, 0, 0]),
        ("gids", [0, 0, 0, 0]),
        ("groups", [0]),
        ("caps", {"CapInh": 0, "CapPrm": 0, "CapEff": 1, "CapBnd": 0, "CapAmb": 0}),
        ("no_new_privs", 0),
        ("leader", False),
        ("descriptors", [0, 1, 2, 3, 7]),
    ],
)
def test_privileges_that_are_left(stopped, objections, name, value):
    append(stopped.origin_log, json.dumps({**stopped.seen("boot")[0], name: value}))
    assert any(words.startswith("privileges: ") for words in objections())


@pytest.mark.parametrize(
    "line",
    [
        "Traceback (most recent call last):",
        "2026-01-01T00:00:00+0000 [-#critical] Unhandled error in Deferred:",
        "2026-01-01T00:00:00+0000 [luisito.pool.Pool#warn] something",
        "2026-01-01T00:00:00+0000 [luisito.pool.Pool#error] something",
        "x.py:1: ResourceWarning: unclosed file",
    ],
)
def test_a_log_that_is_not_clean(stopped, objections, line):
    append(stopped.log_path, line)
    assert any(words.startswith("clean log: ") for words in objections())


def test_a_trouble_that_did_not_come(stopped, objections):
    stopped.expect("Traceback")
    assert "clean log: the log has nothing like 'Traceback'" in objections()
    stopped.expected.clear()


def test_a_zombie_and_a_status(serve):
    """The stand-in for Luisito leaves a zombie below itself, and ends with 3."""
    server = Server()
    code = "import os, sys; pid = os.fork() or os._exit(0); "
    code += "os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT); print(flush=True); "
    code += "sys.stdin.read(1); sys.exit(3)"
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        server.process = process
        server.log_path.touch()
        server.settings["ACCESS_LOG"] = None
        (server.folder / "seen").mkdir()
        server.origin_log.touch()
        assert "stays a zombie" in invariants.while_it_runs(server)[0]
        server.send_signal = lambda number: process.stdin.close()
        found = server.finish()
    assert "exit status 3" in found


@pytest.mark.root
def test_a_root_process_is_sampled(serve):
    server = serve({"RUN_AS": "root"})
    server.expect("RUN_AS")
    server.warm("a.localhost")
    settings = {**server.settings}
    server.settings["RUN_AS"] = None
    found = invariants.while_it_runs(server)
    assert any(words.startswith("sampled privileges: ") for words in found)
    server.settings = settings


# -- the reader, the client and the load


def read(data, method="GET"):
    reading = reader(method)
    next(reading)
    try:
        for at in range(len(data)):
            reading.send(data[at : at + 1])
        while True:
            reading.send(b"")
    except StopIteration as done:
        return done.value


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 103 Early\r\nContent-Length: 3\r\n\r\n",
    ],
)
def test_the_reader_objects(data):
    with pytest.raises(BadResponse):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    ],
)
def test_the_reader_sees_what_was_broken_off(data):
    with pytest.raises(BrokenOff):
        read(data)


def test_the_reader_reads():
    chunked = b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: v\r\n\r\n"
    response = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked)
    assert (response.body, response.trailers) == (b"abc", [("t", "v")])
    response = read(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not\r\nContent-Length: 9\r\n\r\n")
    assert (response.status, response.framing, len(response.interim)) == (304, "none", 1)
    assert read(b"HTTP/1.0 200 OK\r\n\r\nto the end").body == b"to the end"


def test_load_and_descriptors(serve):
    server = serve()
    requests = client.gets(["a.localhost", "b.localhost"] * 100)
    requests += [
        {"method": "POST", "target": "/echo", "host": "a.localhost", "body": b"%d" % number}
        for number in range(20)
    ]
    server.warm("a.localhost", "b.localhost")
    results = server.load(requests, 20)
    assert client.statuses(results) == {200: 220}
    assert [result.body for result in results[200:]] == [b"%d" % number for number in range(20)]
    assert [result.body.decode() for result in results[:200]] == [
        result.nonce_sent for result in results[:200]
    ]
    with server.client() as connection:
        assert connection.request("/count").status == 200
        held = server.descriptors()
        assert connection.quiet(0.01)
    # Connections of the load may have been open still when they were counted: fewer, not equal.
    processes.until(lambda: len(server.descriptors()[0]) < len(held[0]))


def test_the_server_is_timed():
    began = time.monotonic()
    with pytest.raises(AssertionError, match="did not happen"):
        processes.until(lambda: False, 0.05)
    assert time.monotonic() - began < 2
