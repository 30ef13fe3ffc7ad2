"""RUNTIME_DIR: a folder for each server, that its user owns and Luisito may pass through."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
from typing import TYPE_CHECKING

from luisito.core import wire
from luisito.errors import SettingsError
from luisito.spawner import preloaded
from luisito.spawner.place import default_place, is_ours, may_pass
from luisito.spawner.removal import remove_tree
from luisito.spawner.users import StartRefusedError

if TYPE_CHECKING:
    import socket

    from luisito.spawner.users import Identity

_FOLDER_MODE = 0o2710  # the user: all; Luisito's group: reach the socket; others: nothing
_PLACES = 100  # folders that are tried where RUNTIME_DIR is not set


class Runtime:
    """The folder that the servers' folders are in; locked, so that two Luisitos never share it.

    Args:
        path: RUNTIME_DIR; None for the default place, or another beside it where that is in use.

    Raises:
        SettingsError: it cannot be made, is not safe, cannot be passed through, or is in use.
    """

    __slots__ = ("_folder", "_ours", "path")

    def __init__(self, path: str | None) -> None:
        self._ours = path is None
        self.path, self._folder = _claim_default() if path is None else (path, _claim(path))
        _empty(self._folder)  # a spawner that was killed could not

    def make(self, server: int, user: Identity, group: int, notify: socket.socket) -> None:
        """Make a server's folder and bind its NOTIFY_SOCKET there; called before root is given up.

        Until the last step the folder is ours alone, so no tenant can put a link in its place.

        Raises:
            StartRefusedError: its name is taken by one that could not be removed.
        """
        folder = wire.server_folder(self.path, server)
        path = wire.notify_path(self.path, server)
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            raise StartRefusedError(
                f"folder {folder!r} is left from another server and could not be removed;"
                " unmount what is in it and remove it"
            ) from None
        before = os.umask(0o177)
        try:
            notify.bind(path)
        finally:
            os.umask(before)
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
            # First, since it answers without asking whatever file system is mounted there.
            os.rmdir(name, dir_fd=self._folder)
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                return False
        else:
            return True
        try:
            folder = os.open(
                name,
                os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
                dir_fd=self._folder,
            )
        except OSError:
            return False
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
        """Remove a server's folder, whatever its user put there; say so if it resists."""
        _try_to_remove(str(server), self._folder)

    def end(self) -> None:
        """Remove what is left, and the folder itself where nobody chose it."""
        _empty(self._folder)
        if self._ours:
            with contextlib.suppress(OSError):  # somebody put something there, or took its place
                os.rmdir(self.path)


def _claim_default() -> tuple[str, int]:
    """Lock the default place, or the first beside it that is neither in use nor unfit."""
    place = default_place(os.geteuid(), os.environ)
    refused = None
    for number in range(1, _PLACES + 1):
        path = place if number == 1 else f"{place}-{number}"
        try:
            return path, _claim(path)
        except SettingsError as error:
            refused = refused or error
    raise SettingsError(f"{refused} (nor could {place}-2 to -{_PLACES} be used)")


def _claim(path: str) -> int:
    """Make a folder where there is none, and lock it.

    Returns:
        Its descriptor; the lock is held as long as a copy of it is open.

    Raises:
        SettingsError: it cannot be made, is not safe, cannot be passed through, or is in use.
    """
    while True:
        try:
            try:
                os.mkdir(path, 0o711)
            except FileExistsError:
                pass
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise SettingsError(
                f"RUNTIME_DIR = {path!r}: {error.strerror}; choose a folder that Luisito owns"
            ) from None
        try:
            _lock(path, folder)
            if _is_still(path, folder):
                return folder
        except BaseException:
            os.close(folder)
            raise
        os.close(folder)


def _lock(path: str, folder: int) -> None:
    status, uid = os.fstat(folder), os.geteuid()
    if not is_ours(status, uid):
        raise SettingsError(
            f"RUNTIME_DIR = {path!r}: it must belong to the user Luisito is started as,"
            " and nobody else may write there; chown and chmod 711 it"
        )
    if uid == 0 and not may_pass(status):
        raise SettingsError(
            f"RUNTIME_DIR = {path!r}: the users of servers cannot pass through it; chmod 711 it"
        )
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SettingsError(
            f"RUNTIME_DIR = {path!r}: another Luisito uses it; give each its own"
        ) from None


def _is_still(path: str, folder: int) -> bool:
    """Whether a folder is still there: who held the lock before may have removed it."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(folder))
    except FileNotFoundError:
        return False


def _empty(folder: int) -> None:
    for name in os.listdir(folder):
        if name.isdigit() or name == preloaded.FOLDER:
            _try_to_remove(name, folder)
        elif name == wire.CONTROL:
            os.unlink(name, dir_fd=folder)


def _try_to_remove(name: str, folder: int) -> None:
    """Remove a folder or leave it: one that resists must not keep the others from anything."""
    try:
        remove_tree(name, folder)
    except OSError as error:
        print(  # noqa: T201 - the spawner has no other way to say so
            f"luisito spawner: folder {name} in RUNTIME_DIR is left there: {error.strerror};"
            " remove it once Luisito has ended",
            file=sys.stderr,
        )
