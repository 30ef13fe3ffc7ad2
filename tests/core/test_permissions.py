"""What mode bits allow, held against the kernel's own judgement; the commands that mend them."""

import os
import stat
import subprocess

import pytest

from luisito.core.permissions import (
    EXECUTE,
    READ,
    WRITE,
    Status,
    User,
    allows,
    mend,
    others_may_write,
)

JOE = User("joe", 1000, 1000, frozenset([1000, 50]))
ROOT = User("root", 0, 0, frozenset([0]))
FILE, FOLDER = stat.S_IFREG, stat.S_IFDIR
MODES = [bits << shift for bits in range(8) for shift in (0, 3, 6)] + [0o640, 0o711, 0o755]


@pytest.mark.parametrize(
    ("owner", "group", "bits"),
    [(1000, 1000, 0o700), (1000, 50, 0o700), (0, 1000, 0o070), (0, 50, 0o070), (0, 0, 0o007)],
)
def test_one_class_decides_alone(owner, group, bits):
    everything = READ | WRITE | EXECUTE
    assert allows(Status(FILE | bits, owner, group), JOE, everything)
    assert not allows(Status(FILE | 0o777 & ~bits, owner, group), JOE, READ)


def test_root_executes_what_somebody_may_and_enters_all_folders():
    assert allows(Status(FILE | 0o000, 1, 1), ROOT, READ | WRITE)
    assert not allows(Status(FILE | 0o666, 1, 1), ROOT, EXECUTE)
    assert allows(Status(FILE | 0o100, 1, 1), ROOT, EXECUTE)
    assert allows(Status(FOLDER | 0o000, 1, 1), ROOT, EXECUTE)


def judged_by_the_kernel(path, user, want):
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups(list(user.gids))
            os.setresgid(user.gid, user.gid, user.gid)
            os.setresuid(user.uid, user.uid, user.uid)
            os._exit(0 if os.access(path, want) else 1)
        finally:
            os._exit(2)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code < 2
    return code == 0


@pytest.mark.root
@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("ids", [(1000, 0), (0, 50), (0, 0), (0, 1000)])
def test_agrees_with_the_kernel(tmp_path, folder, ids):
    path = f"/tmp/luisito-modes-{os.getpid()}"
    os.mkdir(path) if folder else open(path, "x").close()
    try:
        os.chown(path, *ids)
        for mode in MODES:
            os.chmod(path, mode)
            for want in (READ, WRITE, EXECUTE, READ | EXECUTE):
                status = Status(os.stat(path).st_mode, *ids)
                expected = judged_by_the_kernel(path, JOE, want)
                assert allows(status, JOE, want) == expected, (oct(mode), want)
    finally:
        os.rmdir(path) if folder else os.unlink(path)


@pytest.mark.parametrize(
    ("mode", "owner", "group", "want", "command"),
    [
        (FOLDER | 0o600, 1000, 0, EXECUTE, "chmod u+x /a"),
        (FOLDER | 0o700, 0, 50, EXECUTE, "chmod g+x /a"),
        (FOLDER | 0o700, 0, 0, EXECUTE, "chmod o+x /a"),
        (FOLDER | 0o711, 0, 0, READ | EXECUTE, "setfacl -m u:joe:rx /a"),
        (FOLDER | 0o755, 0, 0, WRITE | EXECUTE, "setfacl -m u:joe:rwx /a"),
        (FILE | 0o644, 0, 0, EXECUTE, "chmod a+x /a"),
        (FILE | 0o644, 1000, 0, EXECUTE, "chmod a+x /a"),
        (FILE | 0o600, 0, 0, READ | EXECUTE, "setfacl -m u:joe:rx /a"),
        (FILE | 0o744, 0, 0, EXECUTE, "setfacl -m u:joe:rx /a"),
        (FILE | 0o400, 1000, 0, READ | WRITE, "chmod u+rw /a"),
    ],
)
def test_the_mend(mode, owner, group, want, command):
    status = Status(mode, owner, group)
    have = sum(bit for bit in (READ, WRITE, EXECUTE) if allows(status, JOE, bit))
    assert mend("/a", status, JOE, want, have=have, setfacl=True) == command


def test_the_mend_without_access_control_lists():
    status = Status(FILE | 0o604, 0, 0)
    assert (
        mend("/a", status, JOE, WRITE, have=READ, setfacl=False) == "chgrp 1000 /a && chmod g+rw /a"
    )


def test_the_mend_of_a_list_is_in_the_list():
    listed = Status(FOLDER | 0o771, 0, 50, acl=True)
    command = mend("/a", listed, JOE, EXECUTE, have=READ, setfacl=True)
    assert command == "setfacl -m u:joe:rx /a"
    assert mend("/a", listed, JOE, EXECUTE, have=READ, setfacl=False) == "chmod g+x /a"


def test_the_mend_can_be_pasted_whatever_the_name():
    status = Status(FOLDER | 0o700, 0, 0)
    command = mend("/a b;c", status, JOE, EXECUTE, have=0, setfacl=True)
    words = subprocess.run(
        ["sh", "-c", command.replace("chmod", "printf '%s\\n'")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert words.stdout.splitlines() == ["o+x", "/a b;c"]


@pytest.mark.parametrize(
    ("mode", "owner", "private", "may"),
    [
        (FILE | 0o644, 0, False, False),
        (FILE | 0o644, 7, False, True),  # its owner is not trusted
        (FILE | 0o664, 0, False, True),
        (FILE | 0o664, 0, True, False),
        (FILE | 0o646, 0, True, True),
        (FILE | 0o1646, 0, True, True),  # the bit says something of folders only
        (FOLDER | 0o1777, 0, False, False),
        (FOLDER | 0o777, 0, False, True),
        (FOLDER | 0o1777, 7, False, True),
    ],
)
def test_who_else_may_write(mode, owner, private, may):
    status = Status(mode, owner, owner)
    assert others_may_write(status, trusted=frozenset([0]), private_group=private) == may
