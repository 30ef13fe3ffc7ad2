"""Counts the CPU time of a process and of all that come from it, those that have ended too."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# cgroups(7): where Linux distributions mount version 2, and what counts in version 1.
_ROOTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/cpuacct")
# In seconds: what the kernel takes to let go of a cgroup whose processes have ended.
_PATIENCE = 5.0


class Account:
    """A cgroup, where one can be had."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def charge(self, argv: list[str]) -> list[str]:
        """The command, charged to this account from its start."""
        if self._folder is None:
            return argv
        script = 'echo $$ >"$0" && exec "$@"'
        return ["/bin/sh", "-c", script, str(self._folder / "cgroup.procs"), *argv]

    def seconds(self) -> float | None:
        """What was taken so far; None where it is not counted."""
        return None if self._folder is None else counted(self._folder)


def counted(folder: Path) -> float:
    """The CPU seconds of a cgroup of either version."""
    modern = folder / "cpu.stat"
    if modern.exists():
        fields = dict(line.split() for line in modern.read_text().splitlines())
        if "usage_usec" in fields:
            return int(fields["usage_usec"]) / 1e6
    return int((folder / "cpuacct.usage").read_text()) / 1e9


@contextlib.contextmanager
def account(name: str) -> Iterator[Account]:
    """An account of its own; one that counts nothing where no cgroup can be made."""
    folder = _made(f"luisito-bench-{os.getpid()}-{name}")
    try:
        yield Account(folder)
    finally:
        deadline = time.monotonic() + _PATIENCE
        while folder is not None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                folder.rmdir()
                break
            time.sleep(0.05)


def _made(name: str) -> Path | None:
    for root in map(Path, _ROOTS):
        folder = root / name
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            counted(folder)
        except (OSError, ValueError):
            folder.rmdir()
        else:
            return folder
    return None
