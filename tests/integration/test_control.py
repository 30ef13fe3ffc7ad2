"""The control socket and its commands, of whole servers, by users who may and who may not."""

import array
import contextlib
import hashlib
import json
import os
import pty
import pwd
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.server import ROOT

PATTERN = bytes(range(256)) * 1024  # what the origin's /bytes repeats


def luisito(server, *argv, user=None, environ=None, cwd="/"):
    """Runs a command as somebody, who is told of the server by LUISITO_RUNTIME_DIR.

    Where root runs it for somebody else /run is empty: another test's Luisito may be at its
    default place.
    """
    server.wait_for_log("Control socket: ")
    as_whom = []
    if user is not None:
        entry = pwd.getpwnam(user)
        empty = 'mount -t tmpfs none /run && exec "$@"'
        as_whom = ["unshare", "-m", "sh", "-c", empty, "sh", "setpriv", "--clear-groups"]
        as_whom += [f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}"]
    return subprocess.run(
        [*as_whom, sys.executable, "-m", "luisito.cli", *argv],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            **({"LUISITO_RUNTIME_DIR": str(server.runtime)} if environ is None else environ),
        },
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def listed(server, **how):
    """{site: row} of `luisito list --json`; a site's newest row."""
    done = luisito(server, "list", "--json", **how)
    assert done.returncode == 0, done.stderr
    return {row["site"]: row for row in json.loads(done.stdout)["servers"]}


def status_of(server, **how):
    done = luisito(server, "status", "--json", **how)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def stop(server, host, **how):
    done = luisito(server, "stop", host, **how)
    return done.returncode, (done.stdout + done.stderr).strip()


def raw(server):
    """A connection to the control socket."""
    server.wait_for_log("Control socket: ")
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(f"{server.runtime}/control.sock")  # waits where the backlog is full
    sock.settimeout(10)
    return sock


def held(server):
    """How many sockets of the control socket there are: that which listens, and connections."""
    path = f" {server.runtime}/control.sock"
    with open("/proc/net/unix") as table:
        return sum(line.rstrip().endswith(path) for line in table)


def answer_of(sock):
    received = b""
    while data := sock.recv(65536):
        received += data
    return received


# -- list and status


@pytest.mark.parametrize(("way", "port"), [("fd", False), ("port", True), ("socket", False)])
def test_list_tells_of_each_server(serve, as_whom, way, port):
    server = serve(way=way, ordinary=as_whom)
    assert listed(server) == {}
    pids = server.warm("b.localhost", "a.localhost")
    server.request(host="a.localhost")
    rows = listed(server)
    assert list(rows) == ["a.localhost", "b.localhost"]
    row = rows["a.localhost"]
    assert row["pid"] == server.pid("a.localhost")
    assert row["uid"] == os.stat(f"/proc/{row['pid']}").st_uid
    assert (row["state"], row["way"], row["in_flight"], row["requests"]) == ("awake", way, 0, 2)
    assert (row["port"] is not None) is port
    assert rows["b.localhost"]["requests"] == 1
    assert 0 <= row["idle_seconds"] < row["up_seconds"]
    assert 0 < row["start_seconds"] < row["up_seconds"]
    assert len(pids) == 2


def test_what_cannot_be_composed_is_a_fault_of_luisitos(serve):
    """Said once in the log; whoever asked is told that in the form of all other errors."""

    def prepare(folder):
        broken = (
            "import gc\n\nfrom luisito.control.overview import Overview\n\n"
            "Overview.row = None\n"
            "Overview.advice = None\n"
            "Overview.status = lambda self: gc.collect()\n"  # what was not handled is said by then
        )
        (folder / "broken.tac").write_text(broken + (ROOT / "luisito.tac").read_text())

    server = serve(how="tac", tac="<folder>/broken.tac", prepare=prepare)
    server.warm("a.localhost")
    server.expect("could not be answered", "Traceback")
    # of a list, at once, and in a coroutine
    asked = ("/servers", "/advice", "/sites/a.localhost")
    for target in asked:
        with raw(server) as sock:
            sock.sendall(f"GET {target} HTTP/1.1\r\nHost: luisito\r\n\r\n".encode())
            head, _, body = answer_of(sock).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 500 ")
        assert "its log says more" in json.loads(body)["error"]
        server.wait_for_log(f"uri={target} .*could not be answered")
    with raw(server) as sock:
        sock.sendall(b"GET /status HTTP/1.1\r\nHost: luisito\r\n\r\n")
        assert answer_of(sock).startswith(b"HTTP/1.1 200 ")
    assert server.stop() == 0
    assert "Unhandled" not in server.log()
    assert server.log().count("Traceback") == len(asked)


def test_list_is_a_table_for_people(serve):
    server = serve(way="port")
    server.warm("a.localhost", "long-name.localhost")
    with server.client() as busy:
        busy.ask("/sleep/30", host="a.localhost")
        processes.until(lambda: len(server.seen("head")) == 3, 5, "the request")
        done = luisito(server, "list")
        busy.reset()
    assert (done.returncode, done.stderr) == (0, "")
    head, first, second = done.stdout.splitlines()
    assert (
        " ".join(head.split())
        == "SITE STATE KEEP PID USER UP IDLE IN FLIGHT REQUESTS MEMORY START WAY"
    )
    assert first.split()[:2] == ["a.localhost", "awake"]
    assert " port 2" in first
    assert head.index("STATE") == first.index("awake") == second.index("awake")
    right = head.index("IN FLIGHT") + len("IN FLIGHT")
    assert (first[right - 2 : right], second[right - 2 : right]) == (" 1", " 0")


def test_status_tells_of_the_whole(serve):
    server = serve({"MAX_SERVERS": 2})
    server.warm("a.localhost", "b.localhost")
    found = status_of(server)
    assert found["pid"] == server.process.pid
    assert (found["state"], found["max_servers"], found["waiting"]) == ("running", 2, 0)
    assert found["runtime_dir"] == str(server.runtime)
    assert found["servers"] == {
        "waking": 0, "awake": 2, "hibernating": 0, "draining": 0, "failed": 0,
    }  # fmt: skip
    assert found["counters"]["heads"] == found["counters"]["answers"] == 2
    assert found["uptime_seconds"] > 0
    done = luisito(server, "status")
    assert done.returncode == 0
    words = "0 waking, 2 awake, 0 hibernating, 0 draining, 0 failed (MAX_SERVERS = 2)"
    assert words in done.stdout


def test_advice_knows_the_sites_that_sleep(serve):
    server = serve({"MAX_SERVERS": 2})
    server.warm("a.localhost", "b.localhost", "c.localhost", "a.localhost")
    done = luisito(server, "advise")
    assert done.returncode == 0, done.stderr
    assert "for 3 sites in" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("2 -> 3 servers: cold starts ")
    told = json.loads(luisito(server, "advise", "--json", "--servers", "1").stdout)
    assert (told["max_servers"], told["advised"], told["sites"]) == (1, 3, 3)
    days = max(1.0, told["seconds"]) / 86400
    starts = {row["servers"]: row["cold_a_day"] * days for row in told["rows"]}
    assert starts == {1: pytest.approx(4), 2: pytest.approx(4), 3: pytest.approx(3)}


def test_a_site_that_failed_is_listed_with_the_reason(serve):
    server = serve(
        origin={"a.localhost": {"exit_early": 3, "say": "first\nmy \x1b[31mlast words\n\n"}}
    )
    server.expect("exited with code 3", "502 for GET")
    assert server.request(host="a.localhost").status == 502
    row = listed(server)["a.localhost"]
    assert (row["state"], row["pid"], row["id"]) == ("failed", None, None)
    assert "before it was ready; its last output:\nfirst\nmy " in row["error"]
    assert status_of(server)["servers"]["failed"] == 1
    done = luisito(server, "list")
    (line,) = [line for line in done.stdout.splitlines() if "exited" in line]
    assert line == (
        "a.localhost: the command exited with code 3 before it was ready; its last output:"
        r" my \x1b[31mlast words"
    )
    assert "\x1b" not in done.stdout


# -- stop


@pytest.mark.parametrize("name", ["stop", "stop_server"])
def test_stop_of_an_idle_server(serve, as_whom, name):
    server = serve(ordinary=as_whom)
    first = server.warm("a.localhost", "b.localhost")
    done = luisito(server, name, "A.localhost")
    assert (done.returncode, done.stdout) == (0, "a.localhost: draining\n")
    server.wait_for_log(r"a\.localhost: stopping pid \d+: asked to by uid \d+")
    processes.until(lambda: "a.localhost" not in listed(server), 5, "its end")
    assert stop(server, "a.localhost") == (
        0, "a.localhost: asleep already; the nearest that has a server is b.localhost",
    )  # fmt: skip
    assert server.warm("a.localhost") != {"a.localhost": first["a.localhost"]}
    assert server.warm("b.localhost") == {"b.localhost": first["b.localhost"]}


@pytest.mark.parametrize("way", ["fd", "port", "socket"])
def test_stop_of_a_busy_server_loses_nothing(serve, way):
    """A download goes on to its end, and the next request starts a new server."""
    size = 30_000_000
    server = serve(way=way)
    server.warm("a.localhost")
    with server.client(timeout=30) as busy:
        busy.ask(f"/bytes/{size}")
        received = busy.sock.recv(1000)
        assert stop(server, "a.localhost") == (0, "a.localhost: draining, 1 in flight")
        assert listed(server)["a.localhost"]["state"] == "draining"
        second = server.request()
        assert second.status == 200
        rows = json.loads(luisito(server, "list", "--json").stdout)["servers"]
        assert [row["state"] for row in rows] == ["draining", "awake"]
        assert rows[0]["pid"] != rows[1]["pid"]
        assert stop(server, "a.localhost") == (0, "a.localhost: draining, 1 in flight")
        head, _, body = received.partition(b"\r\n\r\n")
        assert b"200 OK" in head
        digest, left = hashlib.sha256(body), size - len(body)
        while left:
            data = busy.sock.recv(1 << 18)
            assert data
            digest.update(data)
            left -= len(data)
        whole = (PATTERN * (size // len(PATTERN) + 1))[:size]
        assert digest.digest() == hashlib.sha256(whole).digest()
        busy.ledger.finals += 1
    processes.until(lambda: listed(server) == {}, 5, "the end of both")
    assert len(server.seen("boot")) == 2


@pytest.fixture
def gate():
    """The path of a file that is not there yet, where servers of all users look for it."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder, "gate")


@pytest.mark.parametrize("way", ["fd", "port", "socket"])
def test_stop_of_a_server_that_starts(serve, way, gate):
    """Whoever waits for it is served: by it, where his request is there already, else by a new one.

    A start with a socket handed over has its first request before it is ready.
    """
    server = serve(way=way, origin={"*": {"boot_when": str(gate)}})
    clients = [server.client() for _ in range(3)]
    for one in clients:
        one.ask()
    server.wait_for_log("started as pid")
    assert listed(server)["a.localhost"]["state"] == "waking"
    code, words = stop(server, "a.localhost")
    assert code == 0
    assert words.startswith("a.localhost: draining")
    gate.touch()
    assert [one.response().status for one in clients] == [200] * 3
    processes.until(lambda: len(server.servers()) == 1, 5, "the end of the first")
    assert listed(server)["a.localhost"]["state"] == "awake"


def test_stop_in_a_full_pool(serve):
    """Whoever asks for the site meanwhile waits, as a draining server keeps its place."""
    server = serve({"MAX_SERVERS": 1, "OVERLAP": 0})
    server.warm("a.localhost")
    with server.client() as busy, server.client() as waits:
        busy.ask("/sleep/1")
        processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        assert stop(server, "a.localhost")[0] == 0
        waits.ask()
        assert busy.response().status == 200
        assert waits.response().status == 200
    assert len(server.seen("boot")) == 2


def test_stop_of_what_is_no_site(serve):
    settings = {"ALLOWED_HOSTS": ["blog.example", "shop.example"]}
    server = serve(settings)
    server.warm("blog.example")
    code, words = stop(server, "bolg.example")
    assert code == 1
    assert words == "luisito: bolg.example is not a site here; the nearest is blog.example"
    assert stop(server, "shop.example") == (0, "shop.example: asleep already")
    code, words = stop(server, "a b")
    assert code == 1
    assert words.startswith("luisito: host b'a b' has the label")
    assert stop(server, "../status")[0] == 1
    assert listed(server)["blog.example"]["state"] == "awake"


def test_stop_of_a_site_without_a_folder(serve):
    settings = {"PROJECT_PATH": "<folder>/sites/%HOST", "RUN_AS": "games"}

    def prepare(folder):
        (folder / "sites" / "a.example").mkdir(parents=True)

    server = serve(settings if os.getuid() == 0 else {**settings, "RUN_AS": None}, prepare=prepare)
    assert stop(server, "a.example") == (0, "a.example: asleep already")
    assert stop(server, "b.example") == (
        1,
        "luisito: b.example is not a site here; list --all shows those that are",
    )


# -- roles


@pytest.fixture
def tenants(serve):
    """One server of `games`, one of `backup`, and one of `nobody`, by the owners of the folders."""

    def prepare(folder):
        for user in ("games", "backup", "nobody"):
            path = folder / "sites" / f"{user}.example"
            path.mkdir(parents=True)
            entry = pwd.getpwnam(user)
            os.chown(path, entry.pw_uid, entry.pw_gid)

    server = serve({"PROJECT_PATH": "<folder>/sites/%HOST"}, prepare=prepare)
    server.warm("games.example", "backup.example", "nobody.example")
    return server


@pytest.mark.root
def test_79_a_user_sees_and_stops_his_own_servers(tenants):
    """FAULTS 79: by SO_PEERCRED; everything else is denied, and the same whether it exists."""
    server = tenants
    assert list(listed(server)) == ["backup.example", "games.example", "nobody.example"]
    assert list(listed(server, user="games")) == ["games.example"]
    assert list(listed(server, user="daemon")) == []
    denied = {
        stop(server, host, user="games")
        for host in ("backup.example", "asleep.example", "no such host", "..", "nobody.example")
    }
    assert len(denied) == 1
    code, words = denied.pop()
    assert code == 1
    assert "only an operator may" in words
    done = luisito(server, "status", user="games")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(listed(server)) == 3
    assert stop(server, "games.example", user="games") == (0, "games.example: draining")
    processes.until(lambda: len(server.servers()) == 2, 5, "its end")
    assert list(listed(server)) == ["backup.example", "nobody.example"]
    # now that he has none, he is told no more than of another's
    assert stop(server, "games.example", user="games") == (code, words)


@pytest.mark.root
def test_79_a_user_is_not_told_of_failures(serve):
    server = serve(origin={"*": {"exit_early": 3}})
    server.expect("exited with code 3", "502 for GET")
    assert server.request().status == 502
    assert listed(server, user="nobody") == {}
    assert list(listed(server)) == ["a.localhost"]


@pytest.mark.root
def test_79_the_network_process_shares_its_user_with_nobody(tenants):
    """Luisito has become nobody, for want of a user of its own; that makes nobody no operator.

    Nor does nobody see the servers that run as nobody: that may be anybody.
    """
    server = tenants
    assert listed(server, user="nobody") == {}
    for site in ("games.example", "nobody.example"):
        assert stop(server, site, user="nobody")[0] == 1


@pytest.mark.root
def test_79_what_each_request_is_answered(tenants):
    """On the wire, for those who do without the commands."""
    asked = [
        ("GET", "/status"), ("GET", "/nothing"), ("POST", "/servers"),
        ("DELETE", "/servers/games.example"), ("POST", "/servers/backup.example/stop"),
        ("GET", "/servers/backup.example/stop"), ("POST", "/servers/none.example/stop"),
    ]  # fmt: skip
    root = [_ask(tenants, None, *request) for request in asked[:4]]
    assert [status for status, _ in root] == [200, 404, 405, 404]
    assert _ask(tenants, None, "GET", "/") == _ask(tenants, "games", "GET", "/")
    games = {_ask(tenants, "games", *request) for request in asked}
    assert len(games) == 1
    assert games.pop()[0] == 403
    assert len(listed(tenants)) == 3


def _ask(server, user, method, target):
    """(status, body) of a request by a user."""
    argv = [
        "curl", "-sS", "--path-as-is", "--unix-socket", f"{server.runtime}/control.sock",
        "-X", method, "-w", "%{http_code}", f"http://luisito{target}",
    ]  # fmt: skip
    whom = {} if user is None else {"user": user, "extra_groups": []}
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20, **whom)
    return int(done.stdout[-3:]), done.stdout[:-3]


@pytest.mark.root
def test_whoever_started_it_is_its_operator(serve):
    server = serve(ordinary="backup")
    server.warm("a.localhost")
    assert status_of(server, user="backup")["pid"] == server.process.pid
    assert status_of(server)["pid"] == server.process.pid
    assert listed(server, user="games") == {}
    assert stop(server, "a.localhost", user="games")[0] == 1
    assert stop(server, "a.localhost", user="backup")[0] == 0


# -- where it is


def test_two_luisitos_and_nobody_said_where(serve):
    """The first has the default place, the second says where it is."""
    base = Path("/tmp") / f"lt-xdg-{os.getpid()}"  # short, and reachable by every user
    base.mkdir(mode=0o700)
    try:
        if os.getuid() == 0:
            entry = pwd.getpwnam("backup")
            os.chown(base, entry.pw_uid, entry.pw_gid)
        environ = {"XDG_RUNTIME_DIR": str(base)}
        user = "backup" if os.getuid() == 0 else None
        how = {"environ": environ, "user": user}
        first = serve({"RUNTIME_DIR": None}, ordinary="backup", environ=environ)
        second = serve({"RUNTIME_DIR": None}, ordinary="backup", environ=environ)
        first.warm("a.localhost")
        second.warm("b.localhost")
        assert list(listed(first, **how)) == ["a.localhost"]
        line = second.wait_for_log(r"Control socket: (\S+); commands find it by (\S+) (\S+)")
        assert line.groups() == (
            f"{base}/luisito-2/control.sock", "--runtime-dir", f"{base}/luisito-2",
        )  # fmt: skip
        assert "commands find it" not in first.log()
        done = luisito(second, "list", "--json", "--runtime-dir", line[3], **how)
        assert [row["site"] for row in json.loads(done.stdout)["servers"]] == ["b.localhost"]
        # the spawner, which removes it, may end after what we wait for
        assert first.stop() == 0
        processes.until(lambda: os.listdir(base) == ["luisito-2"], 10, "the removal of the first")
        done = luisito(first, "list", **how)
        assert done.returncode == 3
        assert f"there is {base}/luisito-2" in done.stderr
        assert second.stop() == 0
        processes.until(lambda: os.listdir(base) == [], 10, "the removal of the second")
    finally:
        with contextlib.suppress(OSError):
            base.rmdir()


def test_it_is_found_by_its_settings(serve):
    server = serve()
    server.warm("a.localhost")
    settings = str(server.folder / "settings.py")
    named = {"LUISITO_SETTINGS": settings}
    assert list(listed(server, environ=named)) == ["a.localhost"]
    assert list(listed(server, environ={}, cwd=server.folder)) == ["a.localhost"]
    for argv in (["--settings", settings], ["--runtime-dir", "run"]):
        done = luisito(server, "list", *argv, environ={}, cwd=server.folder)
        assert (done.returncode, "a.localhost" in done.stdout) == (0, True)


def test_nobody_is_there(serve):
    server = serve()
    runtime = server.folder / "empty"
    runtime.mkdir()
    done = luisito(server, "list", "--runtime-dir", str(runtime))
    assert done.returncode == 3
    assert f"no Luisito answers at {runtime}/control.sock: is it running?" in done.stderr
    done = luisito(server, "stop", "a.localhost", "--runtime-dir", "/" + "x" * 100)
    assert done.returncode == 2
    assert "RUNTIME_DIR" in done.stderr
    assert luisito(server, "stop").returncode == 2
    assert luisito(server, "list", "--settings", "/no/such/file").returncode == 2


@pytest.mark.root
def test_who_may_not_reach_the_socket_is_told(serve):
    server = serve()
    server.wait_for_log("Control socket: ")
    server.runtime.chmod(0o700)
    done = luisito(server, "list", user="games")
    assert done.returncode == 1
    assert "permission denied" in done.stderr


# -- its beginning and its end


def test_a_stale_socket_is_replaced(serve, as_whom):
    first = serve(ordinary=as_whom)
    first.warm("a.localhost")
    spawners = first.spawner()
    for pid in (first.process.pid, *spawners):
        with contextlib.suppress(ProcessLookupError):  # one takes the others along
            os.kill(pid, signal.SIGKILL)
    first.wait()
    first.unchecked |= {"conservation", "access lines", "files", "exit"}
    processes.until(lambda: not first.left(), 5, "the end of all")
    assert (first.runtime / "control.sock").exists()
    assert luisito(first, "list").returncode == 3
    second = serve({"RUNTIME_DIR": str(first.runtime)}, ordinary=as_whom)
    second.warm("b.localhost")
    assert list(listed(first)) == ["b.localhost"]
    assert second.stop() == 0
    assert not (first.runtime / "control.sock").exists()


def test_it_answers_while_luisito_drains(serve):
    server = serve({"DRAIN_TIMEOUT": 20})
    server.warm("a.localhost")
    with server.client() as busy:
        busy.ask("/sleep/5")
        processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("finishing what is in flight")
        assert status_of(server)["state"] == "stopping"
        assert listed(server)["a.localhost"]["state"] == "draining"
        assert busy.response().status == 200
    assert server.wait() == 0


def test_its_connections_do_not_keep_luisito(serve, as_whom):
    server = serve(ordinary=as_whom)
    server.warm("a.localhost")
    with raw(server) as silent, raw(server) as slow:
        slow.sendall(b"GET /servers HTTP/1.1\r\nHos")
        assert server.stop() == 0
        assert server.seconds < 5
        for sock in (silent, slow):
            with contextlib.suppress(ConnectionResetError):
                assert answer_of(sock) == b""
    assert not (server.runtime / "control.sock").exists()


# -- what others may do to it


def test_1000_connections_are_bounded(serve):
    server = serve()
    server.warm("a.localhost")
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(raw(server)) for _ in range(1000)]
        refused = [answer_of(sock) for sock in socks[16:]]
        assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in refused)
        assert held(server) == 17
        assert server.request().status == 200
        done = luisito(server, "list")
        assert (done.returncode, "too many connections" in done.stderr) == (1, True)
    processes.until(lambda: held(server) == 1, 5, "the end of all connections")
    assert luisito(server, "list").returncode == 0
    processes.until(lambda: held(server) == 1, 5, "the end of the last connection")


@pytest.mark.root
def test_members_do_not_keep_operators_out(tenants):
    with contextlib.ExitStack() as stack:
        socks = _connected_as(tenants, "games", 20)
        for sock in socks:
            stack.enter_context(sock)
        assert all(answer_of(sock).startswith(b"HTTP/1.1 503 ") for sock in socks[16:])
        assert len(listed(tenants)) == 3
        assert list(listed(tenants, user="backup")) == ["backup.example"]


def _connected_as(server, user, count):
    """Connections that a user has made, handed over to us."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            entry = pwd.getpwnam(user)
            os.setgroups([])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
            made = [raw(server) for _ in range(count)]
            socket.send_fds(theirs, [b"x"], [sock.fileno() for sock in made])
            status = 0
        finally:
            os._exit(status)
    with ours, theirs:
        _data, descriptors, _flags, _address = socket.recv_fds(ours, 1, count)
        assert os.waitpid(pid, 0)[1] == 0
    made = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    for sock in made:
        sock.settimeout(10)
    return made


def test_a_client_that_does_not_come_to_an_end_is_cut_off(serve):
    """After ten seconds, however busy it is; nobody else waits for it."""
    server = serve()
    server.warm("a.localhost")
    with raw(server) as silent, raw(server) as slow:
        slow.sendall(b"GET /servers HTTP/1.1\r\n")
        slow.settimeout(0.5)
        ended = False
        for number in range(60):
            with contextlib.suppress(TimeoutError):
                try:
                    slow.sendall(b"X-%d: y\r\n" % number)
                    ended = slow.recv(100) == b""
                except (BrokenPipeError, ConnectionResetError):
                    ended = True
            if ended:
                break
            assert server.request().status == 200
        assert ended
        silent.settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(100) == b""


@pytest.mark.parametrize("framing", ["Content-Length: 5000", "Transfer-Encoding: chunked"])
def test_a_long_body_is_refused(serve, framing):
    server = serve()
    server.warm("a.localhost")
    with raw(server) as sock:
        sock.sendall(
            f"POST /servers/a.localhost/stop HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode()
        )
        if "chunked" in framing:
            sock.sendall(b"1388\r\n" + b"x" * 5000 + b"\r\n0\r\n\r\n")
        assert answer_of(sock).startswith(b"HTTP/1.1 413 ")
    assert listed(server)["a.localhost"]["state"] == "awake"


def test_what_is_no_http_is_refused(serve):
    server = serve()
    with raw(server) as sock:
        sock.sendall(b"\x16\x03\x01\r\n\r\n")
        assert answer_of(sock).startswith(b"HTTP/1.1 400 ")
    with raw(server) as sock, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        sock.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")
        assert b" 200 " not in answer_of(sock)
    assert listed(server) == {}


def test_descriptors_that_a_client_sends_are_closed(serve, tmp_path):
    server = serve()
    sent = tmp_path / "sent"
    sent.touch()
    with raw(server) as sock, sent.open() as file:
        fds = array.array("i", [file.fileno()] * 100)
        try:
            sock.sendmsg([b"GET /serv"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        except PermissionError:  # the kernel refuses them already, from Linux 6.16 on
            sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            assert answer_of(sock) == b""
    assert str(sent) not in processes.descriptors(server.process.pid).values()


def test_one_request_on_each_connection(serve):
    server = serve()
    with raw(server) as sock:
        sock.sendall(b"GET /servers HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        answer = answer_of(sock)
    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert b"Connection: close" in answer


@pytest.mark.parametrize("name", ["restart", "reload"])
@pytest.mark.parametrize("how", ["twistd", "daemon"])
def test_restart_says_who_serves(serve, as_whom, how, name):
    server = serve(how=how, ordinary=as_whom)
    pids = server.warm("a.localhost")
    before = status_of(server)["pid"]
    done = luisito(server, name)
    assert done.returncode == 0, done.stderr
    after = status_of(server)["pid"]
    assert done.stdout == f"pid {after} serves in the place of pid {before}\n"
    assert server.warm("a.localhost") == pids


def test_restart_says_why_there_was_none(serve):
    server = serve()
    server.expect("nothing was restarted")
    path = server.folder / "settings.py"
    good = path.read_text()
    path.write_text(good + "MAX_SERVERS = 'many'\n")
    done = luisito(server, "restart")
    assert (done.returncode, done.stdout) == (1, "")
    assert 'MAX_SERVERS = "many"' in done.stderr
    assert done.stderr.endswith("; all goes on as it was\n")
    assert status_of(server)["not_restarted"] in done.stderr
    path.write_text(good)
    assert luisito(server, "restart").returncode == 0
    assert status_of(server)["not_restarted"] is None
    assert server.request().status == 200


def test_restart_shows_on_a_terminal_what_it_waits_for(serve):
    server = serve()
    path = server.folder / "settings.py"
    path.write_text("import time\ntime.sleep(2)\n" + path.read_text())
    server.wait_for_log("Control socket: ")
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "luisito.cli", "restart", "--runtime-dir", str(server.runtime)]
    done = subprocess.run(
        argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs, timeout=60, check=True
    )
    os.close(theirs)
    assert b" serves in the place of " in done.stdout
    shown = os.read(ours, 10_000)
    os.close(ours)
    assert shown.startswith(b"\ranother process starts, for ")
    assert shown.endswith(b"\r")


@pytest.mark.root
def test_restart_is_for_operators(tenants):
    done = luisito(tenants, "restart", user="games")
    assert (done.returncode, done.stdout) == (1, "")
    assert "only an operator may" in done.stderr
    assert "ask as root" in done.stderr
