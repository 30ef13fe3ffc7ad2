"""Opening and rotating log files, in folders that a tenant may be able to write to."""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import TYPE_CHECKING

from luisito.core import sitelog, wire
from luisito.core.keys import file_of
from luisito.errors import LuisitoError
from luisito.spawner.users import StartRefusedError, open_folder

if TYPE_CHECKING:
    from luisito.spawner.config import Config

# NONBLOCK: to open a FIFO would wait for its reader.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_MODE = 0o640
_MENDS = {
    errno.EACCES: "let the user of Luisito's spawner write there",
    errno.ELOOP: "it is a symbolic link; remove it",
    errno.ENOSPC: "make room",
}
_MOST_KEPT = 1000  # old files of a larger LOG_KEEP are looked for up to here


class LogRefusedError(LuisitoError):
    """A file that is there may not be used as a log; the message says why and the mend."""


def open_log(
    config: Config, order: wire.AskLog | wire.AskOwnLog
) -> tuple[wire.Log, tuple[int, ...]]:
    """Open a log file for appending, a new one where that is asked for; to be done by a helper.

    All is done by names in one open folder, and no link is followed there, nor any of a tenant's on
    the way there, so that whatever a tenant puts there or moves meanwhile, nothing outside of it is
    written or renamed.
    """
    path = config.access_log
    if isinstance(order, wire.AskOwnLog):
        path = config.log
    elif order.site is not None:
        path = config.output_log_dir and f"{config.output_log_dir}/{file_of(order.site)}.log"
    if path is None:
        return wire.Log(order.ask, "no such log is configured"), ()
    name = path.rpartition("/")[2]
    try:
        folder = _folder_of(path)
    except StartRefusedError as refused:
        return wire.Log(order.ask, f"log {path!r}: {refused}"), ()
    try:
        tenants = False
        if isinstance(order, wire.AskLog) and order.site is not None:
            tenants = True
            if order.rotate:
                _rotate(folder, name, config.log_max_size, config.log_keep)
        log, status = _open(folder, name, tenants=tenants)
    except OSError as error:
        mend = _MENDS.get(error.errno or 0, "look at what is in its folder")
        return wire.Log(order.ask, f"log {path!r}: {error.strerror}; {mend}"), ()
    except LogRefusedError as refused:
        return wire.Log(order.ask, f"log {path!r}: {refused}; remove it"), ()
    finally:
        os.close(folder)
    os.set_blocking(log, True)
    return wire.Log(order.ask, "", status.st_size, _ends_midline(log, status.st_size)), (log,)


def _folder_of(path: str) -> int:
    """Open the folder of a log; the operator has named all of it, a tenant may own some of it."""
    place = path.rpartition("/")[0]
    return open_folder(os.path.normpath(f"{place}/"), f"{place}/")


def read_tail(config: Config, order: wire.AskTail) -> tuple[wire.Log, tuple[int, ...]]:
    """Read the end of a site's log, as carefully as `open_log` opens it; to be done by a helper."""
    if config.output_log_dir is None:
        return wire.Log(order.ask, "no such log is configured"), ()
    path = f"{config.output_log_dir}/{file_of(order.site)}.log"
    try:
        folder = _folder_of(path)
        try:
            log, data = _read(folder, path.rpartition("/")[2], order, config.log_keep)
        finally:
            os.close(folder)
    except OSError as error:
        return wire.Log(order.ask, f"log {path!r}: {error.strerror}"), ()
    except (LogRefusedError, StartRefusedError) as refused:
        return wire.Log(order.ask, f"log {path!r}: {refused}"), ()
    tail = os.memfd_create("luisito-tail", os.MFD_CLOEXEC)
    os.write(tail, data)
    return log, (tail,)


def _read(folder: int, name: str, order: wire.AskTail, keep: int) -> tuple[wire.Log, bytes]:
    name, file, after, old = _meant(folder, name, order, keep)
    try:
        log, status = _open(folder, name, tenants=True, flags=_READING)
    except FileNotFoundError:
        if file:
            return _nothing(order)
        return wire.Log(order.ask, ""), b""  # nothing was written yet
    try:
        if file and _file(status) != file:
            return _nothing(order)
        start, end = sitelog.part(status.st_size, after)
        data = os.pread(log, end - start, start)
    finally:
        os.close(log)
    end = start + len(data)
    over = old and end >= status.st_size
    return wire.Log(order.ask, "", end, file=_file(status), over=over), data


def _nothing(order: wire.AskTail) -> tuple[wire.Log, bytes]:
    """What is told where a file has just been renamed: it is found when that is asked again."""
    return wire.Log(order.ask, "", order.after or 0, file=order.file), b""


def _meant(
    folder: int, name: str, order: wire.AskTail, keep: int
) -> tuple[str, str, int | None, bool]:
    """Find which of a log's files is told of: of one that was rotated the rest, then the next one.

    Returns:
        Its name; its `_file`, or "" where any with that name will do; what of it is known
        (sitelog.part); and whether another one was begun since.
    """
    if not order.file:
        return name, "", order.after, False
    newer: list[tuple[str, str]] = []
    for older in (name, *(f"{name}.{number}" for number in range(1, keep + 1))):
        try:
            status = os.stat(older, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue
        file = _file(status)
        if file != order.file:
            newer.append((older, file))
        elif newer and status.st_size <= (order.after or 0):
            return *newer[-1], 0, len(newer) > 1
        else:
            return older, file, order.after, bool(newer)
    return name, "", 0, False  # it is kept no more


def _file(status: os.stat_result) -> str:
    """By what a file is known when it has another name; no int, as some are beyond 2**63."""
    return str(status.st_ino)


def say(config: Config, words: str) -> None:
    """Write a line to the network process's own log, in the form of Twisted's."""
    _, descriptors = open_log(config, wire.AskOwnLog(0))
    at = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    for log in descriptors:
        try:
            os.write(log, f"{at} [luisito.spawner#critical] {words}\n".encode())
        except OSError:
            pass  # the disk is full
        os.close(log)


def _open(
    folder: int, name: str, *, tenants: bool, flags: int = _FLAGS
) -> tuple[int, os.stat_result]:
    log = os.open(name, flags, _MODE, dir_fd=folder)
    try:
        status = os.fstat(log)
        _check(status)
        if tenants:
            _check_owner(folder, status)
    except LogRefusedError:
        os.close(log)
        raise
    return log, status


def _check(status: os.stat_result) -> None:
    """Refuse what somebody may have put there so that we write to it."""
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise LogRefusedError("not a plain file with one name")


def _check_owner(folder: int, status: os.stat_result) -> None:
    """Refuse what somebody may have put there to read what another site says."""
    place = os.fstat(folder)
    trusted = status.st_uid in (0, os.geteuid(), place.st_uid)
    if not trusted and place.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise LogRefusedError(
            f"it belongs to uid {status.st_uid}, who may have put it into a folder that others may"
            " write to"
        )


def _ends_midline(log: int, size: int) -> bool:
    if not size:
        return False
    try:
        # By its descriptor, since the name may mean another file by now.
        reading = os.open(f"/proc/self/fd/{log}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False  # it may not be read
    try:
        return os.pread(reading, 1, size - 1) not in (b"\n", b"")
    finally:
        os.close(reading)


def _rotate(folder: int, name: str, limit: int, keep: int) -> None:
    """Rename a file to `name.1` and the older ones to the next number; drop what is too old.

    Not where the file is small: it has been rotated already, or emptied, by somebody else. Done
    again after an error, it goes on where it was. A rename puts nothing in another place.
    """
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode) or not sitelog.rotates(status.st_size, limit):
        return
    for number in range(keep + 1, _MOST_KEPT):
        if not _unlink(folder, f"{name}.{number}"):
            break
    if not keep:
        _unlink(folder, name)
    for number in range(keep, 0, -1):
        older = f"{name}.{number - 1}" if number > 1 else name
        try:
            os.rename(older, f"{name}.{number}", src_dir_fd=folder, dst_dir_fd=folder)
        except FileNotFoundError:
            continue


def _unlink(folder: int, name: str) -> bool:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True
