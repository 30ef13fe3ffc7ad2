"""The processes that look at the folders of sites that are awake (see `watcher`)."""

from __future__ import annotations

import os
import select
import signal
from typing import TYPE_CHECKING, Final

from luisito.core import wire
from luisito.spawner import channel, privileges, watcher
from luisito.spawner.containment import Containment, kill
from luisito.spawner.forking import fork

if TYPE_CHECKING:
    from luisito.spawner.config import Config
    from luisito.spawner.sites import Record

_LONGEST: Final = 4096  # bytes that are read at a time


class Watchers:
    """One for each server of a site file.

    Args:
        containment: says who our parent is.
        poller: where they are waited for.
    """

    __slots__ = ("_by_pipe", "_containment", "_pids", "_pipes", "_poller")

    def __init__(self, containment: Containment, poller: select.poll) -> None:
        self._containment, self._poller = containment, poller
        self._by_pipe: dict[int, int] = {}  # servers by the reading ends
        self._pipes: dict[int, int] = {}  # and the other way round
        self._pids: dict[int, int] = {}  # by servers

    def start(self, server: int, site: str, uid: int, config: Config, record: Record) -> None:
        """Have the folder of a server's site looked at; where that cannot be, it is not."""
        try:
            ours, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return
        try:
            pid = fork()
        except OSError:
            channel.close([ours, theirs])
            return
        if pid == 0:
            try:
                privileges.set_parent_death_signal(signal.SIGKILL)
                watcher.run(config, record, site, uid, theirs, self._containment.parent)
            finally:
                os._exit(0)
        os.close(theirs)
        self._pids[server], self._pipes[server], self._by_pipe[ours] = pid, ours, server
        self._poller.register(ours, select.POLLIN)

    def readable(self, descriptor: int) -> wire.Touched | None:
        """Read what one of them has seen; None where it is none of them, or has ended."""
        server = self._by_pipe.get(descriptor)
        if server is None:
            return None
        try:
            data = os.read(descriptor, _LONGEST)
        except BlockingIOError:
            return None
        if not data:
            self._close(server)
            return None
        return wire.Touched(server, data.decode("utf-8", "replace").split("\n")[0])

    def stop(self, server: int) -> None:
        """A server is on its way out; harmless where nobody looks for it."""
        self._close(server)
        pid = self._pids.get(server)
        if pid is not None:
            kill(pid, signal.SIGKILL)

    def reaped(self, pid: int) -> None:
        """Note the end of a process, whether it was one of them or not."""
        for server, each in self._pids.items():
            if each == pid:
                del self._pids[server]
                return

    def pids(self) -> set[int]:
        """List them."""
        return set(self._pids.values())

    def _close(self, server: int) -> None:
        pipe = self._pipes.pop(server, None)
        if pipe is not None:
            del self._by_pipe[pipe]
            self._poller.unregister(pipe)
            os.close(pipe)
