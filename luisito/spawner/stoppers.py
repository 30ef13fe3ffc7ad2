"""The stop commands that run (see `stopcommand`)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from luisito.spawner import stopcommand
from luisito.spawner.forking import fork

if TYPE_CHECKING:
    from luisito.spawner.containment import Containment
    from luisito.spawner.rlimits import Limits
    from luisito.spawner.server import Server


class Stoppers:
    """One for each server that is stopped so.

    Args:
        containment: says who our parent is.
    """

    __slots__ = ("_by_pid", "_containment")

    def __init__(self, containment: Containment) -> None:
        self._containment = containment
        self._by_pid: dict[int, int] = {}  # servers

    def start(self, server: Server, runtime_dir: str, group: str | None, limits: Limits) -> bool:
        """Run the stop command of a server; tell whether that can be.

        Args:
            server: that runs.
            runtime_dir: the folder of the servers' folders.
            group: the folder of its cgroup; None where it has none.
            limits: that servers get.
        """
        if not server.record or server.uid is None or server.code is not None:
            return False
        try:
            pid = fork()
        except OSError:
            return False
        if pid == 0:
            try:
                stopcommand.run(server, runtime_dir, group, self._containment.parent, limits)
            finally:
                os._exit(127)
        self._by_pid[pid] = server.id
        return True

    def reaped(self, pid: int, code: int) -> int | None:
        """Note the end of a process; tell the server whose command it was if that has failed."""
        server = self._by_pid.pop(pid, None)
        return server if code else None

    def of(self, server: int) -> list[int]:
        """List those of a server."""
        return [pid for pid, each in self._by_pid.items() if each == server]

    def pids(self) -> set[int]:
        """List all."""
        return set(self._by_pid)
