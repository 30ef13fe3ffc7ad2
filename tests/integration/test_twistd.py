"""The options of twistd and twist, each with the real one."""

import os
import pwd
import re
import shutil
import signal
import stat
import subprocess

import pytest

from tests.harness import client, processes
from tests.harness.server import ROOT, ordinary_user
from tests.integration.test_starts import not_started

GAMES, BACKUP = pwd.getpwnam("games"), pwd.getpwnam("backup")


def ids(pid):
    """The real, effective and saved uid and gid of a process, all in one set each."""
    of = processes.status(pid)
    return {int(uid) for uid in of["Uid"].split()}, {int(gid) for gid in of["Gid"].split()}


@pytest.mark.root
@pytest.mark.parametrize("how", ["twistd", "tac", "daemon"])
@pytest.mark.parametrize(
    ("options", "uid", "gid"),
    [
        (["--uid=games"], GAMES.pw_uid, GAMES.pw_gid),
        (["--uid=games", "--gid=backup"], GAMES.pw_uid, BACKUP.pw_gid),
        ([f"-u{GAMES.pw_uid}", f"-g{BACKUP.pw_gid}"], GAMES.pw_uid, BACKUP.pw_gid),
        (["--gid=backup"], None, BACKUP.pw_gid),
    ],
)
def test_uid_and_gid(serve, how, options, uid, gid):
    server = serve(how=how, options=options, way="socket")
    assert server.request().status == 200
    uids, gids = ids(server.network)
    assert gids == {gid}
    assert uids == {uid} if uid is not None else 0 not in uids
    assert server.stop() == 0


@pytest.mark.root
@pytest.mark.parametrize("options", [["--uid=0"], ["--uid=games", "--gid=0"]])
def test_root_is_no_user_for_it(serve, options):
    server = serve(options=options, wait=False)
    not_started(server, "--uid .* the network process must not be root")


@pytest.mark.parametrize("how", ["twistd", "tac"])
def test_only_root_can_become_another(serve, how):
    server = serve(how=how, options=["--uid=bin"], ordinary="games", wait=False)
    not_started(server, "--uid .*: only root can change users")


@pytest.mark.parametrize("how", ["twistd", "tac", "daemon"])
@pytest.mark.parametrize("option", ["--chroot=<folder>", "--euid"])
def test_what_cannot_work_is_refused(serve, how, option):
    server = serve(how=how, options=[option], wait=False)
    not_started(server, f"{option.partition('=')[0]}.*: (is not supported|.*for good)")


@pytest.mark.parametrize("how", ["twistd", "tac", "twist"])
@pytest.mark.parametrize("reactor", ["epoll", "poll", "select", "asyncio"])
def test_reactor(serve, how, reactor):
    server = serve(how=how, options=[f"--reactor={reactor}"])
    server.warm("a.localhost", "b.localhost")
    assert client.statuses(server.load(client.gets(["a.localhost", "b.localhost"] * 25))) == {
        200: 50
    }
    with server.client() as busy:
        busy.ask("/sleep/0.3")
        processes.until(lambda: len(server.seen("head")) == 53, 5, "the request")
        for _ in range(5):
            server.send_signal(signal.SIGTERM)
            server.send_signal(signal.SIGINT)
        assert busy.response().status == 200
    assert server.wait() == 0
    if how != "twist":
        assert re.search(rf"reactor class: .*{reactor}", server.log(), re.IGNORECASE)


@pytest.mark.parametrize("how", ["twistd", "tac", "daemon"])
def test_umask_is_that_of_the_servers(serve, how):
    server = serve(how=how, options=["--umask=027"])
    server.warm("a.localhost")
    (pid,) = server.servers()
    assert processes.status(pid)["Umask"] == "0027"
    assert stat.S_IMODE(server.access_path.stat().st_mode) == 0o640


@pytest.mark.parametrize(("how", "way"), [("twistd", "fd"), ("daemon", "fd"), ("daemon", "socket")])
def test_without_umask(serve, how, way):
    """A daemon's own 077 is not the servers'; behind %SOCKET Luisito's group must get in."""
    server = serve(how=how, way=way, options=["--umask=077"] if way == "socket" else [])
    server.warm("a.localhost")
    (pid,) = server.servers()
    assert processes.status(pid)["Umask"] == ("0007" if way == "socket" else "0022")


@pytest.mark.parametrize("how", ["twistd", "daemon"])
def test_rundir_is_where_servers_run(serve, how, as_whom):
    """What was typed is taken from where it was typed all the same."""

    def prepare(folder):
        (folder / "there").mkdir()
        (folder / "there").chmod(0o777)

    server = serve(
        how=how,
        ordinary=as_whom,
        prepare=prepare,
        options=["--rundir=there", "--logfile=luisito.log"],
        pidfile=True,
    )
    assert server.request().status == 200
    assert os.readlink(f"/proc/{server.pid()}/cwd") == f"{server.folder}/there"
    assert "Listening on" in server.log()


def test_a_daemon_logs_where_it_was_started(serve, as_whom):
    """To twistd.log, where nothing else was said."""
    server = serve(how="daemon", ordinary=as_whom, options=["--logfile="])
    server.warm("a.localhost")
    log = server.folder / "twistd.log"
    assert "Listening on" in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o640
    assert server.stop() == 0
    assert "Server Shut Down" in log.read_text()
    server.unchecked |= {"conservation", "access lines"}


def test_a_log_that_cannot_be_opened(serve):
    server = serve(options=["--logfile=<folder>/none/luisito.log"], wait=False)
    not_started(server, "--logfile .*none/luisito.log: No such file or directory; write another")


@pytest.mark.parametrize("how", ["twistd", "tac", "daemon"])
@pytest.mark.parametrize(
    ("make", "words"),
    [("symlink_to", "is a symbolic link"), ("hardlink_to", "has another name, a hard link")],
)
def test_a_log_with_a_second_name_is_refused(serve, how, make, words):
    """Nothing is written where somebody has put a link."""

    def prepare(folder):
        (folder / "victim").write_text("")
        getattr(folder / "own.log", make)(folder / "victim")

    option = "--logfile=<folder>/own.log"
    server = serve(how=how, options=[option], prepare=prepare, wait=False)
    not_started(server, f"--logfile .*own.log: {words}")
    assert not (server.folder / "victim").read_text()


def test_syslog(serve):
    server = serve(options=["--syslog", "--prefix=luisito"])
    server.warm("a.localhost")
    server.unchecked |= {"conservation", "access lines"}
    assert server.stop() == 0


def test_twist_logs_to_a_file(serve, as_whom):
    server = serve(
        how="twist", ordinary=as_whom, options=["--reactor=poll", "--log-file=<folder>/twist.log"]
    )
    assert server.request().status == 200
    log = server.folder / "twist.log"
    assert "Listening on" in log.read_text()
    server.unchecked |= {"conservation", "access lines"}
    assert server.stop() == 0
    assert "counters" in log.read_text()


# -- the pidfile


@pytest.mark.parametrize("how", ["twistd", "tac", "daemon"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_whoever_kills_what_the_pidfile_names_ends_everything(serve, how, as_whom, number):
    server = serve(how=how, ordinary=as_whom, pidfile=True, origin={"*": {"orphans": 1}})
    server.warm("a.localhost", "b.localhost")
    path = server.folder / "pid"
    os.kill(int(path.read_text()), number)
    assert server.wait() == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    if number == signal.SIGKILL:
        server.unchecked |= {"conservation", "access lines"}
    processes.until(lambda: not server.left(), 2, "the end of all")
    # the spawner removes it, unless it was the one, and nobody stands above it
    alone = how == "daemon" and os.getuid() == 0 and not as_whom
    if how == "daemon" and number == signal.SIGKILL:
        server.expect("Stopping: the spawner has ended")
        server.unchecked |= {"files"} if alone else set()
    assert path.exists() == (number == signal.SIGKILL and alone)


@pytest.mark.parametrize("how", ["twistd", "tac", "daemon"])
def test_a_pidfile_of_a_dead_process_is_in_nobodys_way(serve, how, as_whom):
    dead = subprocess.Popen(["true"])
    dead.wait()
    server = serve(
        how=how,
        ordinary=as_whom,
        pidfile=True,
        prepare=lambda folder: (folder / "pid").write_text(str(dead.pid)),
    )
    assert server.request().status == 200
    assert int((server.folder / "pid").read_text()) == server.process.pid


@pytest.mark.parametrize("how", ["twistd", "tac", "daemon"])
def test_a_pidfile_of_one_that_lives_is(serve, how, as_whom):
    user = ordinary_user() if as_whom else None
    with subprocess.Popen(["sleep", "100"], user=user and user.pw_uid) as alive:
        server = serve(
            how=how,
            ordinary=as_whom,
            pidfile=True,
            prepare=lambda folder: (folder / "pid").write_text(str(alive.pid)),
            wait=False,
        )
        not_started(server, f"Another twistd server is running, PID {alive.pid}")
        alive.kill()


# -- unix sockets


@pytest.mark.parametrize("how", ["twistd", "twist", "daemon"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_its_unix_sockets_go_with_it(serve, how, as_whom, number):
    """In a folder for the front's group, where only who starts it may write."""

    def prepare(folder):
        (folder / "front").mkdir()
        user = ordinary_user() if as_whom else None
        if os.getuid() == 0:
            os.chown(folder / "front", user.pw_uid if user else 0, user.pw_gid if user else 4242)
        (folder / "front").chmod(0o2750)

    listen = ["unix:front/http.sock:mode=660", "tcp:<port>:interface=127.0.0.1"]
    server = serve({"LISTEN": listen}, how=how, ordinary=as_whom, prepare=prepare)
    assert server.request().status == 200
    path = server.folder / "front" / "http.sock"
    assert path.stat().st_gid == path.parent.stat().st_gid
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    server.send_signal(number)
    server.wait()
    if number == signal.SIGKILL:
        server.unchecked |= {"conservation", "access lines"}
    processes.until(lambda: not server.left(), 2, "the end of all")
    alone = how == "daemon" and os.getuid() == 0 and not as_whom
    if how == "daemon" and number == signal.SIGKILL:
        server.expect("Stopping: the spawner has ended")
        server.unchecked |= {"files"} if alone else set()
    assert path.exists() == (number == signal.SIGKILL and alone)


@pytest.mark.parametrize("where", ["folder", "elsewhere"])
def test_a_tac_takes_the_settings_beside_it(serve, where):
    """As in a clone, wherever twistd is started."""

    def prepare(folder):
        (folder / "clone").mkdir()
        shutil.copy(ROOT / "luisito.tac", folder / "clone")
        os.rename(folder / "settings.py", folder / "clone" / "settings.py")

    there = "<folder>/clone/luisito.tac"
    server = serve(
        how="tac", tac=there, environ={"LUISITO_SETTINGS": None}, prepare=prepare,
        options=["--rundir=<folder>" if where == "folder" else "--rundir=/"],
    )  # fmt: skip
    assert server.request().status == 200


@pytest.mark.parametrize("how", ["twistd", "tac", "daemon", "twist"])
def test_a_mistake_in_the_settings_is_all_that_it_says(serve, how):
    """Not the usage of twistd, at whose end nobody would look for it."""
    server = serve({"MAX_SERVERS": 0}, how=how, wait=False)
    not_started(server, r"settings\.py:\d+: MAX_SERVERS = 0: ")
    (line,) = server.log().splitlines()
    assert line.startswith("luisito: ")
    assert server.wait() == 1
