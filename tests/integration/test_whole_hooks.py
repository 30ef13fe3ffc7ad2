"""Hooks of a whole server: commands of the settings and of a site, and a webhook that listens."""

import json
import os
import socketserver
import threading
from http.server import BaseHTTPRequestHandler

import pytest

from tests.harness import processes
from tests.integration.test_control import luisito, status_of
from tests.integration.test_sites import Sites

LINE = 'echo "$LUISITO_EVENT $LUISITO_SITE $(id -u) $LUISITO_PID $LUISITO_REASON" >>FILE'


class Heard(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append((self.path, self.headers["Content-Type"], body))
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_args):
        pass


@pytest.fixture
def webhook():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Heard) as server:
        server.bodies, server.status = [], 204
        server.url = f"http://localhost:{server.server_address[1]}/hook?key=secret"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_commands_and_a_webhook(serve, webhook, as_whom):
    """One of the site as its user, one of the settings as Luisito's, and what a server is told."""
    words = ["sh", "-c", LINE.replace("FILE", "<folder>/seen/common")]
    settings = {"HOOKS": {"start": words, "exit": words, "failure": "/no/such/hook %HOST"}}
    user = 'user = "games"\n' if os.getuid() == 0 and not as_whom else ""
    served = Sites(serve, {}, settings, ordinary=as_whom)
    server, seen = served.server, served.log.parent
    own = json.dumps(["sh", "-c", LINE.replace("FILE", str(seen / "own"))])
    hooks = f'hooks.ready = {own}\nhooks.exit = "{webhook.url}"\nhooks.eviction = "false"\n'
    served.write("a.example", user + hooks)
    served.until("a.example", "a.example")
    served.write("b.example", "", 'command = ["false"]\n')
    server.expect(
        "b.example: the command exited",
        "b.example: 502 for",
        r'HOOKS\["failure"\]: no such program: ',
    )
    served.until("b.example", 502)
    server.wait_for_log(r'HOOKS\["failure"\]: no such program: ', 20)
    (failed,) = status_of(server)["hooks"]["failed"]
    assert failed["hook"] == 'HOOKS["failure"]'
    assert "/no/such/hook" in luisito(server, "status").stdout
    webhook.status = 302
    server.expect(r"a\.example: hooks\.exit: it was answered 302, and redirects .*:\d+\)")
    processes.until((seen / "own").exists, 20, "the site's own hook")
    (pid,) = server.servers()
    network = processes.status(server.network)["Uid"].split()[0]
    uid = processes.status(pid)["Uid"].split()[0]
    server.stop()
    event, site, whom, _inner, *reason = (seen / "own").read_text().split()
    assert (event, site, whom) == ("ready", "a.example", uid)
    assert reason[:1] == ["pid"]
    lines = [line.split()[:3] for line in (seen / "common").read_text().splitlines()]
    assert ["start", "a.example", network] in lines
    assert ["start", "b.example", network] in lines
    assert ["exit", "a.example", network] in lines
    ((path, kind, body),) = webhook.bodies
    assert (path, kind) == ("/hook?key=secret", "application/json")
    assert (body["event"], body["kind"], body["site"]) == ("exit", "exited", "a.example")
    assert body["seconds"] > 0
    assert "secret" not in server.log()


def test_one_that_still_runs_at_the_end_goes_with_all_that_it_has_begun(serve, as_whom):
    line = "(setsid sleep 1000 &); echo $$ >FILE; sleep 1000"
    hooks = {"start": ["sh", "-c", line.replace("FILE", "<folder>/seen/common")]}
    served = Sites(serve, {"a.example": ""}, {"HOOKS": hooks}, ordinary=as_whom)
    served.until("a.example", "a.example")
    processes.until((served.log.parent / "common").exists, 20, "the hook")
    served.server.stop()  # the invariants say that nothing is left
