"""Tells when what an interpreter has loaded is not what lies on the disk any more."""

from __future__ import annotations

import os
import sys
import time

from .prefixes import folders

_EACH = 1.0  # seconds from one look to the next


class Files:
    """The files that were loaded, and the folders where more would be found."""

    def __init__(self) -> None:
        paths = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
        paths.add(os.path.join(sys.prefix, "pyvenv.cfg"))
        self._stamps = {str(path): _stamp(path) for path in paths if path}
        self._folders = {path: (_stamp(path), contents(path)) for path in packages()}
        self._next = 0.0

    def changed(self) -> str:
        """Name a file that has changed since, or ""; it looks once a second at most."""
        now = time.monotonic()
        if now < self._next:
            return ""
        self._next = now + _EACH
        for path, (stamp, names) in self._folders.items():
            found = _stamp(path)
            if found != stamp:
                if contents(path) != names:
                    return path
                self._folders[path] = found, names
        changed = (path for path, stamp in self._stamps.items() if _stamp(path) != stamp)
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


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
