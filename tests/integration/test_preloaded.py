"""Preloaded interpreters in whole servers: sites that are forked, and what becomes of them."""

import contextlib
import json
import os
import pwd
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.test_reload import crash, replaced
from tests.harness import processes
from tests.integration.test_control import luisito
from tests.integration.test_kept_sites import rows, up
from tests.integration.test_sites import Sites

APP = """
import os, random, secrets, uuid

def app(environ, start_response):
    said = {
        "site": os.environ["SITE"], "pid": os.getpid(), "ppid": os.getppid(), "uid": os.getuid(),
        "cwd": os.getcwd(), "names": sorted(os.environ), "fds": sorted(map(int, os.listdir("/proc/self/fd"))),
        "random": random.random(), "secret": secrets.token_hex(), "uuid": str(uuid.uuid4()),
        "several": environ["wsgi.multiprocess"],
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    import json
    return [json.dumps(said).encode()]
"""  # noqa: E501 - a line of a program

NAMED = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [NAME]
"""


@pytest.fixture
def sites(serve):
    def make(names, settings=None, **how):
        settings = {"OUTPUT_LOG_DIR": "<folder>/logs", **(settings or {})}
        served = Sites(serve, {}, settings, **how)
        folder = served.path.parent / "app"
        folder.mkdir(mode=0o755)
        (folder / "shared_by_all.py").write_text(APP)
        for each in (folder, folder / "shared_by_all.py"):
            os.chown(each, served.owner.st_uid, served.owner.st_gid)
        served.folder = folder
        for name in names:
            write(served, name)
        return served

    return make


def write(served, name, more=""):
    text = f'folder = "{served.folder}"\napp = "shared_by_all:app"\nenv = {{ SITE = "{name}" }}\n'
    if os.getuid() == 0:
        text += 'user = "games"\n'
    served.write(name, text + more, command="")


def said(served, host):
    response = served.server.request(host=host)
    assert response.status == 200, response.body
    return json.loads(response.body)


def told(served):
    return json.loads(luisito(served.server, "status", "--json").stdout)["preload"]


def preloaded(served, site="a.example"):
    """Waits until there is an interpreter that forks; returns its pid."""
    said(served, site)
    pid = up(served, site, "preload")
    log = served.path.parent / "logs" / f"{site}.log"
    processes.until(
        lambda: "preload: forks from now on" in log.read_text(), 20, "what it has loaded"
    )
    return pid


def test_the_second_site_is_forked_and_lives_alone(sites, as_whom):
    served = sites(["a.example", "b.example", "c.example"], ordinary=as_whom)
    parent = said(served, "a.example")
    interpreter = preloaded(served)
    second, third = said(served, "b.example"), said(served, "c.example")
    assert told(served) == {
        "interpreters": {"a.example": 3}, "preloaded": 2, "plain": 1, "fallbacks": 0,
        "last_fallback": None,
    }  # fmt: skip
    assert [one["site"] for one in (second, third)] == ["b.example", "c.example"]
    for name in ("random", "secret", "uuid", "pid"):
        assert len({one[name] for one in (parent, second, third)}) == 3
    for name in ("ppid", "uid", "cwd", "names", "fds"):
        assert second[name] == parent[name]
    pid = rows(served.server)["b.example", None]["pid"]
    assert processes.command(pid) == "luisito app b.example"
    assert processes.environ(pid).keys() == {"LUISITO_SERVER"}
    if "each has a cgroup of its own" in served.server.log():
        group = f"/{processes.environ(pid)['LUISITO_SERVER']}\n"
        at = Path(f"/proc/{pid}/cgroup")
        processes.until(lambda: group in at.read_text(), 20, "its cgroup")
    # Each dies by itself, and is served again.
    os.kill(pid, signal.SIGKILL)
    served.server.expect(r"b.example: pid \d+ was killed by SIGKILL")
    served.server.wait_for_log(rf"b.example: pid {pid} was killed by SIGKILL")
    assert said(served, "b.example")["secret"] != second["secret"]
    assert rows(served.server)["a.example", "preload"]["pid"] == interpreter


def test_without_it_servers_start_by_themselves(sites):
    served = sites(["a.example", "b.example", "c.example"])
    served.server.expect(r"a.example \(preload\): pid \d+ was killed by SIGKILL")
    interpreter = preloaded(served)
    os.kill(interpreter, signal.SIGSTOP)
    assert said(served, "b.example")["site"] == "b.example"
    assert told(served)["last_fallback"]["error"] == "it has not answered within 2 s"
    os.kill(interpreter, signal.SIGKILL)
    up(served, "a.example", "preload", interpreter)
    assert said(served, "c.example")["site"] == "c.example"
    assert told(served)["fallbacks"] == 1


def test_without_a_place_for_it_servers_start_by_themselves(sites):
    """As where the user has no room left on that disk."""
    served = sites(["a.example", "b.example"])
    preloaded(served)
    (folder,) = (served.server.runtime / "preload").iterdir()
    folder.rename(folder.with_name("aside"))
    folder.touch()
    assert said(served, "b.example")["site"] == "b.example"
    assert told(served)["last_fallback"]["error"] == "it cannot be asked: Not a directory"


def test_it_goes_with_the_last_and_outlives_the_network_process(sites):
    settings = {"PRELOAD_IDLE": 1, "IDLE_TIMEOUT": 0.5}
    served = sites(["a.example", "b.example"], settings, how="daemon")
    interpreter = preloaded(served)
    served.server.allow("Taking over: the network process has gone")
    served.server.unchecked |= {"conservation", "access lines"}
    crash(served.server, ["a.example"])
    replaced(served.server)
    assert said(served, "b.example")["site"] == "b.example"
    processes.until(lambda: processes.stat(interpreter) is None, 30, "its end")
    served.server.wait_for_log(r"a.example \(preload\): stopping pid .*: none of its sites")


def test_a_path_that_begins_at_the_sites_folder_is_no_other_sites(sites):
    served = sites([])
    named = 'app = "lies_in_lib:app"\nenv = { PYTHONPATH = "lib" }\n'
    named += 'user = "games"\n' if os.getuid() == 0 else ""
    for name in ("a.example", "b.example"):
        folder = served.path.parent / name
        module = folder / "lib" / "lies_in_lib.py"
        module.parent.mkdir(parents=True)
        module.write_text(f"NAME = {name.encode()!r}\n{NAMED}")
        for each in (folder, module.parent, module):
            os.chown(each, served.owner.st_uid, served.owner.st_gid)
        served.write(name, f'folder = "{folder}"\n{named}', command="")
    assert served.server.request(host="a.example").body == b"a.example"
    up(served, "a.example", "preload")
    log = served.path.parent / "logs" / "a.example.log"
    processes.until(lambda: "forks from now on" in log.read_text(), 20, "what it has loaded")
    assert served.server.request(host="b.example").body == b"b.example"


# What a hostile user listens with in the place of an interpreter, and what is said of it.
LIES = {
    # It says that somebody has come, who never does.
    "nobody": ("", "it has ended at once"),
    # It is no child of the spawner's that comes.
    "a stranger": ("word.send(b'here'); time.sleep(20)", "is no child of its own"),
    # It comes with another word.
    "a word": ("word.send(b'mine')", "it has ended at once"),
}
# Listens where the interpreter did, which is at REAL from then on.
INSTEAD = """
import array, os, socket, sys, time
os.setgid({gid}); os.setuid({uid})
REAL = {path!r} + ".real"
os.rename({path!r}, REAL)
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind({path!r})
listener.listen()
print("listens", flush=True)
connection, _ = listener.accept()
"""
LIAR = """
_, ancillary, _, _ = connection.recvmsg(200000, 1000)
word = socket.socket(fileno=array.array("i", ancillary[0][2])[3])
connection.send(b'{"pid": 1}')
"""


@contextlib.contextmanager
def instead(served, program):
    """Runs a program of the interpreter's user in its place; gives its process."""
    games = pwd.getpwnam("games")
    folder = served.server.runtime / "preload" / str(games.pw_uid)
    (path,) = [str(one) for one in folder.iterdir() if one.suffix == ".socket"]
    program = INSTEAD.format(uid=games.pw_uid, gid=games.pw_gid, path=path) + program
    command, pipe = [sys.executable, "-c", program], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdout.readline() == b"listens\n"
        yield process


@pytest.mark.root
@pytest.mark.parametrize("lie", LIES)
def test_one_that_lies_costs_nobody_but_its_user_a_start(sites, lie):
    served = sites(["a.example", "b.example"])
    said(served, "a.example")
    up(served, "a.example", "preload")
    text, why = LIES[lie]
    served.server.expect(rf"b.example: cannot start: the process that .* has forked: .*{why}")
    served.server.allow(r"b.example: 502 for GET")
    with instead(served, LIAR + text) as process:
        assert served.status("b.example") == 502
        process.kill()


# Stands between whoever asks and the interpreter, and keeps its answer for a while.
BETWEEN = """
real = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
real.connect(REAL)
order, descriptors, _, _ = socket.recv_fds(connection, 200000, 4)
socket.send_fds(real, [order], descriptors)
for descriptor in descriptors:
    os.close(descriptor)
answer = real.recv(1000)
print("answered", flush=True)
sys.stdin.readline()
connection.send(answer)
"""


@pytest.mark.root
def test_what_it_has_forked_last_does_not_go_with_it(sites):
    """Who asked for that has not said so yet, and it is in the interpreter's cgroup still."""
    served = sites(["a.example", "b.example"])
    served.server.expect(r"a.example \(preload\): pid \d+ was killed by SIGKILL")
    interpreter = preloaded(served)
    with instead(served, BETWEEN) as process, served.server.client() as connection:
        connection.ask("/", "b.example")
        assert process.stdout.readline() == b"answered\n"
        os.kill(interpreter, signal.SIGKILL)
        processes.until(lambda: processes.stat(interpreter) is None, 20, "its end")
        time.sleep(0.3)  # in which all of its cgroup would be killed
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert connection.response().status == 200
    assert rows(served.server)["b.example", None]["pid"]
    assert told(served)["preloaded"] == 1
