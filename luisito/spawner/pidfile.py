"""The network process's pidfile, which it may not remove once it has given up root."""

from __future__ import annotations

import os


class Pidfile:
    """A file to remove at the end, unless another one has taken its place by then.

    Args:
        path: absolute.
    """

    __slots__ = ("_path", "_which")

    def __init__(self, path: str) -> None:
        self._path = path
        self._which = _which(path)

    def remove(self) -> None:
        """Remove it; whether that works changes nothing for anybody who waits for the end."""
        if self._which is not None and _which(self._path) == self._which:
            try:
                os.unlink(self._path)
            except OSError:
                pass


def _which(path: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
