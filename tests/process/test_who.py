"""Who the network process becomes."""

import os
import pwd

import pytest

from luisito.errors import SettingsError
from luisito.process.who import drop, network_user

USERS = {name: pwd.struct_passwd((name, "x", uid, uid + 1, "", "/", "/bin/false"))
         for name, uid in (("luisito", 200), ("nobody", 300), ("root", 0))}  # fmt: skip


def only(*names):
    return lambda name: {known: USERS[known] for known in names}[name]


def who(uid=None, gid=None, euid=0, known=("luisito", "nobody")):
    return network_user(uid, gid, euid=euid, egid=euid, look_up=only(*known))


def test_not_root_stays_who_it_is():
    assert who(1, 2, euid=1000) == (1000, 1000)


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
