"""Says which modules a server has imported, for an interpreter that will import them before."""

from __future__ import annotations

import json
import os
import sys
import time
from itertools import islice

from .prefixes import belongs

VARIABLE = "LUISITO_LEARN"
"""Names the file that a server writes, and to an interpreter the folder of these files."""

AFTER = 1.0  # seconds from the beginning until it is said, where nobody asks for anything sooner
_ALL, _MORE = ".modules", ".more"  # what ends the names: of what a server has, of what it has more
_MOST = 20_000  # names


class Loaded:
    """How many modules there were when this process was forked; 0 where it was not."""

    before = 0


class Learning:
    """Looks when that is worth saying; says it once."""

    def __init__(self) -> None:
        self._path = os.environ.get(VARIABLE, "")
        self._at = time.monotonic() + AFTER

    def look(self, answered: int) -> None:
        """Say it when something has been answered, or some time has passed."""
        if self._path and (answered or time.monotonic() >= self._at):
            self.write()

    def write(self) -> None:
        """Write the names of all modules that other sites could share."""
        path, self._path = self._path, ""
        if not path:
            return
        path += _MORE if Loaded.before else _ALL
        # From the end: to look at a module that was there before would copy its pages.
        more = max(0, len(sys.modules) - Loaded.before)  # an app may have removed some
        new = list(islice(reversed(sys.modules), more))
        names = sorted(name for name in new if belongs(sys.modules.get(name)))[:_MOST]
        try:
            if _read(path) != names:
                with open(f"{path}.{os.getpid()}", "w", encoding="utf-8") as file:
                    json.dump(names, file)
                os.replace(f"{path}.{os.getpid()}", path)
        except OSError:
            pass  # the folder has gone, or the disk is full: nothing is learned


def _read(path: str) -> list[str] | None:
    """What a server has said; None where it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.loads(file.read(1 << 20))
    except (OSError, ValueError, RecursionError):
        return None
    return list(map(str, found)) if isinstance(found, list) else None


def learned(folder: str) -> list[str]:
    """Tell which modules at least half of the sites have imported, a package before its modules.

    Those that were forked say what they have imported beside what there was already.
    """
    try:
        paths = [os.path.join(folder, name) for name in os.listdir(folder)]
    except OSError:
        return []
    wanted: set[str] = set()
    for suffix in (_ALL, _MORE):
        said = (_read(path) for path in paths if path.endswith(suffix))
        found = [names for names in said if names is not None]
        counts: dict[str, int] = {}
        for name in (name for names in found for name in names):
            counts[name] = counts.get(name, 0) + 1
        wanted |= {name for name, count in counts.items() if 2 * count >= len(found)}
    # What begins with "_" comes with what it is a part of: _asyncio, where it is the first to be
    # imported, is made twice (CPython 3.11), and no task would know itself.
    return sorted(wanted, key=lambda name: (name.startswith("_"), name))
