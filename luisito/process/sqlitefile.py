"""A file of SQLite's in STATE_DIR: opened with care, and set aside where it is none of ours."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

NAME: Final = "history.sqlite"
ASIDE: Final = f"{NAME}.aside"

_MODE: Final = 0o640
_BUSY: Final = 2.0  # seconds that one of two processes waits for the other
_BESIDE: Final = ("-wal", "-shm", "-journal")  # files of SQLite's own beside it
_BROKEN: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_READ: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAKE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class UnusableError(Exception):
    """It cannot be used now; the message says why."""


class SqliteFile:
    """The file, or the same in memory; for one thread.

    Nobody but the network process's user may write in the folder. Two network processes have it
    open for a while where one follows the other. Whoever has it open holds a shared lock (flock(2))
    on the folder, so that the file is never renamed under the other.

    Args:
        folder: STATE_DIR; None for one in memory.
        make_ready: is called with a new connection; makes what is missing, and returns why the
            file must be set aside, or "".

    Attributes:
        asides: why it was set aside, each time.
    """

    def __init__(self, folder: str | None, make_ready: Callable[[sqlite3.Connection], str]) -> None:
        self._folder, self._make_ready = folder, make_ready
        self._path = f"{folder}/{NAME}"
        self._connection: sqlite3.Connection | None = None
        self._lock = -1
        self._inode = 0
        self.asides: list[str] = []

    @contextmanager
    def use(self) -> Generator[sqlite3.Connection]:
        """The connection, opened where it is not.

        Raises:
            UnusableError: it cannot be used now, and may be later.
            OSError: likewise.
            sqlite3.Error: likewise, or whatever it was used for is wrong.
        """
        connection = self._open()
        try:
            yield connection
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            why = _broken(error)
            if self._folder is None or not why:
                raise
            self._set_aside(why)
            self.close()
            raise UnusableError(why) from None

    def close(self) -> None:
        """Closes it; what is asked for later opens it again."""
        if self._connection is not None:
            with suppress(sqlite3.Error):  # what was committed is there
                self._connection.close()
            self._connection = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and not self._has_gone():
            return self._connection
        self.close()
        try:
            if self._folder is None:
                self._connection = _connect(":memory:")
                self._make_ready(self._connection)
            else:
                self._hold(self._folder)
                why = _unfit(self._path) or self._connect()
                if why:
                    self._set_aside(why)
                    self._connect()
        except BaseException:
            self.close()
            raise
        if self._connection is None:
            self.close()
            raise UnusableError("it cannot be made anew")
        return self._connection

    def _has_gone(self) -> bool:
        """Whether somebody has removed it."""
        if self._folder is None:
            return False
        try:
            return os.lstat(self._path).st_ino != self._inode
        except FileNotFoundError:
            return True

    def _hold(self, folder: str) -> None:
        self._lock = os.open(folder, _READ)
        fcntl.flock(self._lock, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def _connect(self) -> str:
        """Opens it, made where it is missing; returns why it must be set aside, or ""."""
        # A descriptor of the file that is closed takes SQLite's own locks away (fcntl_locking(2)),
        # so that this is done only while there is no connection.
        with suppress(FileExistsError):
            descriptor = os.open(self._path, _MAKE, _MODE)
            os.fchmod(descriptor, _MODE)  # whatever the umask is; SQLite's own files get the same
            os.close(descriptor)
        self._inode = os.lstat(self._path).st_ino
        connection = _connect(f"file:{quote(self._path)}?mode=rw")
        try:
            why = self._make_ready(connection)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            why = _broken(error)
            if not why:
                connection.close()
                raise
        if why:
            connection.close()
        else:
            self._connection = connection
        return why

    def _set_aside(self, why: str) -> None:
        """Renames it, where nobody else uses it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnusableError(f"{why}; another process uses it") from None
        for end in (*_BESIDE, ""):
            with suppress(FileNotFoundError):
                os.unlink(f"{self._folder}/{ASIDE}{end}")
        for end in (*_BESIDE, ""):  # the file last: a new one must not find these beside it
            with suppress(FileNotFoundError):
                os.rename(f"{self._path}{end}", f"{self._folder}/{ASIDE}{end}")
        self.asides.append(why)
        fcntl.flock(self._lock, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, uri=True, timeout=_BUSY, isolation_level=None)
    # A letter that is damaged is no reason to lose all others.
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    return connection


def _unfit(path: str) -> str:
    """Why what has one of the names is none of ours; "" where it is, or there is nothing."""
    for end in ("", *_BESIDE):
        try:
            status = os.lstat(path + end)
        except FileNotFoundError:
            continue
        ours = status.st_uid == os.geteuid() and status.st_nlink == 1
        if not stat.S_ISREG(status.st_mode) or not ours:
            return "it is no plain file of Luisito's user"
    return ""


def _broken(error: sqlite3.Error | UnicodeDecodeError) -> str:
    """What is wrong with the file, where that is what it says; else ""."""
    if isinstance(error, UnicodeDecodeError):  # SQLite's words name what is damaged
        return "its schema is damaged"
    code = int(getattr(error, "sqlite_errorcode", 0))
    return str(error) if code & 0xFF in _BROKEN else ""
