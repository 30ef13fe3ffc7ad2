"""Keeps in STATE_DIR how often sites are used, for the next Luisito, which starts those again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.defer import TimeoutError as TookLong
from twisted.logger import Logger

from luisito.core.uses import read, written
from luisito.pool.rewarmer import Rewarmer
from luisito.process.usesfile import UsesFile

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from luisito.core.rewarming import Rewarming
    from luisito.pool.pool import Pool

_EVERY: Final = 60.0  # seconds from one writing to the next
_SITES: Final = 2000  # that are written; twice as many as may be rewarmed
_LAST_WAIT: Final = 2.0  # seconds for the disk at the end


class Warmth:
    """What is known of sites when Luisito starts, and told to the next one.

    Args:
        clock: the reactor.
        pool: counts the uses, and starts sites.
        is_site: see Rewarmer.
        folder: STATE_DIR; None where nothing is kept.
        rewarm: how many sites are started again.
        call: see UsesFile.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        pool: Pool,
        is_site: Callable[[str], Deferred[bool]],
        folder: str | None,
        rewarm: int,
        call: Callable[..., object],
    ) -> None:
        self._clock, self._pool, self._rewarm = clock, pool, rewarm
        self._file = None if folder is None else UsesFile(folder, call)
        self._rewarmer = Rewarmer(clock, pool, is_site)
        self._call: IDelayedCall | None = None
        self._begun = False
        self._told = ""  # why it could not be written
        self._changes = 0  # of the uses, when they were written last

    @property
    def rewarming(self) -> Rewarming | None:
        """How far it has come; None where none is asked for."""
        return self._rewarmer.rewarming

    def begin(self, *, fresh: bool) -> None:
        """Goes on with what is known from before.

        Args:
            fresh: no server has run since this Luisito was started, so that sites are rewarmed.
        """
        file, policy = self._file, self._pool.policy
        if file is None:
            return
        try:
            data = file.read()
            used = read(data) if data else []
        except (OSError, ValueError) as error:
            self._log.warn(
                "{path}: cannot be read: {error}; how often sites were used is forgotten",
                path=file.path,
                error=str(error),
            )
            used = []
        now = self._clock.seconds()
        policy.remember(used, now)
        self._changes, self._begun = policy.use_changes, True
        if fresh and self._rewarm:
            hottest = policy.used(now, _SITES)
            self._rewarmer.begin([one.site for one in hottest], self._rewarm)
        self._later()

    def stop(self) -> None:
        """Starts no site any more, and writes no more but by `end`."""
        self._rewarmer.stop()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def end(self) -> Deferred[None]:
        """Writes for the last time, after `stop`; called back when it is done, or takes long."""
        if self._file is None or not self._begun:
            return succeed(None)
        return self._write(self._file).addTimeout(_LAST_WAIT, self._clock).addErrback(_takes_long)

    def _later(self) -> None:
        self._call = self._clock.callLater(_EVERY, self._look)

    def _look(self) -> None:
        self._call = None
        self._later()
        if self._file is not None and not self._file.busy:
            self._write(self._file)

    @inlineCallbacks
    def _write(self, file: UsesFile) -> Generator[Deferred[Any], Any, None]:
        yield file.idle()  # at the end it may not be
        policy = self._pool.policy
        used = policy.used(self._clock.seconds(), _SITES)
        if policy.use_changes == self._changes:
            return
        self._changes = policy.use_changes
        why = yield file.write(written(used))
        if why and why != self._told:
            self._log.warn("{path}: cannot be written: {why}", path=file.path, why=why)
        self._told = why


def _takes_long(failure: Failure) -> None:
    failure.trap(TookLong)
