"""Who a server runs as, which folder it runs in, and becoming that user for good."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import shlex
import stat
from typing import TYPE_CHECKING, NamedTuple

from luisito.errors import LuisitoError
from luisito.spawner import privileges

if TYPE_CHECKING:
    from luisito.spawner.config import Config


_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINKS = 40  # symlinks on one path, as path_resolution(7) has it


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
            by root or by us are followed there and in what they name, none anywhere else.

    Returns:
        A descriptor (O_PATH) that still means the same folder after any rename.

    Raises:
        StartRefusedError: something on the way is missing, not a folder, or such a symlink; or it
            lies in the folder of another tenant, who may put anything in its place.
    """
    trusted = fixed.count("/") - 1  # components that end before the first %HOST
    # what is still to be walked, the next one last
    names = [_Step(name, at < trusted, False) for at, name in enumerate(path[1:].split("/"))][::-1]
    owners: list[tuple[str, int]] = []  # of the folders that the operator has not named
    links = 0
    current = os.open("/", _FOLDER)
    try:
        while names:
            step = name, ours, linked = names.pop()
            if name in ("", "."):
                continue
            if name == ".." and not linked:
                raise StartRefusedError(
                    f"folder {path!r}: '..' is not allowed; write the real path"
                )
            below, target = _below(current, step)
            if target is not None:
                links += 1
                if links > _LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                names += [_Step(part, True, True) for part in target.split("/")[::-1]]
                if not target.startswith("/"):
                    continue
                below = os.open("/", _FOLDER)
            os.close(current)
            current = below
            if not ours:
                owners.append((name, os.fstat(current).st_uid))
        _refuse_in_anothers(path, owners)
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


class _Step(NamedTuple):
    """A component of a path.

    Attributes:
        name: of a folder or a symlink.
        ours: the operator has named it.
        linked: in a symlink of his.
    """

    name: str
    ours: bool
    linked: bool


def _below(folder: int, step: _Step) -> tuple[int, str | None]:
    """Open a folder in another one, or read a symlink that may be followed.

    Returns:
        The folder's descriptor, or else -1 and what the symlink says.
    """
    try:
        return os.open(step.name, _FOLDER, dir_fd=folder), None
    except NotADirectoryError:
        if not step.ours:
            raise
    # What is looked at is what is read, whatever is put in its place meanwhile.
    link = os.open(step.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        status = os.fstat(link)
        if not stat.S_ISLNK(status.st_mode) or status.st_uid not in (0, os.geteuid()):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return -1, os.readlink("", dir_fd=link)
    finally:
        os.close(link)


def _refuse_in_anothers(path: str, owners: list[tuple[str, int]]) -> None:
    """Refuse a folder in that of another tenant, where we choose a user by whom it belongs to."""
    if os.geteuid() != 0 or not owners:
        return
    _, owner = owners.pop()
    for name, uid in owners:
        if uid not in (0, owner):
            raise StartRefusedError(
                f"folder {path!r}: {name!r} in it belongs to uid {uid}, who may put another in its"
                f" place, and it to uid {owner}; chown both to one user, or {name!r} to root"
            )


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


def group(config: Config, user: Identity, named: str | int) -> Identity:
    """Have a user run with another group than the own one.

    Args:
        config: whether root was asked for.
        user: who runs.
        named: the group's name or gid.

    Raises:
        StartRefusedError: there is none, it is root's, or we may not change groups.
    """
    try:
        gid = grp.getgrnam(named).gr_gid if isinstance(named, str) else named
    except KeyError:
        raise StartRefusedError(f"group {named!r} is not there; create it") from None
    if gid == user.gid:
        return user
    if not config.root:
        raise StartRefusedError(f"group {named!r}: only root can change groups; leave it out")
    if gid == 0 and not config.allow_root:
        raise StartRefusedError(f"group {named!r}: servers do not run with root's; write another")
    others = [other for other in os.getgrouplist(user.name, gid) if other != config.network_gid]
    return user._replace(gid=gid, groups=others)


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
