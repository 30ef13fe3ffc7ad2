"""What a file's mode bits allow a user, and the command that allows what they do not."""

from __future__ import annotations

import shlex
from stat import S_ISDIR
from typing import NamedTuple

READ, WRITE, EXECUTE = 4, 2, 1
"""As in mode bits and access(2); to EXECUTE a folder is to pass through it."""


class Status(NamedTuple):
    """What is seen of a file.

    Attributes:
        mode: st_mode.
        uid: its owner.
        gid: its group.
        acl: it has an access control list (acl(5)), whose mask stands in the bits of the group.
    """

    mode: int
    uid: int
    gid: int
    acl: bool = False


class User(NamedTuple):
    """Who asks.

    Attributes:
        name: in passwd.
        uid: of the user.
        gid: the first of their groups.
        gids: all of their groups.
    """

    name: str
    uid: int
    gid: int
    gids: frozenset[int]


def allows(status: Status, user: User, want: int) -> bool:
    """Tell whether the mode bits allow a user something (path_resolution(7)).

    Args:
        status: of the file.
        user: who asks; root is taken to have all capabilities.
        want: READ, WRITE and EXECUTE, added.
    """
    if user.uid == 0:
        needs_a_bit = want & EXECUTE and not S_ISDIR(status.mode)
        return bool(not needs_a_bit or status.mode & 0o111)
    return _bits(status, user) & want == want


def _bits(status: Status, user: User) -> int:
    """The three bits that count for a user: the first class that they are in decides alone."""
    if status.uid == user.uid:
        return status.mode >> 6 & 7
    if status.gid in user.gids:
        return status.mode >> 3 & 7
    return status.mode & 7


def mend(path: str, status: Status, user: User, want: int, *, have: int, setfacl: bool) -> str:
    """Write the command, for root or the file's owner, that allows a user what is not allowed.

    It takes nothing from anybody, and gives others than the user no more than the passage through
    a folder, or the execution of a file that is a program and was not marked as one.

    Args:
        path: of the file, absolute.
        status: of the file.
        user: who shall be allowed it.
        want: READ, WRITE and EXECUTE, added.
        have: what they may do now, in the same way.
        setfacl: setfacl(1) is there, and the file system is thought to keep its lists.
    """
    quoted = shlex.quote(path)
    folder = S_ISDIR(status.mode)
    if (
        not folder
        and want & EXECUTE
        and not status.mode & 0o111
        and (have | EXECUTE) & want == want
    ):
        return f"chmod a+x {quoted}"
    if status.uid == user.uid:
        return f"chmod u+{_letters(want)} {quoted}"
    # A user named in a list gets what is written there alone, so what they have goes there too.
    acl = f"setfacl -m u:{shlex.quote(user.name)}:{_letters(want | have)} {quoted}"
    if status.acl and setfacl:
        return acl
    if status.gid in user.gids:
        return f"chmod g+{_letters(want)} {quoted}"
    if folder and want == EXECUTE:
        return f"chmod o+x {quoted}"
    if setfacl:
        return acl
    return f"chgrp {user.gid} {quoted} && chmod g+{_letters(want | have)} {quoted}"


def _letters(bits: int) -> str:
    return "".join(letter for letter, bit in zip("rwx", (4, 2, 1), strict=True) if bits & bit)


def others_may_write(status: Status, *, trusted: frozenset[int], private_group: bool) -> bool:
    """Tell whether anybody can change a file, or put another in the place of one in a folder.

    Args:
        status: of the file, or of a folder above it.
        trusted: the uids that may.
        private_group: the file's group has no member but its owner.
    """
    if status.uid not in trusted:
        return True
    if S_ISDIR(status.mode) and status.mode & 0o1000:
        return False  # sticky: nobody may rename what is another's
    return bool(status.mode & 0o002 or (status.mode & 0o020 and not private_group))
