"""A cgroup for each server (cgroups(7)): it keeps the limits, and ends as one."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from luisito.core import cgroup
from luisito.spawner import cgroupfs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luisito.core.cgroup import Limits

_AGAIN = 0.25  # seconds until the removal of a cgroup that is busy is tried again
_NO_LIMIT = {
    "memory.max": "max", "memory.oom.group": "0", "cpu.max": f"max {cgroup.CPU_PERIOD}",
    "pids.max": "max",
}  # fmt: skip
_LAST_PATIENCE = 1.0  # seconds for the removal of all, which have ended by then


class Cgroups:
    """The cgroups of the servers, by number.

    Args:
        folder: of ours, where each has one.
        limits: that each is to keep.
        exclusive: no server may write there, so that none can leave its cgroup.
        lock: a descriptor of the folder above, whose lock is ours.

    Attributes:
        killers: of cgroup.kill, where there is one: to write "1" to it kills all servers, which
            anybody may who has it.
        lacking: by controllers that no site can have, why not.
    """

    __slots__ = (
        "_exclusive",
        "_files",
        "_folder",
        "_left",
        "_lock",
        "_loose",
        "_made",
        "_open",
        "_retry_at",
        "killers",
        "lacking",
    )

    def __init__(self, folder: str, limits: Limits, *, exclusive: bool, lock: int) -> None:
        self._folder = folder
        self._files = limits.files()
        self._exclusive = exclusive
        self._lock = lock
        self._made: dict[int, dict[str, str]] = {}  # with what was written where
        self._loose: set[int] = set()  # those that may leave theirs
        self._open: set[int] = set()  # those that have processes which are not in theirs yet
        self._left: set[int] = set()  # those that could not be removed yet
        self._retry_at = 0.0
        self.lacking: dict[str, str] = {}
        self.killers: tuple[int, ...] = ()
        with suppress(FileNotFoundError):  # before Linux 5.14
            self.killers = (os.open(f"{folder}/cgroup.kill", os.O_WRONLY | os.O_CLOEXEC),)

    def limit(self, limits: Limits, *, exclusive: bool) -> None:
        """Change what the cgroups of servers to come are to keep."""
        self._files = limits.files()
        self._exclusive = self._exclusive and exclusive

    def make(self, server: int) -> str | None:
        """Make a server's cgroup, with its limits.

        Returns:
            Its folder. None where it cannot be made, and no limit has to be kept.

        Raises:
            OSError: it cannot be made, and there are limits.
        """
        path = self._path(server)
        try:
            os.mkdir(path)
            for name, value in self._files.items():
                cgroupfs.write(f"{path}/{name}", value)
        except OSError:
            if self._files:
                self.remove(server)
                raise
            return None
        self._made[server] = self._files
        return path

    def limit_one(
        self, server: int, limits: Limits, said: Mapping[str, str], *, exclusive: bool
    ) -> str:
        """Have other limits kept by a server than by the others, before it is told to start.

        Args:
            server: whose cgroup was made.
            limits: all of its limits.
            said: what says each of them, by its controller (core.siteindex.Row.said).
            exclusive: it runs as another user than we do.

        Returns:
            Why they cannot be kept; "" where they are.
        """
        if not exclusive:
            self._loose.add(server)
        files, made = limits.files(), self._made.get(server)
        for controller, wanted in said.items():
            if made is None:
                return f"{wanted}: it has no cgroup of its own"
            if controller in self.lacking:
                return f"{wanted}: {self.lacking[controller]}; or remove that limit"
        if made is None:
            return ""
        lifted = {name: _NO_LIMIT[name] for name in made.keys() - files.keys()}
        self._made[server] = files
        try:
            for name, value in {**files, **lifted}.items():
                if made.get(name) != value:
                    cgroupfs.write(f"{self._path(server)}/{name}", value)
        except OSError as error:
            return f"limits of its site file: {error.filename}: {error.strerror}"
        return ""

    def folder_of(self, server: int) -> str | None:
        """Name the folder of a server's cgroup; None where it has none."""
        return self._path(server) if server in self._made else None

    def bounds(self, server: int) -> bool:
        """Tell whether a server's cgroup has limits to keep."""
        return bool(self._made.get(server))

    def pids(self, server: int) -> list[int] | None:
        """List all processes of a server; None where they have to be searched for."""
        folder = self.closed(server)
        return None if folder is None else cgroupfs.pids(folder)

    def closed(self, server: int) -> str | None:
        """Name the folder of a cgroup that has all of a server; None where there is none."""
        if server not in self._made or not self._exclusive or server in self._loose | self._open:
            return None
        return self._path(server)

    def leave_open(self, server: int) -> None:
        """Hear that a server has processes that are not in its cgroup, until `close`."""
        self._open.add(server)

    def close(self, server: int) -> None:
        """Hear that all of them are."""
        self._open.discard(server)

    def kill(self, server: int) -> None:
        """Kill all that is in a server's cgroup."""
        if server in self._made:
            cgroupfs.kill(self._path(server))

    def over_memory(self, server: int) -> bool:
        """Tell whether the kernel has ended processes of a server that was over its memory."""
        if "memory.max" not in self._made.get(server, ()):
            return False
        events = cgroupfs.text(f"{self._path(server)}/memory.events")
        # The machine's own want of memory counts as oom_kill, but not as oom.
        return bool(cgroup.counted(events, "oom") and cgroup.counted(events, "oom_kill"))

    def remove(self, server: int) -> None:
        """Remove a server's cgroup, soon if not now, and end what is still in it."""
        self._made.pop(server, None)
        self._loose.discard(server)
        self._open.discard(server)
        try:
            cgroupfs.remove(self._path(server))
        except OSError:
            cgroupfs.kill(self._path(server))
            self._left.add(server)
            self._retry_at = time.monotonic() + _AGAIN

    def tick(self, now: float) -> None:
        """Try to remove again what was busy."""
        if self._left and now >= self._retry_at:
            left, self._left = self._left, set()
            for server in left:
                self.remove(server)

    def deadline(self) -> float | None:
        """Tell when tick is worth calling next."""
        return self._retry_at if self._left else None

    def kill_all(self) -> None:
        """Kill every server."""
        cgroupfs.kill(self._folder)

    def end(self) -> None:
        """Remove all of ours, once nothing is in it."""
        with suppress(OSError):
            cgroupfs.remove_soon(self._folder, time.monotonic() + _LAST_PATIENCE)
            # Not where Luisito's own processes had to move into it; the next one finds them there.
            cgroupfs.remove(os.path.dirname(self._folder))

    def _path(self, server: int) -> str:
        return f"{self._folder}/{server}"
