"""Who a server runs as, which folder it runs in, and becoming that user for good."""

from __future__ import annotations

import errno
import os
import pwd
import shlex
import stat
from typing import TYPE_CHECKING, NamedTuple

from luisito.errors import LuisitoError
from luisito.spawner import privileges

if TYPE_CHECKING:
    from luisito.spawner.config import Config


class StartRefusedError(LuisitoError):
    """A server may not be started as things are; the message says why and the mend."""


class Identity(NamedTuple):
    """A user with everything that a process of theirs needs."""

    uid: int
    gid: int
    groups: list[int]
    name: str
    home: str


def open_folder(path: str, fixed: str) -> int:
    """Open a folder component by component, so that no tenant's symlink is ever followed.

    Args:
        path: the absolute path, rendered.
        fixed: the beginning of it that the operator wrote, before the first %HOST. Symlinks made
            by root or by us are followed there, none anywhere else.

    Returns:
        A descriptor (O_PATH) that still means the same folder after any rename.

    Raises:
        StartRefusedError: something on the way is missing, not a folder, or such a symlink.
    """
    trusted = fixed.count("/") - 1  # components that end before the first %HOST
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    current = os.open("/", flags)
    try:
        for index, name in enumerate(path[1:].split("/")):
            if name in ("", "."):
                continue
            if name == "..":
                raise StartRefusedError(
                    f"folder {path!r}: '..' is not allowed; write the real path"
                )
            follow = index < trusted and _trusted_link(current, name)
            below = os.open(name, flags if follow else flags | os.O_NOFOLLOW, dir_fd=current)
            os.close(current)
            current = below
    except OSError as error:
        os.close(current)
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            cause = f"{name!r} in it is a symbolic link or no folder; write the real path"
        else:
            cause = f"{error.strerror} at {name!r}; create it"
        raise StartRefusedError(f"folder {path!r}: {cause}") from None
    except StartRefusedError:
        os.close(current)
        raise
    return current


def _trusted_link(folder: int, name: str) -> bool:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    return stat.S_ISLNK(status.st_mode) and status.st_uid in (0, os.geteuid())


def resolve(
    config: Config,
    run_as: str | int | None,
    folder: os.stat_result | None,
    path: str | None = None,
) -> Identity:
    """Decide who a server runs as.

    Args:
        config: MIN_UID and whether root was asked for.
        run_as: RUN_AS, or what it returned for this site.
        folder: the status of PROJECT_PATH, where that is set.
        path: of that folder, for the mend.

    Raises:
        StartRefusedError: root, a uid below MIN_UID or without an entry in passwd.
    """
    if not config.root:
        return _own(run_as)
    if run_as is None:
        run_as = "nobody" if folder is None else "owner"
    if run_as == "owner":
        if folder is None:
            raise StartRefusedError("there is no owner, since PROJECT_PATH is not set; set it")
        if folder.st_gid == 0 and not config.allow_root:
            mend = "chgrp it to its owner's"
            if folder.st_uid == 0:
                place = shlex.quote(path or "PROJECT_PATH")
                mend = f"chown -R USER: {place}, where USER is one for this site"
            raise StartRefusedError(f"PROJECT_PATH has the group root (gid 0); {mend}")
        run_as = folder.st_uid
    return _checked(config, _look_up(run_as))


def _look_up(user: str | int) -> Identity:
    try:
        entry = pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
    except KeyError:
        raise StartRefusedError(
            f"user {user!r} is not in passwd; create it, or give the folder to one who is"
        ) from None
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return Identity(entry.pw_uid, entry.pw_gid, groups, entry.pw_name, entry.pw_dir)


def _checked(config: Config, user: Identity) -> Identity:
    if not config.allow_root:
        if user.uid == 0 or user.gid == 0:
            raise StartRefusedError(
                f"user {user.name!r} has uid {user.uid}, gid {user.gid}: servers do not run as"
                ' root; chown PROJECT_PATH to its user, or write RUN_AS = "root"'
            )
        if user.uid < config.min_uid:
            raise StartRefusedError(
                f"user {user.name!r} has uid {user.uid}, below MIN_UID = {config.min_uid};"
                " chown PROJECT_PATH, or lower MIN_UID"
            )
        if 0 in user.groups:
            raise StartRefusedError(f"user {user.name!r} is in the group root; take it out")
    # Members of Luisito's group may enter every server's folder of sockets.
    others = [gid for gid in user.groups if gid == user.gid or gid != config.network_gid]
    return user._replace(groups=others)


def _own(run_as: str | int | None) -> Identity:
    uid = os.getuid()
    try:
        entry = pwd.getpwuid(uid)
        name, home = entry.pw_name, entry.pw_dir
    except KeyError:
        name, home = str(uid), "/"
    if run_as not in (None, "owner", uid, name):
        raise StartRefusedError(
            f"RUN_AS = {run_as!r}: only root can change users, and Luisito runs as"
            f" {name!r}; start it as root, or remove RUN_AS"
        )
    return Identity(uid, os.getgid(), os.getgroups(), name, home)


def become(user: Identity) -> None:
    """Give up root for a user, for good: groups first, while that is still allowed."""
    if os.geteuid() == 0:
        os.setgroups(user.groups)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    else:
        privileges.clear_capabilities()  # exec would hand ambient ones on


def warm_up() -> None:
    """Load the libraries behind passwd and group once, so that no child has to."""
    for look_up in (lambda: pwd.getpwuid(0), lambda: os.getgrouplist("root", 0)):
        try:
            look_up()
        except KeyError:
            pass
