"""How nothing is left of the servers when the spawner ends, however it ends.

Either the servers live in a pid namespace whose first process dies with the spawner
(pid_namespaces(7): the kernel then kills the rest), or a guardian above the spawner outlives it
and kills what it left.
"""

from __future__ import annotations

import os
import signal
import time

from luisito.spawner import privileges, tree
from luisito.spawner.forking import fork

_PAUSE = 0.005  # seconds between two rounds of killing
_LAST_DEADLINE = 5.0  # seconds after which processes that cannot die are left to the kernel


class Containment:
    """What is in force.

    Attributes:
        kind: "pid-namespace" or "guardian".
        words: the same for a person.
        reaper: the pid that orphans of the servers become children of.
        parent: what getppid() answers in a child of ours as long as we live.
    """

    __slots__ = ("_guardian", "_lifeline", "init", "kind", "parent", "reaper", "words")

    def __init__(self, init: int | None, guardian: int, lifeline: int) -> None:
        self.init = init
        self._guardian = guardian
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

    def kill_all(self) -> None:
        """Kill every server with all its descendants, and reap them."""
        if self.init is not None:
            os.kill(self.init, signal.SIGKILL)
        kill_descendants()


def enter() -> Containment:
    """Put in force the best there is; in the guardian's process this never returns."""
    privileges.set_child_subreaper()
    try:
        privileges.unshare_pid_namespace()
    except OSError:
        return _under_guardian()
    watched, lifeline = os.pipe2(os.O_CLOEXEC)
    init = fork()
    if init == 0:
        _be_init(watched)
    os.close(watched)
    return Containment(init, 0, lifeline)


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
    child = os.fork()
    if child:
        _guard(child)
    privileges.set_parent_death_signal(signal.SIGTERM)
    privileges.set_child_subreaper()
    return Containment(None, guardian, -1)


def _guard(spawner: int) -> None:
    """Wait for the spawner, kill what it left; never returns."""
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # the pair too, or its end would go unseen
        _, status = os.waitpid(spawner, 0)
        code = os.waitstatus_to_exitcode(status)
        code = 128 - code if code < 0 else code
        kill_descendants()
    finally:
        os._exit(code)


def kill_descendants() -> None:
    """Kill everything below this process until nothing is left, and reap it."""
    deadline = time.monotonic() + _LAST_DEADLINE
    while time.monotonic() < deadline:
        for pid in tree.descendants(os.getpid()):
            kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(_PAUSE)


def kill(pid: int, number: int) -> None:
    """Signal a process that may have gone, or may not be ours any more."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass
