"""The folders that Luisito makes for itself while it may be root."""

from __future__ import annotations

import os
import stat
from typing import Final

from luisito.errors import SettingsError

_STATE_MODE: Final = 0o751  # others pass through to the folders below it that are theirs
_LOGS_MODE: Final = 0o755


def make_state(path: str, uid: int, gid: int) -> None:
    """Sees to it that STATE_DIR is there, and that nobody but its user may write there.

    Args:
        path: absolute.
        uid: of the network process, whose folder it is.
        gid: its group, who may read there.

    Raises:
        SettingsError: it cannot be made, is no folder, or belongs to somebody else.
    """
    try:
        try:
            os.mkdir(path, 0o700)
            made = True
        except FileExistsError:
            made = False
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise SettingsError(
            f"STATE_DIR = {path!r}: {error.strerror}; write the path of a folder, or of one to be"
            " made in a folder that exists"
        ) from None
    try:
        if made and os.fstat(folder).st_uid == os.geteuid():  # else somebody was quicker
            os.fchown(folder, uid, gid)
            os.fchmod(folder, _STATE_MODE)
        status = os.fstat(folder)
    finally:
        os.close(folder)
    if status.st_uid != uid or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SettingsError(
            f"STATE_DIR = {path!r}: it must belong to Luisito's user (uid {uid}), and nobody else"
            f" may write there; chown {uid}:{gid} and chmod {_STATE_MODE:o} it"
        )


def make_logs(path: str) -> None:
    """Makes OUTPUT_LOG_DIR where it is missing, as in 2012.

    Whoever may write the folder that it is in could put a link in its place meanwhile, so its mode
    is set by descriptor, and only where it is what we made.

    Raises:
        SettingsError: it cannot be made, or somebody was quicker.
    """
    try:
        if os.path.isdir(path):
            return
        os.makedirs(path)
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(folder).st_uid != os.geteuid():
                raise SettingsError(
                    f"OUTPUT_LOG_DIR = {path!r}: somebody else has put another in its place while"
                    " it was made; write one in a folder where only Luisito's user may write"
                )
            os.fchmod(folder, _LOGS_MODE)  # whatever the umask is: a daemon's is 077
        finally:
            os.close(folder)
    except OSError as error:
        raise SettingsError(
            f"OUTPUT_LOG_DIR = {path!r}: {error.strerror}; make it, or write another"
        ) from None


def make_listen(runtime_dir: str, uid: int, gid: int, *, succeeds: bool = False) -> str:
    """Makes the network process's own folder in RUNTIME_DIR, for the sockets it hands over.

    Args:
        runtime_dir: nobody but whoever starts Luisito may write there.
        uid: of the network process.
        gid: its group.
        succeeds: another one has been there, whose folder it is then.

    Returns:
        The path of the folder.

    Raises:
        SettingsError: it cannot be made, or one that was left there could not be removed.
    """
    path = f"{runtime_dir}/0"
    try:
        os.mkdir(path, 0o700)
        os.chown(path, uid, gid)
    except FileExistsError:
        if succeeds:
            return path
        raise SettingsError(
            f"RUNTIME_DIR = {runtime_dir!r}: folder 0 in it is left from another Luisito and could"
            f" not be removed; unmount what is in it and remove it: rm -r {path}"
        ) from None
    except OSError as error:
        raise SettingsError(
            f"RUNTIME_DIR = {runtime_dir!r}: no folder can be made in it: {error.strerror};"
            " make room, or write another"
        ) from None
    return path
