"""Reads what somebody names: regular files of text, of a size that people write, and folders."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final, NamedTuple

from luisito.errors import ImportFailed

LARGEST: Final = 1024 * 1024  # bytes of a file
MOST: Final = 10_000  # names in a folder, and files in all

_MEND: Final = {
    errno.ENOENT: "look at its name",
    errno.ELOOP: "mend its symbolic links",
    errno.EACCES: "read it as root",
}


class TooMany(ImportFailed):
    """More is to be read than anybody has: that ends it all."""


class Source(NamedTuple):
    """A file that was read.

    Attributes:
        path: of it.
        text: of it.
        hidden: not everybody may read it.
    """

    path: str
    text: str
    hidden: bool


class Files:
    """The files of one import.

    Args:
        root: where the absolute paths begin that files say; "/" on the machine itself.
    """

    def __init__(self, root: str = "/") -> None:
        self._root = os.path.abspath(root)
        self._left = MOST

    def real(self, path: str) -> str:
        """Where a path that a file says is to be read."""
        if self._root == "/":
            return path
        return os.path.join(self._root, os.path.normpath(path).lstrip("/"))

    def read(self, path: str) -> Source:
        """Reads a file, links followed.

        Args:
            path: of it, as `real` gives it.

        Raises:
            ImportFailed: it cannot be read, or is no text; one line.
            TooMany: of files.
        """
        self._left -= 1
        if self._left < 0:
            raise TooMany(f"{path}: is one of more than {MOST} files; name fewer at a time")
        try:
            # to open a device may do things
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise ImportFailed(f"{path}: is no regular file; leave it out")
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            with open(os.open(path, flags), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise ImportFailed(f"{path}: is no regular file; leave it out")
                data = file.read(LARGEST + 1)
        except OSError as error:
            raise _failed(path, error) from None
        if len(data) > LARGEST:
            raise ImportFailed(f"{path}: is larger than {LARGEST} bytes; leave it out")
        if b"\0" in data:
            raise ImportFailed(f"{path}: is no text, it has NUL characters; leave it out")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise ImportFailed(f"{path}:{line}: is not UTF-8; write that line in UTF-8") from None
        return Source(path, text.replace("\r\n", "\n"), not status.st_mode & stat.S_IROTH)

    def names(self, path: str) -> list[str]:
        """The names in a folder, in order, without those that begin with a dot or end in ~.

        Raises:
            ImportFailed: it cannot be read, or has too many.
        """
        try:
            with os.scandir(path) as entries:
                found: list[str] = []
                for entry in entries:
                    if len(found) == MOST:
                        raise ImportFailed(f"{path}: has more than {MOST} files; name some of them")
                    if not entry.name.startswith(".") and not entry.name.endswith("~"):
                        found.append(entry.name)
        except OSError as error:
            raise _failed(path, error) from None
        return sorted(found)


def _failed(path: str, error: OSError) -> ImportFailed:
    mend = _MEND.get(error.errno or 0, "leave it out")
    return ImportFailed(f"{path}: cannot be read: {error.strerror}; {mend}")


def is_folder(path: str) -> bool:
    """Whether it is a folder, or a link to one."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def is_there(path: str) -> bool:
    """Whether there is something, as far as we may see."""
    try:
        os.stat(path)
    except (OSError, ValueError):
        return False
    return True
