"""RUNTIME_DIR: a folder for each server, that its user owns and Luisito may pass through."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from typing import TYPE_CHECKING

from luisito.core import wire
from luisito.errors import SettingsError

if TYPE_CHECKING:
    import socket

    from luisito.spawner.users import Identity

_FOLDER_MODE = 0o2710  # the user: all; Luisito's group: reach the socket; others: nothing


class Runtime:
    """The folder that the servers' folders are in; locked, so that two Luisitos never share it.

    Args:
        path: RUNTIME_DIR; None for a new one.

    Raises:
        SettingsError: it cannot be made, is not safe, or is in use.
    """

    __slots__ = ("_folder", "_ours", "path")

    def __init__(self, path: str | None) -> None:
        self._ours = path is None
        if path is None:
            _remove_left_behind(_base())
        self.path = path or f"{_base()}/luisito-{os.getpid()}-{os.urandom(4).hex()}"
        try:
            try:
                os.mkdir(self.path, 0o711)
            except FileExistsError:
                pass
            self._folder = os.open(
                self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            )
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(
                f"RUNTIME_DIR = {self.path!r}: another Luisito uses it; give each its own"
            ) from None
        except OSError as error:
            raise SettingsError(
                f"RUNTIME_DIR = {self.path!r}: {error.strerror}; choose a folder that Luisito owns"
            ) from None
        status = os.fstat(self._folder)
        if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise SettingsError(
                f"RUNTIME_DIR = {self.path!r}: it must belong to the user Luisito is started as,"
                " and nobody else may write there; chown and chmod 711 it"
            )
        _empty(self._folder)  # a spawner that was killed could not

    def make(self, server: int, user: Identity, group: int, notify: socket.socket) -> None:
        """Make a server's folder and bind its NOTIFY_SOCKET there; called in the child, as root.

        Until the last step the folder is ours alone, so no tenant can put a link in its place.
        """
        folder = wire.server_folder(self.path, server)
        path = wire.notify_path(self.path, server)
        os.mkdir(folder, 0o700)
        os.umask(0o177)
        notify.bind(path)
        if os.geteuid() == 0:
            os.lchown(path, user.uid, user.gid)
            os.chown(folder, user.uid, group)
        os.chmod(folder, _FOLDER_MODE)

    def remove(self, server: int) -> bool:
        """Remove a server's folder if it holds nothing but its sockets.

        Returns:
            False when more is in it: call remove_all in a process that may take its time.
        """
        name = str(server)
        try:
            folder = os.open(
                name,
                os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
                dir_fd=self._folder,
            )
        except FileNotFoundError:
            return True
        try:
            for entry in ("notify", "socket"):
                try:
                    os.unlink(entry, dir_fd=folder)
                except OSError:
                    continue
            os.rmdir(name, dir_fd=self._folder)
        except OSError:
            return False
        finally:
            os.close(folder)
        return True

    def remove_all(self, server: int) -> None:
        """Remove a server's folder, whatever its user put there."""
        remove_tree(str(server), self._folder)

    def end(self) -> None:
        """Remove what is left, and the folder itself where it was made for this run."""
        _empty(self._folder)
        if self._ours:
            os.rmdir(self.path)


def _base() -> str:
    if os.geteuid() == 0 and os.path.isdir("/run"):
        return "/run"
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    return base if base.startswith("/") and len(base) < 48 and os.path.isdir(base) else "/tmp"  # noqa: S108 - made with mkdir, random, and checked


def _remove_left_behind(base: str) -> None:
    """Remove the folders of spawners that were killed and could not do it themselves."""
    for name in os.listdir(base):
        prefix, _, rest = name.partition("-")
        pid = rest.partition("-")[0]
        path = f"{base}/{name}"
        if prefix != "luisito" or not pid.isdigit() or os.path.exists(f"/proc/{pid}"):
            continue
        try:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            # In another pid namespace it may live; then it holds the lock.
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(folder).st_uid == os.geteuid():
                _empty(folder)
                os.rmdir(path)
        except OSError:
            continue
        finally:
            os.close(folder)


def _empty(folder: int) -> None:
    for name in os.listdir(folder):
        if name.isdigit():
            remove_tree(name, folder)


def remove_tree(name: str, parent: int) -> None:
    """Remove a folder by descriptors, so that a symlink in it is removed and never followed."""
    folder = os.open(
        name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent
    )
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    remove_tree(entry.name, folder)
                else:
                    with contextlib.suppress(FileNotFoundError):  # its owner was quicker
                        os.unlink(entry.name, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=parent)
