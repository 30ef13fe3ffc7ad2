"""The processes that look at the folders of sites that are awake (see `watcher`)."""

from __future__ import annotations

import os
import select
import signal
import socket
from typing import TYPE_CHECKING

from luisito.core import wire
from luisito.spawner import privileges, watcher
from luisito.spawner.containment import Containment, kill
from luisito.spawner.forking import fork

if TYPE_CHECKING:
    from luisito.spawner.config import Config
    from luisito.spawner.sites import Record


class _Watcher:
    """One of them.

    Attributes:
        user: the uid and gid that it runs as.
        pid: of it.
        sock: our end of the pair.
        servers: for which it looks.
    """

    __slots__ = ("pid", "servers", "sock", "user")

    def __init__(self, user: tuple[int, int], pid: int, sock: socket.socket) -> None:
        self.user, self.pid, self.sock = user, pid, sock
        self.servers: set[int] = set()


class Watchers:
    """One for each user, and group, that servers of site files run as.

    Whatever becomes of it, since its user may kill it, or of what it says, nobody but that user has
    the harm.

    Args:
        containment: says who our parent is.
        poller: where they are waited for.
    """

    __slots__ = ("_by_descriptor", "_by_server", "_by_user", "_containment", "_pids", "_poller")

    def __init__(self, containment: Containment, poller: select.poll) -> None:
        self._containment, self._poller = containment, poller
        self._by_user: dict[tuple[int, int], _Watcher] = {}
        self._by_descriptor: dict[int, _Watcher] = {}
        self._by_server: dict[int, _Watcher] = {}
        self._pids: set[int] = set()

    def start(
        self, server: int, site: str, user: tuple[int, int], config: Config, record: Record
    ) -> None:
        """Have the folder of a server's site looked at; where that cannot be, it is not.

        Args:
            server: its number.
            site: its key.
            user: the uid and gid that it runs as.
            config: what it was started by.
            record: the run record of the site, of which that user may know.
        """
        task = watcher.Task(server, site, os.pread(record.file, record.size, record.offset))
        one = self._by_user.get(user)
        if one is None:
            one = self._begin(user, config, task)
        elif not self._say(one, watcher.encode(task)):
            return
        if one is not None:
            one.servers.add(server)
            self._by_server[server] = one

    def readable(self, descriptor: int) -> wire.Touched | None:
        """Read what one of them has seen; None where it is none of them, or that is of no use."""
        one = self._by_descriptor.get(descriptor)
        if one is None:
            return None
        try:
            data = one.sock.recv(watcher.LONGEST)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            self._close(one)
            return None
        number, _, what = data.decode("utf-8", "replace").partition(" ")
        server = int(number) if number.isascii() and number.isdigit() else 0
        return wire.Touched(server, what) if server in one.servers else None

    def stop(self, server: int) -> None:
        """A server is on its way out; harmless where nobody looks for it."""
        one = self._by_server.pop(server, None)
        if one is None:
            return
        one.servers.discard(server)
        if one.servers:
            self._say(one, b"%d" % server)
        else:
            self._close(one)
            kill(one.pid, signal.SIGKILL)

    def reaped(self, pid: int) -> None:
        """Note the end of a process, whether it was one of them or not."""
        self._pids.discard(pid)

    def pids(self) -> set[int]:
        """List them."""
        return set(self._pids)

    def _begin(self, user: tuple[int, int], config: Config, task: watcher.Task) -> _Watcher | None:
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:
            return None
        with theirs:
            try:
                pid = fork()
            except OSError:
                ours.close()
                return None
            if pid == 0:
                try:
                    privileges.set_parent_death_signal(signal.SIGKILL)
                    watcher.run(config, task, user[0], theirs, self._containment.parent)
                finally:
                    os._exit(0)
        ours.setblocking(False)
        one = self._by_user[user] = self._by_descriptor[ours.fileno()] = _Watcher(user, pid, ours)
        self._pids.add(pid)
        self._poller.register(ours, select.POLLIN)
        return one

    @staticmethod
    def _say(one: _Watcher, data: bytes) -> bool:
        """Tell it something; False where it does not listen."""
        try:
            one.sock.send(data)
        except OSError:
            return False
        return True

    def _close(self, one: _Watcher) -> None:
        """Hear no more of one."""
        del self._by_user[one.user], self._by_descriptor[one.sock.fileno()]
        for server in one.servers:
            del self._by_server[server]
        self._poller.unregister(one.sock)
        one.sock.close()
