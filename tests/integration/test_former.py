"""Files of 2012: a settings.py of that time starts unchanged."""

import json
import os
import pwd
import re
import shutil

import pytest

from tests.harness import processes
from tests.harness.server import PYTHON, ROOT

GAMES = pwd.getpwnam("games")

# An app of that time: its template passes a user, which it becomes where it is root.
APP = """\
import http.server, json, os, sys

options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
host, port = options["--bind"].rsplit(":", 1)
if os.getuid() == 0:
    os.setgid(int(options["--gid"]))
    os.setuid(int(options["--uid"]))
print("serving", host, flush=True)


class Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        seen = {
            "argv": sys.argv[1:], "uids": os.getresuid(), "gids": os.getresgid(),
            "cwd": os.getcwd(), "env": dict(os.environ), "host": self.headers["Host"],
        }
        body = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


http.server.HTTPServer(("127.0.0.1", int(port)), Site).serve_forever()
"""

SAMPLE = """\
HOST = '127.0.0.1'
PORT = {port}

MAX_SERVERS = 10

CMD_TPL = ['/usr/bin/env', {python!r}, {app!r}, '--bind', '%HOST:%PORT', '--uid', '%UID',
           '--gid', '%GID']
ENV = {{'SITE': '%HOST'}}
PROJECT_PATH = {sites!r}

OUTPUT_LOG_DIR = {logs!r}

MULTIHOST_CONFIG = {{
    'host_header': {header!r},
    'sleep': 0.2,
    'wait_up_to': 10,
}}
"""


@pytest.fixture
def clone(serve):
    """Starts Luisito in a folder with luisito.tac and settings.py side by side, as it was then."""

    def start(text=SAMPLE, *, how="tac", sites=None, header="Host", owners=None, ordinary=False):
        """Writes settings.py and starts it.

        Args:
            text: of settings.py.
            how: see Server.
            sites: the name of a site's folder in <folder>/sites; None is no PROJECT_PATH.
            header: of MULTIHOST_CONFIG.
            owners: the folders of sites, {site: (uid, gid)}.
            ordinary: started by the user games.
        """

        def prepare(folder):
            port = re.search(r"tcp:(\d+)", (folder / "settings.py").read_text())[1]
            (folder / "settings.py").unlink()
            here = folder / "clone"
            here.mkdir()
            shutil.copy(ROOT / "luisito.tac", here)
            (here / "app.py").write_text(APP)
            values = {
                "port": int(port),
                "python": PYTHON,
                "app": str(here / "app.py"),
                "sites": f"{folder}/sites/{sites}" if sites else "",
                "logs": str(folder / "output" / "luisito"),
                "header": header,
            }
            (here / "settings.py").write_text(text.format(**values))
            (folder / "sites").mkdir()
            for site, (uid, gid) in (owners or {}).items():
                (folder / "sites" / site).mkdir()
                if os.getuid() == 0:
                    os.chown(folder / "sites" / site, uid, gid)

        server = serve(
            how=how,
            tac="<folder>/clone/luisito.tac",
            environ={"LUISITO_SETTINGS": None},
            prepare=prepare,
            ordinary="games" if ordinary else False,
        )
        server.unchecked |= {"access lines"}  # nobody asked for any
        return server

    return start


def seen(server, host, **how):
    """What the app sees of a request."""
    response = server.request("/", host, **how)
    assert response.status == 200, server.log()
    return json.loads(response.body)


def test_without_sites_of_its_own_it_serves_localhost(clone, as_whom):
    """And one line says what opens more."""
    server = clone(ordinary=as_whom)
    told = [line for line in server.log().splitlines() if "ALLOWED_HOSTS or PROJECT_PATH" in line]
    assert len(told) == 1
    for host in ("localhost", "shop.localhost"):
        found = seen(server, host)
        assert found["env"]["SITE"] == host
        assert found["host"] == host
    for host in ("shop.example.com", "127.0.0.1", "localhost.example.com"):
        assert server.request("/", host).status == 404
    assert server.stop() == 0


def test_with_project_path_each_folder_is_a_site(clone):
    server = clone(
        ordinary=True,
        sites="%HOST",
        owners={"shop.example.com": (GAMES.pw_uid, GAMES.pw_gid)},
    )
    assert "ALLOWED_HOSTS" not in server.log()
    found = seen(server, "shop.example.com")
    assert found["cwd"] == f"{server.folder}/sites/shop.example.com"
    assert server.request("/", "other.example.com").status == 404
    assert server.request("/", "localhost").status == 404


@pytest.mark.root
@pytest.mark.parametrize("how", ["tac", "tac daemon"])
def test_started_by_root_a_server_is_the_owner_of_its_folder(clone, how):
    """Though the template passes --uid %UID, for a server that was root then."""
    backup = pwd.getpwnam("backup")
    server = clone(
        how=how,
        sites="%HOST",
        owners={
            "shop.example.com": (GAMES.pw_uid, GAMES.pw_gid),
            "blog.example.com": (backup.pw_uid, backup.pw_gid),
        },
    )
    for host, user in (("shop.example.com", GAMES), ("blog.example.com", backup)):
        found = seen(server, host)
        assert (found["uids"], found["gids"]) == ([user.pw_uid] * 3, [user.pw_gid] * 3)
        argv = dict(zip(found["argv"][::2], found["argv"][1::2], strict=True))
        assert (argv["--uid"], argv["--gid"]) == (str(user.pw_uid), str(user.pw_gid))
        assert re.fullmatch(rf"{re.escape(host)}:[0-9]+", argv["--bind"])
        assert found["env"]["HOME"] == user.pw_dir
        log = server.folder / "output" / "luisito" / f"{host}.log"
        processes.until(log.exists)
        processes.until(lambda log=log, host=host: f"serving {host}" in log.read_text())


@pytest.mark.root
@pytest.mark.parametrize("owner", [(0, GAMES.pw_gid), (GAMES.pw_uid, 0)])
def test_a_folder_of_root_is_refused_with_words(clone, owner):
    server = clone(sites="%HOST", owners={"shop.example.com": owner})
    server.expect("cannot start: .*(RUN_AS = .root|has the group root)", "502 for GET")
    response = server.request("/", "shop.example.com")
    assert response.status == 502
    assert b"PROJECT_PATH" in response.body  # the operator reads it


def test_a_host_header_of_its_own(clone):
    """The site is named there, by a trusted proxy; the app's Host stays the client's."""
    server = clone(header="X-Site")
    found = seen(server, "www.example.com", fields=[("X-Site", "shop.localhost")])
    assert (found["env"]["SITE"], found["host"]) == ("shop.localhost", "www.example.com")
    assert server.request("/", "www.example.com").status == 404


def test_a_host_header_counts_from_trusted_proxies_only(clone):
    server = clone(SAMPLE + "TRUSTED_PROXIES = ['192.0.2.1']\n", header="X-Site")
    named = [("X-Site", "shop.localhost")]
    assert server.request("/", "www.example.com", fields=named).status == 404
    assert seen(server, "blog.localhost", fields=named)["env"]["SITE"] == "blog.localhost"


def test_wait_up_to_is_how_long_a_start_may_take(clone):
    text = SAMPLE.replace("'wait_up_to': 10", "'wait_up_to': 1")
    text = text.replace("{app!r}, ", "'-c', 'import time; time.sleep(60)', ")
    server = clone(text)
    server.expect("not ready after 1 s", "504 for GET")
    assert server.request("/", "shop.localhost").status == 504


def test_odd_things_that_files_did(clone):
    """Computed paths, helpers of its own, a template that is a tuple, an environment of None."""
    server = clone(
        """\
# -*- coding: utf-8 -*-
import os, sys
from os.path import abspath, dirname, join

ROOT = dirname(abspath(__file__))
APP, PYTHON = join(ROOT, 'app.py'), {python!r}
HOST = u''
PORT = int(str({port}))
MAX_SERVERS = len('ten of them') - 1
CMD_TPL = (PYTHON, APP, '--bind', ':'.join(['%HOST', '%PORT']), '--uid', '%UID', '--gid', '%GID')
ENV = None
PROJECT_PATH = ''
OUTPUT_LOG_DIR = join(dirname(ROOT), 'output')
MULTIHOST_CONFIG = dict(host_header='HOST', sleep=.2, wait_up_to=10)
if not os.path.isdir(OUTPUT_LOG_DIR):
    os.makedirs(OUTPUT_LOG_DIR)
"""
    )
    assert seen(server, "shop.localhost")["argv"][1].startswith("shop.localhost:")
    processes.until((server.folder / "output" / "shop.localhost.log").exists, 5, "its log")
