"""Removing a folder that its owner may be filling, nesting or mounting on meanwhile."""

from __future__ import annotations

import ctypes
import errno
import os

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DETACH = 2 | 8  # MNT_DETACH | UMOUNT_NOFOLLOW, umount2(2)
_MOST = 1_000_000  # entries; then its owner is taken to be quicker than we are
_MOUNTS = 16  # that are taken off one entry, one above the other

_libc = ctypes.CDLL(None, use_errno=True)


def remove_tree(name: str, parent: int) -> None:
    """Remove a folder and all in it, following no symlink and entering no other file system.

    Folders in it are moved up into it before they are emptied, so that neither the stack nor the
    descriptors needed grow with the depth.

    Args:
        name: of the folder.
        parent: a descriptor of the folder that it is in, where its owner may not write.

    Raises:
        OSError: it resists.
    """
    try:
        _remove(name, parent, folder=True)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
    else:
        return
    top = _open_taken(name, parent)
    try:
        _empty(top)
    finally:
        os.close(top)
    _remove(name, parent, folder=True)


def _open_taken(name: str, parent: int) -> int:
    """Open a folder; where we are root, its owner can put nothing more into it from then on.

    Raises:
        OSError: it cannot be opened, or is of another file system.
    """
    folder = os.open(name, _FLAGS, dir_fd=parent)
    try:
        if os.fstat(folder).st_dev != os.fstat(parent).st_dev:
            raise OSError(errno.EXDEV, "something is mounted on it", name)
        if os.geteuid() == 0:
            os.fchown(folder, 0, 0)
        os.fchmod(folder, 0o700)
    except BaseException:
        os.close(folder)
        raise
    return folder


def _empty(top: int) -> None:
    """Go through a folder until it is empty; each turn removes one level of what is nested."""
    handled = 0
    while True:
        last: OSError | None = None
        before = handled
        with os.scandir(top) as entries:
            for entry in entries:
                try:
                    _take(entry.name, top, folder=entry.is_dir(follow_symlinks=False))
                    handled += 1
                except OSError as error:
                    last = error
                if handled > _MOST:
                    raise OSError(errno.ENOTEMPTY, "it is filled as fast as it is emptied")
        if handled == before:
            if last is not None:
                raise last
            return


def _take(name: str, top: int, *, folder: bool) -> None:
    try:
        _remove(name, top, folder=folder)
    except OSError as error:
        if not folder or error.errno != errno.ENOTEMPTY:
            raise
    else:
        return
    inner = _open_taken(name, top)
    try:
        with os.scandir(inner) as entries:
            for entry in entries:
                _remove_or_move(entry.name, inner, top, folder=entry.is_dir(follow_symlinks=False))
    finally:
        os.close(inner)


def _remove_or_move(name: str, inner: int, top: int, *, folder: bool) -> None:
    try:
        _remove(name, inner, folder=folder)
    except OSError as error:
        if not folder or error.errno != errno.ENOTEMPTY:
            raise
        os.close(_open_taken(name, inner))  # one that may not be written to cannot be moved either
        os.rename(name, os.urandom(16).hex(), src_dir_fd=inner, dst_dir_fd=top)


def _remove(name: str, parent: int, *, folder: bool) -> None:
    """Remove an empty folder or anything else, and whatever is mounted on it."""
    for _ in range(_MOUNTS):
        try:
            (os.rmdir if folder else os.unlink)(name, dir_fd=parent)
        except FileNotFoundError:
            return  # its owner was quicker
        except OSError as error:
            if error.errno != errno.EBUSY or not _detach(name, parent):
                raise
        else:
            return
    raise OSError(errno.EBUSY, "too much is mounted on it", name)


def _detach(name: str, parent: int) -> bool:
    """Take off what is mounted on an entry, without asking that file system anything."""
    path = os.fsencode(f"/proc/self/fd/{parent}/{name}")
    return os.geteuid() == 0 and _libc.umount2(path, _DETACH) == 0
