"""Luisito's own files: settings.py, the logs, RUNTIME_DIR and unix sockets."""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from typing import TYPE_CHECKING

from luisito.checks.eyes import Eyes, link, reach, status
from luisito.checks.report import Mend, Problem
from luisito.core.paths import walk
from luisito.core.permissions import EXECUTE, READ, WRITE, Status, others_may_write
from luisito.settings.owners import is_private
from luisito.spawner.place import may_pass

if TYPE_CHECKING:
    from luisito.checks.whom import Whom
    from luisito.spawner.users import Identity


def unreadable(path: str, eyes: Eyes) -> Problem | None:
    """What keeps whoever starts Luisito from reading the settings file."""
    return reach(os.path.abspath(path), eyes, READ)


def exposed(path: str, starter: Identity, opened: os.stat_result) -> Problem | None:
    """Who else than its owner could change the settings file, or put another in its place.

    Args:
        path: of the settings file.
        starter: as whom it is run.
        opened: of the file that was read, which may be there no more.
    """
    trusted = frozenset([0, starter.uid])
    way = walk(os.path.abspath(path), link)
    beside = os.path.dirname(way.end)
    for place in (way.end, *way.folders[::-1]):
        if place == way.end:
            found: Status | None = Status(opened.st_mode, opened.st_uid, opened.st_gid)
        else:
            found = status(place)
        if found is None:
            continue
        sticky = place == beside and found.mode & stat.S_ISVTX
        if sticky:  # another may not replace what is there, and may put there what it imports
            found = found._replace(mode=found.mode & ~stat.S_ISVTX)
        private = is_private(found.gid, found.uid)
        if not others_may_write(found, trusted=trusted, private_group=private):
            continue
        reader = f"what it says is run as {starter.name}"
        quoted = shlex.quote(place)
        if sticky and found.uid in trusted:
            what = f"anybody may put files beside the settings there, and {reader}"
            mend = f"keep them in a folder that only {starter.name} may write"
            return Problem(place, what, Mend("do", mend))
        if found.uid in trusted:
            what = f"others than its owner may write it, and {reader}"
            return Problem(place, what, Mend("run", f"chmod {_takes(found.mode)} {quoted}"))
        what = f"it belongs to {_name(found.uid)}, and {reader}"
        if place == way.end:
            return Problem(place, what, Mend("run", f"chown {starter.name} {quoted}"))
        what = f"the folder of the settings belongs to {_name(found.uid)}, and {reader}"
        return Problem(place, what, Mend("do", "keep them where only root writes, as in /etc"))
    return None


def _takes(mode: int) -> str:
    return "go-w" if mode & 0o022 == 0o022 else "g-w" if mode & 0o020 else "o-w"


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def folder(path: str, eyes: Eyes, setting: str) -> Problem | None:
    """What keeps a user from making files in a folder."""
    found = status(path)
    if found is None:
        return _absent(path, eyes, setting)
    if not stat.S_ISDIR(found.mode):
        what = f"{setting} needs a folder, and this is none"
        return Problem(path, what, Mend("run", f"{_aside(path)} && {make(path, eyes)}"))
    return reach(path, eyes, WRITE | EXECUTE)


def _aside(path: str) -> str:
    """The command that takes a file out of the way, and loses nothing."""
    return f"mv {shlex.quote(path)} {shlex.quote(f'{path}.old')}"


def _absent(path: str, eyes: Eyes, setting: str) -> Problem:
    return reach(path, eyes, 0) or Problem(
        path, f"the folder of {setting} is not there", Mend("run", make(path, eyes))
    )


def logs(path: str, eyes: Eyes) -> Problem | None:
    """What keeps a user from OUTPUT_LOG_DIR, which Luisito makes where it can."""
    if status(path) is None and not make(path, eyes).startswith("install"):
        return reach(path, eyes, 0)
    return folder(path, eyes, "OUTPUT_LOG_DIR")


def state(path: str, who: Whom) -> Problem | None:
    """What is wrong with STATE_DIR, which Luisito makes in a folder that is there."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return folder(os.path.dirname(path), Eyes(who.starter), "STATE_DIR")
    except OSError:
        return reach(path, Eyes(who.starter), EXECUTE)
    if not stat.S_ISDIR(found.st_mode):
        return Problem(
            path, "STATE_DIR needs a folder, and this is none", Mend("run", _aside(path))
        )
    user = who.network
    if found.st_uid != user.uid or found.st_mode & 0o022:
        what = f"STATE_DIR must belong to {user.name}, and nobody else may write there"
        quoted = shlex.quote(path)
        mend = f"chown {user.uid}:{user.gid} {quoted} && chmod 751 {quoted}"
        return Problem(path, what, Mend("run", mend))
    return reach(path, Eyes(user), WRITE | EXECUTE)


def make(path: str, eyes: Eyes) -> str:
    """The command that makes a folder in which a user may write."""
    above = os.path.dirname(path)
    while not os.path.isdir(above):
        above = os.path.dirname(above)
    if eyes.may(above, WRITE | EXECUTE):
        return f"mkdir -p {shlex.quote(path)}"
    user = eyes.identity
    return f"install -d -o {user.uid} -g {user.gid} {shlex.quote(path)}"


def file(path: str, eyes: Eyes, setting: str) -> Problem | None:
    """What keeps a user from writing to the end of a file, which is made where it is missing."""
    try:
        found = os.lstat(path)
    except OSError:
        return folder(os.path.dirname(path), eyes, setting)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        what = f"{setting} must be a plain file with one name"
        return Problem(path, what, Mend("run", _aside(path)))
    return reach(path, eyes, WRITE)


def runtime_dir(path: str, who: Whom, user: Identity | None) -> list[Problem]:
    """What is wrong with RUNTIME_DIR: to make it, and to pass through it.

    Args:
        path: RUNTIME_DIR, or where it is by default.
        who: Luisito.
        user: of the site's server, who passes through it, too.
    """
    starter = who.starter
    quoted = shlex.quote(path)
    found = None
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        problem = folder(os.path.dirname(path), Eyes(starter), "RUNTIME_DIR")
        if problem is not None:
            return [problem]
    except OSError:
        problem = reach(path, Eyes(starter), EXECUTE)
        return [] if problem is None else [problem]
    if found is not None:
        if not stat.S_ISDIR(found.st_mode):
            what = "RUNTIME_DIR needs a folder, and this is none"
            return [Problem(path, what, Mend("run", _aside(path)))]
        if found.st_uid != starter.uid or found.st_mode & 0o022:
            what = f"RUNTIME_DIR must belong to {starter.name}, and nobody else may write there"
            mend = f"chown {starter.name} {quoted} && chmod 711 {quoted}"
            return [Problem(path, what, Mend("run", mend))]
        if who.root and not may_pass(found):
            what = "RUNTIME_DIR must let the users of all servers pass through"
            return [Problem(path, what, Mend("run", f"chmod 711 {quoted}"))]
    users = [who.network, *([] if user is None else [user])]
    ways = [reach(path, Eyes(passes), EXECUTE) for passes in users]
    return [problem for problem in ways if problem is not None]
