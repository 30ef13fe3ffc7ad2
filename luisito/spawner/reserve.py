"""The children that wait for the next starts, and those that were kept waiting in vain."""

from __future__ import annotations

import resource
import signal
import time
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

from luisito.core import wire
from luisito.spawner import rehearsal, tree
from luisito.spawner.containment import Containment, kill
from luisito.spawner.spare import Spare, fork_spare, have_ready
from luisito.spawner.starter import Starter

if TYPE_CHECKING:
    from luisito.spawner.cgroup import Cgroups
    from luisito.spawner.chooser import Chooser
    from luisito.spawner.config import Config
    from luisito.spawner.outbox import Outbox
    from luisito.spawner.rlimits import Limits
    from luisito.spawner.runtime import Runtime

# Starts that follow each other within so many seconds are a burst. Else so many pass until another
# child is forked, which would take the processor from the boot of what was started.
_AFTER = 0.1
# How many are forked at once in a burst: what we write to after a fork is copied, page by page,
# whether one is forked or several.
_IN_A_BURST = 4
_FORK_AGAIN = 1.0  # seconds until a fork that failed is tried again
_STARTERS = 3  # of which none has had a child ready: none can here


class Reserve:
    """Has children forked before they are needed, and forks one where none fits.

    Args:
        runtime: where its folder is.
        containment: what it lives in.
        cgroups: where it joins one; None where servers have none.
    """

    __slots__ = (
        "_at", "_burst", "_cgroups", "_chooser", "_closed", "_config", "_containment", "_limits",
        "_most", "_next", "_outbox", "_runtime", "_spares", "_starter", "_starters", "_taken",
        "_unfit",
    )  # fmt: skip

    _config: Config
    _limits: Limits
    _outbox: Outbox

    def __init__(self, runtime: Runtime, containment: Containment, cgroups: Cgroups | None) -> None:
        self._runtime, self._containment, self._cgroups = runtime, containment, cgroups
        self._chooser: Chooser | None = None
        self._spares: dict[int, Spare] = {}  # by the number that their order must name
        self._at = 0.0  # when some are forked, where there are none
        self._most = 1  # that are forked at once
        self._taken = -inf  # when the last one was
        self._burst = False
        self._unfit: dict[int, int] = {}  # by pid: those on their way out, and whom they were for
        self._next = 1  # the number of the next server: whoever orders them counts
        self._starter: Starter | None = None
        self._closed: set[int] = set()  # starters that are about to end
        self._starters = 0  # that have been started since one has had a child ready

    def serve(self, config: Config, limits: Limits, outbox: Outbox, chooser: Chooser | None) -> int:
        """Fork for another one from now on; return the highest number so far."""
        self._config, self._limits, self._outbox, self._chooser = config, limits, outbox, chooser
        # Those that are the user already count as his processes.
        self._most = 1 if config.alike and resource.RLIMIT_NPROC in limits else _IN_A_BURST
        if self._spares:
            # Whoever ordered before could still speak to them. Their folders go as they are reaped.
            self._next = max(self._spares) + 1
            self._drop()
        self._at = 0.0
        self._starters = 0
        if self._starter is not None:  # what our children inherit, it has from its own start
            self._starter.close()
            self._closed.add(self._starter.pid)
            self._starter = None
        self._start_starter()
        return self._next - 1

    def _start_starter(self) -> None:
        """Start the program that has children ready, where it was built and has not failed."""
        if self._config.alike and self._starters < _STARTERS:
            self._starters += 1
            with suppress(OSError):
                self._starter = Starter(self._containment.parent)

    @property
    def pids(self) -> set[int]:
        """Of those that wait, and of whoever has or had them ready."""
        pids = self._closed.union(spare.pid for spare in self._spares.values())
        if self._starter is not None:
            pids.add(self._starter.pid)
        return pids

    def take(self, server: int) -> Spare:
        """Give away the one that waits for a number, or a new one.

        Raises:
            OSError: there is none, and none can be forked.
        """
        # Never the number of one that lives; and the next one fits also where this start fails.
        self._next = max(self._next, server + 1)
        spare = self._spares.pop(server, None)
        self._drop(server)  # they have prepared for other servers
        if spare is None:
            spare = self._fork(server, early=False)
        now = time.monotonic()
        self._burst = self._most > 1 and now < self._taken + _AFTER
        self._taken = now
        self._at = now if self._burst else now + _AFTER
        return spare

    def tick(self, now: float, most: int) -> None:
        """Fork some, where there are none and it is time, `most` at most; keep one in the end."""
        if len(self._spares) > 1 and now >= self._taken + _FORK_AGAIN:  # the burst is over
            for number in sorted(self._spares)[1:]:
                self.refuse(self._spares.pop(number))
                if self._config.alike:
                    self._outbox.send(wire.Spare(number))
        if self._spares or now < self._at:
            return
        for _ in range(min(most, self._most) if self._burst else 1):
            self._prepare(now)
        if not self._burst:
            rehearsal.by_spawner(self._config)
        self._burst = False

    def deadline(self) -> float | None:
        """Tell when tick is worth calling next."""
        if len(self._spares) > 1:
            return self._taken + _FORK_AGAIN
        return None if self._spares else self._at

    def reaped(self, pid: int) -> int | None:
        """Note the end of a process; return whom it was for, which is never to be, if it waited."""
        if self._starter is not None and self._starter.pid == pid:
            self._starter.close()
            self._starter = None
        self._closed.discard(pid)
        for spare in self._spares.values():
            if spare.pid == pid:
                del self._spares[spare.server]
                spare.close()
                self._unfit[pid] = spare.server
                break
        server = self._unfit.pop(pid, None)
        if server is not None:
            self._kill_below(server, pid)
        return server

    def _prepare(self, now: float) -> None:
        self._at = now + _FORK_AGAIN  # where this fails; a start will try before, and tell
        number = max(self._spares, default=self._next - 1) + 1
        if self._starter is None:
            self._start_starter()
        try:
            self._spares[number] = spare = self._fork(number, early=True, calm=not self._burst)
        except OSError:
            return
        if self._config.alike:
            self._outbox.send(wire.Spare(number), (spare.orders,))

    def _fork(self, server: int, *, early: bool, calm: bool = False) -> Spare:
        questions = -1 if self._chooser is None else self._chooser.questions
        group = None if self._cgroups is None else self._cgroups.make(server)
        try:
            if self._starter is not None and not self._starter.deaf and self._config.alike:
                made = have_ready(
                    self._starter, self._config, self._runtime, self._limits, server, group
                )
                if made is not None:
                    self._starters = 0
                    return made
            return fork_spare(
                self._config,
                self._runtime,
                self._containment.parent,
                self._limits,
                server,
                questions,
                group,
                early=early,
                calm=calm,
            )
        except OSError:
            if self._cgroups is not None:
                self._cgroups.remove(server)
            raise

    def _drop(self, below: float = inf) -> None:
        for number in [number for number in self._spares if number < below]:
            self.refuse(self._spares.pop(number))

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
