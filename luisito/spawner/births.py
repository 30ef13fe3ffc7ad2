"""Servers whose first process is forked by a preloaded interpreter: found, checked and told to go.

Such a process is our child all the same (CLONE_PARENT of clone(2)), but nobody has told us its pid.
The kernel does, with what it sends us.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from luisito.spawner import cgroupfs, tree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from luisito.spawner.cgroup import Cgroups
    from luisito.spawner.helpers import Helpers
    from luisito.spawner.server import Server

HERE: Final = b"here"  # says the child
_SETTLES: Final = 1.0  # seconds from its word until it is surely where it belongs
_GO: Final = b"go"  # it is told
_UCRED: Final = struct.Struct("3i")  # unix(7): pid, uid, gid
_ANCILLARY: Final = socket.CMSG_SPACE(_UCRED.size)


class Births:
    """Waits for them.

    Args:
        poller: where our ends of their pairs are waited for.
        helpers: for what may take its time.
        cgroups: that they are to be in; None where servers have none.
        known: lists our children that are something else.
    """

    __slots__ = ("_cgroups", "_helpers", "_known", "_last", "_of", "_poller")

    def __init__(
        self,
        poller: select.poll,
        helpers: Helpers,
        cgroups: Cgroups | None,
        known: Callable[[], Collection[int]],
    ) -> None:
        self._poller, self._helpers, self._cgroups = poller, helpers, cgroups
        self._known = known
        self._of: dict[int, Server] = {}  # by the descriptor
        self._last: dict[int | None, float] = {}  # when one was told to begin, by its uid

    def expect(self, server: Server) -> None:
        """Wait for the process of a server, whose start was handed over."""
        self._of[server.orders] = server
        self._poller.register(server.orders, select.POLLIN)

    def settled(self, uid: int | None, now: float) -> bool:
        """Tell whether no process of a user is on its way from an interpreter to its own place."""
        if any(server.uid == uid for server in self._of.values()):
            return False
        return now >= self._last.get(uid, 0.0) + _SETTLES

    def dismiss(self, server: Server) -> None:
        """Let whoever may come end by itself, which is noticed."""
        with socket.socket(fileno=os.dup(server.orders)) as orders:
            orders.shutdown(socket.SHUT_WR)

    def of(self, descriptor: int) -> Server | None:
        """Tell whose process may be there."""
        return self._of.get(descriptor)

    def forget(self, server: Server) -> None:
        """Wait no longer: whoever might still come is not wanted, and ends."""
        if self._of.pop(server.orders, None) is not None:
            self._poller.unregister(server.orders)
        if server.orders >= 0:
            os.close(server.orders)
            server.orders = -1

    def come(self, server: Server) -> int | str:
        """Look who has come; return its pid, or why it cannot be the server's process."""
        with socket.socket(fileno=os.dup(server.orders)) as orders:
            try:
                data, ancillary, *_ = orders.recvmsg(len(HERE) + 1, _ANCILLARY)
            except OSError as error:
                return str(error.strerror)
        if data != HERE:
            return "it has ended at once"
        pid, uid = 0, -1
        for level, kind, value in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                pid, uid, _ = _UCRED.unpack(value)
        if uid != server.uid:
            return f"it is of uid {uid}"
        status = tree.status(pid)
        if status is None or status.parent != os.getpid() or pid in self._known():
            return f"pid {pid} is no child of its own"
        return pid

    def go(self, server: Server, pid: int) -> None:
        """Put a process where a server belongs, and let it begin.

        Where its cgroup bounds nothing, it need not wait until it is there.
        """
        group = None if self._cgroups is None else self._cgroups.folder_of(server.id)
        bounded = self._cgroups is not None and self._cgroups.bounds(server.id)
        self._last[server.uid] = time.monotonic()
        orders = server.orders if group is not None and bounded else -1
        if orders < 0:
            _tell(server.orders)
        if group is not None:
            # It looks pids up as our children do.
            inner = tree.innermost(pid)
            self._helpers.run(lambda: _join(group, inner, orders), failed=lambda _message: None)
        self.forget(server)


def _join(group: str, pid: int, orders: int) -> None:
    """Move a process and what it has started into a cgroup; the kernel may take 20 ms for it."""
    cgroupfs.write(f"{group}/cgroup.procs", str(pid))
    if orders >= 0:
        _tell(orders)
        return
    for child in tree.descendants(pid):
        with suppress(OSError):  # it has ended
            cgroupfs.write(f"{group}/cgroup.procs", str(child))


def _tell(orders: int) -> None:
    with socket.socket(fileno=os.dup(orders)) as sock:
        try:
            sock.send(_GO, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError:
            pass  # it has gone already, which reaping tells
