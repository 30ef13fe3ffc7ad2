"""What the control socket tells of sites, and what they are ordered there, in whole servers."""

import json
import os
import pwd
import re
import signal
import subprocess
import sys
from urllib.parse import quote

import pytest

from luisito.control.client import ask
from tests.harness import processes
from tests.harness.server import ROOT
from tests.integration.test_control import _connected_as, answer_of, luisito
from tests.integration.test_sites import Sites

A, B = "a.localhost", "b.localhost"
NO_FILE = dict.fromkeys(("offset", "file", "path"))


def told(server, target, method="GET"):
    """The status, and what the JSON of the answer means."""
    server.wait_for_log("Control socket: ")
    return ask(f"{server.runtime}/control.sock", method, target)


def order(server, site, verb):
    return told(server, f"/sites/{quote(site, safe='')}/{verb}", "POST")


def rows(server):
    status, found = told(server, "/sites")
    assert status == 200
    return {row["site"]: row for row in found["sites"]}


def until(server, site, state, **more):
    """Waits until a site is in a state; returns all that is told of it."""
    found = {}

    def is_so():
        found.update(told(server, f"/sites/{site}")[1])
        return found["state"] == state and more.items() <= found.items()

    processes.until(is_so, 20, f"{site} to be {state}")
    return found


def test_a_site_is_started_restarted_stopped_and_pinned(serve):
    server = serve({"STATE_DIR": "state", "MAX_SERVERS": 2})
    assert rows(server) == {}
    assert told(server, "/sites/b.exmple")[0] == 404
    status, found = order(server, A, "start")
    assert (status, found["words"]) == (202, "starts")
    first = until(server, A, "awake", in_flight=0)
    assert first["waiting"] == 0
    assert first["servers"][0]["pid"] == first["pid"] == server.pid(A)
    assert first["uid"] == os.stat(f"/proc/{first['pid']}").st_uid
    assert order(server, A, "start")[1]["words"] == "is awake already"

    status, found = order(server, A, "restart")
    assert status == 202
    processes.until(
        lambda: until(server, A, "awake", rolling=False)["pid"] != first["pid"], 20, "another one"
    )
    server.wait_for_log(rf"{A}: uid \d+ asks it to restart")

    assert order(server, A, "stop")[0] in (200, 202)
    asleep = until(server, A, "asleep")
    assert "was killed by SIGTERM" in asleep["last_exit"]
    assert asleep["last_exit_seconds"] >= 0
    assert {asleep[name] for name in ("pid", "in_flight", "requests", "file", "error")} == {None}
    assert order(server, A, "stop")[0] == 200

    status, found = order(server, A, "pin")
    assert found["words"] == "pinned; it starts"
    assert until(server, A, "awake", pinned=True, keep="pinned")["site"] == A
    assert json.loads((server.folder / "state" / "pins.json").read_text())["pinned"] == [A]
    status, found = order(server, B, "pin")
    assert (status, "raise it to 3" in found["error"]) == (409, True)
    status, found = order(server, "c.exmaple", "start")
    assert (status, found["nearest"]) == (404, None)
    status, found = order(server, "a.localhots", "start")
    assert (status, found["nearest"]) == (404, A)
    server.send_signal(1)
    server.wait_for_log("Control socket: [^$]*Control socket: ", 30)
    assert until(server, A, "awake")["pinned"] is True
    assert order(server, A, "unpin")[1]["words"] == "not pinned any more"
    assert rows(server)[A]["keep"] == "demand"


def test_a_start_that_fails_says_why(serve):
    server = serve(origin={"*": {"exit_early": 3, "say": "no such module\n"}})
    server.expect("exited with code 3")
    assert order(server, A, "start")[0] == 202
    failed = until(server, A, "failed")
    assert "no such module" in failed["error"]
    assert failed["retry_seconds"] >= 0
    assert "exited with code 3" in failed["not_started"]
    assert told(server, f"/sites/{A}/log")[1] == {"lines": [], **NO_FILE}
    # an operator need not wait for that
    assert order(server, A, "start")[0] == 202
    processes.until(lambda: len(server.seen("boot", A)) == 2, 20, "the second try")
    until(server, A, "failed")


def test_one_that_waits_for_room_is_ordered_once(serve):
    server = serve({"MAX_SERVERS": 1, "QUEUE_LIMIT": 5})
    with server.client() as busy:
        busy.ask("/sleep/3", host=A)
        processes.until(lambda: server.seen("head", A), 20, "the request")
        for _ in range(8):
            status, found = order(server, B, "start")
            assert (status, found["words"]) == (200, "waits for room to start")
        one = until(server, B, "asleep", ordered=True)
        assert (one["waiting"], one["not_started"]) == (1, None)
        assert busy.response().status == 200
    until(server, B, "awake", ordered=False)


def config(server, site):
    status, found = told(server, f"/sites/{quote(site, safe='')}/config")
    assert status == 200, found
    assert "s3cret" not in json.dumps(found)
    return {one["name"]: (one["value"], one["from"]) for one in found["values"]}


@pytest.fixture
def tenants(serve):
    """Sites of the users games and backup, by the files, and one by the owner of its folder."""

    def prepare(folder):
        for user in ("games", "backup"):
            path = folder / "home" / user
            path.mkdir(parents=True)
            entry = pwd.getpwnam(user)
            os.chown(path, entry.pw_uid, entry.pw_gid)

    files = {
        "games.example": 'user = "games"\n',
        "folder.example": 'folder = "<folder>/home/games"\nuser = "owner"\n',
        "backup.example": 'user = "backup"\n',
    }

    class Ours(Sites):
        def prepare(self, folder):
            prepare(folder)
            self.files = {
                name: text.replace("<folder>", str(folder)) for name, text in self.files.items()
            }
            super().prepare(folder)

    return Ours(serve, files, {"OUTPUT_LOG_DIR": "<folder>/logs"})


def as_games(server, target, method="GET"):
    """The same as `told`, of what the user games is answered."""
    (sock,) = _connected_as(server, "games", 1)
    with sock:
        sock.sendall(f"{method} {target} HTTP/1.1\r\nHost: luisito\r\n\r\n".encode())
        head, _, body = answer_of(sock).partition(b"\r\n\r\n")
    if b"chunked" in head:
        parts = body.split(b"\r\n")
        body = b"".join(parts[1::2])
    return int(head.split()[1]), json.loads(body)


@pytest.mark.root
def test_79_a_user_orders_his_own_sites_asleep_or_not(tenants):
    """FAULTS 79: by the site's file, or by the owner of its folder; all else is denied the same."""
    server = tenants.server
    assert list(rows(server)) == ["backup.example", "folder.example", "games.example"]
    seen = [row["site"] for row in as_games(server, "/sites")[1]["sites"]]
    assert seen == ["games.example"]  # whose folder it is, nobody has asked yet
    for site in ("games.example", "folder.example"):
        assert as_games(server, f"/sites/{site}")[1]["state"] == "asleep"
        assert as_games(server, f"/sites/{site}/start", "POST")[0] == 202
        until(server, site, "awake")
        assert as_games(server, f"/sites/{site}/stop", "POST")[0] in (200, 202)
        until(server, site, "asleep")
    seen = [row["site"] for row in as_games(server, "/sites")[1]["sites"]]
    assert seen == ["folder.example", "games.example"]
    folder = f"{server.folder}/logs"
    os.chmod(folder, 0o700)
    status, log = as_games(server, "/sites/games.example/log?lines=1")
    assert (status, log["path"]) == (200, f"{folder}/games.example.log")
    assert len(log["lines"]) == 1
    assert as_games(server, f"/sites/games.example/log?after={log['offset']}")[1]["lines"] == []
    started = as_games(server, "/sites/games.example/log?after=0")[1]["lines"][0]
    assert " luisito: started as pid " in started
    assert as_games(server, "/sites/games.example/log?lines=x")[0] == 400
    tenants.site("backup.example")
    denied = [
        as_games(server, f"/sites/{site}/{verb}", "POST")
        for site in ("backup.example", "no.example", "-", "games.example")
        for verb in ("start", "stop", "restart", "reload", "pin", "unpin")
        if site != "games.example" or "pin" in verb
    ]
    denied += [as_games(server, f"/sites/{site}") for site in ("backup.example", "no.example")]
    denied.append(as_games(server, "/sites/backup.example/log"))
    assert len({json.dumps(each) for each in denied}) == 1
    assert denied[0][0] == 403
    assert as_games(server, "/sites/games.example/reload", "POST")[0] == 200


@pytest.mark.root
def test_79_whose_the_site_was_has_no_say_any_more(tenants):
    """FAULTS 79: he has a server that ends when its last request is done, and no more than that."""
    server, site = tenants.server, "games.example"
    with server.client(timeout=60) as busy:
        busy.ask("/sleep/20", host=site)
        processes.until(lambda: server.seen("head", site), 20, "the request")
        assert as_games(server, f"/sites/{site}/log")[0] == 200
        tenants.write(site, 'user = "backup"\n')
        backup = pwd.getpwnam("backup").pw_uid
        until(server, site, "awake", uid=backup, rolling=False)
        denied = [
            as_games(server, f"/sites/{site}"),
            as_games(server, f"/sites/{site}/log"),
            as_games(server, f"/sites/{site}/config"),
            as_games(server, f"/sites/{site}/restart", "POST"),
            as_games(server, f"/sites/{site}/stop", "POST"),
        ]
        assert {status for status, _ in denied} == {403}
        (row,) = [
            one for one in as_games(server, "/sites")[1]["sites"] if one["site"] == site
        ]  # which he still sees
        assert (row["state"], row["in_flight"]) == ("draining", 1)
        (own,) = as_games(server, "/servers")[1]["servers"]
        assert own["state"] == "draining"
        assert as_games(server, f"/servers/{site}/stop", "POST")[0] == 202  # it does already
        assert until(server, site, "awake")["uid"] == backup
        busy.reset()


def test_a_site_file_is_read_again_and_what_came_of_it_is_told(serve):
    """And what counts for the site, with where it was said."""
    base = 'env.SECRET = "s3cret"\nidle_timeout = 600\n'
    text = f'queue_limit = 7\n{base}[[mount]]\npath = "/api"\nqueue_limit = 8\n'
    served = Sites(serve, {"a.example": text}, {"ENV": {"COMMON": "s3cret"}, "QUEUE_TIMEOUT": 7})
    server = served.server
    server.expect("a.example.toml", "b.example.toml")
    assert rows(server)["a.example"]["file"].endswith("/sites/a.example.toml")
    path = rows(server)["a.example"]["file"]
    values = config(server, "a.example")
    assert values["queue_limit"] == (7, f"{path}:2")
    assert values["idle_timeout"] == (600.0, f"{path}:4")
    assert values["env"] == ({"COMMON": "...", "SECRET": "..."}, f"{path}:3")
    assert values["queue_timeout"] == (7.0, f"{server.folder}/settings.py: QUEUE_TIMEOUT")
    assert values["stream_idle"] == (60.0, "default")
    assert config(server, "a.example/api")["queue_limit"] == (8, f"{path}:7")
    status, found = order(server, "a.example", "reload")
    assert (status, found["words"]) == (200, "its site file has not changed")
    served.write("a.example", 'keep = "pinned"\n' + text)
    words = order(server, "a.example", "reload")[1]["words"]
    assert words in (
        "its site file has changed, and counts; its server may stay",
        "its site file has not changed",  # it was noticed before
    )
    assert rows(server)["a.example"]["keep"] == "pinned"
    served.write("a.example", "keep = 3\n")
    status, found = order(server, "a.example", "reload")
    assert status == 409
    assert "keep = 3" in found["error"]
    assert found["error"].endswith("(a.example is served as its file was before)")
    (before,) = told(server, "/errors")[1]["as_before"]
    assert (before["site"], "keep = 3" in before["error"]) == ("a.example", True)
    served.write("b.example", "keep = 3\n")
    processes.until(lambda: "b.example" in rows(server), 20, "the look at b.example")
    status, found = told(server, "/sites/b.example/config")
    assert (status, "b.example.toml:2: keep = 3" in found["error"]) == (409, True)
    row = rows(server)["b.example"]
    assert (row["state"], "keep = 3" in row["error"]) == ("failed", True)
    (failed,) = told(server, "/errors")[1]["failed"]
    assert failed == {**failed, "site": "b.example", "error": row["error"], "retry_seconds": None}
    served.write("a.example", "maintenance = true\n")
    assert order(server, "a.example", "reload")[0] == 200
    assert told(server, "/errors")[1]["as_before"] == []
    for verb in ("start", "restart"):
        status, found = order(server, "a.example", verb)
        assert (status, "down for maintenance" in found["error"]) == (409, True)


def test_the_commands_say_what_came_of_it(serve):
    server = serve({"OUTPUT_LOG_DIR": "<folder>/logs"}, origin={B: {"exit_early": 3}})
    server.expect("exited with code 3")

    def run(*argv, status=0):
        done = luisito(server, *argv)
        assert done.returncode == status, done
        return (done.stderr if status else done.stdout).strip()

    assert re.fullmatch(rf"{A}: awake after \S+ m?s, pid \d+", run("start", A))
    first = server.pid(A)
    words = run("restart", A)
    assert re.fullmatch(rf"{A}: awake after .*, pid \d+, in the place of pid {first}", words)
    assert json.loads(run("restart", A, "--json"))["state"] == "awake"
    assert run("reload", A) == f"{A}: there are no site files, as SITES_DIR is not set"
    words = run("start", B, status=1)
    assert words.startswith(f"luisito: {B}: the command exited with code 3 before it was ready")
    for verb in ("start", "restart", "reload", "pin", "unpin", "stop", "logs"):
        words = run(verb, "a.localhots.x", status=1)
        assert words == f"luisito: a.localhots.x is not a site here; the nearest is {A}"
    words = f"{A}: pinned; STATE_DIR is not set: until Luisito reads its settings again"
    assert run("pin", A) == words
    head, *rows = run("config", A, "--changed").splitlines()
    assert head.split() == ["KEY", "VALUE", "FROM"]
    settings = f"{server.folder}/settings.py"
    assert any(
        re.fullmatch(rf"start_timeout +15.0 +{settings}: START_TIMEOUT", row) for row in rows
    )
    assert any(re.fullmatch(r'keep +"pinned" +luisito pin', row) for row in rows)
    head, *rows = run("list", "--all", "--sort", "state").splitlines()
    assert head.endswith("LAST EXIT")
    assert [row.split()[:3] for row in rows[:2]] == [
        [B, "failed", "demand"], [A, "awake", "pinned"],
    ]  # fmt: skip
    assert f"{A} " in run("list", "--state", "awake")
    assert run("list", "--state", "asleep").count("\n") == 0
    pid = server.pid(A)
    assert len(run("logs", A, "-n", "1").splitlines()) == 1
    argv = [sys.executable, "-m", "luisito.cli", "logs", A, "-f", "-n", "1"]
    argv += ["--runtime-dir", str(server.runtime)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT) as following:
        assert "luisito: " in following.stdout.readline()
        assert run("stop", A).startswith(f"{A}: ")
        assert f"luisito: stopping pid {pid}: asked to by uid " in following.stdout.readline()
        following.send_signal(signal.SIGINT)
    assert following.returncode == 130
    assert f"luisito: started as pid {pid}" in run("logs", A, "-n", "50")
