"""Files of the network process, which it may not remove once it has given up root."""

from __future__ import annotations

import os
import stat


class Leftover:
    """A file to remove at the end, unless another one has taken its place by then.

    Args:
        path: absolute.
    """

    __slots__ = ("_path", "_which")

    def __init__(self, path: str) -> None:
        self._path = path
        self._which = _which(path)

    def look_again(self) -> None:
        """Take what is there now for it."""
        self._which = _which(self._path)

    def remove(self) -> None:
        """Remove it; whether that works changes nothing for anybody who waits for the end."""
        if self._which is not None and _which(self._path) == self._which:
            try:
                os.unlink(self._path)
            except OSError:
                pass


def _which(path: str) -> tuple[int, int, int, int] | None:
    """Tell which file it is; with its kind and time, since a new one may get an old inode."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, stat.S_IFMT(status.st_mode), status.st_mtime_ns
