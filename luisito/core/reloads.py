"""What of a site's folder says that its server is to be replaced: a touched file, or new code."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Stamp = tuple[int, int, int]
"""What a change of a file changes: mtime in ns, size, inode."""

RESTART: Final = ("restart.txt", "tmp/restart.txt")  # as Passenger and puma-dev have them
PAUSE: Final = 1.0  # seconds from one look to the next, at least
SHARE: Final = 0.05  # of a core, at most, for looks at a large folder
_IGNORED: Final = frozenset({".git", ".hg", ".svn", "__pycache__", "node_modules"})
VIRTUALENV: Final = "pyvenv.cfg"  # a folder with such a file (Python's venv) is ignored, too


def is_code(path: str, patterns: Sequence[str]) -> bool:
    """Tell whether a file matters.

    Args:
        path: of it, below the folder.
        patterns: of names, or of paths where they have a slash; `*` is any text.
    """
    name = path.rpartition("/")[2]
    return any(fnmatchcase(path if "/" in pattern else name, pattern) for pattern in patterns)


def is_entered(name: str) -> bool:
    """Tell whether a folder of that name may have code."""
    return name not in _IGNORED


def touched(before: Mapping[str, Stamp], now: Mapping[str, Stamp]) -> str:
    """Tell which file is new or has changed; "" for none. To remove one is no touch."""
    return next((path for path, stamp in now.items() if before.get(path) != stamp), "")


def changed(before: Mapping[str, Stamp], now: Mapping[str, Stamp], *, whole: bool) -> str:
    """Tell which file of code has changed; "" for none.

    Args:
        before: the files of the last look.
        now: those of this one.
        whole: both looks have seen all; else only what both have seen is compared.
    """
    if not whole:
        now = {path: stamp for path, stamp in now.items() if path in before}
        before = {path: stamp for path, stamp in before.items() if path in now}
    return touched(before, now) or next((path for path in before if path not in now), "")


def pause(seconds: float) -> float:
    """Tell how long to wait after a look that took so long."""
    return max(PAUSE, seconds * (1 / SHARE - 1))
