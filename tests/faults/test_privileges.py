"""FAULTS I: tenants whose folders, links and programs are to win them somebody else's rights."""

import ctypes
import itertools
import os
import pwd
import shutil
import stat
import threading

import pytest

from tests.harness import processes
from tests.harness.server import PYTHON

pytestmark = pytest.mark.root

SITES = {"PROJECT_PATH": "<folder>/sites/%HOST"}
GAMES, BACKUP = pwd.getpwnam("games"), pwd.getpwnam("backup")
_RENAME_EXCHANGE = 2  # renameat2(2)


def make(folder, site, uid, gid):
    """A site's folder."""
    path = folder / "sites" / site
    path.mkdir(parents=True)
    os.chown(path, uid, gid)
    return path


def test_63_64_67_folders_that_are_refused(serve):
    """FAULTS 63, 64, 67: each with words for the operator, and without a process."""

    def prepare(folder):
        games, nobody_has = GAMES.pw_uid, 54321
        make(folder, "root.localhost", 0, GAMES.pw_gid)
        make(folder, "group.localhost", games, 0)
        make(folder, "both.localhost", 0, 0)
        make(folder, "unknown.localhost", nobody_has, nobody_has)
        make(folder, "low.localhost", games, GAMES.pw_gid)
        make(folder, "victim.localhost", BACKUP.pw_uid, BACKUP.pw_gid)
        os.symlink("victim.localhost", folder / "sites" / "link.localhost")
        os.lchown(folder / "sites" / "link.localhost", games, GAMES.pw_gid)

    server = serve({**SITES, "MIN_UID": GAMES.pw_uid + 1}, prepare=prepare)
    server.expect("cannot start", "502 for GET")
    for site, status, words in [
        ("root.localhost", 502, b"servers do not run as root"),
        ("group.localhost", 502, b"has the group root"),
        ("both.localhost", 502, b"has the group root"),
        ("unknown.localhost", 502, b"not in passwd"),
        ("low.localhost", 502, b"below MIN_UID"),
        ("link.localhost", 404, b""),
    ]:
        response = server.request(host=site)
        assert response.status == status, (site, response.body)
        assert words in response.body, response.body
    assert server.seen("boot") == []
    server.warm("victim.localhost")


def program(folder, site):
    """A command that starts a copy of Python in the site's folder as the origin."""
    return [
        "./run", "-I", "-S", f"{folder}/origin.py", "--fd", "%FD", "--site", site,
        "--log", f"{folder}/seen/origin.log",
    ]  # fmt: skip


@pytest.mark.parametrize("owner", ["root", "backup"])
def test_63_a_program_of_somebody_else(serve, owner):
    """FAULTS 63: setuid and setgid too, it runs as the folder's owner."""

    def prepare(folder):
        path = make(folder, "a.localhost", GAMES.pw_uid, GAMES.pw_gid)
        entry = pwd.getpwnam(owner)
        shutil.copy(PYTHON, path / "run")
        os.chown(path / "run", entry.pw_uid, entry.pw_gid)
        (path / "run").chmod(0o6755)

    command = program("<folder>", "%HOST")
    server = serve({**SITES, "CMD_TPL": command}, prepare=prepare, files=("origin.py",))
    server.warm("a.localhost")
    (boot,) = server.seen("boot")
    assert boot["uids"] == [GAMES.pw_uid] * 4
    assert boot["gids"] == [GAMES.pw_gid] * 4


@pytest.mark.parametrize("owner", ["root", "backup"])
@pytest.mark.parametrize("mode", [0o6755, 0o700])
def test_65_a_program_that_is_a_hard_link_to_anothers(serve, owner, mode):
    """FAULTS 65: refused, whether or not he could have executed it himself."""

    def prepare(folder):
        path = make(folder, "a.localhost", GAMES.pw_uid, GAMES.pw_gid)
        entry, theirs = pwd.getpwnam(owner), folder / "sites" / "theirs"
        shutil.copy(PYTHON, theirs)
        os.chown(theirs, entry.pw_uid, entry.pw_gid)
        theirs.chmod(mode)
        os.link(theirs, path / "run")

    command = program("<folder>", "%HOST")
    server = serve({**SITES, "CMD_TPL": command}, prepare=prepare, files=("origin.py",))
    server.expect(r"cannot start: .*has 2 names \(hard links\)", "502 for GET")
    assert server.request().status == 502
    assert server.seen("boot") == []


def exchange(one, other):
    if ctypes.CDLL(None, use_errno=True).renameat2(
        -100, os.fsencode(one), -100, os.fsencode(other), _RENAME_EXCHANGE
    ):
        raise OSError(ctypes.get_errno(), "renameat2")


@pytest.mark.needs("perl")
def test_66_folders_that_are_exchanged_while_servers_start(serve):
    """FAULTS 66: whichever was found first, its owner runs, and in it."""

    def prepare(folder):
        make(folder, "a.localhost", GAMES.pw_uid, GAMES.pw_gid)
        make(folder, "b.localhost", BACKUP.pw_uid, BACKUP.pw_gid)

    tell = 'echo "$0 $(id -u) $(stat -c %u .)" >> {0}/seen/origin.log; exec perl {0}/fast.pl'
    command = ["sh", "-c", tell.replace("%", "%%").format("<folder>"), "%HOST"]
    settings = {**SITES, "CMD_TPL": command, "MAX_SERVERS": 1, "MIN_UID": 1}
    server = serve(settings, prepare=prepare, files=("fast.pl",))
    server.unchecked |= {"nonces", "malformed", "privileges"}  # whose log is another one here
    over = threading.Event()

    def race():
        for _ in itertools.takewhile(lambda _: not over.is_set(), itertools.count()):
            exchange(server.folder / "sites/a.localhost", server.folder / "sites/b.localhost")

    thread = threading.Thread(target=race)
    thread.start()
    try:
        for site in ("a.localhost", "b.localhost") * 60:
            assert server.request(host=site).status == 200
    finally:
        over.set()
        thread.join()
    found = [line.split() for line in server.origin_log.read_text().splitlines()]
    assert len(found) == 120
    assert [line for line in found if line[1] != line[2]] == []
    assert len({tuple(line) for line in found}) == 4  # each site has been in either folder


def test_68_what_an_app_finds(serve):
    """FAULTS 68: nothing of Luisito's environment, groups, descriptors or capabilities."""
    secret = {"LUISITO_SECRET": "s3cret", "LD_LIBRARY_PATH": "/nowhere"}
    server = serve(SITES, environ=secret, prepare=lambda folder: make(
        folder, "a.localhost", GAMES.pw_uid, GAMES.pw_gid))  # fmt: skip
    server.warm("a.localhost")
    pid = server.pid()
    environ = processes.environ(pid)
    assert environ["HOME"] == GAMES.pw_dir
    assert not {*secret, "LUISITO_SETTINGS", "PYTHONPATH"} & environ.keys()
    (boot,) = server.seen("boot")
    assert set(boot["groups"]) == set(os.getgrouplist("games", GAMES.pw_gid))
    assert set(boot["descriptors"]) - {boot["log"]} <= {0, 1, 2, 3}
    held = processes.descriptors(pid)
    assert held[0] == "/dev/null"
    assert held[1] == held[2]
    assert held[1].startswith("pipe:")
    assert held[3].startswith("socket:")
    assert set(boot["caps"].values()) == {0}
    assert boot["no_new_privs"] == 1


def test_69_links_where_a_log_will_be(serve):
    """FAULTS 69: in a folder that the tenant writes to; requests are answered all the same."""

    def prepare(folder):
        make(folder, "a.localhost", GAMES.pw_uid, GAMES.pw_gid)
        (folder / "logs").mkdir()
        os.chown(folder / "logs", GAMES.pw_uid, GAMES.pw_gid)
        (folder / "victim").write_text("precious\n")
        os.symlink(folder / "victim", folder / "logs" / "a.localhost.log")

    server = serve({**SITES, "OUTPUT_LOG_DIR": "<folder>/logs"}, prepare=prepare)
    server.expect("its output cannot be written to a file")
    assert server.request("/stdout-text/words").status == 200
    server.wait_for_log("its output cannot be written to a file")
    assert (server.folder / "victim").read_text() == "precious\n"
    link = os.lstat(server.folder / "logs" / "a.localhost.log")
    assert stat.S_ISLNK(link.st_mode)
