"""Every way in which Luisito is started, and in which its servers are."""

import os
import pwd
import re
import signal
import socket
import subprocess
import sys

import pytest

from tests.harness import processes
from tests.harness.server import BIN, ROOT, ordinary_user


@pytest.mark.parametrize("way", ["fd", "port", "socket"])
def test_serves_by_each_way_in(serve, way, as_whom):
    server = serve(way=way, ordinary=as_whom)
    first = server.request(host="a.localhost")
    assert (first.status, first.get("x-site")) == (200, "a.localhost")
    assert server.request(host="a.localhost").get("x-pid") == first.get("x-pid")
    assert server.request(host="b.localhost").get("x-site") == "b.localhost"
    assert len(server.servers()) == 2


@pytest.mark.parametrize("way", ["fd", "port", "socket"])
def test_ready_is_said(serve, way):
    """READY=1, long before the first accept."""
    server = serve(way=way, origin={"*": {"notify": True, "accept_delay": 0.5}})
    assert server.request().status == 200
    ready = float(server.wait_for_log(r"ready after ([0-9.]+) s")[1])
    assert ready < 0.5


def test_a_handed_over_tcp_socket(serve):
    server = serve({"HANDED_SOCKET": "tcp"})
    assert server.request().status == 200


@pytest.mark.parametrize("how", ["twistd", "tac", "twist", "run"])
def test_is_started_by(serve, how, as_whom):
    server = serve(how=how, ordinary=as_whom)
    assert server.request(host="a.localhost").status == 200
    assert server.request(host="not-a.example").status == 404
    assert server.stop() == 0
    assert server.stop() == 0


def test_run_is_as_one_types_it(serve):
    command = [sys.executable, "-m", "http.server", "%PORT", "--bind", "127.0.0.1"]
    server = serve({"CMD_TPL": command, "MAX_SERVERS": 1}, how="run")
    for host in ("one.localhost", "two.localhost", "one.localhost"):
        response = server.request("/", host=host)
        assert response.status == 200
        assert b"Directory listing" in response.body
    assert server.stop(signal.SIGINT) == 0


def test_twistd_lists_it():
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    shown = subprocess.run(
        [f"{BIN}/twistd", "--help"], env=environ, capture_output=True, text=True, check=True
    )
    assert any(line.split()[:1] == ["luisito"] for line in shown.stdout.splitlines())


def test_a_bad_setting_stops_it_with_one_line(serve):
    server = serve({"MAX_SERVERS": "10"}, wait=False)
    server.unchecked |= {"conservation", "access lines", "exit"}
    assert server.wait() == 1
    lines = [line for line in server.log().splitlines() if "MAX_SERVERS" in line]
    assert len(lines) == 1
    assert "must be a whole number" in lines[0]
    assert "Traceback" not in server.log()


def not_started(server, words):
    """It has said so in one line, and left nothing."""
    server.unchecked |= {"conservation", "access lines", "exit", "ports"}
    server.allow(words)
    assert server.wait() not in (0, None)
    lines = [line for line in server.log().splitlines() if re.search(words, line)]
    assert len(lines) == 1, server.log()
    assert "Traceback" not in server.log()
    assert "Error:" not in server.log()


@pytest.mark.parametrize("how", ["twistd", "tac", "twist", "run"])
def test_a_port_in_use_stops_it_with_one_line(serve, how, as_whom):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
        server = serve({"LISTEN": listen}, how=how, ordinary=as_whom, wait=False, pidfile=True)
        not_started(server, f"LISTEN: cannot listen on '{listen}': .*in use")
    assert not (server.folder / "pid").exists()


@pytest.mark.parametrize("how", ["twistd", "tac", "twist"])
def test_a_folder_that_others_may_write_to_stops_it_with_one_line(serve, how, as_whom):
    """What the spawner refuses."""
    server = serve(
        how=how,
        ordinary=as_whom,
        wait=False,
        prepare=lambda folder: (folder / "run").chmod(0o777),
    )
    not_started(server, "RUNTIME_DIR = .*nobody else may write there")


def test_a_daemon_that_cannot_start_says_why(serve, as_whom):
    """To the person who typed the command, and in its log; its pidfile goes."""
    listen = "tcp:9:interface=192.0.2.1"
    server = serve({"LISTEN": listen}, how="daemon", ordinary=as_whom, wait=False)
    server.unchecked |= {"conservation", "access lines", "exit"}
    server.expect("Cannot start: LISTEN")
    assert server.wait() == 1
    assert re.search("An error has occurred: .*EndpointError: LISTEN", server.log())
    server.wait_for_log("Cannot start: LISTEN")
    assert "Traceback" not in server.log()
    # the daemon says why before it removes it
    processes.until(lambda: not (server.folder / "pid").exists(), 10, "the end of its pidfile")


@pytest.mark.parametrize("how", ["twistd", "tac", "daemon"])
def test_its_pidfile_goes_with_it(serve, how, as_whom):
    server = serve(how=how, ordinary=as_whom, pidfile=True)
    path = server.folder / "pid"
    assert int(path.read_text()) == server.process.pid
    assert server.request().status == 200
    assert server.stop() == 0
    assert not path.exists()
    assert "pid file" not in server.log().lower()


@pytest.mark.root
@pytest.mark.parametrize("run_as", [None, "games"])
def test_whoever_shares_its_user_with_the_servers_is_told(serve, run_as):
    network = "luisito" if any(user.pw_name == "luisito" for user in pwd.getpwall()) else "nobody"
    server = serve({} if run_as is None else {"RUN_AS": run_as, "MIN_UID": 1})
    assert server.request().status == 200
    told = re.findall("run as the same user .*adduser", server.log())
    assert len(told) == (network == (run_as or "nobody"))
    # whatever it shares, its memory is root's (proc(5))
    assert os.stat(f"/proc/{server.network}/mem").st_uid == 0


_PYTHON = [sys.executable, "-m"]
REAL = {
    "http.server %PORT": [*_PYTHON, "http.server", "%PORT", "--bind", "127.0.0.1"],
    "waitress %PORT": [f"{BIN}/waitress-serve", "--listen=127.0.0.1:%PORT", "wsgi:app"],
    "waitress %SOCKET": [
        f"{BIN}/waitress-serve",
        "--unix-socket=%SOCKET",
        "--unix-socket-perms=660",
        "wsgi:app",
    ],
    "gunicorn %PORT": [f"{BIN}/gunicorn", "--bind=127.0.0.1:%PORT", "wsgi:app"],
    "gunicorn %SOCKET": [f"{BIN}/gunicorn", "--bind=unix:%SOCKET", "wsgi:app"],
    "gunicorn %FD": [f"{BIN}/gunicorn", "--bind=fd://%FD", "wsgi:app"],
    "gunicorn by LISTEN_FDS": [f"{BIN}/gunicorn", "wsgi:app"],
    "uvicorn %PORT": [f"{BIN}/uvicorn", "--port=%PORT", "asgi:app"],
    "uvicorn %SOCKET": [f"{BIN}/uvicorn", "--uds=%SOCKET", "asgi:app"],
    "uvicorn %FD": [f"{BIN}/uvicorn", "--fd=%FD", "asgi:app"],
}
NODE = ["fd %FD", "port %PORT", "socket %SOCKET"]


def serves(serve, command):
    server = serve({"CMD_TPL": command}, how="run", files=("wsgi.py", "asgi.py", "server.js"))
    listing = "http.server" in command
    first = server.request("/", host="real.localhost")
    assert first.status == 200, server.log()
    with server.client() as client:
        for _ in range(3):
            assert client.request("/", host="real.localhost").body == first.body
    if not listing:
        assert first.body == b"hello"
        body = b"x" * 300_000
        posted = server.request("/", "real.localhost", "POST", body=body)
        assert posted.body == body
        chunked = server.request("/", "real.localhost", "POST", body=body, chunked=True)
        assert chunked.body == body
        pid = server.pid("real.localhost")
        os.kill(pid, signal.SIGKILL)
        # Until all of it is gone: a worker that outlives it by a moment may answer in part.
        server.wait_for_log(rf"pid {pid} was killed by SIGKILL")
        again = server.request("/", host="real.localhost")
        assert again.body == b"hello"
    assert server.request("/", host="other.localhost").status == 200
    assert server.stop() == 0


@pytest.mark.parametrize("name", REAL)
def test_real_server(serve, name):
    serves(serve, [*REAL[name]])


@pytest.mark.needs("node")
@pytest.mark.parametrize("way", NODE)
def test_node(serve, way):
    serves(serve, ["node", "server.js", *way.split()])


@pytest.mark.parametrize("how", ["twistd", "daemon"])
def test_a_state_folder_is_made(serve, how, as_whom):
    """Where it is missing; it is the network process's then, and nobody else's to write."""
    server = serve({"STATE_DIR": "state"}, how=how, ordinary=as_whom)
    assert server.request().status == 200
    status = (server.folder / "state").stat()
    network = processes.status(server.network)
    ids = [int(network[which].split()[0]) for which in ("Uid", "Gid")]
    assert [status.st_uid, status.st_gid] == ids
    assert status.st_mode & 0o7777 == 0o751


def test_a_state_folder_stays_as_it_is(serve):
    """The second time."""
    user = ordinary_user()

    def prepare(folder):
        (folder / "state").mkdir(mode=0o700)
        if user is not None:
            os.chown(folder / "state", user.pw_uid, user.pw_gid)
        (folder / "state" / "kept").write_text("")

    server = serve({"STATE_DIR": "state"}, ordinary=True, prepare=prepare)
    assert server.request().status == 200
    assert (server.folder / "state" / "kept").exists()
    assert (server.folder / "state").stat().st_mode & 0o7777 == 0o700


def _open_to_all(folder):
    (folder / "state").mkdir()
    (folder / "state").chmod(0o777)


def _linked(folder):
    (folder / "elsewhere").mkdir()
    (folder / "state").symlink_to("elsewhere")


def _not_ours(folder):
    (folder / "state").mkdir(mode=0o755)
    if os.getuid() == 0:
        os.chown(folder / "state", pwd.getpwnam("bin").pw_uid, -1)


@pytest.mark.parametrize(
    ("path", "prepare", "words"),
    [
        ("state", _open_to_all, "nobody else may write there; chown [0-9]+:[0-9]+ and chmod 751"),
        ("state", _linked, "Not a directory|Too many levels"),
        ("none/state", lambda _folder: None, "No such file or directory; write"),
        ("settings.py", lambda _folder: None, "Not a directory"),
        pytest.param("state", _not_ours, "must belong to Luisito", marks=pytest.mark.root),
    ],
)
def test_a_state_folder_that_is_not_ours_alone_is_refused(serve, as_whom, path, prepare, words):
    server = serve({"STATE_DIR": path}, ordinary=as_whom, prepare=prepare, wait=False)
    not_started(server, f"STATE_DIR = .*({words})")


def test_a_folder_of_output_is_made(serve, as_whom):
    """As in 2012."""
    server = serve({"OUTPUT_LOG_DIR": "logs/servers"}, how="daemon", ordinary=as_whom)
    server.warm("a.localhost")
    folder = server.folder / "logs" / "servers"
    assert folder.stat().st_mode & 0o777 == 0o755
    file = folder / "a.localhost.log"
    processes.until(file.exists, 5, "the file")
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_folder_of_output_that_cannot_be_made(serve):
    server = serve({"OUTPUT_LOG_DIR": "settings.py/logs"}, wait=False)
    not_started(server, "OUTPUT_LOG_DIR = .*: Not a directory; make it")
