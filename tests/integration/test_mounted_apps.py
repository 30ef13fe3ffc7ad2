"""Several servers of one site, below path prefixes: by the real programs, and in the pool."""

import json
import shutil
import sys

import pytest

from tests.harness import processes
from tests.harness.server import ROOT
from tests.integration.test_control import luisito
from tests.integration.test_sites import Sites, lines

GUNICORN = "gunicorn --bind fd://%FD --no-control-socket"
# What docs/sites.md says is needed: (the command, with the app; the other keys).
SERVERS = {
    "flask-gunicorn": (f"{GUNICORN} mounted:flask()", 'strip = false\nenv.SCRIPT_NAME = "/api"'),
    "flask-proxyfix": (f"{GUNICORN} mounted:flask()", 'env.APP_PREFIX = "yes"'),
    "flask-waitress": (
        "waitress-serve --listen=127.0.0.1:%PORT --url-prefix=/api --call mounted:flask",
        "strip = false",
    ),
    "django-gunicorn": (
        f"{GUNICORN} mounted:django_wsgi()", 'strip = false\nenv.SCRIPT_NAME = "/api"',
    ),
    "django-forced": (f"{GUNICORN} mounted:django_wsgi()", 'env.APP_PREFIX = "/api"'),
    "django-waitress": (
        "waitress-serve --listen=127.0.0.1:%PORT --url-prefix=/api --call mounted:django_wsgi",
        "strip = false",
    ),
    "django-uvicorn": ("uvicorn --fd %FD --root-path /api --factory mounted:django_asgi", ""),
    "starlette-uvicorn": ("uvicorn --fd %FD --root-path /api --factory mounted:starlette", ""),
}  # fmt: skip


class Mounted(Sites):
    """A site `a.example` with mounts; all folders are that of Luisito."""

    def prepare(self, folder):
        shutil.copy(ROOT / "tests" / "apps" / "mounted.py", folder)
        (folder / "mounted.py").chmod(0o644)
        self.files = {
            name: text.replace("<folder>", str(folder)) for name, text in self.files.items()
        }
        super().prepare(folder)

    def json(self, target, host="a.example"):
        response = self.server.request(target, host=host)
        assert response.status == 200, (response.status, response.body, self.server.log())
        return json.loads(response.body)


@pytest.fixture
def mounted(serve):
    def make(text, settings=None, **how):
        return Mounted(serve, {"a.example": text}, settings, **how)

    return make


def app(command, more=""):
    return (
        f'[[mount]]\npath = "/api"\ncommand = {json.dumps(command)}\nenv.PYTHONPATH = "<folder>"\n'
        f"virtualenv = {json.dumps(sys.prefix)}\n{more}\n"
    )


@pytest.mark.parametrize("name", SERVERS)
def test_urls_and_redirects_are_right_below_a_path(mounted, name):
    command, keys = SERVERS[name]
    served = mounted(app(command, keys))
    for _ in ("cold", "warm"):
        here = served.json("/api/where/a%2Fb%20c")
        assert here == {"script": "/api", "path": "a/b c", "url": "/api/where/x"}
    for target in ("/api/", "/%61pi/", "//api%2F"):
        assert served.json(target)["url"].rstrip("/") == "/api"
    moved = served.server.request("/api/move", host="a.example")
    assert moved.status in (302, 307)
    assert moved.get("location").removeprefix("http://a.example") == "/api/where/there"
    assert served.json(moved.get("location").removeprefix("http://a.example"))["path"] == "there"
    assert served.server.request("/apix", host="a.example").get("x-site") == "a.example"
    assert len(served.server.servers()) > 1


@pytest.mark.parametrize("keys", ["", 'strip = false\nenv.SCRIPT_NAME = "/api"'])
def test_no_client_sets_the_prefix(mounted, keys):
    """gunicorn believes SCRIPT_NAME of whoever connects from the same machine."""
    served = mounted(app(f"{GUNICORN} mounted:echo", keys))
    smuggled = [
        (name, "/evil")
        for name in (
            "SCRIPT_NAME", "Script-Name", "X-Script-Name", "PATH_INFO", "X_Forwarded_Prefix",
            "X-Forwarded_Prefix",
        )
    ]  # fmt: skip
    response = served.server.request("/api/x%2Fy", host="a.example", fields=smuggled)
    assert response.status == 200, served.server.log()
    assert b"evil" not in response.body
    told = json.loads(response.body)
    unstripped = bool(keys)
    assert told["SCRIPT_NAME"] == ("/api" if unstripped else "")
    assert told["PATH_INFO"] == "/x/y"
    assert told["RAW_URI"] == ("/api/x%2Fy" if unstripped else "/x%2Fy")
    assert told["HTTP_X_FORWARDED_PREFIX"] == (None if unstripped else "/api")


def rows(served):
    listed = json.loads(luisito(served.server, "list", "--json").stdout)
    return {row["site"]: row for row in listed["servers"]}


def test_each_mount_is_a_site_of_its_own_for_the_pool(serve):
    """It wakes, rolls, stops and logs alone; %HOST and the aliases are those of its site."""
    served = Sites(serve, {"b.example": ""}, {"OUTPUT_LOG_DIR": "<folder>/seen"})
    server = served.server
    text = 'aliases = ["www.a.example"]\n[[mount]]\npath = "/api"\nenv.A = "%s"\n'
    served.write("a.example", text % "1")
    served.until("a.example", "a.example")
    assert rows(served).keys() == {"a.example"}
    for host in ("a.example", "www.a.example"):
        response = server.request("/api/echo?x", host=host)
        assert (response.status, response.get("x-site")) == (200, "a.example")
    before = rows(served)
    assert before.keys() == {"a.example", "a.example/api"}
    asked = ["a.example/api"] * 2
    processes.until(lambda: [x["site"] for x in lines(server)][-2:] == asked, 20, "its lines")
    processes.until((server.folder / "seen" / "a.example~api.log").exists, 20, "its log")
    # Another command below the path: only that is started anew.
    served.write("a.example", text % "2")

    def rolled():
        now = rows(served)
        return now["a.example/api"]["pid"] != before["a.example/api"]["pid"]

    processes.until(rolled, 20, "the mount to roll")
    assert rows(served)["a.example"]["pid"] == before["a.example"]["pid"]
    stopped = luisito(server, "stop", "www.a.example/api")
    assert stopped.returncode == 0, stopped.stderr
    processes.until(lambda: rows(served).keys() == {"a.example"}, 20, "the mount to stop")
    assert luisito(server, "stop", "a.example/none").returncode == 1
    assert server.request("/api/../x", host="a.example").status == 400
    # It goes with its table, and the path is the site's again.
    assert server.request("/api/echo", host="a.example").status == 200
    served.write("a.example")
    processes.until(lambda: rows(served).keys() == {"a.example"}, 20, "the mount to go")
    assert rows(served)["a.example"]["pid"] == before["a.example"]["pid"]


def test_an_always_on_mount(serve):
    served = Sites(serve, {"a.example": '[[mount]]\npath = "/api"\nkeep = "always"\n'})
    processes.until(lambda: "a.example/api" in rows(served), 20, "the mount to be up")
    assert "a.example" not in rows(served)
    settings = str(served.path.parent / "settings.py")
    routed = luisito(served.server, "route", "http://a.example/api/x%2Fy", "--settings", settings)
    assert "a.example/api" in routed.stdout, routed.stdout + routed.stderr
    assert "/api: its server is asked for /x%2Fy" in routed.stdout
    checked = luisito(served.server, "check-settings", settings)
    assert f"1 site in {served.path}; 0 files with an error" in checked.stdout
