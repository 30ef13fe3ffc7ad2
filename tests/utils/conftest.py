"""A small Django project, and the helper that serves it in a process of its own."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.harness import client, processes
from tests.harness.server import ROOT, free_port

HELPER = ROOT / "luisito" / "utils" / "django_http_server.py"
FILES = {
    "manage.py": """\
        import os
        # os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.former")
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    """,
    "project/__init__.py": "",
    "project/settings.py": """\
        import os
        SECRET_KEY = "secret"
        DEBUG = os.environ.get("DEBUG") == "1"
        ALLOWED_HOSTS = ["*"]
        ROOT_URLCONF = "project.urls"
        INSTALLED_APPS = ["django.contrib.staticfiles"]
        STATICFILES_DIRS = [os.path.join(os.path.dirname(__file__), "files")]
        STATIC_URL = "static/"
        IMPORTED_AS = [*os.getresuid(), *os.getresgid()]
    """,
    "project/files/style.css": "body { color: green }",
    "project/urls.py": """\
        import os, signal, threading, time
        from django.conf import settings
        from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
        from django.urls import path

        both = threading.Barrier(2, timeout=10)

        def echo(request):
            return HttpResponse(request.body or b"hello")

        def unread(request):
            return HttpResponse("unread")

        def headers(request):
            return JsonResponse({"settings": settings.SETTINGS_MODULE, **request.headers})

        def who(request):
            return JsonResponse({"imported": settings.IMPORTED_AS, "groups": os.getgroups()})

        def together(request):
            both.wait()
            return HttpResponse("together")

        def until_file(request):
            name = request.GET["name"]
            open(name + ".began", "x").close()
            while not os.path.exists(name):
                time.sleep(0.01)
            return HttpResponse("done")

        def stream(request):
            yes = "whole" in request.GET
            def parts():
                yield b"some "
                if not yes:
                    raise RuntimeError("broken off on purpose")
                yield b"more"
            return StreamingHttpResponse(parts())

        def fork(request):
            reader, writer = os.pipe()
            child = os.fork()
            if child == 0:
                os.write(writer, b".")
                signal.pause()
            os.read(reader, 1)
            os.kill(child, signal.SIGTERM)
            return HttpResponse(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))

        views = [echo, unread, headers, who, together, until_file, stream, fork]
        urlpatterns = [path(view.__name__, view) for view in views]
    """,
}


def undent(text):
    return "\n".join(line.removeprefix("        ") for line in text.splitlines()) + "\n"


@pytest.fixture
def folder():
    """The project, where every user may read it."""
    path = Path(tempfile.mkdtemp(prefix="lt-"))
    path.chmod(0o755)
    for name, text in FILES.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(undent(text))
    yield path
    shutil.rmtree(path)


class Helper:
    """The helper, serving.

    Attributes:
        address: where it listens.
        process: a Popen.
    """

    def __init__(self, process, address, said):
        self.process, self.address, self._said = process, address, said

    def client(self):
        return client.Client(self.address)

    def request(self, target, method="GET", **how):
        with self.client() as connection:
            return connection.request(target, "a.localhost", method, **how)

    def said(self):
        """What it has written to stderr."""
        return self._said.read_text()

    def listens(self):
        with contextlib.suppress(ConnectionRefusedError):
            client.connect(self.address).close()
            return True
        return False

    def ready(self):
        processes.until(lambda: self.process.poll() is not None or self.listens(), 20, "a start")
        assert self.process.poll() is None, self.said()

    def terminate(self):
        """Its exit status after a SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@pytest.fixture
def run(tmp_path):
    """Starts the helper; answers (exit status, stderr) where it does not serve."""
    running = []

    def command(*arguments, environ=None, python=(sys.executable,), prefix=(), **how):
        environ = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **(environ or {})}
        said = tmp_path / f"stderr-{len(running)}"
        with open(said, "wb") as stderr:
            process = subprocess.Popen(
                [*prefix, *python, HELPER, *map(str, arguments)],
                env=environ,
                stdin=subprocess.DEVNULL,
                stderr=stderr,
                cwd="/",
                **how,
            )
        running.append(process)
        return process, said

    yield command
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def fails(run):
    """Runs it where it must not serve; answers (exit status, what it says)."""

    def fails(*arguments, **how):
        process, said = run(*arguments, **how)
        return process.wait(20), said.read_text()

    return fails


@pytest.fixture
def start(run, folder):
    """Starts it with the project; answers once it listens."""

    def start(*options, **how):
        port = free_port()
        process, said = run(folder, "--port", port, *options, **how)
        helper = Helper(process, ("127.0.0.1", port), said)
        helper.ready()
        return helper

    return start
