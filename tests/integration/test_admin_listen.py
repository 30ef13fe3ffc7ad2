"""ADMIN_LISTEN of whole servers: by whom, over reloads, to the end."""

import http.client
import json
import os
import pwd
import socket
import subprocess
import sys

import pytest

from tests.harness import processes
from tests.harness.server import free_port
from tests.integration.test_control import luisito, status_of

TOKEN = "a-token-of-many-letters"


def serving(serve, **how):
    """A server, and where its page is."""
    port = free_port()
    settings = {"ADMIN_LISTEN": f"tcp:{port}:interface=127.0.0.1", **how.pop("settings", {})}
    server = serve(settings, **how)
    server.wait_for_log("Page for operators: ")
    return server, port


def ask(port, target, method="GET", **fields):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, target, headers=fields)
        response = connection.getresponse()
        body = response.read()
        return response.status, json.loads(body) if body[:1] in (b"{", b"[") else body
    finally:
        connection.close()


def test_it_serves_the_page_and_the_resources(serve, as_whom):
    server, port = serving(serve, ordinary=as_whom)
    server.warm("a.localhost")
    assert b"<title>Luisito</title>" in ask(port, "/")[1]
    by_socket = status_of(server)
    status, whole = ask(port, "/status", Authorization="Bearer wrong")
    assert (status, whole["login"]) == (401, False)
    if not as_whom or os.getuid() == 0:  # whoever runs the tests is an operator
        assert ask(port, "/status")[1]["pid"] == by_socket["pid"]
    assert [row["site"] for row in ask(port, "/servers")[1]["servers"]] == ["a.localhost"]
    stop = "/servers/a.localhost/stop"
    assert ask(port, stop, "POST")[0] == 403
    assert ask(port, stop, "POST", **{"X-Luisito": "1"})[0] == 202
    processes.until(lambda: not server.servers(), 20, "its end")


def test_it_outlives_a_reload_and_ends_with_all(serve):
    server, port = serving(serve, settings={"ADMIN_TOKEN": TOKEN})
    server.warm("a.localhost")
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    before = ask(port, "/status", **bearer)[1]["pid"]
    assert b"luisito_" in ask(port, "/metrics", **bearer)[1]  # as Prometheus asks
    assert luisito(server, "restart").returncode == 0
    processes.until(lambda: ask(port, "/status", **bearer)[1]["pid"] != before, 20, "the next one")
    path = server.folder / "settings.py"
    path.write_text(path.read_text().replace("ADMIN_LISTEN", "_ADMIN_LISTEN"))
    assert luisito(server, "restart").returncode == 0

    def closed():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    processes.until(closed, 20, "the end of the endpoint")


@pytest.mark.root
def test_a_tenant_sees_his_own(serve):
    def prepare(folder):
        for user in ("games", "backup"):
            path = folder / "sites" / f"{user}.example"
            path.mkdir(parents=True)
            entry = pwd.getpwnam(user)
            os.chown(path, entry.pw_uid, entry.pw_gid)

    server, port = serving(
        serve, settings={"PROJECT_PATH": "<folder>/sites/%HOST"}, prepare=prepare
    )
    server.warm("games.example", "backup.example")
    script = (
        "import urllib.request as u;"
        f"print(u.urlopen('http://127.0.0.1:{port}/servers', timeout=20).read().decode())"
    )
    entry = pwd.getpwnam("games")
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], user=entry.pw_uid, group=entry.pw_gid,
        extra_groups=[], capture_output=True, text=True, check=True, cwd="/",
    )  # fmt: skip
    assert [row["site"] for row in json.loads(done.stdout)["servers"]] == ["games.example"]
