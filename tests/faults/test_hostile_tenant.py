"""A tenant with a shell on the machine, and an app of his: what he can do to anybody else."""

import json
import os
import pwd
import subprocess

import pytest

from tests.harness import descriptors, processes
from tests.harness.server import PYTHON

pytestmark = pytest.mark.root

GAMES, BACKUP = pwd.getpwnam("games"), pwd.getpwnam("backup")
MINE, THEIRS = "games.localhost", "backup.localhost"
SITES = {"PROJECT_PATH": "<folder>/sites/%HOST", "OUTPUT_LOG_DIR": "<folder>/logs"}

# What he types: {name: error or "done"} of each attempt, which are told as [name, what, arguments].
SHELL = """
import json, os, signal, socket, sys

def connect(path, kind):
    with socket.socket(socket.AF_UNIX, getattr(socket, kind)) as sock:
        sock.connect(path)

def read(path):
    with open(path, "rb", buffering=0) as file:
        file.read(1)

def write(path):
    os.close(os.open(path, os.O_WRONLY))

def make(path):
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT))

found = {}
for name, what, arguments in json.load(sys.stdin):
    work = globals().get(what) or getattr(os, what)
    try:
        work(*arguments)
    except OSError as error:
        import errno
        found[name] = errno.errorcode[error.errno]
    else:
        found[name] = "done"
print(json.dumps(found))
"""
DENIED = {"EACCES", "EPERM"}


def typed(user, attempts):
    """What somebody's attempts have come to."""
    done = subprocess.run(
        [PYTHON, "-I", "-S", "-c", SHELL],
        input=json.dumps(attempts), capture_output=True, text=True, check=True, timeout=60,
        user=user.pw_uid, group=user.pw_gid, extra_groups=[], cwd="/",
    )  # fmt: skip
    return json.loads(done.stdout)


def prepare(folder):
    for site, user in ((MINE, GAMES), (THEIRS, BACKUP)):
        path = folder / "sites" / site
        path.mkdir(parents=True)
        path.chmod(0o750)
        os.chown(path, user.pw_uid, user.pw_gid)


@pytest.fixture(params=["fd", "socket", "port"])
def server(serve, request):
    """With a server of each of two tenants."""
    made = serve(SITES, way=request.param, prepare=prepare)
    made.warm(MINE, THEIRS)
    return made


def number_of(server, site):
    """The number of a site's server: the name of its folder in RUNTIME_DIR."""
    uid = {MINE: GAMES.pw_uid, THEIRS: BACKUP.pw_uid}[site]
    return next(
        name
        for name in os.listdir(server.runtime)
        if name.isdigit() and os.stat(server.runtime / name).st_uid == uid
    )


def test_he_reaches_no_process_but_his_own(server):
    theirs = server.pid(THEIRS)
    pids = {"network": server.process.pid, "theirs": theirs}
    pids |= {f"spawner {at}": pid for at, pid in enumerate(server.spawner())}
    attempts = []
    for name, pid in pids.items():
        attempts += [[f"{name} {number}", "kill", [pid, number]] for number in (0, 9, 15, 10)]
        attempts += [
            [f"{name} {file}", "read", [f"/proc/{pid}/{file}"]]
            for file in ("environ", "mem", "maps", "fd/0", "root/etc/passwd")
        ]
    found = typed(GAMES, attempts)
    # A helper of the spawner may have been there for a moment, and become his.
    lasting = {name for name, pid in pids.items() if "luisito" in processes.command(pid)}
    lasting.add("theirs")
    gone = tuple(pids.keys() - lasting)
    denied = {name: what for name, what in found.items() if not name.startswith(gone)}
    assert len(denied) >= 9 * 3
    assert set(denied.values()) <= DENIED, denied
    # what he is denied there he may do to his own, so it is not for want of skill
    assert typed(GAMES, [["mine", "kill", [server.pid(MINE), 0]]]) == {"mine": "done"}
    assert server.request(host=THEIRS).status == 200


def test_he_reaches_nothing_in_the_runtime_folder_but_his_own(server):
    runtime, theirs = server.runtime, server.runtime / number_of(server, THEIRS)
    attempts = [
        ["list all", "listdir", [str(runtime)]],
        ["make a file", "make", [f"{runtime}/x"]],
        ["make the next folder", "mkdir", [f"{runtime}/99"]],
        ["remove theirs", "rename", [str(theirs), f"{runtime}/x"]],
        ["remove mine", "rename", [f"{runtime}/{number_of(server, MINE)}", f"{runtime}/x"]],
        ["remove control", "unlink", [f"{runtime}/control.sock"]],
        ["list theirs", "listdir", [str(theirs)]],
        ["enter theirs", "chdir", [str(theirs)]],
        ["speak as theirs", "connect", [f"{theirs}/notify", "SOCK_DGRAM"]],
        ["connect to theirs", "connect", [f"{theirs}/socket", "SOCK_STREAM"]],
        ["list Luisito's", "listdir", [f"{runtime}/0"]],
        ["enter Luisito's", "chdir", [f"{runtime}/0"]],
        ["handed over", "connect", [f"{runtime}/0/{theirs.name}", "SOCK_STREAM"]],
    ]
    found = typed(GAMES, attempts)
    assert set(found.values()) <= DENIED, found


def test_he_reads_and_writes_no_file_but_his_own(server):
    folder = server.folder
    server.request("/stdout-text/words", host=THEIRS)
    log = folder / "logs" / f"{THEIRS}.log"
    processes.until(log.exists, 10, "the log of the other")
    attempts = []
    for name, path in {"their log": log, "access log": server.access_path}.items():
        attempts += [[f"read {name}", "read", [str(path)]], [f"write {name}", "write", [str(path)]]]
    attempts += [
        ["enter their folder", "chdir", [f"{folder}/sites/{THEIRS}"]],
        ["log in their place", "make", [f"{folder}/logs/x.localhost.log"]],
        ["a site of his own making", "mkdir", [f"{folder}/sites/x.localhost"]],
        ["settings", "write", [f"{folder}/settings.py"]],
    ]
    found = typed(GAMES, attempts)
    assert set(found.values()) <= DENIED, found


def test_his_folder_is_a_file_system_that_never_answers_43(serve):
    """His site waits in vain; whoever asks for another notices nothing."""

    with descriptors.Hanging() as hanging:

        def there(folder):
            prepare(folder)
            subprocess.run(
                ["mount", "--bind", f"{hanging.path}/folder", folder / "sites" / MINE], check=True
            )
            hanging.hang = True

        server = serve({**SITES, "MAX_SERVERS": 2}, prepare=there)
        server.expect("whether games.localhost has a folder: no answer within 5 s")
        try:
            with server.client(timeout=30) as first, server.client(timeout=30) as second:
                for waiting in (first, second):
                    waiting.ask(host=MINE)
                server.warm(THEIRS)
                for waiting in (first, second):
                    assert waiting.response().status == 503
            for _ in range(20):
                assert server.request(host=THEIRS).status == 200
        finally:
            hanging.hang = False
            subprocess.run(["umount", "-l", server.folder / "sites" / MINE], check=True)
