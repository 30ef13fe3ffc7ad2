"""What a user may do with files: tried as that user, or told by mode bits where we cannot be."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import socket
from contextlib import suppress
from typing import Final, Self

from luisito.checks.report import Mend, Problem
from luisito.core.paths import walk
from luisito.core.permissions import EXECUTE, READ, WRITE, Status, User, allows, mend
from luisito.errors import LuisitoError
from luisito.spawner.privileges import forbid_tracing
from luisito.spawner.users import Identity, become

_LONGEST: Final = 2 * 4096  # bytes of a question; a path is shorter (PATH_MAX)
_ACL = "system.posix_acl_access"
_VERBS = {READ: "read", WRITE: "write", EXECUTE: "execute"}


class Eyes:
    """A user's.

    Attributes:
        identity: of the user.
        tried: what they may do is tried as that user, so that access control lists, mounts and
            security modules count; else only mode bits do.
    """

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self._ours = identity.uid == os.geteuid()
        self.tried = self._ours or os.geteuid() == 0
        self.user = User(
            identity.name, identity.uid, identity.gid, frozenset([identity.gid, *identity.groups])
        )
        self._helper: tuple[int, socket.socket] | None = None

    def __enter__(self) -> Self:
        """Has one process of that user answer all questions until the end, where one is needed."""
        if self.tried and not self._ours:
            self._helper = _help(self.identity)
        return self

    def __exit__(self, *_: object) -> None:
        if self._helper is not None:
            pid, asked = self._helper
            self._helper = None
            asked.close()
            os.waitpid(pid, 0)

    def __str__(self) -> str:
        return f"user {self.identity.name} (uid {self.identity.uid})"

    def may(self, path: str, want: int) -> bool:
        """Tell whether they may do something with a file that they can reach.

        Args:
            path: absolute, without symbolic links.
            want: READ, WRITE and EXECUTE, added; as for access(2).
        """
        if self._ours:
            return os.access(path, want, effective_ids=True)
        if self._helper is not None:
            asked = self._helper[1]
            with suppress(OSError):
                asked.send(b"%d " % want + os.fsencode(path))
                if answer := asked.recv(1):
                    return answer == b"1"
            raise _cannot_become(self.identity)
        if self.tried:
            return _in_child(self.identity, path, want)
        found = status(path)
        return found is not None and allows(found, self.user, want)


def _in_child(identity: Identity, path: str, want: int) -> bool:
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            become(identity)
            code = 0 if os.access(path, want) else 1
        finally:
            os._exit(code)
    _, code = os.waitpid(pid, 0)
    if os.waitstatus_to_exitcode(code) > 1:
        raise _cannot_become(identity)
    return os.waitstatus_to_exitcode(code) == 0


def _help(identity: Identity) -> tuple[int, socket.socket]:
    """Start a process that is a user, and tells of each path in a datagram what they may do."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        pid = os.fork()
        if pid == 0:
            try:
                ours.close()
                become(identity)
                forbid_tracing()
                while question := theirs.recv(_LONGEST):
                    want, _, path = question.partition(b" ")
                    theirs.send(b"1" if os.access(path, int(want)) else b"0")
            finally:
                os._exit(0)
    return pid, ours


def _cannot_become(identity: Identity) -> LuisitoError:
    return LuisitoError(
        f"cannot become {identity.name} to try what they may do; run this as an ordinary user"
    )


def status(path: str) -> Status | None:
    """What is seen of a file; None where it is not there, or we may not look.

    Args:
        path: absolute; links are followed.
    """
    try:
        found = os.stat(path)
    except OSError:
        return None
    return Status(found.st_mode, found.st_uid, found.st_gid, bool(_acl(path)))


def _acl(path: str) -> bool | None:
    """Whether a file has an access control list; None where its file system keeps none."""
    try:
        os.getxattr(path, _ACL)
    except OSError as error:
        return None if error.errno == errno.ENOTSUP else False
    return True


def link(path: str) -> str | None:
    """Where a symbolic link points; None for what is none."""
    try:
        return os.readlink(path)
    except OSError:
        return None


def reach(path: str, eyes: Eyes, want: int) -> Problem | None:
    """What keeps a user from a file: the first thing on the way, or its own mode.

    Args:
        path: absolute; where it is not there, the way to it counts as far as it goes.
        eyes: the user's.
        want: READ, WRITE and EXECUTE, added, of the file.
    """
    way = walk(path, link)
    if not way.end:
        return Problem(path, "its symbolic links have no end", Mend("do", "mend them"))
    for folder in way.folders:
        if not eyes.may(folder, EXECUTE):
            return _unseen(folder) or (
                None if status(folder) is None else forbidden(folder, eyes, EXECUTE)
            )
    if status(way.end) is not None and not eyes.may(way.end, want):
        return forbidden(way.end, eyes, want)
    return _unseen(way.end)


def _unseen(path: str) -> Problem | None:
    """That we ourselves may not look at a file."""
    try:
        os.stat(path)
    except PermissionError:
        return Problem(path, "you may not look at it", Mend("do", "run this as root"))
    except OSError:
        return None
    return None


def forbidden(path: str, eyes: Eyes, want: int) -> Problem:
    """That a user may not do something with a file that is there, and the mend."""
    found = status(path)
    folder = os.path.isdir(path)
    have = sum(bit for bit in _VERBS if eyes.may(path, bit))
    verbs = {**_VERBS, EXECUTE: "enter" if folder else "execute"}
    missing = want & ~have or want
    what = f"{eyes} may not {' and '.join(verbs[bit] for bit in verbs if missing & bit)} it"
    assert found is not None  # noqa: S101 - the caller has seen it
    if allows(found, eyes.user, want) and not found.acl:
        return Problem(path, what, _against_no_mode(path, want, folder=folder))
    setfacl = shutil.which("setfacl") is not None and _acl(path) is not None
    command = mend(path, found, eyes.user, want, have=have, setfacl=setfacl)
    return Problem(path, what, Mend("run", command))


def _against_no_mode(path: str, want: int, *, folder: bool) -> Mend:
    flags = os.statvfs(path).f_flag
    for bit, flag, option in ((EXECUTE, os.ST_NOEXEC, "exec"), (WRITE, os.ST_RDONLY, "rw")):
        if want & bit and flags & flag and not (folder and bit == EXECUTE):
            mount = path
            while not os.path.ismount(mount):
                mount = os.path.dirname(mount)
            return Mend("run", f"mount -o remount,{option} {shlex.quote(mount)}")
    return Mend("do", "its mode allows it: ask the security module (SELinux, AppArmor) about it")
