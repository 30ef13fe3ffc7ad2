"""What was found of modules when they were tried, kept for the next interpreter."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import TYPE_CHECKING

from .stale import contents, packages

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FILE = "probed"
_LARGEST = 1 << 22  # bytes


class Verdicts:
    """What was found.

    Attributes:
        clean: modules that may be preloaded.
        dirty: the others, with what is against them.
    """

    def __init__(self, clean: Iterable[str] = (), dirty: Mapping[str, str] | None = None) -> None:
        self.clean, self.dirty = set(clean), dict(dirty or {})

    def join(self, clean: Iterable[str], dirty: Mapping[str, str]) -> None:
        """Take in what was found later."""
        self.dirty.update(dirty)
        self.clean.update(clean)
        self.clean.difference_update(self.dirty)


def stamp() -> str:
    """Give what is another one once the environment has changed."""
    digest = hashlib.sha256(sys.version.encode())
    python = os.path.realpath(sys.executable)
    for path in (python, f"{sys.prefix}/pyvenv.cfg", __file__):
        try:
            status = os.stat(path)
        except OSError:
            continue
        digest.update(f"{path}\0{status.st_mtime_ns}\0{status.st_size}\0".encode(errors="replace"))
    for path in packages():
        # What pip and apt install has its version in a name there.
        digest.update("\0".join((path, *contents(path))).encode(errors="replace"))
    return digest.hexdigest()


def read(folder: str) -> Verdicts:
    """Read what was found in the environment as it is; nothing, where nothing is known of it."""
    try:
        with open(f"{folder}/{_FILE}", encoding="utf-8") as file:
            kept = json.loads(file.read(_LARGEST))
        if kept["stamp"] == stamp():
            return Verdicts(
                map(str, kept["clean"]), {str(k): str(v) for k, v in kept["dirty"].items()}
            )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return Verdicts()


def write(folder: str, verdicts: Verdicts) -> None:
    """Keep what was found, where there is a place for that."""
    if not folder:
        return
    kept = {"stamp": stamp(), "clean": sorted(verdicts.clean), "dirty": verdicts.dirty}
    partial = f"{folder}/{_FILE}.{os.getpid()}"
    try:
        with open(partial, "w", encoding="utf-8") as file:
            json.dump(kept, file)
        os.replace(partial, f"{folder}/{_FILE}")
    except OSError:
        pass  # it is found out anew, then
