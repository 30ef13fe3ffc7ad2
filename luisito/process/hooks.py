"""Runs hooks, by the spawner or over the net, when something has happened; nobody waits for it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from luisito.core.hookfailures import HookFailures
from luisito.core.hookqueue import MOST, OF_A_SITE, Queue, jobs
from luisito.core.webhook import Target
from luisito.errors import LuisitoError, SpawnerLost
from luisito.process.webhooks import send
from luisito.settings.hooks import is_webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from luisito.core.directory import Record
    from luisito.core.events import Event
    from luisito.core.hookqueue import Job
    from luisito.process.sitefiles import Change
    from luisito.settings.hooks import Hook

_GRACE: Final = 5.0  # seconds that the spawner may take longer than HOOK_TIMEOUT
_MOMENT: Final = 2.0  # seconds for what still runs or waits at our end


class Hooks:
    """The hooks of the settings and of all sites.

    Args:
        reactor: Twisted's.
        run: has a command run, as Questions.run_hook.
        common: HOOKS.
        timeout: HOOK_TIMEOUT.
        files: the public records of sites by their keys.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,  # noqa: ANN401 - several of Twisted's reactor interfaces at once
        run: Callable[..., Deferred[str]],
        common: Mapping[str, Hook],
        timeout: float,
        files: Mapping[str, Record],
    ) -> None:
        self._reactor, self._run, self._timeout, self._files = reactor, run, timeout, files
        self._common = {
            event: str(hook) if is_webhook(hook) else "" for event, hook in common.items()
        }
        self._queue = Queue()
        self._failures = HookFailures()
        self._call: IDelayedCall | None = None
        self._settled: Deferred[None] | None = None
        self._closed = False

    def heard(self, event: Event) -> None:
        """Takes an event; what comes of it comes later."""
        for job in jobs(event, self._common, self._files.get(event.site)):
            if self._closed:
                return
            if self._queue.add(job):
                self._left_out()
            self._soon()

    def change(self, change: Change) -> None:
        """Hears of a change of a site's file."""
        self._failures.forget(change.site)

    def told(self) -> dict[str, object]:
        """How hooks fare, for operators."""
        return {
            "running": self._queue.running,
            "waiting": self._queue.waiting,
            "dropped": self._queue.dropped,
            "failures": self._failures.count,
            "failed": [{"hook": name, "error": why} for name, why in self._failures.now.items()],
        }

    def settle(self) -> Deferred[None]:
        """Called back when no hook runs or waits, or after a moment; then none is run any more."""
        self._settled = Deferred()
        end = self._reactor.callLater(_MOMENT, self._over)
        self._go_on()
        return self._settled.addCallback(lambda _: end.active() and end.cancel())

    def _over(self) -> None:
        self._closed = True
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._settled is not None and not self._settled.called:
            self._settled.callback(None)

    def _soon(self) -> None:
        if self._call is None and not self._closed:
            self._call = self._reactor.callLater(0, self._turn)

    def _turn(self) -> None:
        self._call = None
        self._go_on()

    def _go_on(self) -> None:
        while not self._closed and (job := self._queue.next()) is not None:
            self._start(job)
        if self._settled is not None and not self._queue.running:
            self._over()

    def _start(self, job: Job) -> None:
        run = maybeDeferred(self._send if job.url else self._order, job)
        run.addCallbacks(partial(self._ended, job), partial(self._broke, job))
        run.addErrback(partial(self._fault, job))
        run.addBoth(partial(self._done, job))

    def _send(self, job: Job) -> Deferred[str]:
        return send(self._reactor, Target.parse(job.url), job.body(), self._timeout)

    def _order(self, job: Job) -> Deferred[str]:
        ordered = self._run(job.told.site, job.event, job.facts(), own=job.own)
        return ordered.addTimeout(
            self._timeout + _GRACE,
            self._reactor,
            lambda _, time: f"has not ended within {time:g} s",
        )

    def _done(self, job: Job, _: object) -> None:
        self._queue.done(job)
        self._soon()

    def _broke(self, job: Job, failure: Failure) -> None:
        failure.trap(LuisitoError)
        if failure.check(SpawnerLost) is None:  # which is told elsewhere
            self._ended(job, failure.getErrorMessage())

    def _fault(self, job: Job, failure: Failure) -> None:
        self._log.failure("a hook could not be run: {name}", failure, name=job.name)

    def _ended(self, job: Job, why: str) -> None:
        if not why:
            self._failures.well(job.name)
            return
        where, about = "", job.name
        if job.url:
            where, about = f" ({Target.parse(job.url).origin})", job.url
        said = self._failures.failed(job.name, about, f"{why}{where}", self._reactor.seconds())
        if said is not None:
            self._log.warn("{name}: {why}", name=job.name, why=said)

    def _left_out(self) -> None:
        words = (
            f"too many hooks wait ({OF_A_SITE} for one site, {MOST} in all): the oldest is left out"
        )
        said = self._failures.say("", words, self._reactor.seconds())
        if said is not None:
            self._log.warn("{words}", words=said)
