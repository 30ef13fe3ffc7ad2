"""Has the kernel merge pages that are alike (KSM) while hibernating sites are weighed.

How it scans is the machine's: what was found is put back (Documentation/admin-guide/mm/ksm.rst).
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.processes import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FOLDER = Path("/sys/kernel/mm/ksm")
# So many pages at once, that a scan takes seconds.
_SCANNING = {"pages_to_scan": "4000", "run": "1"}
_OVER_EXEC = (6, 7)  # Linux: what is to be merged is said before exec
# A page is merged when a scan finds it as the one before has; one scan more shows that all are.
_SCANS = 4
_LITTLE = 0.01  # of the weight: less is no change
_PATIENCE = 150.0


def lacks(folder: Path = _FOLDER) -> str:
    """What keeps hibernating sites from being merged here; "" for nothing."""
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if found is None or (int(found[1]), int(found[2])) < _OVER_EXEC:
        return f"run Linux {_OVER_EXEC[0]}.{_OVER_EXEC[1]} or later"
    if not os.access(folder / "run", os.W_OK):
        return "run as root, with a kernel that has KSM"
    with open("/proc/self/mounts") as mounts:
        if not any(line.split()[2] == "cgroup2" for line in mounts):
            return "mount a cgroup of version 2"
    return ""


@contextlib.contextmanager
def merging(folder: Path = _FOLDER) -> Iterator[None]:
    """Have the kernel look for such pages inside."""
    before = {name: (folder / name).read_text() for name in _SCANNING}
    try:
        for name, text in _SCANNING.items():
            (folder / name).write_text(text)
        yield
    finally:
        for name, text in reversed(before.items()):
            (folder / name).write_text(text)


def settled(weigh: Callable[[], float], folder: Path = _FOLDER) -> float:
    """What something weighs once all of it has been scanned, and no more is merged.

    Args:
        weigh: tells it.
        folder: where the kernel tells how often it has scanned.

    Raises:
        BenchError: it changes for too long.
    """
    deadline = time.monotonic() + _PATIENCE
    scans = _scans(folder)
    weight = weigh()
    while True:
        while _scans(folder) < scans + _SCANS:
            if time.monotonic() > deadline:
                raise BenchError(f"pages are still merged after {_PATIENCE:g} s")
            time.sleep(0.1)
        before, scans = weight, _scans(folder)
        weight = weigh()
        if weight > before * (1 - _LITTLE):
            return weight


def _scans(folder: Path) -> int:
    return int((folder / "full_scans").read_text())
