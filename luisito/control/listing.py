"""Long lists, composed in pieces, so that the sites have their turn between them."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.task import CooperativeTask, Cooperator, TaskFinished, TaskStopped
from twisted.logger import Logger

from luisito.control.answers import begin

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

    _log = Logger()

    def __init__(self, reactor: IReactorTime) -> None:
        self._turns = Cooperator(scheduler=lambda call: reactor.callLater(0.0, call))

    def send(self, request: ControlRequest, name: str, rows: Iterator[Row], **more: object) -> None:
        """Answers with an object of a list, whose rows are read as it is sent, and of what is more.

        Args:
            request: whose answer it is.
            name: of the list.
            rows: its items.
            more: by its names; it comes first.
        """
        begin(request, 200)
        self.go_on(request, pieces(name, rows, more))

    def go_on(self, request: ControlRequest, body: Iterator[bytes]) -> None:
        """Sends the pieces of an answer that has begun, one in each turn, and ends it."""
        task = self._turns.cooperate(request.write(piece) for piece in body)
        request.notifyFinish().addErrback(lambda _: _end(task))
        task.whenDone().addCallbacks(lambda _: request.finish(), self._broken, (), {}, (request,))

    def _broken(self, failure: Failure, request: ControlRequest) -> None:
        if failure.check(TaskStopped) is None:  # which is the client's end
            self._log.failure("{request} could not be answered", failure, request=request)
            request.abort()


def _end(task: CooperativeTask[Any]) -> None:
    with suppress(TaskFinished):  # it has failed, which is why the connection was aborted
        task.stop()


def pieces(
    name: str, rows: Iterator[Row], more: Mapping[str, object] = _NOTHING
) -> Iterator[bytes]:
    """The same in JSON, a piece for each turn."""
    before = json.dumps({**more, name: []}).removesuffix("]}")
    while part := list(islice(rows, ROWS)):
        yield (before + ", ".join(map(json.dumps, part))).encode()
        before = ", "
    yield (before.removesuffix(", ") + "]}\n").encode()
