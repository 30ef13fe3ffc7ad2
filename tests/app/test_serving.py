"""`serve` with real frameworks, as a site's interpreter runs it."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import luisito
from tests.harness import processes
from tests.harness.client import Client

BOOT = Path(luisito.__file__).parent / "app" / "boot.py"
FIELDS = (
    ("X-Forwarded-For", "10.9.9.9, 192.0.2.1, 127.0.0.1"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Port", "8443"),
)

FLASK = """
import json, os, threading, time
from flask import Flask, request
app = Flask(__name__)
NAMES = ("wsgi.url_scheme", "wsgi.multithread", "wsgi.multiprocess", "REMOTE_ADDR", "SERVER_PORT")

@app.route("/")
def index():
    return json.dumps([request.environ[name] for name in NAMES])

both = threading.Barrier(2, timeout=20)

@app.route("/meet")
def meet():
    return str(both.wait())

@app.route("/slow")
def slow():
    open("began", "x").close()
    while not os.path.exists("go"):
        time.sleep(0.01)
    return "done"
"""
FASTAPI = """
import asyncio, os
from fastapi import FastAPI, Request

def make():
    app = FastAPI()

    @app.get("/")
    async def index(request: Request):
        return [request.url.scheme, request.client and request.client.host]

    @app.get("/slow")
    async def slow():
        open("began", "x").close()
        while not os.path.exists("go"):
            await asyncio.sleep(0.01)
        return "done"

    return app
"""


class Served:
    """A process that serves on a unix socket that was handed over, with NOTIFY_SOCKET."""

    def __init__(self, folder, *words, python=(sys.executable,), handed=True, **environ):
        self.folder, self.path = folder, str(folder / "http.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(16)
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(str(folder / "notify.sock"))
        self.notified.settimeout(30)
        number = self.listener.fileno()
        where = ["--fd", str(number)] if handed else []
        program = [BOOT, "serve"] if handed else ["-m", "luisito.cli", "app"]
        self.process = subprocess.Popen(
            [*python, *program, *words, *where],
            cwd=folder, pass_fds=[number] if handed else [], stderr=subprocess.PIPE, text=True,
            env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify.sock"), **environ},
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for one in (self.listener, self.notified, self.process.stderr):
            one.close()

    def ready(self):
        assert self.notified.recv(100) == b"READY=1"
        return self

    def get(self, target="/", **how):
        with Client(self.path) as client:
            client.ask(target, **how)
            return client.response()

    def ended(self):
        """Its exit status, and what it said."""
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said


@pytest.fixture
def serve(tmp_path):
    with contextlib.ExitStack() as stack:

        def start(*words, **how):
            return stack.enter_context(Served(tmp_path, *words, **how))

        yield start


def test_flask(tmp_path, serve):
    (tmp_path / "shop.py").write_text(FLASK)
    served = serve("shop:app", "--threads", "2", "--processes", "2").ready()
    told = json.loads(served.get(fields=FIELDS).body)
    assert told == ["https", True, True, "192.0.2.1", "8443"]
    with Client(served.path) as one, Client(served.path) as other:
        one.ask("/meet")
        other.ask("/meet")
        assert {one.response().body, other.response().body} == {b"0", b"1"}
    finishes_and_ends(served)


def test_fastapi(tmp_path, serve):
    (tmp_path / "shop.py").write_text(FASTAPI)
    served = serve("shop:make").ready()
    response = served.get(fields=FIELDS)
    assert json.loads(response.body) == ["https", "192.0.2.1"]
    assert response.get("date")
    finishes_and_ends(served)


def finishes_and_ends(served):
    """After SIGTERM what has begun is answered, what is idle is closed, and no more is taken."""
    with Client(served.path) as busy, Client(served.path) as idle:
        idle.ask("/")
        idle.response()
        busy.ask("/slow")
        processes.until((served.folder / "began").exists, 20, "the request")
        served.process.send_signal(signal.SIGTERM)
        assert idle.sock.recv(1) == b""
        with Client(served.path) as late:  # the queue is that of whoever handed it over
            late.ask("/")
            (served.folder / "go").touch()
            response = busy.response()
            assert b"done" in response.body
            assert served.ended() == (0, "")


def test_an_app_that_exits_answers_500(tmp_path, serve):
    (tmp_path / "shop.py").write_text(
        "import sys\ndef app(environ, start_response):\n    sys.exit(3)\n"
    )
    served = serve("shop:app").ready()
    assert [served.get().status, served.get().status] == [500, 500]
    served.process.send_signal(signal.SIGTERM)
    status, said = served.ended()
    assert status == 0
    assert "the app has raised SystemExit" in said


PAUSED = """
import gc, time, tempfile
from waitress.server import UnixWSGIServer

def app(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/later":
        (server,) = [one for one in gc.get_objects() if isinstance(one, UnixWSGIServer)]
        server.maintenance(time.time() + 10_000)
        return [b"ok"]
    file = tempfile.TemporaryFile()
    file.truncate(8 << 20)
    return environ["wsgi.file_wrapper"](file)
"""


def test_a_client_that_pauses_gets_all(tmp_path, serve):
    (tmp_path / "shop.py").write_text(PAUSED)
    served = serve("shop:app").ready()
    with Client(served.path) as paused:
        paused.ask("/")
        assert paused.sock.recv(1, socket.MSG_PEEK)
        assert served.get("/later").body == b"ok"
        assert len(paused.response().body) == 8 << 20


def test_ends_after_so_many_requests_and_loses_none(tmp_path, serve):
    (tmp_path / "shop.py").write_text(FLASK)
    served = serve("shop", "--max-requests", "3", "--threads", "1").ready()
    with Client(served.path) as first, Client(served.path) as other:
        other.ask("/")
        other.response()
        for _ in range(2):
            first.ask("/")
            assert first.response().status == 200
        assert served.ended() == (0, "")


def test_a_project_of_startproject_by_hand(tmp_path, serve):
    """One folder deeper, at a port of its own, told apart from Luisito's socket."""
    command = [sys.executable, "-m", "django", "startproject", "shop"]
    subprocess.run(command, cwd=tmp_path, check=True)
    served = serve("--django", ".", "--port", "0", handed=False).ready()
    said = served.process.stderr.readline()
    host, port = re.search(
        rf"serves {re.escape(str(tmp_path))} \(WSGI\) at http://(.*):(\d+)/; Ctrl-C ends it", said
    ).groups()
    with Client((host, int(port))) as client:
        client.ask("/", "127.0.0.1")
        response = client.response()
    assert response.status == 200
    assert b"The install worked successfully" in response.body
    served.process.send_signal(signal.SIGINT)
    assert served.ended() == (0, "")


@pytest.mark.parametrize("settings", ["settings", "settings.live"])
def test_a_project_that_has_asgi_only(tmp_path, serve, settings):
    command = [sys.executable, "-m", "django", "startproject", "shop", "."]
    subprocess.run(command, cwd=tmp_path, check=True)
    (tmp_path / "shop" / "wsgi.py").unlink()
    if settings == "settings.live":
        (tmp_path / "shop" / "settings").mkdir()
        (tmp_path / "shop" / "settings.py").rename(tmp_path / "shop" / "settings" / "live.py")
    path = tmp_path / "shop" / "asgi.py"
    path.write_text(path.read_text() + "print('ASGI', file=__import__('sys').stderr)\n")
    environ = {"DJANGO_SETTINGS_MODULE": f"shop.{settings}"}
    served = serve("--django", str(tmp_path), **environ).ready()
    assert served.get(host="127.0.0.1").status == 200
    served.process.send_signal(signal.SIGTERM)
    assert served.ended() == (0, "ASGI\n")


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        (
            "app = 1",
            2,
            "module shop.wsgi has no application; mend WSGI_APPLICATION in shop.settings",
        ),
        ("def application(): None.x", 1, "'NoneType' object has no attribute 'x'"),
    ],
)
def test_what_a_project_lacks_and_what_its_code_does(tmp_path, serve, text, status, said):
    command = [sys.executable, "-m", "django", "startproject", "shop", "."]
    subprocess.run(command, cwd=tmp_path, check=True)
    (tmp_path / "shop" / "wsgi.py").write_text(text)
    found = serve("--django", str(tmp_path)).ended()
    assert found[0] == status
    assert said in found[1]


ODD = """
import importlib.util, sys

class Stub:
    def __getattr__(self, name):
        return self

class Broken:
    def __getattr__(self, name):
        raise RuntimeError("outside of a context")

sys.modules["hardware"], sys.modules["context"] = Stub(), Broken()
spec = importlib.util.find_spec("lazy")
spec.loader = importlib.util.LazyLoader(spec.loader)
sys.modules["lazy"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["lazy"])

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]
"""


def test_whatever_stands_among_the_modules_is_left_alone(tmp_path, serve):
    """As it says which modules it has, for a preloaded interpreter to learn."""
    (tmp_path / "shop.py").write_text(ODD)
    (tmp_path / "lazy.py").write_text("open('loaded', 'x')")
    served = serve("shop:app", LUISITO_LEARN=str(tmp_path / "learned")).ready()
    assert served.get().body == b"ok"
    processes.until((tmp_path / "learned.modules").exists, 20, "what it has")
    assert not {"hardware", "context", "lazy"} & set(
        json.loads((tmp_path / "learned.modules").read_text())
    )
    assert served.get().body == b"ok"
    assert not (tmp_path / "loaded").exists()


def test_an_app_that_wants_no_garbage_collected(tmp_path, serve):
    (tmp_path / "shop.py").write_text(
        "import gc\ngc.disable()\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n    return [str(gc.isenabled()).encode()]\n"
    )
    assert serve("shop:app").ready().get().body == b"False"


BARE = (sys.executable, "-S")  # which has neither Django nor what serves
WSGI = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'ok']\n"


def test_an_interpreter_without_waitress_is_lent_luisitos(tmp_path, serve):
    (tmp_path / "shop.py").write_text(WSGI)
    purelib = sysconfig.get_path("purelib")
    served = serve("shop:app", "--servers", purelib, python=BARE).ready()
    assert served.get().body == b"ok"


@pytest.mark.parametrize(
    ("words", "python", "status", "said"),
    [
        (["shop:app"], BARE, 2, r"luisito app: there is no waitress, .* pip install waitress .*\n"),
        (["shop:none"], BARE, 2, r"luisito app: 'shop:none': .* has no none; write shop:app\n"),
        (["--django", "."], BARE, 2, r"luisito app: .* has no Django; .*pip install django.*\n"),
        (["bad:app"], BARE, 1, r'Traceback.*\n  File "[^"]*/bad.py", line 1, .*\n.*\n.*\nZero.*\n'),
    ],
)
def test_why_it_cannot_serve(tmp_path, serve, words, python, status, said):
    (tmp_path / "shop.py").write_text(WSGI)
    (tmp_path / "bad.py").write_text("1 / 0\n")
    (tmp_path / "manage.py").write_text("'DJANGO_SETTINGS_MODULE'\n")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "settings.py").touch()
    if words[0] != "--django":
        (tmp_path / "shop" / "settings.py").unlink()
        (tmp_path / "shop").rmdir()
    found = serve(*words, python=python).ended()
    assert found[0] == status
    assert re.fullmatch(said, found[1]), found[1]


def test_a_lifespan_that_fails(tmp_path, serve):
    (tmp_path / "shop.py").write_text(
        "async def app(scope, receive, send):\n"
        "    await receive()\n"
        "    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})\n"
    )
    status, said = serve("shop:app").ended()
    assert status == 1
    assert said.startswith("no database\n")


@pytest.mark.parametrize(("text", "app"), [(FLASK, "shop:app"), (FASTAPI, "shop:make")])
def test_the_end_is_bounded(tmp_path, serve, text, app):
    """What has not finished in the grace time is given up, and that is said."""
    (tmp_path / "shop.py").write_text(text)
    served = serve(app, "--grace", "0").ready()
    with Client(served.path) as busy:
        busy.ask("/slow")
        processes.until((tmp_path / "began").exists, 20, "the request")
        served.process.send_signal(signal.SIGTERM)
        status, said = served.ended()
    assert status == 0
    assert re.search(r"had not finished after 0 s|timeout graceful shutdown exceeded", said), said


# What does not end by itself: a thread, a call that nobody can cancel, the lifespan at either end.
ENDLESS = {
    "thread": "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(1000,), name='mailer').start()\n" + WSGI,
    "call": "import asyncio, threading, time\n"
    "async def app(scope, receive, send):\n"
    "    if scope['type'] == 'http':\n"
    "        open('began', 'x').close()\n"
    "        await asyncio.to_thread(time.sleep, 1000)\n",
    "shutdown": "import asyncio\n"
    "async def app(scope, receive, send):\n"
    "    if scope['type'] == 'lifespan':\n"
    "        await receive()\n"
    "        await send({'type': 'lifespan.startup.complete'})\n"
    "        await receive()\n"
    "        await asyncio.sleep(1000)\n",
    "startup": "import asyncio\n"
    "async def app(scope, receive, send):\n"
    "    if scope['type'] == 'lifespan':\n"
    "        await receive()\n"
    "        open('began', 'x').close()\n"
    "        await asyncio.sleep(1000)\n",
}


@pytest.mark.parametrize("what", ENDLESS)
def test_the_end_of_what_does_not_end_is_bounded(tmp_path, serve, what):
    (tmp_path / "shop.py").write_text(ENDLESS[what])
    served = serve("shop:app", "--grace", "0")
    if what != "startup":
        served.ready()
    with Client(served.path) as client:
        client.ask("/")
        if what in ("call", "startup"):
            processes.until((tmp_path / "began").exists, 20, "what does not end")
        served.process.send_signal(signal.SIGTERM)
        status, said = served.ended()
    assert status == 0
    assert "luisito app: the app had not ended after 0 s" in said
    if what == "thread":
        assert said.endswith("; threads that go on: mailer\n")


def test_who_is_told_twice_ends_at_once(tmp_path, serve):
    (tmp_path / "shop.py").write_text(ENDLESS["thread"])
    served = serve("shop:app", "--grace", "1000").ready()
    with Client(served.path) as idle:
        idle.ask("/")
        assert idle.response().body == b"ok"
        served.process.send_signal(signal.SIGTERM)
        assert idle.sock.recv(1) == b""  # it has heard
    served.process.send_signal(signal.SIGTERM)
    assert served.ended()[0] == 0
