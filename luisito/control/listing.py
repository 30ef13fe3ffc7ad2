"""Long lists, composed in pieces, so that the sites have their turn between them."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import CooperativeTask, TaskFinished, TaskStopped
from zope.interface import implementer

from luisito.control.answers import begin
from luisito.control.turns import in_turns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from luisito.control.connections import ControlRequest
    from luisito.control.overview import Row

# So many rows are composed at a time, which takes about a millisecond; then the sites have a turn.
ROWS: Final = 100
_NOTHING: Final[Mapping[str, object]] = {}


class Listing:
    """Answers with lists.

    Args:
        reactor: for turns.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        self._turns = in_turns(reactor)

    def send(
        self,
        request: ControlRequest,
        more: Mapping[str, object] = _NOTHING,
        **lists: Iterator[Row],
    ) -> None:
        """Answers with an object of lists, whose rows are read as they are sent.

        Args:
            request: whose answer it is.
            more: what stands before them.
            lists: by their names.
        """
        begin(request, 200)
        self.go_on(request, pieces(lists, more))

    def go_on(self, request: ControlRequest, body: Iterator[bytes]) -> None:
        """Sends the pieces of an answer that has begun, as they are read, and ends it.

        One is composed in each turn, and none while the client has much left to read.
        """
        task = self._turns.cooperate(request.write(piece) for piece in body)
        request.registerProducer(_Flow(task), True)
        request.notifyFinish().addErrback(lambda _: _end(task))
        task.whenDone().addCallbacks(_over, _broken, (request,), {}, (request,))


@implementer(IPushProducer)
class _Flow:
    """Holds a task up while a client reads nothing."""

    def __init__(self, task: CooperativeTask[Any]) -> None:
        self._task, self._paused = task, False

    def pauseProducing(self) -> None:
        """See IPushProducer."""
        if not self._paused:
            self._paused = True
            self._task.pause()

    def resumeProducing(self) -> None:
        """See IPushProducer."""
        if self._paused:
            self._paused = False
            self._task.resume()

    def stopProducing(self) -> None:
        """See IProducer."""


def _over(_task: object, request: ControlRequest) -> None:
    request.unregisterProducer()
    request.finish()


def _broken(failure: Failure, request: ControlRequest) -> None:
    if failure.check(TaskStopped) is None:  # which is the client's end
        request.unregisterProducer()
        request.processingFailed(failure)


def _end(task: CooperativeTask[Any]) -> None:
    with suppress(TaskFinished):  # it has failed, which is why the connection was aborted
        task.stop()


def pieces(
    lists: Mapping[str, Iterator[Row]], more: Mapping[str, object] = _NOTHING
) -> Iterator[bytes]:
    """The same in JSON, a piece for each turn."""
    before = json.dumps(more).removesuffix("}") + (", " if more else "")
    for name, rows in lists.items():
        before += f"{json.dumps(name)}: ["
        while part := list(islice(rows, ROWS)):
            yield (before + ", ".join(map(json.dumps, part))).encode()
            before = ", "
        before = before.removesuffix(", ") + "], "
    yield (before.removesuffix(", ") + "}\n").encode()
