"""The recipes of docs as they stand: their settings, files and commands, by the real programs."""

import os
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.recipes import HOSTS, RECIPES, cook, ended, output, request

NEEDS = {
    "Node": "node",
    "Node, by a port that the app names": "node",
    "Express": "node",
    "PHP's built-in server": "php",
    "Ruby under puma": "puma",
    "A static binary": "gcc",
}
# The answer to a POST of unknown length, where it is not its body; None is not looked at.
CHUNKED = {
    "Django under gunicorn": (200, b"http 127.0.0.1"),
    "Django by the helper": (411, None),
}


def named(name):
    marks = [pytest.mark.needs(NEEDS[name])] if name in NEEDS else []
    return pytest.param(name, marks=marks, id=name)


@pytest.mark.parametrize("name", [*map(named, RECIPES)])
def test_recipe(serve, name):
    if name == "Express" and not Path("/usr/share/nodejs/express").exists():
        pytest.skip("needs node-express")
    server = cook(serve, RECIPES[name])
    hello = b"hello" if name == "A static binary" else b"https 127.0.0.1"
    https = [("X-Forwarded-Proto", "https")]
    body = os.urandom(100_000)
    for _ in ("cold", "warm"):
        response = request(server, fields=https)
        assert (response.status, response.body) == (200, hello), output(server)
    posted = request(server, method="POST", body=body)
    assert (posted.status, posted.body) == (200, body)
    if name != "A static binary":  # which is to be small
        chunked = request(server, method="POST", body=body, chunked=True)
        status, expected = CHUNKED.get(name, (200, body))
        assert chunked.status == status
        assert expected in (None, chunked.body)
    assert server.log().count(f"{HOSTS[0]}: started as pid") == 1
    ended(server)
    assert server.stop() == 0


@pytest.mark.needs("php")
def test_php_keeps_what_it_compiled(serve):
    server = cook(serve, RECIPES["PHP's built-in server"])
    site = server.folder / "srv" / HOSTS[0]
    # What has just been written is not cached.
    os.utime(site / "public" / "index.php", (10**9, 10**9))
    assert request(server).status == 200
    assert [path.name for path in site.glob(".cache/php/**/*.bin")] == ["index.php.bin"]


STAYS = "A shell that stays"


@pytest.mark.parametrize(
    "bind", ["127.0.0.1:%PORT", "unix:%SOCKET", "fd://%FD"], ids=["port", "socket", "fd"]
)
def test_a_shell_that_stays_is_ready_through_its_child(serve, bind):
    """By all three ways; and nothing of it outlives it."""
    script = "venv/bin/gunicorn --bind $1 --no-control-socket app:app & wait"
    server = cook(serve, RECIPES[STAYS], CMD_TPL=["sh", "-c", script, "sh", bind])
    for _ in ("cold", "warm"):
        assert request(server).body == b"http 127.0.0.1"
    names = [processes.command(pid).split()[0] for pid in server.servers()]
    assert len(names) == 3, names  # a shell, gunicorn and its worker
    assert names.count("sh") == 1
    assert ended(server) == "was killed by SIGTERM (15)"  # as the shell was
    assert "Shutting down" not in output(server)


def test_a_shell_that_stays_gives_time_to_end(serve):
    server = cook(serve, RECIPES[STAYS])
    assert request(server).status == 200
    assert ended(server) == "exited with code 0"
    assert "Shutting down: Master" in output(server)


def test_a_shell_that_stays_is_whom_listen_pid_names(serve):
    python = "import os; print('LISTEN_PID is mine:', os.environ['LISTEN_PID'] == str(os.getpid()))"
    script = 'venv/bin/python -c "$1" & wait'
    server = cook(serve, RECIPES[STAYS], CMD_TPL=["sh", "-c", script, "sh", python])
    server.expect("exited with code 0 before it was ready")
    server.allow("502 for GET /")
    assert request(server).status == 502
    assert "LISTEN_PID is mine: False" in output(server)


def test_a_shell_that_goes_takes_its_server_with_it(serve):
    script = "venv/bin/gunicorn --bind unix:$1 --no-control-socket app:app &"
    server = cook(serve, RECIPES[STAYS], CMD_TPL=["sh", "-c", script, "sh", "%SOCKET"])
    server.expect("went into the background .*: remove the & from")
    server.allow("502 for GET /")
    assert request(server).status == 502
    processes.until(lambda: not server.servers(), 5, "the end of all of it")
