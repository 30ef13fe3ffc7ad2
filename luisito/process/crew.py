"""Carries out what is decided about workers: starts, signals, and what is told of them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from luisito.core.handover import seconds
from luisito.core.siteindex import PRELOAD
from luisito.core.text import visible
from luisito.core.worker import Begin, End, Spec
from luisito.core.workers import Workers
from luisito.errors import SpawnerLost
from luisito.process.alarm import Alarm
from luisito.process.preloads import Preloads
from luisito.process.workerprocess import WorkerProcess
from luisito.spawner import channel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from luisito.core import wire
    from luisito.core.codec import Scalar
    from luisito.core.directory import Record
    from luisito.core.worker import Order, Worker
    from luisito.process.chronicle import Chronicle
    from luisito.process.client import Spawner
    from luisito.process.start import Ways


class Crew:
    """The workers of all sites.

    Args:
        reactor: the clock.
        ways: what all starts share.
        chronicle: takes what becomes of them.
        number: gives the spawner's next number.
        is_awake: tells whether the server of a site is ready.
        emptied: is called when the last one has gone.
        idle: seconds that a preloaded interpreter outlives the last of its servers.

    Attributes:
        workers: what is known of them.
        preloads: those that are preloaded interpreters.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        ways: Ways,
        chronicle: Chronicle,
        number: Callable[[], int],
        is_awake: Callable[[str], bool],
        emptied: Callable[[], None],
        idle: float,
    ) -> None:
        self._reactor, self._ways, self._number = reactor, ways, number
        self._chronicle = chronicle
        self._is_awake, self._emptied = is_awake, emptied
        self.workers = Workers(random.random)
        self.preloads = Preloads(reactor, self, idle)
        self._spawner: Spawner
        self._processes: dict[int, WorkerProcess] = {}
        self._of: dict[Worker, WorkerProcess] = {}
        self._alarm = Alarm(reactor, self.workers.deadline, self._tick)

    def attach(self, spawner: Spawner) -> None:
        """Gives the spawner."""
        self._spawner = spawner

    def __contains__(self, number: int) -> bool:
        """Whether the spawner's number is a worker's."""
        return number in self._processes

    def __len__(self) -> int:
        """How many processes there are."""
        return len(self._processes)

    def process_of(self, worker: Worker) -> WorkerProcess | None:
        """The process of a worker; None where it has none."""
        return self._of.get(worker)

    def __iter__(self) -> Iterator[Worker]:
        """All workers that a file names, and all that run."""
        return iter(self.workers)

    # -- sites

    def files(self, site: str, record: Record | None, stop_timeout: float) -> None:
        """Hears of a site's file.

        Args:
            site: whose it is.
            record: its public record; None where the file has gone.
            stop_timeout: of the site, in seconds.
        """
        specs = {} if record is None else _specs(record, stop_timeout)
        if specs or site in self.workers:
            self._carry_out(self.workers.files(site, specs, self._reactor.seconds()))
            self.moved(site)
        if PRELOAD not in specs:
            self.preloads.lost(site)

    def ask(self, site: str, name: str, *, wanted: bool) -> None:
        """Somebody asks for a worker, or no more."""
        self._carry_out(self.workers.ask(site, name, wanted=wanted, now=self._reactor.seconds()))

    def moved(self, site: str) -> None:
        """Something has become of the server of a site."""
        if site in self.workers:
            now = self._reactor.seconds()
            self._carry_out(self.workers.awake(site, self._is_awake(site), now))

    # -- those of another process

    def adopt(self, rows: Sequence[Mapping[str, Scalar]]) -> Deferred[None]:
        """Takes over what the spawner lists, and starts what is missing.

        Returns:
            Is called back when their output is read.
        """
        now = self._reactor.seconds()
        waited_for: list[Deferred[None]] = []
        for row in rows:
            worker = self.workers.adopt(
                str(row["site"]),
                str(row["worker"]),
                min(now, seconds(int(row["started"] or 0))),
                now,
                current=bool(row["current"]),
                stopping=bool(row["stopping"]),
            )
            worker.asked = worker.name == PRELOAD
            process = self._add(int(row["server"] or 0), worker)
            process.pid = int(row["pid"] or 0)
            process.memory = int(row.get("memory") or 0)
            uid = row["uid"]
            process.uid = uid if isinstance(uid, int) else None
            asked = self._spawner.adopt(process.number)
            waited_for.append(
                asked.addCallbacks(
                    self._adopted,
                    self._not_adopted,
                    callbackArgs=(process,),
                    errbackArgs=(process,),
                )
            )
        for site in {worker.site for worker in self.workers}:
            self.moved(site)
        self._carry_out(self.workers.begin(now))
        return gatherResults(waited_for).addCallback(lambda _: None)

    def _adopted(self, descriptors: tuple[int, ...], process: WorkerProcess) -> None:
        if process.number not in self._processes:
            channel.close(list(descriptors))
            return
        output, *rest = descriptors
        channel.close(rest)
        process.read(output)
        if process.uid is not None:
            process.running(process.uid)

    def _not_adopted(self, failure: Failure, process: WorkerProcess) -> None:
        """It has gone, which the spawner tells; or there was no room for its descriptors."""
        failure.trap(LookupError, SpawnerLost)
        if process.number in self._processes and not str(failure.value):
            self._spawner.signal(process.number, "KILL")

    # -- facts; see process.told.Listener

    def started(self, number: int, pid: int, output: int, notify: int) -> None:
        """A process exists."""
        channel.close([notify])
        process = self._processes[number]
        process.pid = pid
        process.read(output)

    def running(self, fact: wire.Running) -> None:
        """Its command was executed."""
        process = self._processes[fact.server]
        if process.uid is None:
            process.tell_running(fact)
            process.running(fact.uid)
            worker = process.worker
            if worker.name == PRELOAD and fact.environment:
                self.preloads.hosted(worker.site, fact.environment, fact.uid)

    def failed(self, number: int, message: str, overloaded: bool) -> None:
        """No command came to run."""
        process = self._remove(number)
        process.close()
        process.tell_failed(message)
        now = self._reactor.seconds()
        self._carry_out(self.workers.failed(process.worker, now, message, overloaded=overloaded))
        self._check_empty()

    def touched(self, fact: wire.Touched) -> None:
        """A file in its folder says that it is to be started anew."""
        worker, why = self._processes[fact.server].worker, f"{visible(fact.what)} has changed"
        self._carry_out(self.workers.renew(worker, why, self._reactor.seconds()))

    def restart(self, site: str, why: str) -> None:
        """Another process takes the place of each worker of a site that runs."""
        for worker in [one for one in self._of if one.site == site]:
            self._carry_out(self.workers.renew(worker, why, self._reactor.seconds()))

    def weighed(self, sizes: Mapping[int, int]) -> None:
        """How many bytes of memory processes take, by their numbers; others' are among them."""
        for number, size in sizes.items():
            process = self._processes.get(number)
            if process is not None:
                process.memory = size

    @property
    def memory(self) -> int:
        """What all of them take, as far as that was measured, in bytes."""
        return sum(process.memory for process in self._processes.values())

    def exited(self, fact: wire.Exited) -> None:
        """It has gone, with all that it had started."""
        process = self._remove(fact.server)
        worker, now = process.worker, self._reactor.seconds()
        process.close()
        detail = process.tell_exited(fact, now - worker.since)
        clean = fact.code == 0 and fact.left is None
        self._carry_out(self.workers.exited(worker, now, detail, clean=clean))
        self._check_empty()

    # -- the end

    def shutdown(self) -> None:
        """Ends all, and starts none any more."""
        self._carry_out(self.workers.shutdown(self._reactor.seconds()))

    def resign(self) -> None:
        """Forgets all: another process takes them over, or the spawner has gone."""
        for process in self._processes.values():
            process.let_go()
        self._processes.clear()
        self._of.clear()
        self.workers.resign()
        self.preloads.resign()
        self._alarm.arm()

    def _check_empty(self) -> None:
        if not self._processes:
            self._emptied()

    # -- orders

    def _add(self, number: int, worker: Worker) -> WorkerProcess:
        process = self._processes[number] = self._of[worker] = WorkerProcess(
            self._ways, self._chronicle, number, worker
        )
        return process

    def _remove(self, number: int) -> WorkerProcess:
        process = self._processes.pop(number)
        del self._of[process.worker]
        return process

    def _carry_out(self, orders: Sequence[Order]) -> None:
        for order in orders:
            worker = order.worker
            if isinstance(order, Begin):
                process = self._add(self._number(), worker)
                self._spawner.start(process.number, worker.site, None, None, worker.name)
                continue
            process = self._of[worker]
            if isinstance(order, End):
                process.tell_stopping(order.reason)
                self._spawner.signal(process.number, "TERM")
            else:
                process.tell_killing()
                self._spawner.signal(process.number, "KILL")
        self._alarm.arm()

    def _tick(self) -> None:
        self._carry_out(self.workers.tick(self._reactor.seconds()))


def _specs(record: Record, stop_timeout: float) -> dict[str, Spec]:
    return {
        one["name"]: Spec(
            one["digest"],
            one["with"] == "always",
            one["restart"] == "on-failure",
            stop_timeout if one["stop_timeout"] is None else one["stop_timeout"],
            one["with"] == "asked",
        )
        for one in record["processes"]
    }
