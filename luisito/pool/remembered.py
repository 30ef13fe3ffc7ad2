"""Keeps what is known in a file of STATE_DIR: read at the start, written now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.defer import TimeoutError as TookLong
from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from luisito.process.statefile import StateFile

_LAST_WAIT: Final = 2.0  # seconds for the disk at the end


class Remembered:
    """One such file.

    Args:
        clock: the reactor.
        file: it.
        every: seconds from one writing to the next.
        what: that is kept there, in words.
        written: is given the mark of what is there, and gives another with what is to be there;
            None where that is the same.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        file: StateFile,
        every: float,
        what: str,
        written: Callable[[int], tuple[int, bytes] | None],
    ) -> None:
        self._clock, self._file, self._every = clock, file, every
        self._what, self._written = what, written
        self._call: IDelayedCall | None = None
        self._begun = False
        self._mark = 0
        self._told = ""  # why it could not be written

    def begin(self, read: Callable[[bytes], int]) -> None:
        """Has what is there read, and from now on written.

        Args:
            read: takes it, unless there is nothing, and gives its mark; may raise ValueError.
        """
        try:
            data = self._file.read()
            if data:
                self._mark = read(data)
        except (OSError, ValueError) as error:
            self._log.warn(
                "{path}: cannot be read: {error}; {what} is forgotten",
                path=self._file.path,
                error=str(error),
                what=self._what,
            )
        self._begun = True
        self._later()

    def stop(self) -> None:
        """Writes no more but by `keep`."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def keep(self) -> Deferred[None]:
        """Writes what is new at once; called back when that is done, or takes long."""
        if not self._begun:
            return succeed(None)
        return self._write().addTimeout(_LAST_WAIT, self._clock).addErrback(self._takes_long)

    def _later(self) -> None:
        self._call = self._clock.callLater(self._every, self._look)

    def _look(self) -> None:
        self._call = None
        self._later()
        if not self._file.busy:
            self._write()

    @inlineCallbacks
    def _write(self) -> Generator[Deferred[Any], Any, None]:
        while self._file.busy:
            yield self._file.idle()
        new = self._written(self._mark)
        if new is None:
            return
        mark, data = new
        why = yield self._file.write(data)
        if not why:
            self._mark = mark
        self._tell(why)

    def _takes_long(self, failure: Failure) -> None:
        failure.trap(TookLong)
        self._tell("the disk does not answer")

    def _tell(self, why: str) -> None:
        if why and why != self._told:
            self._log.warn("{path}: cannot be written: {why}", path=self._file.path, why=why)
        self._told = why
