"""Tells when what an interpreter has loaded is not what lies on the disk any more."""

from __future__ import annotations

import os
import sys
import time

from .prefixes import folders, known

_EACH = 1.0  # seconds from one look to the next
_ALL = 10.0  # seconds from one look at each file to the next


class Files:
    """The files that were loaded, and the folders where more would be found.

    What puts a file in the place of another, as pip and apt do, changes the folder, too; a file
    that is written over is seen when all files are looked at.
    """

    def __init__(self) -> None:
        paths = {known(module).get("__file__") for module in list(sys.modules.values())}
        self._packages = {path: contents(path) for path in packages()}
        paths.add(os.path.join(sys.prefix, "pyvenv.cfg"))
        for folder, names in self._packages.items():  # what says where there are more
            paths.update(f"{folder}/{name}" for name in names if name.endswith(".pth"))
        self._files = {path: stamp(path) for path in paths if path and isinstance(path, str)}
        folders = {*map(os.path.dirname, self._files), *self._packages}
        self._folders = {path: stamp(path) for path in folders}
        self._next = time.monotonic()
        self._all = self._next + _ALL

    def changed(self) -> str:
        """Name what has changed since, or ""; it looks once a second at most."""
        now = time.monotonic()
        if now < self._next:
            return ""
        self._next = now + _EACH
        found = {path: stamp(path) for path in self._folders}
        if found == self._folders and now < self._all:
            return ""
        self._folders, self._all = found, now + _ALL
        for path, names in self._packages.items():
            if contents(path) != names:
                return path
        changed = (path for path, before in self._files.items() if stamp(path) != before)
        return next(changed, "")


def packages() -> list[str]:
    """The folders on sys.path that belong to the environment."""
    return [folder for folder in sys.path if f"{folder}/".startswith(folders())]


def contents(folder: str) -> list[str]:
    """List a folder, without what Python itself puts into it as it imports."""
    try:
        return sorted(name for name in os.listdir(folder) if name != "__pycache__")
    except OSError:
        return []


def stamp(path: str) -> tuple[int, int, int] | None:
    """Give what is another one once a file has changed; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
