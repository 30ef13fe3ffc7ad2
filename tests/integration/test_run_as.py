"""RUN_AS as a function: who servers run as, asked for each site, whatever the function does."""

import os
import pwd
import re
import signal

import pytest

from tests.harness import client, processes

NOBODY, GAMES, BACKUP = (pwd.getpwnam(name).pw_uid for name in ("nobody", "games", "backup"))

HANGS = """
import time
def RUN_AS(site):
    while site == "bad.localhost":
        time.sleep(0.1)
"""
CRASHES = """
import os, signal
def RUN_AS(site):
    if site == "bad.localhost":
        os.kill(os.getpid(), signal.SIGSEGV)
"""
EXITS = """
import sys
def RUN_AS(site):
    if site == "bad.localhost":
        sys.exit("no more")
"""
RAISES = """
USERS = {"a.localhost": None}
def RUN_AS(site):
    return USERS[site]
"""
RETURNS = """
def RUN_AS(site):
    return None if site == "a.localhost" else ["games"]
"""


def with_function(text):
    """For `serve(prepare=...)`: settings.py ends with this."""

    def prepare(folder):
        with open(folder / "settings.py", "a") as file:
            file.write(text)

    return prepare


def choosers(server):
    """The pids of the processes that call the function, the one that has loaded it first."""
    below = processes.descendants(server.process.pid)
    return [pid for pid in sorted(below) if "luisito.settings.chooser" in processes.command(pid)]


@pytest.mark.root
@pytest.mark.parametrize("way", ["fd", "port", "socket"])
def test_each_site_has_the_user_that_it_returns(serve, way):
    text = f"""
from os import geteuid
def RUN_AS(site):
    assert geteuid() == 0  # the rights of whoever has started Luisito
    return {{"a.localhost": "games", "b.localhost": {BACKUP}}}.get(site)
"""
    server = serve(way=way, prepare=with_function(text))
    server.warm("a.localhost", "b.localhost", "c.localhost")
    found = {boot["site"]: set(boot["uids"]) for boot in server.seen("boot")}
    assert found == {"a.localhost": {GAMES}, "b.localhost": {BACKUP}, "c.localhost": {NOBODY}}


@pytest.mark.root
def test_the_owner_of_project_path_is_one_that_it_may_return(serve):
    def prepare(folder):
        for site, uid in (("a.localhost", BACKUP), ("b.localhost", BACKUP)):
            (folder / site).mkdir()
            os.chown(folder / site, uid, uid)
        with_function('def RUN_AS(site): return "games" if site < "b" else "owner"\n')(folder)

    server = serve({"PROJECT_PATH": "<folder>/%HOST"}, prepare=prepare)
    server.warm("a.localhost", "b.localhost")
    found = {boot["site"]: boot["uids"][0] for boot in server.seen("boot")}
    assert found == {"a.localhost": GAMES, "b.localhost": BACKUP}


@pytest.mark.root
@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ('"root"', r"RUN_AS\('a.localhost'\) has returned 'root': .*do not run as root"),
        ("0", r"RUN_AS\('a.localhost'\) has returned 0: must be"),
        ("2", r"RUN_AS\('a.localhost'\) has returned 2: user 'bin' has uid 2, below MIN_UID = 3"),
        ('"no-such"', r"RUN_AS\('a.localhost'\) has returned 'no-such': .*not in passwd"),
        ('int("\\u1234" * 4000)', r"RUN_AS\('a.localhost'\) has raised .*: ValueError"),
        ('"owner"', r"RUN_AS\('a.localhost'\) has returned 'owner': .*PROJECT_PATH is not set"),
    ],
)
def test_what_it_returns_is_believed_no_more_than_any_user(serve, returned, words):
    text = f"def RUN_AS(site): return {returned}\n"
    server = serve({"MIN_UID": 3}, prepare=with_function(text))
    server.expect(f"a.localhost: .*cannot start: {words}", "502 for GET")
    assert server.request().status == 502
    assert not server.seen("boot")


def test_only_root_can_change_users(serve):
    server = serve(ordinary=True, prepare=with_function('def RUN_AS(site): return "bin"\n'))
    server.expect("RUN_AS.'a.localhost'. has returned 'bin': .*only root can change", "502 for GET")
    assert server.request().status == 502


def test_who_is_not_root_may_have_one(serve):
    server = serve(ordinary="games", prepare=with_function("def RUN_AS(site): return None\n"))
    assert server.request().status == 200


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HANGS, r"RUN_AS\('bad.localhost'\) did not return within 5 s"),
        (CRASHES, r"RUN_AS\('bad.localhost'\) has ended its process instead of returning"),
        (EXITS, r"RUN_AS\('bad.localhost'\) has raised .*settings.py:\d+: SystemExit: no more"),
        (RAISES, r"RUN_AS\('bad.localhost'\) has raised .*settings.py:\d+: KeyError"),
        (RETURNS, r"RUN_AS\('bad.localhost'\) has returned \['games'\]: must be \"owner\", a user"),
    ],
)
def test_a_call_that_fails_costs_its_own_start_only(serve, as_whom, text, words):
    server = serve(ordinary=as_whom, prepare=with_function(text))
    server.expect(f"bad.localhost: .*cannot start: {words}", "502 for GET")
    with server.client() as waiting:
        waiting.ask(host="bad.localhost")
        assert server.request(host="a.localhost").status == 200
        assert waiting.response().status == 502
    processes.until(lambda: len(choosers(server)) == 1, 5, "the end of the call")


def test_a_flood_of_calls_that_hang_stops_nobody_else(serve):
    sites = [f"bad{at}.localhost" for at in range(8)]
    text = f"import time\ndef RUN_AS(site):\n    while site in {sites}: time.sleep(0.1)\n"
    server = serve({"MAX_STARTING": 10}, prepare=with_function(text))
    server.expect("did not return within", "502 for GET")
    waiting = [server.client() for _ in sites]
    for connection, site in zip(waiting, sites, strict=True):
        connection.ask(host=site)
    processes.until(lambda: len(choosers(server)) == 9, 5, "the calls")
    assert server.request(host="a.localhost").status == 200
    assert [connection.response().status for connection in waiting] == [502] * 8


def test_its_process_is_started_again(serve, as_whom):
    server = serve(ordinary=as_whom, prepare=with_function("def RUN_AS(site): return None\n"))
    server.warm("a.localhost")
    (first,) = choosers(server)
    os.kill(first, signal.SIGKILL)
    server.warm("b.localhost")
    (second,) = choosers(server)
    assert second != first


def test_a_file_that_cannot_be_loaded_again_says_so_until_it_is_mended(serve):
    server = serve(prepare=with_function("def RUN_AS(site): return None\n"))
    server.warm("a.localhost")
    path = server.folder / "settings.py"
    text = path.read_text()
    path.write_text(text + "1 / 0\n")
    os.kill(*choosers(server), signal.SIGKILL)
    server.expect("RUN_AS cannot be asked: .*settings.py:[0-9]+: ZeroDivisionError", "502 for GET")
    assert server.request(host="b.localhost").status == 502
    path.write_text(text)
    server.warm("c.localhost")


def test_it_finds_what_the_settings_file_found(serve):
    """Modules beside it and on PYTHONPATH, and the environment; servers get none of that."""

    def prepare(folder):
        (folder / "lib").mkdir()
        (folder / "lib" / "on_the_path.py").write_text("import os\nWORD = os.environ['WORD']\n")
        (folder / "beside.py").write_text("def say(site, word): return None if word else 3\n")
        with_function(
            "from beside import say\nfrom on_the_path import WORD\n"
            "def RUN_AS(site): return say(site, WORD)\n"
        )(folder)
        environ["PYTHONPATH"] += f":{folder}/lib"

    environ = {"WORD": "secret", "PYTHONPATH": str(client.__file__).partition("/tests/")[0]}
    server = serve(environ=environ, prepare=prepare)
    (pid,) = server.warm("a.localhost").values()
    assert "WORD" not in processes.environ(server.pid())
    assert pid


def test_nothing_of_it_is_left(serve, as_whom):
    """Though a call hangs, and Luisito is killed."""
    server = serve(ordinary=as_whom, prepare=with_function(HANGS))
    with server.client() as connection:
        connection.ask(host="bad.localhost")
        processes.until(lambda: len(choosers(server)) == 2, 5, "the call")
        server.process.kill()
        server.wait()
    server.unchecked |= {"conservation", "access lines"}
    processes.until(lambda: not server.left(), 2, "the end of all")


def test_its_process_has_no_descriptor_of_ours(serve):
    server = serve(prepare=with_function(HANGS))
    server.expect("did not return", "502 for GET")
    with server.client() as connection:
        connection.ask(host="bad.localhost")
        processes.until(lambda: len(choosers(server)) == 2, 5, "the call")
        for pid in choosers(server):
            held = [re.sub(r"\d+", "N", what) for what in processes.descriptors(pid).values()]
            assert held.count("socket:[N]") <= 1
            assert not [what for what in held if "access.log" in what]
        assert connection.response().status == 502
