"""Which workers run: processes beside a site's server, without a socket; no clock and no I/O."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from luisito.core.backoff import BackOff
from luisito.core.clock import Clock
from luisito.core.worker import Begin, End, Kill, Order, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from luisito.core.worker import Spec

_OVERLOADED: Final = 5.0  # seconds until a start is tried again for which the machine had no room


class Workers:
    """All workers: facts come in as method calls, orders go out as their results.

    A worker has one process at a time: a new one is started when the old one has gone. One that
    ends is started again, after a while that grows with each failure in a row (core.backoff).

    Args:
        random: gives a number from 0 to 1, for the jitter of back-off.
        back_off: how long one that failed is left alone.
    """

    def __init__(self, random: Callable[[], float], back_off: BackOff | None = None) -> None:
        self._random, self._back_off = random, back_off or BackOff()
        self._of: dict[str, dict[str, Worker]] = {}
        self._awake: set[str] = set()
        self._running: dict[Worker, None] = {}
        self._starts: Clock[Worker] = Clock()
        self._kills: Clock[Worker] = Clock()
        self._begun = False

    # -- what there is

    def __contains__(self, site: str) -> bool:
        """Whether a site has workers."""
        return site in self._of

    def __iter__(self) -> Iterator[Worker]:
        return (worker for of in self._of.values() for worker in of.values())

    def names(self, site: str, name: str) -> bool:
        """Tell whether the file of a site names such a worker."""
        worker = self._of.get(site, {}).get(name)
        return worker is not None and worker.spec is not None

    @property
    def running(self) -> Iterable[Worker]:
        """Those that have a process, the one that was started first in front."""
        return self._running

    # -- facts

    def files(self, site: str, specs: Mapping[str, Spec], now: float) -> list[Order]:
        """Hear what the file of a site says of its workers; nothing where it has gone."""
        orders: list[Order] = []
        known = self._of.get(site, {})
        for name in [*specs, *(name for name in known if name not in specs)]:
            worker = self._worker(site, name)
            spec = specs.get(name)
            if spec != worker.spec:
                worker.spec = spec
                if spec is not None:
                    worker.patience = spec.stop_timeout
                self._forgive(worker)
            self._see(worker, now, orders)
        return orders

    def awake(self, site: str, is_awake: bool, now: float) -> list[Order]:
        """Hear whether the server of a site is ready; the same may be told again."""
        orders: list[Order] = []
        if is_awake == (site in self._awake) or site not in self._of:
            return orders
        if is_awake:
            self._awake.add(site)
        else:
            self._awake.discard(site)
        for worker in list(self._of[site].values()):
            spec = worker.spec
            if spec is not None and not spec.always and not spec.asked:
                self._forgive(worker)
            self._see(worker, now, orders)
        return orders

    def ask(self, site: str, name: str, *, wanted: bool, now: float) -> list[Order]:
        """Hear that somebody asks for a worker, or no more; one that no file names is not known."""
        orders: list[Order] = []
        worker = self._of.get(site, {}).get(name)
        if worker is not None and worker.asked != wanted:
            worker.asked = wanted
            self._forgive(worker)
            self._see(worker, now, orders)
        return orders

    def begin(self, now: float) -> list[Order]:
        """Start workers from now on: all that run already have been adopted."""
        self._begun = True
        orders: list[Order] = []
        for worker in list(self):
            self._see(worker, now, orders)
        return orders

    def adopt(
        self, site: str, name: str, since: float, now: float, *, current: bool, stopping: bool
    ) -> Worker:
        """Take over a process that somebody else has started; before `begin`.

        Args:
            site: whose worker it is.
            name: of the worker.
            since: when it was started, in seconds.
            now: seconds.
            current: a start would make the same as it is.
            stopping: it has been told to end.
        """
        worker = self._worker(site, name)
        spec = worker.spec
        worker.runs = spec.digest if current and spec is not None else ""
        worker.since, worker.stopping = since, stopping
        self._running[worker] = None
        if stopping:
            self._kills.set(worker, now + worker.patience)
        return worker

    def exited(self, worker: Worker, now: float, detail: str, *, clean: bool) -> list[Order]:
        """Hear that the process of a worker has gone.

        Args:
            worker: whose it was.
            now: seconds.
            detail: how, for an operator.
            clean: by itself, with status 0.
        """
        if not worker.stopping:
            if clean and worker.spec is not None and worker.spec.on_failure:
                worker.resting = True
            elif now - worker.since >= self._back_off.steady:
                self._forgive(worker)
            else:
                self._fail(worker, detail, now)
        return self._gone(worker, now)

    def failed(
        self, worker: Worker, now: float, detail: str, *, overloaded: bool = False
    ) -> list[Order]:
        """Hear that no process came to be; `overloaded`: the machine's fault, not the worker's."""
        if overloaded:
            worker.until, worker.detail = now + _OVERLOADED, detail
        elif not worker.stopping:
            self._fail(worker, detail, now)
        return self._gone(worker, now)

    def renew(self, worker: Worker, why: str, now: float) -> list[Order]:
        """Hear that a worker is to be started anew: a file in its folder says so, or somebody.

        Args:
            worker: that has a process; it has a new one when that has gone.
            why: in words.
            now: seconds.
        """
        orders: list[Order] = []
        if worker.runs is not None:
            self._forgive(worker)
            self._end(worker, why, now, orders)
        return orders

    def tick(self, now: float) -> list[Order]:
        """Do whatever is due."""
        orders: list[Order] = []
        for worker in self._kills.due(now):
            self._kills.set(worker, now + worker.patience)
            orders.append(Kill(worker))
        for worker in self._starts.due(now):
            self._see(worker, now, orders)
        return orders

    def deadline(self) -> float | None:
        """Tell when `tick` is next worth a call, in seconds; ask again after each call."""
        first = min(self._starts.first(), self._kills.first())
        return None if first == inf else first

    def shutdown(self, now: float) -> list[Order]:
        """End all, and start none any more."""
        orders: list[Order] = []
        self._begun = False
        self._starts.clear()
        for worker in self._running:
            self._end(worker, "shutting down", now, orders)
        return orders

    def resign(self) -> None:
        """Forget all, which another process takes over."""
        self._begun = False
        for memory in (self._of, self._awake, self._running, self._starts, self._kills):
            memory.clear()

    # -- decisions

    def _worker(self, site: str, name: str) -> Worker:
        of = self._of.setdefault(site, {})
        worker = of.get(name)
        if worker is None:
            worker = of[name] = Worker(site, name)
        return worker

    def _see(self, worker: Worker, now: float, orders: list[Order]) -> None:
        """Start or end a worker, as it is to be."""
        if not self._begun:
            return
        spec = worker.spec
        wanted = spec is not None and self._is_wanted(worker, spec)
        if worker.runs is None:
            self._starts.discard(worker)
            if spec is None:
                self._drop(worker)
            elif wanted and not worker.resting:
                self._start(worker, spec, now, orders)
        elif not wanted:
            reason = "its file names it no more" if spec is None else _unwanted(spec)
            self._end(worker, reason, now, orders)
        elif spec is not None and spec.digest != worker.runs:
            self._end(worker, "what it is started by has changed", now, orders)

    def _is_wanted(self, worker: Worker, spec: Spec) -> bool:
        if spec.asked:
            return worker.asked
        return spec.always or worker.site in self._awake

    def _start(self, worker: Worker, spec: Spec, now: float, orders: list[Order]) -> None:
        if now < worker.until:
            self._starts.set(worker, worker.until)
            return
        worker.runs, worker.since = spec.digest, now
        self._running[worker] = None
        orders.append(Begin(worker))

    def _end(self, worker: Worker, reason: str, now: float, orders: list[Order]) -> None:
        if worker.stopping:
            return
        worker.stopping = True
        self._kills.set(worker, now + worker.patience)
        orders.append(End(worker, reason))

    def _gone(self, worker: Worker, now: float) -> list[Order]:
        orders: list[Order] = []
        worker.runs, worker.stopping = None, False
        self._kills.discard(worker)
        self._running.pop(worker, None)
        self._see(worker, now, orders)
        return orders

    def _drop(self, worker: Worker) -> None:
        of = self._of[worker.site]
        del of[worker.name]
        if not of:
            del self._of[worker.site]
            self._awake.discard(worker.site)

    def _fail(self, worker: Worker, detail: str, now: float) -> None:
        worker.failures += 1
        worker.detail = detail
        worker.until = now + self._back_off.delay(worker.failures, self._random)

    @staticmethod
    def _forgive(worker: Worker) -> None:
        worker.failures, worker.until, worker.resting, worker.detail = 0, 0.0, False, ""


def _unwanted(spec: Spec) -> str:
    return "none of its sites has been used" if spec.asked else "its site's server has gone"
