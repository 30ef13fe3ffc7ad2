"""SITES_DIR: its files, each opened so that no link, device or pipe is followed."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple, Self

from luisito.errors import SettingsError
from luisito.settings.sites.making import SUFFIX
from luisito.settings.sites.toml import LARGEST, failed
from luisito.settings.sites.words import shown

if TYPE_CHECKING:
    from luisito.settings.sites.trust import Trust

BASE = ".base.toml"

Stamp = list[int]
"""What a change of a file changes: mtime and ctime in ns, size, inode."""


class Source(NamedTuple):
    """A file that was read.

    Attributes:
        data: what it holds.
        status: of that very file.
    """

    data: bytes
    status: os.stat_result


class Folder:
    """SITES_DIR, opened; a context manager that closes it.

    Args:
        path: of it, absolute.
        trust: who may write into it.

    Attributes:
        path: of it.

    Raises:
        SettingsError: it cannot be opened, or others may write into it.
    """

    def __init__(self, path: str, trust: Trust) -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise SettingsError(
                f"SITES_DIR = {shown(path)}: {error.strerror}; write the path of a folder"
            ) from None
        try:
            trust.check_folder(path, os.fstat(self._fd))
        except SettingsError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes it."""
        os.close(self._fd)

    def sites(self) -> list[str]:
        """The names of site files, in order; what they are is not looked at.

        Raises:
            SettingsError: it cannot be read.
        """
        try:
            names = os.listdir(self._fd)
        except OSError as error:
            raise SettingsError(
                f"SITES_DIR = {shown(self.path)}: it cannot be read: {error.strerror}; mend that"
            ) from None
        return sorted(
            name
            for name in names
            if name.endswith(SUFFIX) and not name.endswith(BASE) and not name.startswith(".")
        )

    def stamp(self, name: str) -> Stamp | None:
        """The stamp of a file; None where there is none."""
        try:
            return stamp(os.stat(name, dir_fd=self._fd, follow_symlinks=False))
        except OSError:
            return None

    def of(self, name: str) -> str:
        """The path of a file."""
        return os.path.join(self.path, name)

    def read(self, name: str) -> Source | None:
        """Reads a file; None where there is none.

        Raises:
            SiteFileError: it cannot be read, is no regular file, has other names or is too large.
        """
        path = self.of(name)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            before = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
            if stat.S_ISLNK(before.st_mode):
                raise failed(path, "is a symbolic link; put the file itself there")
            if not stat.S_ISREG(before.st_mode):  # to open a device may do things
                raise failed(path, "is no regular file; remove it")
            file = os.open(name, flags, dir_fd=self._fd)
            try:
                status = os.fstat(file)
                if not stat.S_ISREG(status.st_mode):
                    raise failed(path, "is no regular file; remove it")
                if status.st_nlink > 1:
                    what = "has other names (hard links), by which others may write it"
                    raise failed(path, f"{what}; copy it, and put the copy in its place")
                return Source(_all(file), status)
            finally:
                os.close(file)
        except FileNotFoundError:
            return None
        except OSError as error:
            mend = "let whoever starts Luisito read it"
            raise failed(path, f"cannot be read: {error.strerror}; {mend}") from None


def _all(file: int) -> bytes:
    """What a file holds, or a little more than it may."""
    data = b""
    while len(data) <= LARGEST and (more := os.read(file, LARGEST + 1 - len(data))):
        data += more
    return data


def stamp(status: os.stat_result) -> Stamp:
    """What a change of a file changes."""
    return [status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino]
