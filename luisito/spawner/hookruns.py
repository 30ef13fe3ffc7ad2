"""The commands of hooks that run (see `hookcommand`): each has its time, and leaves nothing."""

from __future__ import annotations

import os
import resource
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from luisito.core import hooks, wire
from luisito.core.cgroup import Limits as GroupLimits
from luisito.core.ending import code_and_signal
from luisito.spawner import hookcommand, tree
from luisito.spawner.checks import wrong_site
from luisito.spawner.containment import kill
from luisito.spawner.forking import fork, fork_into
from luisito.spawner.sites import Sites

if TYPE_CHECKING:
    from luisito.core.siteindex import Row
    from luisito.spawner.cgroup import Cgroups
    from luisito.spawner.config import Config
    from luisito.spawner.containment import Containment
    from luisito.spawner.link import Link

AT_ONCE: Final = 16  # commands; a network process gone wild must not fork without end
_FIRST: Final = 2**31  # of the numbers that mark them; those of servers are lower
_READ: Final = 1 << 16  # bytes of output that are read at a time, as a pipe holds
_KEPT: Final = 2048  # bytes of it that are kept
_EACH: Final = 0.1  # seconds from one reading to the next, whatever they write
_ROUNDS: Final = 50  # of killing what is left of one


class _Run:
    """One command.

    Attributes:
        number: that marks its processes.
        pid: of its first one; 0 once that was reaped.
        leader: the same, for good: its session is called so.
        link: who has ordered it.
        ask: the number of the order.
        output: the end of a pipe that is read from.
        tail: the end of what it has written.
        late: when it is killed.
        time: the seconds that it may take.
        overdue: it was killed for that.
        code: how its first process has ended, as of waitstatus_to_exitcode.
        rounds: how often what is left of it was killed.
    """

    __slots__ = (
        "ask", "code", "late", "leader", "link", "number", "output", "overdue", "pid", "rounds",
        "tail", "time",
    )  # fmt: skip

    def __init__(
        self, number: int, pid: int, link: Link, ask: int, output: int, time: float
    ) -> None:
        self.number, self.pid, self.leader, self.link, self.ask = number, pid, pid, link, ask
        self.output, self.time = output, time
        self.late = 0.0
        self.tail = b""
        self.overdue = False
        self.code = 0
        self.rounds = 0

    def read(self) -> None:
        """Read what it has written meanwhile."""
        with suppress(BlockingIOError):
            self.tail = (self.tail + os.read(self.output, _READ))[-_KEPT:]

    def outcome(self) -> str:
        """Say what has come of it; "" where it has done its work."""
        late = self.time if self.overdue else None
        output = self.tail.decode("utf-8", "replace")
        return hooks.outcome(*code_and_signal(self.code), output, late=late)[: wire.MAX_TEXT]


class HookRuns:
    """Those of all network processes.

    Args:
        containment: says who our parent is, and whose children orphans become.
    """

    __slots__ = ("_cgroups", "_containment", "_files", "_last", "_read_at", "_runs")

    def __init__(self, containment: Containment) -> None:
        self._containment = containment
        self._cgroups: Cgroups | None = None
        self._files = resource.getrlimit(resource.RLIMIT_NOFILE)  # before servers need more
        self._last = _FIRST
        self._runs: dict[int, _Run] = {}
        self._read_at = 0.0

    def start(
        self, link: Link, order: wire.RunHook, config: Config, groups: Cgroups | None
    ) -> None:
        """Run one; whatever comes of it, it is answered."""
        self._cgroups = groups
        sites = Sites() if link.loading is None else link.loading.sites
        row = sites.find(order.site) if order.own else None
        wrong = wrong_site(order.site, mounted=True)
        if wrong is None and order.own and row is None:
            wrong = "the site has no file in SITES_DIR"
        if len(self._runs) >= AT_ONCE:
            wrong = f"{AT_ONCE} hooks run already"
        if wrong is not None:
            link.send(wire.HookEnded(order.ask, wrong))
            return
        self._last += 1
        why = self._limit(self._last, config, row)
        if not why:
            try:
                self._start(link, order, config, sites, row)
            except OSError as error:
                why = f"no process can be started: {error.strerror}; raise the limit or free some"
        if why:
            self._remove(self._last)
            link.send(wire.HookEnded(order.ask, why[: wire.MAX_TEXT]))

    def _start(
        self, link: Link, order: wire.RunHook, config: Config, sites: Sites, row: Row | None
    ) -> None:
        group = None if self._cgroups is None else self._cgroups.folder_of(self._last)
        output, theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(output, False)
        try:
            pid = None if group is None else fork_into(group)
            if pid is not None:
                group = None  # it is there
            else:
                pid = fork()
            if pid == 0:
                try:
                    record = None if row is None else sites.record(row)
                    limits = {resource.RLIMIT_NOFILE: self._files}
                    hookcommand.run(
                        config, record, order, self._last, theirs, group,
                        self._containment.parent, limits,
                    )  # fmt: skip
                finally:
                    os._exit(127)
        except OSError:
            os.close(output)
            raise
        finally:
            os.close(theirs)
        run = _Run(self._last, pid, link, order.ask, output, config.hook_timeout)
        run.late = time.monotonic() + config.hook_timeout
        self._runs[run.number] = run

    def _limit(self, number: int, config: Config, row: Row | None) -> str:
        """Make a cgroup with the limits of a site, or with none; say why that cannot be, or ""."""
        said = {} if row is None else row.said(config.sites_dir or "")
        if self._cgroups is None:
            wanted = ", ".join(said.values())
            return f"{wanted}: no cgroup for each server; the log says why" if wanted else ""
        try:
            self._cgroups.make(number)
        except OSError as error:
            return f"no cgroup: {error.strerror}"
        exclusive = config.root and not config.allow_root
        limits = GroupLimits() if row is None else row.limits
        return self._cgroups.limit_one(number, limits, said, exclusive=exclusive)

    def reaped(self, pid: int, code: int) -> bool:
        """Note the end of a process; tell whether it was the first one of such a command."""
        run = next((run for run in self._runs.values() if run.pid == pid), None)
        if run is None:
            return False
        run.read()
        run.pid, run.code = 0, code
        self._sweep(run)
        return True

    def tick(self, now: float) -> None:
        """Read what they write, kill those that are late, and what is left of others."""
        if now < self._read_at:
            return
        self._read_at = now + _EACH
        for run in list(self._runs.values()):
            if not run.pid:
                self._sweep(run)
                continue
            run.read()
            if now >= run.late:
                run.overdue = True
                self._kill(run)

    def deadline(self) -> float | None:
        """Tell when tick is worth calling next."""
        return self._read_at if self._runs else None

    def pids(self) -> set[int]:
        """List the first processes."""
        return {run.pid for run in self._runs.values() if run.pid}

    def _kill(self, run: _Run) -> list[int]:
        """Kill all that is there of one; list what could be seen of it."""
        if self._cgroups is not None:
            self._cgroups.kill(run.number)
        tops = [run.pid] if run.pid else []
        known = self.pids()
        tops += [
            orphan
            for orphan in tree.children(self._containment.reaper)
            if orphan not in known and tree.belongs(orphan, run.number, run.leader)
        ]
        pids = [each for top in tops for each in (top, *tree.descendants(top))]
        for pid in pids:
            kill(pid, signal.SIGKILL)
        return pids

    def _sweep(self, run: _Run) -> None:
        """End what the first process has left behind; then tell."""
        run.rounds += 1
        if tree.living(self._kill(run)) and run.rounds < _ROUNDS:
            return
        del self._runs[run.number]
        run.read()
        os.close(run.output)
        self._remove(run.number)
        run.link.send(wire.HookEnded(run.ask, run.outcome()))

    def _remove(self, number: int) -> None:
        if self._cgroups is not None:
            self._cgroups.remove(number)
