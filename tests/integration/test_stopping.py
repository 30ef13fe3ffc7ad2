"""How Luisito ends: in order, or killed."""

import os
import signal
import time

import pytest

from tests.harness import client, processes
from tests.harness.server import PYTHON, ROOT


def test_42_ten_sigterms(serve, as_whom):
    """FAULTS 42: one drain, exit 0 before the deadline."""
    server = serve({"DRAIN_TIMEOUT": 20}, ordinary=as_whom)
    server.warm("a.localhost", "b.localhost")
    with server.client() as busy:
        busy.ask("/sleep/1")
        processes.until(lambda: len(server.seen("head")) == 3, 5, "the request")
        for _ in range(10):
            server.send_signal(signal.SIGTERM)
            time.sleep(0.02)
        assert busy.response().status == 200
    assert server.wait() == 0
    assert server.seconds < 15
    assert server.log().count("finishing what is in flight") == 1


@pytest.mark.parametrize("how", ["twistd", "twist", "tac", "run"])
@pytest.mark.parametrize("reactor", ["epoll", "asyncio"])
def test_it_is_told_to_stop_while_it_starts(serve, how, reactor):
    options = [] if how == "run" else [f"--reactor={reactor}"]
    server = serve(how=how, options=options, wait=False)
    processes.until(lambda: "Sites are" in server.log(), 20, "its first word")
    while server.process.poll() is None:
        server.send_signal(signal.SIGTERM)
        time.sleep(0.01)
    assert server.wait() == 0
    server.unchecked |= {"access lines"}  # the file may not have been opened yet


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_ends(serve, number):
    """Invariant 11: no request fails that was accepted before the signal; new ones are refused."""
    server = serve()
    server.warm("a.localhost")
    connections = [server.client() for _ in range(20)]
    for at, connection in enumerate(connections):
        connection.ask("/sleep/0.5", method="POST" if at % 2 else "GET")
    idle = server.client()
    assert idle.request().status == 200
    processes.until(lambda: len(server.seen("head")) == 22, 5, "the requests")
    server.send_signal(number)
    server.wait_for_log("finishing what is in flight")
    assert idle.at_end() == b""
    with pytest.raises(ConnectionRefusedError):
        server.client()
    for connection in connections:
        response = connection.response()
        assert (response.status, response.get("connection")) == (200, "close")
        assert connection.at_end() == b""
    assert server.wait() == 0


def test_who_waits_for_a_start_is_still_served(serve):
    """Invariant 11: a cold start that had begun."""
    server = serve(origin={"*": {"boot_delay": 0.5}})
    with server.client() as connection:
        connection.ask()
        server.wait_for_log("started as pid")
        server.send_signal(signal.SIGTERM)
        assert connection.response().status == 200
    assert server.wait() == 0


@pytest.mark.parametrize("target", ["/sse/0.1", "/never"])
def test_the_drain_has_an_end(serve, target):
    """FAULTS 42: streams do not keep it for ever."""
    server = serve({"DRAIN_TIMEOUT": 1})
    server.allow("503 for GET /never: Luisito is shutting down", "502 for GET /never")
    server.warm("a.localhost")
    with server.client() as stream:
        stream.ask(target)
        processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        assert 0.9 <= server.seconds < 10


@pytest.mark.parametrize("way", ["fd", "port", "socket"])
def test_30_luisito_is_killed(serve, as_whom, way):
    """FAULTS 30: nothing is left within 2 s."""
    server = serve(way=way, ordinary=as_whom, origin={"*": {"orphans": 2, "ignore_term": True}})
    server.warm("a.localhost", "b.localhost")
    server.process.kill()
    server.wait()
    server.unchecked |= {"conservation", "access lines"}
    processes.until(lambda: not server.left(), 2, "the end of all")


def test_30_luisito_is_killed_while_a_server_starts(serve, as_whom):
    server = serve(ordinary=as_whom, origin={"*": {"boot_delay": 60}})
    with server.client() as connection:
        connection.ask()
        server.wait_for_log("started as pid")
        server.process.kill()
        server.wait()
    server.unchecked |= {"conservation", "access lines"}
    processes.until(lambda: not server.left(), 2, "the end of all")


def spawner_processes(server):
    """Luisito's child, and the processes below it without those that stand ready."""
    below = processes.descendants(server.process.pid)
    top = next(pid for pid, (_state, parent) in below.items() if parent == server.process.pid)
    second = [
        pid
        for pid, (_state, parent) in below.items()
        if parent == top and "LUISITO_SERVER" not in processes.environ(pid)
    ]
    return top, min(second)


@pytest.mark.parametrize("which", [0, 1])
def test_30b_the_spawner_is_killed(serve, as_whom, which):
    """FAULTS 30b: nothing is left within 2 s, and Luisito ends with a status that is not 0.

    Of an ordinary user the first is the guardian, the second the spawner; of root the first is the
    spawner, the second pid 1 of the servers' namespace.
    """
    server = serve(ordinary=as_whom, origin={"*": {"orphans": 2, "ignore_term": True}})
    server.warm("a.localhost", "b.localhost")
    server.expect("Stopping: ")
    # the request in flight is tried again, and finds that nothing can be started any more: as the
    # spawner says while it still can, or as we do when it has gone
    server.allow(
        "its pid namespace has ended",
        "50[23] for GET /sleep/20",
        r"a\.localhost: (cannot start|the command was killed by SIGKILL)",
    )
    with server.client() as busy:
        busy.ask("/sleep/20")
        processes.until(lambda: len(server.seen("head")) == 3, 5, "the request")
        began = time.monotonic()
        os.kill(spawner_processes(server)[which], signal.SIGKILL)
        assert server.wait(5) not in (0, None)
        processes.until(lambda: not server.left(), 2 - time.monotonic() + began, "the end of all")
    server.unchecked |= {"files"}


def test_30b_the_spawner_is_killed_while_all_ends(serve):
    """FAULTS 30b: what is in flight on servers that have gone is not waited for."""
    server = serve({"DRAIN_TIMEOUT": 600, "STATE_DIR": "state"})
    server.warm("a.localhost")
    server.expect("Stopping: ")
    server.allow("50[23] for GET /sleep/20", r"a\.localhost: the command was killed by SIGKILL")
    with server.client() as busy:
        busy.ask("/sleep/20")
        processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("finishing what is in flight")
        os.kill(spawner_processes(server)[0], signal.SIGKILL)
        assert server.wait(10) not in (0, None)
        processes.until(lambda: not server.left(), 2, "the end of all")
    assert "Traceback" not in server.log()
    server.unchecked |= {"files"}


def test_30b_luisito_and_the_spawner_are_killed(serve, as_whom):
    """FAULTS 30b: both at once."""
    server = serve(ordinary=as_whom, origin={"*": {"orphans": 2, "ignore_term": True}})
    server.warm("a.localhost", "b.localhost")
    both = [server.process.pid, *spawner_processes(server)[:1]]
    for pid in both:
        os.kill(pid, signal.SIGKILL)
    server.wait()
    server.unchecked |= {"conservation", "access lines", "files"}
    processes.until(lambda: not server.left(), 2, "the end of all")


@pytest.mark.parametrize("how", ["tac", "tac daemon"])
def test_an_end_that_fails_is_told(serve, how, as_whom):
    """The log says why, and the exit status is not 0."""

    def prepare(folder):
        broken = "from luisito.readiness.diag import Diag\n\nDiag.close = lambda self: 1 / 0\n"
        (folder / "broken.tac").write_text(broken + (ROOT / "luisito.tac").read_text())

    server = serve(how=how, tac="<folder>/broken.tac", ordinary=as_whom, prepare=prepare)
    server.warm("a.localhost")
    server.expect("Could not stop in order", "Traceback")
    server.allow("has ended without being told to while it was stopping")
    assert server.stop() == 1
    assert "ZeroDivisionError" in server.log()


def test_it_daemonises(serve, as_whom):
    """twistd without -n: it leaves the terminal, and ends as well."""
    server = serve(how="daemon", ordinary=as_whom)
    server.warm("a.localhost", "b.localhost")
    assert os.getsid(server.process.pid) != os.getsid(0)
    assert server.stop() == 0


def _refuses(address):
    try:
        client.connect(address).close()
    except ConnectionRefusedError:
        return True
    return False


def test_it_starts_again_at_once(serve):
    """The port and RUNTIME_DIR of one that was killed are free for its successor."""
    first = serve()
    first.warm("a.localhost")
    first.process.kill()
    first.wait()
    first.unchecked |= {"conservation", "access lines", "files", "ports"}
    processes.until(lambda: _refuses(first.address), 2, "the end of its listening sockets")
    settings = {"LISTEN": first.settings["LISTEN"]}
    second = serve(settings, wait=False)
    second.port, second.address = first.port, first.address
    processes.until(second._listens, 10, "a start")
    assert client.statuses(second.load(client.gets(["a.localhost"] * 5))) == {200: 5}


def test_a_forged_mark_ends_nothing(serve):
    """Where servers have no cgroup, theirs are told by a variable, in which they may write."""
    script = """
    n=$1; shift
    [ $n = a.localhost ] &&
        (LUISITO_SERVER=$(printf %%05000d 7) setsid sleep 1000 >/dev/null 2>&1 &)
    exec "$@"
    """
    origin = [PYTHON, "-I", "-S", "origin.py", "--fd", "%FD"]
    settings = {"CMD_TPL": ["sh", "-c", script, "sh", "%HOST", *origin], "IDLE_TIMEOUT": 0.5}
    server = serve(settings, ordinary=True, files=("origin.py",))
    assert server.request().status == 200
    server.wait_for_log("a.localhost: stopping pid", 20)
    processes.until(lambda: not server.servers(), 20, "the end of all")
    assert server.request(host="b.localhost").status == 200
    assert server.request().status == 200
