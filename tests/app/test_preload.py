"""A preloaded interpreter, as the spawner's child meets it (luisito/app/preload.py)."""

from __future__ import annotations

import ast
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import venv
from pathlib import Path

import pytest
from preloading import BOOT, PATIENCE, Interpreter

from luisito.app import stale

SERVERS = ("--servers", sysconfig.get_path("purelib"))

MODULES = {
    "shared": "import shared_by_it\nVALUE = [1]",
    "shared_by_it": "",
    "flavoured": "import os\nFLAVOUR = os.environ.get('FLAVOUR')",
    "bad_file": "open('/etc/hostname')",
    "bad_writing": "open(__file__, 'a')",
    "bad_socket": "import socket\nsocket.socket().close()",
    "bad_process": "import subprocess\nsubprocess.run(['true'])",
    "bad_thread": "import threading\nthreading.Thread(target=print).start()",
    "bad_handler": "import signal\nsignal.signal(signal.SIGUSR1, lambda *_: None)",
    "bad_change": "import os\nos.environ['A'] = 'b'",
    "bad_copy": "import os\ndict(os.environ)",
    "bad_bytes": "import os\nos.environb.get(b'HOME')\nlist(os.environb)",
    "bad_byte": "import os\nos.environb.get(b'FLAVOUR')",
    "bad_path": "import os\nos.environ['PATH']",
    "bad_umask": "import os\nos.umask(0o22)",
    "bad_folder": "import os\nos.getcwd()",
    "bad_pid": "import os\nos.getpid()",
    "bad_random": "import random\nrandom.Random()",
    "bad_uuid": "import uuid\nuuid.uuid4()",
    "bad_secret": "import secrets\nsecrets.token_hex()",
    "bad_error": "1 / 0",
    "bad_end": "import os\nos._exit(3)",
    "bad_patch": "import socket\nsocket.socket = type('socket', (socket.socket,), {})",
    "bad_logging": "import logging\nlogging.basicConfig()",
    "bad_silence": "import logging\nlogging.disable()",
    "bad_search": "import sys\nsys.path.append('/srv')",
    "bad_timeout": "import socket\nsocket.setdefaulttimeout(3)",
    "bad_left": "import os\nos.pipe()",
    "needs_bad": "import bad_file",
    "needs_that": "from needs_bad import bad_file",
    "bad_package/__init__": "import os\nos.getcwd()",
    "bad_package/inner": "",
    "caught": "try:\n    import bad_error\nexcept ZeroDivisionError:\n    pass",
    "sly": "import sys, threading, time\n"
    "if not sys.dont_write_bytecode:\n"  # as while it is tried
    "    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()",
    "optional": "try:\n    import there_is_none\nexcept ImportError:\n    pass",
}
GOOD = {"shared", "shared_by_it", "flavoured", "optional", "sly"}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of a virtual environment that has MODULES."""
    folder = tmp_path_factory.mktemp("environment")
    venv.EnvBuilder(symlinks=True).create(folder)
    (packages,) = folder.glob("lib/python3*/site-packages")
    for name, text in MODULES.items():
        (packages / name).parent.mkdir(exist_ok=True)
        (packages / f"{name}.py").write_text(text)
    (packages / "starts.pth").write_text("import os; os.environ.get('STARTED')\n")
    (packages / "starts_more.pth").write_text("import started\n")
    (packages / "started.py").write_text("import os\nos.environ.get('STARTED_TOO')\n")
    return str(folder / "bin" / "python")


@pytest.fixture(scope="module")
def interpreter(python: str, tmp_path_factory: pytest.TempPathFactory):
    """One that has loaded `shared` and `flavoured`."""
    made = Interpreter(
        tmp_path_factory.mktemp("preload"), *SERVERS, "shared", "flavoured", python=python
    )
    try:
        made.has("flavoured")
        yield made
    finally:
        made.close()


@pytest.fixture
def own(python: str, tmp_path: Path):
    """Makes some for one test alone."""
    made = []

    def make(*words: str, **more) -> Interpreter:
        made.append(Interpreter(tmp_path, *SERVERS, *words, python=python, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_server_has_a_place_of_its_own(interpreter: Interpreter, tmp_path: Path) -> None:
    (tmp_path / "asked.py").write_text((interpreter.folder / "asked.py").read_text())
    server = interpreter.order({"SITE": "a"}, folder=tmp_path).go()
    number = interpreter.servers.index(server)
    ask = server.ask
    environ = {"PATH": os.environ["PATH"], "LUISITO_SERVER": str(number), "SITE": "a"}
    assert ast.literal_eval(ask("dict(__import__('os').environ)")) == environ
    assert ask("__import__('os').getcwd()") == repr(str(tmp_path))
    assert ask("__import__('sys').argv") == repr([str(BOOT), "serve", "asked:app", "--fd", "3"])
    assert ask("__import__('sys').orig_argv[1:]") == ask("__import__('sys').argv")
    assert ask("__import__('os').getsid(0)") == str(server.pid)
    assert ask("'shared' in __import__('sys').modules") == "True"
    shown = Path(f"/proc/{server.pid}/cmdline").read_bytes().rstrip(b"\0")
    assert shown == f"luisito app site{number}.example".encode()
    marked = Path(f"/proc/{server.pid}/environ").read_bytes().rstrip(b"\0")
    assert marked == f"LUISITO_SERVER={number}".encode()
    for number, what in ((0, os.devnull), (1, "pipe:"), (2, "pipe:"), (3, "socket:")):
        assert os.readlink(f"/proc/{server.pid}/fd/{number}").startswith(what)
    os.kill(server.pid, signal.SIGTERM)
    assert server.wait() == 0


def test_one_that_nobody_wants_ends(interpreter: Interpreter) -> None:
    server = interpreter.order()
    assert server.here() == b"here"
    server.orders.close()
    assert server.wait() == 0


def test_one_that_was_forked_before_is_the_next_server(own) -> None:
    interpreter = own("optional")
    interpreter.has("optional")
    for _ in range(2):
        ahead = interpreter.ahead()
        server = interpreter.order().go()
        assert server.pid == ahead
        assert server.ask("__import__('os').getpid()") == str(ahead)
    # One that has gone is not missed.
    ahead = interpreter.ahead()
    os.kill(ahead, signal.SIGKILL)
    os.waitpid(ahead, 0)
    server = interpreter.order().go()
    assert server.ask("__import__('os').getpid()") == str(server.pid)
    # It ends with the interpreter, whatever the end of that.
    ahead = interpreter.ahead()
    interpreter.process.kill()
    assert os.waitpid(ahead, 0)[1] == 0


def test_one_that_was_forked_before_more_was_loaded_is_no_server(own) -> None:
    interpreter = own("optional")
    interpreter.has("optional")
    ahead = interpreter.ahead()
    (interpreter.learned / "site.more").write_text('["shared"]')
    end = time.monotonic() + PATIENCE
    while os.waitpid(ahead, os.WNOHANG) == (0, 0):
        assert time.monotonic() < end
        time.sleep(0.02)
    interpreter.ahead()
    interpreter.has("shared")


def test_one_whose_parent_is_another_is_refused(interpreter: Interpreter) -> None:
    assert "child of its parent" in interpreter.order(spawner=1).answer["refused"]


def test_bad_orders_are_refused_and_harm_nobody(interpreter: Interpreter) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    good = {"site": "a", "server": 1, "argv": [], "environ": {}, "spawner": os.getpid()}
    for data in (
        b"\0",
        b"[]",
        b"[" * 100_000,
        json.dumps({**good, "environ": {"A=": "b"}}).encode(),
        json.dumps({**good, "environ": {"A": "\0"}}).encode(),
        json.dumps({**good, "environ": {"A": 1}}).encode(),
        json.dumps({**good, "argv": [1]}).encode(),
    ):
        answer = interpreter.send(data, [null] * 4)
        assert answer == {"refused": "an order cannot be read"}, data
    for descriptors in ([], [null] * 3, [null] * 5):
        answer = interpreter.send(json.dumps(good).encode(), descriptors)
        assert answer == {"refused": "an order was cut"}
    os.close(null)
    interpreter.connect().close()  # says nothing
    assert interpreter.order().go().ask("1 + 1") == "2"


def test_a_variable_that_was_read_must_be_the_same(interpreter: Interpreter) -> None:
    refused = interpreter.order({"FLAVOUR": "vanilla"}).answer["refused"]
    assert "FLAVOUR" in refused
    assert "vanilla" not in refused
    for name in ("STARTED", "STARTED_TOO"):
        assert f"variable {name} " in interpreter.order({name: "1"}).answer["refused"]


@pytest.mark.parametrize("name", ["shared.py", "shared/__init__.py", "json.so", "json.pyc"])
def test_what_hides_a_module_is_left_to_a_plain_start(
    interpreter: Interpreter, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    refused = interpreter.order(folder=tmp_path).answer["refused"]
    assert name.partition("/")[0] in refused
    project = tmp_path / "below" / "project"
    project.mkdir(parents=True)
    (project / "manage.py").touch()
    (project / "logging.py").touch()
    argv = ["--django", str(tmp_path / "below"), "--fd", "3"]
    assert "logging.py" in interpreter.order(argv=argv).answer["refused"]


def test_what_hides_a_module_by_pythonpath(own, tmp_path: Path) -> None:
    folder = tmp_path / "first"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import begins")
    (folder / "begins.py").touch()
    interpreter = own("shared", environ={"PYTHONPATH": str(folder)})
    interpreter.has("shared")
    (folder / "shared.py").write_text("VALUE = 2")
    assert "shared.py" in interpreter.order().answer["refused"]


def test_what_a_module_would_have_found_is_left_to_a_plain_start(own, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    interpreter = own("optional", "pickle")
    interpreter.has("optional")
    (folder / "org.py").touch()  # which pickle looks for, as there is Jython
    (folder / "asked.py").write_text((tmp_path / "asked.py").read_text())
    assert interpreter.order(folder=folder).go().ask("1 + 1") == "2"
    (folder / "there_is_none.py").touch()
    assert "there_is_none.py" in interpreter.order(folder=folder).answer["refused"]
    # Nothing of that is left in a server.
    finders = "[type(one).__name__ for one in __import__('sys').meta_path]"
    assert "Sought" not in interpreter.order().go().ask(finders)


def test_what_a_module_does_when_it_is_imported_is_found_out(own) -> None:
    # Our own are tried like others.
    names = [name.replace("/", ".") for name in MODULES if not name.endswith("__init__")]
    interpreter = own(*names, "luisito_app.asgi")
    found = interpreter.found()
    assert {name for name in names if name not in found} == GOOD
    assert "luisito_app.asgi" not in found
    for name, why in {
        "bad_file": "opens /etc/hostname",
        "bad_writing": "opens ",
        "bad_socket": "socket.",
        "bad_process": "subprocess.Popen",
        "bad_handler": "a handler of signals",
        "bad_change": "changes the environment",
        "bad_copy": "reads the whole environment",
        "bad_byte": "reads the environment as bytes",
        "bad_path": "reads PATH",
        "bad_umask": "umask",
        "bad_folder": "asks where it works",
        "bad_pid": "its pid",
        "bad_random": "random bytes",
        "bad_uuid": "random bytes",
        "bad_secret": "random bytes",
        "bad_error": "ZeroDivisionError",
        "bad_end": "ends or hangs",
        "bad_patch": "a changed class",
        "bad_logging": "another way of logging",
        "bad_silence": "another way of logging",
        "bad_search": "another sys.path",
        "bad_timeout": "another timeout of sockets",
        "bad_left": "a descriptor",
        "bad_package.inner": "is in bad_package, which asks where it works",
        "needs_bad": "imports bad_file, which opens /etc/hostname",
        "caught": "imports bad_error",
    }.items():
        assert why in found[name], (name, found[name])
    assert "bad_file opens /etc/hostname: it is left to the sites" in interpreter.end()


def test_code_of_modules_that_are_left_to_servers_is_read_by_none_of_them(own) -> None:
    opened = (
        "(L := [], __import__('sys').addaudithook(lambda e, a: e == 'open' and L.append(a[0])),"
        " __import__('bad_path'), L)[-1]"
    )
    interpreter = own("bad_path", "shared")
    end = time.monotonic() + PATIENCE
    while (found := interpreter.order({"PATH": "/"}).go().ask(opened)) != "[]":
        assert time.monotonic() < end, found
        time.sleep(0.05)
    assert "bad_path" not in interpreter.modules()


def test_it_begins_again_without_a_module_that_leaves_a_thread(own) -> None:
    interpreter = own("shared", "sly")
    end = time.monotonic() + PATIENCE
    while "sly" not in interpreter.found():
        assert time.monotonic() < end
        time.sleep(0.02)
    while "refused" in interpreter.order().answer:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert interpreter.modules() & {"shared", "sly"} == set()
    assert "begins again without it" in interpreter.end()


def test_one_that_has_a_thread_from_the_first_forks_nobody(python: str, own) -> None:
    (path,) = Path(python).parent.parent.glob("lib/python3*/site-packages")
    starts = path / "thread.pth"
    starts.write_text(
        "import threading, time;"
        "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n"
    )
    try:
        interpreter = own("shared")
        refused = {interpreter.order().answer["refused"] for _ in range(2)}
        # It ends, for one that has none, once that has gone.
        starts.unlink()
        end = time.monotonic() + PATIENCE
        while "stale" not in interpreter.order().answer["refused"]:
            assert time.monotonic() < end
            time.sleep(0.1)
    finally:
        starts.unlink(missing_ok=True)
    assert refused == {"it has threads"}
    assert interpreter.process.wait(PATIENCE) == 0
    assert interpreter.process.communicate()[0].count("forks nobody: sitecustomize") == 1


def test_the_next_one_knows_what_was_found(own) -> None:
    first = own("shared", "bad_pid")
    first.found()
    first.end()
    second = own("shared", "bad_pid", "optional")
    second.has("shared")
    second.has("optional")
    said = second.end()
    assert "loads 1 modules; 1 are left" in said  # optional, beside what is known


def test_it_learns_from_a_server(own) -> None:
    interpreter = own()
    (interpreter.folder / "uses.py").write_text("import shared\nfrom asked import app")
    site = str(interpreter.learned / "a.example")
    server = interpreter.order({"LUISITO_LEARN": site}, argv=["uses:app", "--fd", "3"]).go()
    server.ask("1")
    interpreter.has("shared")
    assert not {"uses", "asked"} & set(json.loads(Path(f"{site}.more").read_text()))


def test_an_app_may_remove_modules(own) -> None:
    interpreter = own("shared")
    interpreter.has("shared")
    (interpreter.folder / "removes.py").write_text(
        "import sys\nfrom asked import app\n"
        "for name in list(sys.modules):\n"
        "    if name.partition('.')[0] in ('email', 'json', 'urllib', 'shared', 'waitress'):\n"
        "        del sys.modules[name]\n"
    )
    site = str(interpreter.learned / "a.example")
    server = interpreter.order({"LUISITO_LEARN": site}, argv=["removes:app", "--fd", "3"]).go()
    end = time.monotonic() + PATIENCE
    while not Path(f"{site}.more").exists():
        assert time.monotonic() < end, server.wait_and_read()
        time.sleep(0.02)
    # What has nothing more counts, too, as one of those of which half must have a module.
    assert json.loads(Path(f"{site}.more").read_text()) == []
    assert server.ask("1 + 1") == "2"


def test_it_ends_once_its_environment_has_changed(own, python: str) -> None:
    interpreter = own("optional")
    interpreter.has("optional")
    (path,) = Path(python).parent.parent.glob("lib/python3*/site-packages/optional.py")
    (path.parent / "new").write_text(MODULES["optional"] + "\n")
    (path.parent / "new").replace(path)
    end = time.monotonic() + PATIENCE
    while "refused" not in (answer := interpreter.order().answer):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert answer["refused"] == f"stale: {path} has changed"
    assert interpreter.process.wait(PATIENCE) == 0


def test_it_ends_with_its_parent(tmp_path: Path, python: str) -> None:
    starts = (
        "import os, socket, subprocess, sys, time\n"
        "sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        "sock.bind(sys.argv[1]); os.dup2(sock.fileno(), 3)\n"
        "child = subprocess.Popen(sys.argv[2:], pass_fds=[3])\n"
        "print(child.pid, flush=True); sys.stdin.read()"
    )
    path = str(tmp_path / "preload")
    command = [sys.executable, "-c", starts, path, python, str(BOOT), "preload", *SERVERS]
    parent = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={}
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.settimeout(PATIENCE)
        end = time.monotonic() + PATIENCE
        while asking.connect_ex(path) != 0:
            assert time.monotonic() < end
            time.sleep(0.01)
        asking.send(b"{}")
        assert b"refused" in asking.recv(1000)  # it has come so far
        parent.kill()
        parent.communicate()
    end = time.monotonic() + PATIENCE
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_it_says_what_it_must_be_started_with(python: str) -> None:
    ran = subprocess.run(
        [python, BOOT, "preload"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert "descriptor 3 must be a bound unix socket" in ran.stderr


RENEWED = """
import multiprocessing.process, os, random, ssl, sys, tempfile, threading, uuid
sys.path.insert(0, sys.argv[1])
from luisito.app import forking, renewal
ssl.RAND_bytes(1), random.random(), next(tempfile._get_candidate_names()), uuid.uuid1()
try:
    import numpy.random
except ModuleNotFoundError:
    numpy = None
reading, writing = os.pipe()
for _ in range(2):
    if forking.Forker().fork() == 0:
        renewal.renew()
        drawn = [
            random.random(), ssl.RAND_bytes(8), next(tempfile._get_candidate_names()),
            uuid.uuid4(), uuid.uuid1(),
            multiprocessing.process.current_process().authkey, os.urandom(8),
            numpy and numpy.random.random(), numpy and numpy.random.default_rng().random(),
        ]
        assert threading.main_thread().native_id == os.getpid()
        os.write(writing, repr([str(one) for one in drawn]).encode() + b"\\n")
        os._exit(0)
os.close(writing)
print(open(reading).read())
"""


def test_children_draw_other_random_numbers() -> None:
    # Its children are ours, but it ends after them and they say nothing else.
    ran = subprocess.run(
        [sys.executable, "-c", RENEWED, str(BOOT.parents[2])],
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = map(ast.literal_eval, ran.stdout.split("\n")[:2])
    for one, other in zip(first, second, strict=True):
        assert one != other or one == "None", (one, other)


def found_in(pid: int, text: bytes) -> bool:
    """Whether the memory of a process has some text."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, permissions, *_ = line.split()
            if not permissions.startswith("r") or line.rstrip().endswith(
                ("[vvar]", "[vsyscall]", "[vvar_vclock]")
            ):
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            memory.seek(start)
            if text in memory.read(end - start):
                return True
    return False


def test_nothing_of_one_site_is_in_the_memory_of_another(own, tmp_path: Path) -> None:
    # The first is of the site whose worker the interpreter is; they are written backwards here.
    words = [
        word[::-1] for word in ("tsoh-yranac", "norivne-yranac", "sgnittes-yranac", "yromem-yranac")
    ]
    host, environ, settings, memory = words
    interpreter = own("shared", environ={"SECRET": host})
    interpreter.has("shared")
    folder = tmp_path / "a"
    folder.mkdir()
    text = (tmp_path / "asked.py").read_text()
    (folder / "asked.py").write_text(f"SECRET = {settings!r}\n{text}")
    first = interpreter.order({"SECRET": environ}, folder=folder).go()
    first.ask(f"__import__('shared').VALUE.append({memory!r})")
    second = interpreter.order().go()
    assert second.ask("__import__('shared').VALUE") == "[1]"
    try:
        assert all(found_in(first.pid, word.encode()) for word in (environ, settings, memory))
    except PermissionError as error:
        pytest.skip(f"/proc/PID/mem cannot be read here: {error}")
    for word in words:
        assert not found_in(second.pid, word.encode()), word
        assert not found_in(interpreter.process.pid, word.encode()), word


def test_what_python_itself_writes_is_no_change(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(stale, "packages", lambda: [str(tmp_path)])
    files = stale.Files()
    (tmp_path / "__pycache__").mkdir()
    assert not files.changed()
    (tmp_path / "new-1.0.dist-info").mkdir()
    files._next = 0.0
    assert files.changed() == str(tmp_path)


def test_a_file_that_is_written_over_is_seen_in_time(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "shared.py"
    path.write_text("1")
    module = type(sys)("shared")
    module.__file__ = str(path)
    monkeypatch.setitem(sys.modules, "shared", module)
    files = stale.Files()
    path.write_text("12")
    files._all = 0.0
    assert files.changed() == str(path)


def test_a_path_that_is_written_over_is_seen_in_time(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(stale, "packages", lambda: [str(tmp_path)])
    path = tmp_path / "more.pth"
    path.write_text("/srv/old")
    files = stale.Files()
    path.write_text("/srv/newer")
    files._all = 0.0
    assert files.changed() == str(path)


def test_new_objects_come_out_of_pools_of_their_own() -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(BOOT.parents[2])!r})\n"
        "from luisito.app import pages\n"
        "holes = [[bytes(size - 33) for _ in range(500)] for size in range(48, 513, 16)]\n"
        "for some in holes: del some[::2]\n"  # each second one
        "last = [id(some[-1]) for some in holes]\n"
        "def near(): return sum(\n"
        "    any(abs(id(bytes(size - 33)) - id(one)) == size for one in some)\n"
        "    for size, some in zip(range(48, 513, 16), holes))\n"
        "before = near(); kept = pages.share(); print(before, near())"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, after = map(int, ran.stdout.split())
    assert before >= 25
    assert after <= 3


def test_a_trial_that_is_killed_says_nothing_of_modules(tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text("import time\ntime.sleep(30)")
    script = (
        f"import os, select, sys; sys.path[:0] = [{str(BOOT.parents[2])!r}, {str(tmp_path)!r}]\n"
        "from luisito.app.probing import Probe\n"
        "probe = Probe(sys.argv[1:], {})\n"
        "if sys.argv[1] == 'waits': os.kill(probe._pid, 9)\n"
        "found = None\n"
        "while found is None: select.select([probe.descriptor], [], []); found = probe.read()\n"
        "print(found)"
    )
    for words, found in ((["waits"], ([], {})), (["json"], (["json"], {}))):
        command = [sys.executable, "-c", script, *words]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        assert ast.literal_eval(ran.stdout) == found
