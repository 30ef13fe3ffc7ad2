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
        written: gives what is to be in it; None where that is there already.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        file: StateFile,
        every: float,
        what: str,
        written: Callable[[], bytes | None],
    ) -> None:
        self._clock, self._file, self._every = clock, file, every
        self._what, self._written = what, written
        self._call: IDelayedCall | None = None
        self._begun = False
        self._told = ""  # why it could not be written

    def begin(self, read: Callable[[bytes], None]) -> None:
        """Has what is there read, and from now on written.

        Args:
            read: takes it, unless there is nothing; may raise ValueError.
        """
        try:
            data = self._file.read()
            if data:
                read(data)
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
        """Writes no more but by `end`."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def end(self) -> Deferred[None]:
        """Writes for the last time, after `stop`; called back when it is done, or takes long."""
        if not self._begun:
            return succeed(None)
        return self._write().addTimeout(_LAST_WAIT, self._clock).addErrback(_takes_long)

    def _later(self) -> None:
        self._call = self._clock.callLater(self._every, self._look)

    def _look(self) -> None:
        self._call = None
        self._later()
        if not self._file.busy:
            self._write()

    @inlineCallbacks
    def _write(self) -> Generator[Deferred[Any], Any, None]:
        yield self._file.idle()  # at the end it may not be
        data = self._written()
        if data is None:
            return
        why = yield self._file.write(data)
        if why and why != self._told:
            self._log.warn("{path}: cannot be written: {why}", path=self._file.path, why=why)
        self._told = why


def _takes_long(failure: Failure) -> None:
    failure.trap(TookLong)
