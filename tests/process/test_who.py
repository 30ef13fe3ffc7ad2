"""Who the network process becomes."""

import os
import pwd
import signal

import pytest

from luisito.errors import SettingsError
from luisito.process.who import drop, network_user, servers_user
from luisito.spawner import privileges

USERS = {name: pwd.struct_passwd((name, "x", uid, uid + 1, "", "/", "/bin/false"))
         for name, uid in (("luisito", 200), ("nobody", 300), ("root", 0))}  # fmt: skip


def only(*names):
    return lambda name: {known: USERS[known] for known in names}[name]


def who(uid=None, gid=None, euid=0, known=("luisito", "nobody")):
    return network_user(uid, gid, euid=euid, egid=euid, look_up=only(*known))


def test_not_root_stays_who_it_is():
    assert who(None, None, euid=1000) == (1000, 1000)
    assert who(1000, 1000, euid=1000) == (1000, 1000)


@pytest.mark.parametrize(
    ("uid", "gid", "words"),
    [(1, None, "--uid 1: "), (1000, 2, "--uid 1000 --gid 2: "), (None, 2, "--gid 2: ")],
)
def test_not_root_cannot_become_another(uid, gid, words):
    with pytest.raises(SettingsError, match=f"^{words}only root can"):
        who(uid, gid, euid=1000)


def test_what_twistd_was_given_wins():
    assert who(1, 2) == (1, 2)


def test_luisito_where_there_is_one_else_nobody():
    assert who() == (200, 201)
    assert who(known=("nobody",)) == (300, 301)
    assert who(gid=7) == (200, 7)


@pytest.mark.parametrize("given", [{"uid": 0, "gid": 1}, {"uid": 1, "gid": 0}, {"uid": 5}])
def test_root_is_refused(given):
    with pytest.raises(SettingsError):
        who(**given)


def test_nobody_at_all():
    with pytest.raises(SettingsError, match="adduser"):
        who(known=())


def status_after_drop(uid, gid, before=lambda: None):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            before()
            drop(uid, gid)
            with open("/proc/self/status", "rb") as status:
                os.write(write, status.read())
            try:
                os.setuid(0)
            except PermissionError:
                os.write(write, b"Root:\tno\n")
        finally:
            os._exit(0)
    os.close(write)
    with open(read, encoding="utf-8") as status:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
    os.waitpid(pid, 0)
    return fields


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it changes users")
def test_drop_leaves_nothing():
    nobody = pwd.getpwnam("nobody")
    fields = status_after_drop(nobody.pw_uid, nobody.pw_gid)
    assert fields["Uid"].split() == [str(nobody.pw_uid)] * 4
    assert fields["Gid"].split() == [str(nobody.pw_gid)] * 4
    assert fields["Groups"].split() == []
    assert fields["NoNewPrivs"] == "1"
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(fields[name], 16) == 0, name
    assert fields["Root"] == "no"


def test_drop_as_an_ordinary_user():
    def become_nobody():
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.setgroups([])
            os.setresgid(nobody.pw_gid, nobody.pw_gid, nobody.pw_gid)
            os.setresuid(nobody.pw_uid, nobody.pw_uid, nobody.pw_uid)

    fields = status_after_drop(54321, 54321, become_nobody)
    assert fields["NoNewPrivs"] == "1"
    assert int(fields["CapEff"], 16) == 0
    assert fields["Uid"].split()[0] not in ("0", "54321")
    assert fields["Root"] == "no"


def test_whom_all_servers_run_as():
    nobody = pwd.getpwnam("nobody").pw_uid
    assert servers_user(None, None, euid=0) == nobody
    assert servers_user("nobody", "/srv/%HOST", euid=0) == nobody
    assert servers_user(1234, None, euid=0) == 1234
    for each_its_own in ((None, "/srv/%HOST"), ("owner", "/srv/%HOST"), ("no such user", None)):
        assert servers_user(*each_its_own, euid=0) is None
    assert servers_user(None, None, euid=1000) is None


PTRACE_ATTACH, PR_SET_DUMPABLE = 16, 4


def forked(run):
    """Runs it in a child; returns the pid, and the descriptor that it writes to."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            drop(*pwd.getpwnam("nobody")[2:4])
            run(write)
        finally:
            os._exit(0)
    os.close(write)
    return pid, read


def reached_by_its_own_user(*, dumpable):
    """What a process of the same user can do to one that has dropped."""

    def luisito(said):
        if dumpable:
            privileges._libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
        os.write(said, b"dropped\n")
        signal.pause()

    def tenant(said):
        for name in ("mem", "environ", "fd/0"):
            try:
                os.close(os.open(f"/proc/{pid}/{name}", os.O_RDONLY))
            except PermissionError:
                continue
            os.write(said, f"{name}\n".encode())
        if privileges._libc.ptrace(PTRACE_ATTACH, pid, None, None) == 0:
            os.write(said, b"ptrace\n")

    pid, said = forked(luisito)
    try:
        assert os.read(said, 100) == b"dropped\n"
        prober, found = forked(tenant)
        with open(found, encoding="ascii") as lines:
            reached = lines.read().split()
        os.waitpid(prober, 0)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(said)
    return reached


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it changes users")
def test_no_process_of_the_same_user_can_trace_it_or_read_its_memory():
    assert "mem" in reached_by_its_own_user(dumpable=True), "the probe itself does not work"
    assert reached_by_its_own_user(dumpable=False) == []
