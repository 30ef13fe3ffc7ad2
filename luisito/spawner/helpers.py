"""Forked helpers with a deadline: what may hang (a dead NFS server) must not stop a spawn."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from luisito.core import wire
from luisito.spawner import channel, privileges, tree, users
from luisito.spawner.containment import Containment, kill
from luisito.spawner.forking import fork

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from luisito.core.wire import Fact
    from luisito.spawner.config import Config

DEADLINE = 5.0  # seconds
_AGAIN = 1.0  # seconds from one kill to the next: in an uninterruptible sleep it has no effect yet
_AT_ONCE = 64  # helpers; a network process gone wild must not fork without end
_ABOUT_ONE = 8  # of them for one site, whose file system may hang, and leave none for the others


class _Helper:
    """One at work.

    Attributes:
        deadline: when it is killed, or killed again.
        failed: to be called when it has not done its work; None once it was.
        about: the site.
    """

    __slots__ = ("about", "deadline", "failed")

    def __init__(self, failed: Callable[[str], None], about: str | None) -> None:
        self.deadline = time.monotonic() + DEADLINE
        self.failed: Callable[[str], None] | None = failed
        self.about = about


class Helpers:
    """Starts helpers and notices when they end, or do not.

    Args:
        containment: says who our parent is.
        foreign: lists the descriptors that none of them may hold open, as their end is a sign.
    """

    __slots__ = ("_containment", "_foreign", "_running")

    def __init__(self, containment: Containment, foreign: Callable[[], list[int]] = list) -> None:
        self._containment, self._foreign = containment, foreign
        self._running: dict[int, _Helper] = {}

    def run(
        self,
        work: Callable[[], tuple[Fact, tuple[int, ...]] | None],
        failed: Callable[[str], None],
        sock: socket.socket | None = None,
        *,
        about: str | None = None,
    ) -> None:
        """Do some work in a process of its own, which sends its answer itself.

        Args:
            work: returns the fact to send and the descriptors beside it, or None for no answer.
            failed: called here with the reason when the helper has ended, or its time has, without
                its having done it.
            sock: where the answer goes; None where there never is one.
            about: the site that it is about.
        """
        busy = sum(each.about == about for each in self._running.values())
        if about is not None and busy >= _ABOUT_ONE:
            failed(f"{busy} of the spawner's helpers wait for this site's file system")
            return
        if len(self._running) >= _AT_ONCE:
            failed(f"{_AT_ONCE} of the spawner's helpers are busy; is a file system hanging?")
            return
        try:
            pid = fork()
        except OSError as error:
            failed(f"cannot fork: {error.strerror}")
            return
        if pid:
            self._running[pid] = _Helper(failed, about)
            return
        try:
            privileges.set_parent_death_signal(signal.SIGKILL)
            if os.getppid() == self._containment.parent:
                channel.close(self._foreign())
                answer = work()
                if answer is not None and sock is not None:
                    channel.insist(sock, wire.encode(answer[0]), answer[1])
                os._exit(0)
        finally:
            os._exit(1)

    def pids(self) -> set[int]:
        """List the helpers at work."""
        return set(self._running)

    def reaped(self, pid: int, code: int) -> bool:
        """Note the end of a process; tell whether it was a helper."""
        helper = self._running.pop(pid, None)
        if helper is None:
            return False
        if code:
            self._fail(helper)
        return True

    def tick(self, now: float) -> None:
        """Kill those that are late, and tell; one in an uninterruptible sleep lives on."""
        for pid, helper in self._running.items():
            if now >= helper.deadline:
                kill(pid, signal.SIGKILL)
                helper.deadline = now + _AGAIN
                self._fail(helper)

    def _fail(self, helper: _Helper) -> None:
        if helper.failed is not None:
            helper.failed(f"no answer within {DEADLINE:g} s; is its file system hanging?")
            helper.failed = None

    def deadline(self) -> float | None:
        """Tell when tick is worth calling next."""
        return min((helper.deadline for helper in self._running.values()), default=None)


def look_at_folder(config: Config, order: wire.AskFolder) -> wire.Folder:
    """Tell whether a site's folder exists and whose it is."""
    path = config.folder(order.site)
    if path is None:
        return wire.Folder(order.ask, False, None, None, "PROJECT_PATH is not set")
    try:
        if config.own_folder:
            users.become(config.identity(config.run_as, None, path))
        folder = users.open_folder(path, f"{path}/" if config.own_folder else config.fixed)
    except users.StartRefusedError as refused:
        return wire.Folder(order.ask, False, None, None, str(refused)[: wire.MAX_TEXT])
    status = os.fstat(folder)
    return wire.Folder(order.ask, True, status.st_uid, status.st_gid, "")


def look_for_socket(
    order: wire.AskOwns, pids: list[int], uid: int | None, gid: int | None
) -> wire.Owns:
    """Tell whether one of a server's processes has a socket open."""
    yes = tree.owns(pids, order.inode)
    if not yes and uid is not None and gid is not None and os.geteuid() == 0:
        # Without CAP_SYS_PTRACE (containers) root may not look, but the server's user may.
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        yes = tree.owns(pids, order.inode)
    return wire.Owns(order.ask, yes)
