"""Who Luisito is: who starts it, and who its network process becomes."""

from __future__ import annotations

import os
import pwd
from typing import NamedTuple

from luisito.errors import SettingsError
from luisito.process.who import network_user
from luisito.spawner.users import Identity


class Whom(NamedTuple):
    """The users that Luisito itself runs as.

    Attributes:
        root: root starts it.
        starter: who starts it, and runs its spawner.
        network: who its network process is.
    """

    root: bool
    starter: Identity
    network: Identity


def whom(name: str | None) -> Whom:
    """Tell who Luisito would be, were it started by whoever runs this.

    Args:
        name: name or uid of its network process's user, as twistd's --uid; None for its own
            choice. To be another user than the one who starts it, it has to be started by root.

    Raises:
        SettingsError: there is no such user, or none for it to become.
    """
    asked = None if name is None else _entry(name)
    euid = 0 if asked is not None and asked.pw_uid != os.geteuid() else os.geteuid()
    uid, gid = network_user(
        None if asked is None else asked.pw_uid,
        None if asked is None else asked.pw_gid,
        euid=euid,
        egid=os.getegid(),
    )
    starter = present() if euid == os.geteuid() else _identity(0, 0, [])
    # it has no groups but the one, once it has dropped
    network = _identity(uid, gid, []) if euid == 0 else starter
    return Whom(euid == 0, starter, network)


def present() -> Identity:
    """Whoever runs this."""
    return _identity(os.geteuid(), os.getegid(), os.getgroups())


def _entry(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        raise SettingsError(
            f"--user {name}: is not in passwd; create it: adduser --system --group {name}"
        ) from None


def _identity(uid: int, gid: int, groups: list[int]) -> Identity:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Identity(uid, gid, groups, str(uid), "/")
    return Identity(uid, gid, groups, entry.pw_name, entry.pw_dir)


def described(user: Identity) -> str:
    """A user, for people."""
    return f"{user.name} (uid {user.uid}, gid {user.gid})"
