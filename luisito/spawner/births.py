"""Servers whose first process is forked by a preloaded interpreter: found, checked and told to go.

Such a process is our child all the same (CLONE_PARENT of clone(2)), but nobody has told us its pid.
The kernel does, with what it sends us.
"""

from __future__ import annotations

import os
import select
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from luisito.spawner import cgroupfs, channel, tree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from luisito.spawner.cgroup import Cgroups
    from luisito.spawner.helpers import Helpers
    from luisito.spawner.server import Server

HERE: Final = b"here"  # says the child
# Seconds until one is moved that nothing bounds: it boots before that, and the next child is forked
# after that (`reserve`), so that the spawner copies its memory once.
_LATER: Final = 0.08
_SETTLES: Final = 1.0  # seconds from that until it is surely where it belongs
_GO: Final = b"go"  # it is told


class _Move(NamedTuple):
    """A process that is not in its server's cgroup yet."""

    server: Server
    pid: int
    group: str


class Births:
    """Waits for them, and has them moved where they belong.

    Args:
        poller: where our ends of their pairs are waited for.
        helpers: for what may take its time.
        cgroups: that they are to be in; None where servers have none.
        known: lists our children that are something else.
    """

    __slots__ = ("_cgroups", "_helpers", "_known", "_last", "_moved", "_moves", "_of", "_poller")

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
        self._last: dict[int | None, float] = {}  # when one was told to begin or moved, by its uid
        self._moves: list[tuple[float, _Move]] = []  # with the time when it is moved
        self._moved: list[tuple[float, int]] = []  # with the time when it has been, by its server

    def expect(self, server: Server) -> None:
        """Wait for the process of a server, whose start was handed over."""
        self._of[server.orders] = server
        self._poller.register(server.orders, select.POLLIN)

    def settled(self, interpreter: Server, living: Iterable[Server], now: float) -> bool:
        """Tell whether all that an interpreter has forked, which has ended, is in its own place.

        Args:
            interpreter: whose end has been reaped.
            living: all servers: a start from before that end may have been handed to it, and not
                have said so yet.
            now: seconds of the monotonic clock.
        """
        uid, ended = interpreter.uid, interpreter.reaped_at
        if any(
            one.status >= 0 and one.uid in (None, uid) and one.started <= ended for one in living
        ):
            return False
        coming = [*self._of.values(), *(move.server for _, move in self._moves)]
        if any(server.uid == uid for server in coming):
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
                data, pid, uid = channel.receive_signed(orders, len(HERE) + 1)
            except OSError as error:
                return str(error.strerror)
        if data != HERE:
            return "it has ended at once"
        if uid != server.uid:
            return f"it is of uid {uid}"
        status = tree.status(pid)
        if status is None or status.parent != os.getpid() or pid in self._known():
            return f"pid {pid} is no child of its own"
        return pid

    def go(self, server: Server, pid: int, forked_by: Iterable[int] = ()) -> None:
        """Let a process begin, and have it put where its server belongs.

        Where no cgroup bounds anything, it need not wait until it is there, nor share the processor
        with whoever moves it.

        Args:
            server: whose it is.
            pid: of it.
            forked_by: the interpreters that may have forked it, by their numbers: what bounds them
                is to bound no other site's server.
        """
        now = self._last[server.uid] = time.monotonic()
        group = None if self._cgroups is None else self._cgroups.folder_of(server.id)
        if self._cgroups is None or group is None:
            _tell(server.orders)
        elif any(map(self._cgroups.bounds, (server.id, *forked_by))):
            # It looks pids up as our children do.
            inner, orders = tree.innermost(pid), server.orders
            self._helpers.run(lambda: _join(group, inner, orders), failed=lambda _message: None)
        else:
            _tell(server.orders)
            self._cgroups.leave_open(server.id)
            self._moves.append((now + _LATER, _Move(server, pid, group)))
        self.forget(server)

    def tick(self, now: float) -> None:
        """Move those that it is time for, all by one helper."""
        while self._moved and now >= self._moved[0][0]:
            _, number = self._moved.pop(0)
            if self._cgroups is not None:
                self._cgroups.close(number)
        due = [move for at, move in self._moves if now >= at]
        if not due:
            return
        self._moves = [(at, move) for at, move in self._moves if now < at]
        due = [one for one in due if one.server.pid == one.pid and one.server.code is None]
        if not due:
            return
        places = [(one.group, tree.innermost(one.pid)) for one in due]
        for one in due:
            self._last[one.server.uid] = now
            self._moved.append((now + _SETTLES, one.server.id))

        def failed(_message: str) -> None:
            at = time.monotonic() + _SETTLES
            self._moves += [(at, one) for one in due]

        self._helpers.run(lambda: _move(places), failed)

    def deadline(self) -> float | None:
        """Tell when tick is worth calling next."""
        return min((at for at, _ in (*self._moves, *self._moved)), default=None)


def _join(group: str, pid: int, orders: int) -> None:
    """Move a process into a cgroup, then let it begin; the kernel may take 20 ms for it."""
    cgroupfs.write(f"{group}/cgroup.procs", str(pid))
    _tell(orders)


def _move(places: Sequence[tuple[str, int]]) -> None:
    """Move processes and what they have started into cgroups."""
    for group, pid in places:
        left = [pid]
        for each in left:  # grows while it is walked
            with suppress(OSError):  # it has ended
                cgroupfs.write(f"{group}/cgroup.procs", str(each))
            left += tree.children(each)  # not before: what it forks from now on is there already


def _tell(orders: int) -> None:
    with socket.socket(fileno=os.dup(orders)) as sock:
        try:
            sock.send(_GO, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError:
            pass  # it has gone already, which reaping tells
