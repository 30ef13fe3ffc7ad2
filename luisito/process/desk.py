"""A thread of its own in which history.sqlite is written and read, so that nobody waits for it."""

from __future__ import annotations

from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from luisito.process.threads import begin

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread
    from typing import Any

    from luisito.process.database import Database

    _Job = tuple[Callable[[Database], Any], Deferred[Any]]

_T = TypeVar("_T")


class Desk:
    """Does one thing after the other with a database that nobody else touches.

    The thread is begun with the first job, which is after privileges were dropped: what a thread
    may do is its own. Where the disk hangs, the thread does, and ends with the process at the
    latest.

    Args:
        database: not open yet.
        call: calls a function with arguments in the thread of the reactor
            (IReactorFromThreads.callFromThread).
    """

    def __init__(self, database: Database, call: Callable[..., object]) -> None:
        self._database, self._call = database, call
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._thread: Thread | None = None

    def ask(self, job: Callable[[Database], _T]) -> Deferred[_T]:
        """Has something done; called back with what that returns, or has raised."""
        told: Deferred[_T] = Deferred()
        if self._thread is None:
            try:
                self._thread = begin("luisito-history", self._work)
            except OSError as error:
                # Later, as if it had been tried.
                self._call(told.errback, Failure(error))
                return told
        self._jobs.put((job, told))
        return told

    def _work(self) -> None:
        while True:
            job, told = self._jobs.get()
            try:
                result = job(self._database)
            except Exception as error:  # noqa: BLE001 - whoever has asked is told
                self._call(told.errback, Failure(error))
            else:
                self._call(told.callback, result)
