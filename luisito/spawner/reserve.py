"""The child that waits for the next start, and those that were kept waiting in vain."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from luisito.core import wire
from luisito.spawner import tree
from luisito.spawner.containment import Containment, kill
from luisito.spawner.spare import Spare, fork_spare, rehearse

if TYPE_CHECKING:
    from luisito.spawner.cgroup import Cgroups
    from luisito.spawner.chooser import Chooser
    from luisito.spawner.config import Config
    from luisito.spawner.outbox import Outbox
    from luisito.spawner.rlimits import Limits
    from luisito.spawner.runtime import Runtime

# Seconds from a start to the fork of the next spare, which would take the processor from the boot
# of what was started.
_AFTER = 0.1
_FORK_AGAIN = 1.0  # seconds until a fork that failed is tried again


class Reserve:
    """Has a child forked before it is needed, and forks one where none fits.

    Args:
        runtime: where its folder is.
        containment: what it lives in.
        cgroups: where it joins one; None where servers have none.
    """

    __slots__ = (
        "_at", "_cgroups", "_chooser", "_config", "_containment", "_limits", "_next", "_outbox",
        "_runtime", "_spare", "_unfit",
    )  # fmt: skip

    _config: Config
    _limits: Limits
    _outbox: Outbox

    def __init__(self, runtime: Runtime, containment: Containment, cgroups: Cgroups | None) -> None:
        self._runtime, self._containment, self._cgroups = runtime, containment, cgroups
        self._chooser: Chooser | None = None
        self._spare: Spare | None = None
        self._at = 0.0  # when one is forked, where there is none
        self._unfit: dict[int, int] = {}  # by pid: those on their way out, and whom they were for
        self._next = 1  # the number of the next server: whoever orders them counts

    def serve(self, config: Config, limits: Limits, outbox: Outbox, chooser: Chooser | None) -> int:
        """Fork for another one from now on; return the highest number so far."""
        self._config, self._limits, self._outbox, self._chooser = config, limits, outbox, chooser
        if self._spare is not None:
            # Whoever ordered before could still speak to it. Its folder goes when it is reaped.
            self._drop()
            self._next += 1
        self._at = 0.0
        return self._next - 1

    @property
    def pid(self) -> int:
        """Of the one that waits; 0 where none does."""
        return 0 if self._spare is None else self._spare.pid

    def take(self, server: int) -> Spare:
        """Give away the one that waits, where it fits, or a new one.

        Raises:
            OSError: there is none, and none can be forked.
        """
        # Never the number of one that lives; and the next one fits also where this start fails.
        self._next = max(self._next, server + 1)
        if self._spare is not None and self._spare.server != server:
            self._drop()  # it has prepared for another server
        spare, self._spare = self._spare, None
        spare = spare or self._fork(server, early=False)
        self._at = time.monotonic() + _AFTER
        return spare

    def tick(self, now: float) -> None:
        """Fork one, where there is none and it is time."""
        if self._spare is None and now >= self._at:
            self._prepare(now)

    def deadline(self) -> float | None:
        """Tell when tick is worth calling next."""
        return self._at if self._spare is None else None

    def reaped(self, pid: int) -> int | None:
        """Note the end of a process; return whom it was for, which is never to be, if it waited."""
        if self._spare is not None and pid == self._spare.pid:
            self._spare.close()
            self._unfit[pid] = self._spare.server
            self._spare = None
        server = self._unfit.pop(pid, None)
        if server is not None:
            self._kill_below(server, pid)
        return server

    def _prepare(self, now: float) -> None:
        self._at = now + _FORK_AGAIN  # where this fails; a start will try before, and tell
        try:
            self._spare = spare = self._fork(self._next, early=True)
        except OSError:
            return
        if self._config.alike:
            self._outbox.send(wire.Spare(self._next), (spare.orders,))
        rehearse(self._config)

    def _fork(self, server: int, *, early: bool) -> Spare:
        questions = -1 if self._chooser is None else self._chooser.questions
        group = None if self._cgroups is None else self._cgroups.make(server)
        try:
            return fork_spare(
                self._config,
                self._runtime,
                self._containment.parent,
                self._limits,
                server,
                questions,
                group,
                early=early,
            )
        except OSError:
            if self._cgroups is not None:
                self._cgroups.remove(server)
            raise

    def _drop(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            self.refuse(spare)

    def refuse(self, spare: Spare) -> None:
        """End one that nobody will need."""
        self._kill_below(spare.server, spare.pid)
        kill(spare.pid, signal.SIGKILL)
        self._unfit[spare.pid] = spare.server
        spare.close()

    def _kill_below(self, server: int, pid: int) -> None:
        """Kill what one has started that was told of its start directly, but never ordered."""
        orphans = tree.children(self._containment.reaper)
        for top in [pid, *(orphan for orphan in orphans if tree.belongs(orphan, server, pid))]:
            for each in [*tree.descendants(top), top]:
                if each != pid:
                    kill(each, signal.SIGKILL)
