"""How nothing is left of the servers when the spawner ends, however it ends.

Either the servers live in a pid namespace whose first process dies with the spawner
(pid_namespaces(7): the kernel then kills the rest), or a guardian above the spawner outlives it
and kills what it left.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from luisito.spawner import privileges, tree
from luisito.spawner.forking import fork
from luisito.spawner.manager import HAS_SAID, GuardedManager, Manager, pass_on

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

# What the guardian passes on: to people it stands for the spawner, whose parent it is.
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_PAUSE = 0.005  # seconds between two rounds of killing
_LAST_DEADLINE = 5.0  # seconds after which processes that cannot die are left to the kernel


class Containment:
    """What is in force.

    Attributes:
        kind: "pid-namespace" or "guardian".
        words: the same for a person.
        reaper: the pid that orphans of the servers become children of.
        parent: what getppid() answers in a child of ours as long as we live.
        manager: who speaks to the service manager.
    """

    __slots__ = (
        "_guardian", "_inside", "_lifeline", "_outside", "init", "kind", "manager", "parent",
        "reaper", "words",
    )  # fmt: skip

    def __init__(
        self, init: int | None, guardian: int, lifeline: int, manager: Manager, outside: int = -1
    ) -> None:
        self.init, self.manager = init, manager
        self._guardian = guardian
        self._outside = self._inside = outside  # the namespaces of ourselves and of our children
        if init is not None:
            self._inside = os.open("/proc/self/ns/pid_for_children", os.O_RDONLY | os.O_CLOEXEC)
        self._lifeline = lifeline  # closed by our death, whatever its kind
        if init is not None:
            self.kind, self.reaper, self.parent = "pid-namespace", init, 0
            self.words = "servers live in a pid namespace that dies with the spawner"
        else:
            self.kind, self.reaper, self.parent = "guardian", os.getpid(), os.getpid()
            self.words = (
                "a guardian process kills the servers when the spawner dies (no CAP_SYS_ADMIN for"
                " a pid namespace)"
            )

    def abandoned(self) -> bool:
        """Tell whether our guardian has gone, so that nobody would clean up after us."""
        return self.init is None and os.getppid() != self._guardian

    @contextmanager
    def outside(self) -> Iterator[None]:
        """For a fork of what is no server: it would not outlive the namespace of the servers.

        Raises:
            OSError: the kernel does not let us.
        """
        if self.init is None:
            yield
            return
        privileges.enter_pid_namespace(self._outside)
        try:
            yield
        finally:
            privileges.enter_pid_namespace(self._inside)

    def kill_all(self, spared: Collection[int] = ()) -> dict[int, int]:
        """Kill every server with all its descendants, and reap them.

        Args:
            spared: children of ours that are no servers.

        Returns:
            How those that were spared have ended meanwhile, as of waitstatus_to_exitcode.
        """
        if self.init is not None:
            os.kill(self.init, signal.SIGKILL)
        return kill_descendants(spared)


def enter() -> Containment:
    """Put in force the best there is; in the guardian's process this never returns."""
    privileges.set_child_subreaper()
    try:
        outside = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return _under_guardian()
    try:
        privileges.unshare_pid_namespace()
    except OSError:
        os.close(outside)
        return _under_guardian()
    watched, lifeline = os.pipe2(os.O_CLOEXEC)
    init = fork()
    if init == 0:
        _be_init(watched)
    os.close(watched)
    return Containment(init, 0, lifeline, Manager(), outside)


def _be_init(watched: int) -> None:
    """Be pid 1 of the servers' namespace until the spawner has gone; never returns."""
    try:
        privileges.set_parent_death_signal(signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps orphans itself
        keep = os.dup2(watched, 3)
        os.closerange(keep + 1, os.sysconf("SC_OPEN_MAX"))
        os.chdir("/")
        os.read(keep, 1)
    finally:
        os._exit(0)


def _under_guardian() -> Containment:
    guardian = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    words, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    child = os.fork()
    if child:
        _guard(child, theirs.fileno())
    theirs.close()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    privileges.set_parent_death_signal(signal.SIGCHLD)  # which wakes us and means nothing else
    privileges.set_child_subreaper()
    return Containment(None, guardian, -1, GuardedManager(words, guardian))


def _guard(spawner: int, words: int) -> None:
    """Wait for the spawner with all signals blocked, kill what it left; never returns."""
    code = 1
    try:
        # The pair too, or its end would go unseen.
        keep = os.dup2(words, 3)
        os.closerange(keep + 1, os.sysconf("SC_OPEN_MAX"))
        heard = socket.socket(fileno=keep)
        while True:
            pid, status = os.waitpid(spawner, os.WNOHANG)
            if pid:
                break
            number = signal.sigwait((signal.SIGCHLD, HAS_SAID, *_PASSED_ON))
            if number == HAS_SAID:
                pass_on(heard)
            elif number != signal.SIGCHLD:
                os.kill(spawner, number)
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            code = 128 - code
            print("luisito: the spawner was killed, and all goes with it", file=sys.stderr)  # noqa: T201 - nobody else can say so
        kill_descendants()
    finally:
        os._exit(code)


def kill_descendants(spared: Collection[int] = ()) -> dict[int, int]:
    """Kill everything below this process until nothing is left, and reap it.

    Args:
        spared: children of ours that are neither killed nor waited for; they have none.

    Returns:
        How those that were spared have ended meanwhile, as of waitstatus_to_exitcode.
    """
    ended: dict[int, int] = {}
    deadline = time.monotonic() + _LAST_DEADLINE
    while time.monotonic() < deadline:
        left = [pid for pid in tree.descendants(os.getpid()) if pid not in spared]
        for pid in left:
            kill(pid, signal.SIGKILL)
        try:
            while (reaped := os.waitpid(-1, os.WNOHANG))[0]:
                if reaped[0] in spared:
                    ended[reaped[0]] = os.waitstatus_to_exitcode(reaped[1])
        except ChildProcessError:
            break
        if not left:
            break
        time.sleep(_PAUSE)
    return ended


def kill(pid: int, number: int) -> None:
    """Signal a process that may have gone, or may not be ours any more."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass
