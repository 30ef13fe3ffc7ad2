"""The examples of `make run`, each by its own script: it serves, and SIGTERM leaves nothing."""

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

import pytest
from websockets.sync.client import connect

EXAMPLES = Path(__file__).parent.parent / "examples"
SITES = [
    "static.localhost",
    "flask.localhost",
    "django.localhost",
    "async.localhost",
    pytest.param("node.localhost", marks=pytest.mark.needs("node")),
]
START_LIMIT = 30  # seconds; Django migrates at its first start
STOP_LIMIT = 5  # seconds; gunicorn gives an idle connection two


class Site:
    """An example's server, started in a session of its own as Luisito starts it."""

    def __init__(self, folder, host):
        self.host = host
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.process = subprocess.Popen(
            [folder / host / "run", str(self.port)],
            env={"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8"},
            start_new_session=True,
        )

    def wait_until_ready(self):
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            time.sleep(0.02)
        pytest.fail(f"{self.host} does not listen; exit status {self.process.returncode}")

    def stop(self):
        """Ends the session; returns the seconds it took, and what was left of it."""
        began = time.monotonic()
        os.killpg(self.process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_LIMIT)
        seconds = time.monotonic() - began
        while (left := self.session()) and time.monotonic() < began + STOP_LIMIT:
            time.sleep(0.02)
        if left:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        return seconds, left

    def session(self):
        """The process ids of the session."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[3]) == self.process.pid and fields[0] != "Z":
                    found.append(int(stat.parent.name))
        return found

    def connection(self):
        return contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10))

    def request(self, target, method="GET", body=None, **headers):
        """Answers (status, headers, text)."""
        named = {"Host": self.host, **{n.replace("_", "-"): v for n, v in headers.items()}}
        with self.connection() as connection:
            connection.request(method, target, body, named)
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode()


@pytest.fixture
def examples(tmp_path):
    """A copy, so that the files which the servers make stay out of the tree."""
    skip = shutil.ignore_patterns("var", "__pycache__")
    return shutil.copytree(EXAMPLES, tmp_path / "examples", symlinks=True, ignore=skip)


@pytest.fixture
def start(examples):
    sites = []

    def start(host):
        site = Site(examples, host)
        sites.append(site)
        site.wait_until_ready()
        return site

    yield start
    for site in sites:
        if site.process.returncode is None:
            site.stop()


@pytest.mark.parametrize("host", SITES)
def test_serves_and_stops(start, host):
    site = start(host)
    status, _headers, page = site.request("/")
    assert status == 200
    for file in re.findall(r'(?:href|src)="([^"/#:]+|/static/[^"]+)"', page):
        status, headers, text = site.request("/" + file.lstrip("/"))
        assert (status, bool(text)) == (200, True), file
        assert headers.get_content_type() in {"text/css", "text/javascript"}
    assert re.search(r'href="[^"]*style\.css"', page)
    assert re.search(r'src="[^"]*sites\.js"', page)
    if host == "static.localhost":
        page = site.request("/process.json")[2]
    pid = re.search(r'process</dt><dd>(\d+)|"pid": (\d+)', page)
    assert int(pid[1] or pid[2]) in site.session()
    seconds, left = site.stop()
    assert seconds < STOP_LIMIT
    assert left == []


@pytest.mark.parametrize("host", SITES)
def test_stops_with_an_idle_connection_open(start, host):
    site = start(host)
    with site.connection() as connection:
        connection.request("GET", "/", headers={"Host": host})
        connection.getresponse().read()
        seconds, left = site.stop()
    assert seconds < STOP_LIMIT
    assert left == []


def test_flask_sees_the_client(start):
    forwarded = {"X_Forwarded_For": "192.0.2.7", "X_Forwarded_Proto": "https"}
    page = start("flask.localhost").request("/", **forwarded)[2]
    assert "<dd>192.0.2.7</dd>" in page
    assert "<dd>https://flask.localhost/</dd>" in page


def form(site, target, **fields):
    """Posts a form with Django's token; answers as Site.request does."""
    _status, headers, page = site.request(target)
    fields["csrfmiddlewaretoken"] = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1]
    return site.request(
        target,
        "POST",
        urllib.parse.urlencode(fields),
        Content_Type="application/x-www-form-urlencoded",
        Cookie=headers["Set-Cookie"].partition(";")[0],
        Origin=f"http://{site.host}",
    )


def test_django_keeps_what_was_written(start, examples):
    site = start("django.localhost")
    assert form(site, "/", name="Ada", text="Good <morning>")[0] == 302
    site.stop()
    assert "Good &lt;morning&gt;" in start("django.localhost").request("/")[2]
    var = examples / "django.localhost" / "var"
    assert {oct(path.stat().st_mode & 0o077) for path in (var, *var.iterdir())} == {"0o0"}


def test_django_admin_opens_for_the_demo_user(start):
    site = start("django.localhost")
    status, headers, _text = form(site, "/admin/login/", username="demo", password="demo")
    assert (status, headers["Location"]) == (302, "/accounts/profile/")
    assert form(site, "/admin/login/", username="demo", password="wrong")[0] == 200
    assert site.request("/static/admin/css/base.css")[0] == 200


def test_async_streams_events_and_stops_in_the_middle(start):
    site = start("async.localhost")
    with site.connection() as connection:
        connection.request("GET", "/events", headers={"Host": site.host})
        response = connection.getresponse()
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.readline() == b"id: 1\n"
        seconds, left = site.stop()
    assert seconds < STOP_LIMIT
    assert left == []


def test_async_echoes_over_a_websocket(start):
    site = start("async.localhost")
    with connect(f"ws://127.0.0.1:{site.port}/echo") as socket:
        socket.send("hello")
        assert socket.recv(timeout=5) == "hello"
        socket.send(b"\0\1")
        assert socket.recv(timeout=5) == b"\0\1"
        seconds, left = site.stop()
    assert seconds < STOP_LIMIT
    assert left == []


def test_addresses_has_a_curl_line_for_each_site():
    printed = subprocess.run(
        [EXAMPLES / "addresses", "8080"], capture_output=True, text=True, check=True
    ).stdout
    lines = re.findall(r"http://(\S+):8080/ +curl -H 'Host: (\S+)' http://127.0.0.1:8080/", printed)
    sites = {path.parent.name for path in EXAMPLES.glob("*/run")}
    if not shutil.which("node"):
        sites.remove("node.localhost")
    assert lines == [(site, site) for site in sorted(sites)]
