"""FAULTS D: ports and sockets that others have, and queues that are full."""

import os
import pwd
import re
import shutil
import socket
import stat
import subprocess

import pytest

from tests.harness import client, processes
from tests.harness.server import PYTHON


def test_33_a_port_is_taken_between_choice_and_bind(serve, as_whom):
    """FAULTS 33: the foreign listener gets no connection; another port is tried."""
    server = serve(way="port", ordinary=as_whom, origin={"*": {"boot_delay": 0.7}})
    server.expect("trying another port")
    with server.client() as connection:
        connection.ask()
        port = int(server.wait_for_log(r"started as pid .*, port (\d+)")[1])
        with socket.create_server(("127.0.0.1", port)) as foreign:
            assert connection.response().status == 200
            foreign.setblocking(False)
            with pytest.raises(BlockingIOError):
                foreign.accept()
    ports = re.findall(r"started as pid .*, port (\d+)", server.log())
    assert len(set(ports)) == len(ports) == 2


def test_33_a_port_is_taken_by_one_that_is_killed_first(serve):
    """FAULTS 33: the same where the command does not mind, and starts to wait."""
    command = ["sh", "-c", "sleep 0.7; exec sleep 1000", "sh", "%PORT"]
    server = serve({"CMD_TPL": command, "START_TIMEOUT": 4})
    server.expect("trying another port", "while it starts", "504 for GET")
    with server.client() as connection:
        connection.ask()
        port = int(server.wait_for_log(r"started as pid .*, port (\d+)")[1])
        with socket.create_server(("127.0.0.1", port)) as foreign:
            assert connection.response().status == 504
            foreign.setblocking(False)
            with pytest.raises(BlockingIOError):
                foreign.accept()


def test_34_a_stale_socket_is_replaced(serve, as_whom):
    """FAULTS 34: what a Luisito that was killed has left does not stand in the way."""

    def prepare(folder):
        for number in ("0", "1", "2"):
            stale = folder / "run" / number
            stale.mkdir()
            with socket.socket(socket.AF_UNIX) as old:
                old.bind(f"{stale}/socket")
            os.chown(stale, *owner(folder))

    def owner(folder):
        status = folder.stat()
        return status.st_uid, status.st_gid

    server = serve(way="socket", ordinary=as_whom, prepare=prepare)
    server.warm("a.localhost", "b.localhost")
    for number in ("1", "2"):
        status = (server.runtime / number).stat()
        assert stat.S_IMODE(status.st_mode) == 0o2710
        assert status.st_uid != 0


TRESPASS = """
import os, socket, sys
folder = sys.argv[1]
def enter():
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(folder + "/socket")
def take():
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(folder + "/another")
for trespass in (
    enter, take, lambda: os.listdir(folder), lambda: os.unlink(folder + "/socket"),
    lambda: os.rename(folder, folder + "-old"), lambda: os.mkdir(folder + "-new"),
):
    try:
        trespass()
    except PermissionError:
        print("refused")
    else:
        print("done")
"""


@pytest.mark.root
def test_34_a_folder_of_a_site_that_other_tenants_cannot_enter(serve):
    """FAULTS 34: nobody connects to, lists, replaces or removes a socket of somebody else."""

    def prepare(folder):
        for site, user in (("a.localhost", "games"), ("b.localhost", "backup")):
            (folder / "sites" / site).mkdir(parents=True)
            shutil.chown(folder / "sites" / site, user, user)

    server = serve({"PROJECT_PATH": "<folder>/sites/%HOST"}, way="socket", prepare=prepare)
    server.warm("a.localhost", "b.localhost")
    games = pwd.getpwnam("games").pw_uid
    (folder,) = [each for each in server.runtime.glob("[0-9]*") if each.stat().st_uid == games]
    for user in ("backup", "nobody"):
        done = subprocess.run(
            [PYTHON, "-I", "-S", "-c", TRESPASS, folder],
            user=user,
            group=pwd.getpwnam("backup").pw_gid,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == ["refused"] * 6
    assert server.request(host="a.localhost").status == 200


LINK = """
case "$1" in a.*) ;; *) exec "$@";; esac
if [ "$0" = late ]; then "$@" & sleep 1; rm -f "$2"; fi
ln -s "$(dirname "$2")/../1/socket" "$2"
exec sleep 1000
"""


@pytest.mark.root
@pytest.mark.parametrize("when", ["at once", "late"])
def test_34_a_link_to_the_socket_of_another_tenant(serve, when):
    """FAULTS 34, 69: no request for the one site is ever sent to the server of the other."""

    def prepare(folder):
        for site, user in (("a.localhost", "games"), ("b.localhost", "backup")):
            (folder / "sites" / site).mkdir(parents=True)
            shutil.chown(folder / "sites" / site, user, user)

    origin = [PYTHON, "-I", "-S", "<folder>/origin.py", "--log", "<folder>/seen/origin.log"]
    script = LINK.replace('"$@"', " ".join([*origin, '--socket "$2" --site "$1"']))
    server = serve(
        {
            "PROJECT_PATH": "<folder>/sites/%HOST",
            "CMD_TPL": ["sh", "-c", script, when, "%HOST", "%SOCKET"],
            "START_TIMEOUT": 2,
        },
        prepare=prepare,
        files=("origin.py",),
    )
    server.expect("50[234] for GET")
    server.allow("while it starts")
    server.warm("b.localhost")
    if when == "late":
        server.unchecked |= {"privileges"}  # the shell is the leader of the session
        assert server.request("/close-after").get("x-site") == "a.localhost"
        (path,) = set(server.runtime.glob("[0-9]*/socket")) - {server.runtime / "1" / "socket"}
        processes.until(path.is_symlink, 5, "the link")
    response = server.request()
    assert response.status in (502, 503, 504)
    assert response.get("x-site") is None
    assert len(server.seen("head", "b.localhost")) == 1
    assert server.request(host="b.localhost").status == 200


@pytest.mark.parametrize("way", ["socket", "port"])
def test_34b_a_backlog_is_full(serve, way):
    """FAULTS 34b: requests wait; there is no 502, and no stall for other sites."""
    options = {"a.localhost": {"backlog": 1, "serial": True}}
    server = serve({"MAX_SERVERS": 2}, way=way, origin=options)
    server.warm("a.localhost", "b.localhost")
    with server.client() as connection:
        connection.ask("/sleep/0.5")
        requests = client.gets(["a.localhost"] * 12, "/sleep/0.05")
        requests += client.gets(["b.localhost"] * 12)
        results = server.load(requests, 24)
        assert connection.response().status == 200
    assert client.statuses(results) == {200: 24}
    assert max(result.seconds for result in results[12:]) < 0.5


def test_34b_a_backlog_stays_full(serve):
    """FAULTS 34b: they wait within QUEUE_TIMEOUT, then 503 with Retry-After."""
    options = {"a.localhost": {"backlog": 0, "serial": True}}
    server = serve({"QUEUE_TIMEOUT": 1, "RESPONSE_TIMEOUT": 5}, way="socket", origin=options)
    server.expect("503 for GET")
    server.warm("a.localhost")
    with server.client() as connection:
        connection.ask("/sleep/3")
        processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        results = server.load(client.gets(["a.localhost"] * 6, "/sleep/0"), 6)
        refused = [result for result in results if result.status == 503]
        assert len(refused) >= 4
        assert all(result.get("retry-after") for result in refused)
        assert all(result.seconds >= 0.9 for result in refused)
        assert connection.response().status == 200
