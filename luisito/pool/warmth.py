"""What is known of the uses of sites over the end of a Luisito, and who is started again for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, gatherResults

from luisito.core.uses import read, written
from luisito.pool.remembered import Remembered
from luisito.pool.rewarmer import Rewarmer
from luisito.process.statefile import StateFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from luisito.core.rewarming import Rewarming
    from luisito.pool.pool import Pool

_USES_EVERY: Final = 60.0  # seconds
_SITES: Final = 2000  # that are written; twice as many as may be rewarmed
# It takes some ten milliseconds where there are thousands of sites.
_REUSE_EVERY: Final = 300.0


class Warmth:
    """What is known of sites when Luisito starts, and told to the next one.

    That is how often they are used (uses.json), by which they are started again, and what pools of
    other sizes would have done (reuse.json), by which `luisito advise` goes.

    Args:
        clock: the reactor.
        pool: counts the uses, and starts sites.
        is_site: see Rewarmer.
        folder: STATE_DIR; None where nothing is kept.
        rewarm: how many sites are started again.
        call: see StateFile.
    """

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
        self._rewarmer = Rewarmer(clock, pool, is_site)
        self._files: tuple[Remembered, ...] = ()
        if folder is not None:
            uses, reuse = (StateFile(folder, f"{name}.json", call) for name in ("uses", "reuse"))
            what = "how often sites were used", "what other sizes would have done"
            self._files = (
                Remembered(clock, uses, _USES_EVERY, what[0], self._uses),
                Remembered(clock, reuse, _REUSE_EVERY, what[1], self._reuse),
            )

    @property
    def rewarming(self) -> Rewarming | None:
        """How far it has come; None where none is asked for."""
        return self._rewarmer.rewarming

    def begin(self, *, fresh: bool) -> None:
        """Goes on with what is known from before.

        Args:
            fresh: no server has run since this Luisito was started, so that sites are rewarmed.
        """
        for file, reader in zip(self._files, (self._read_uses, self._read_reuse), strict=False):
            file.begin(reader)
        if fresh and self._rewarm and self._files:
            hottest = self._pool.policy.used(self._clock.seconds(), _SITES)
            self._rewarmer.begin([one.site for one in hottest], self._rewarm)

    def stop(self) -> None:
        """Starts no site any more, and writes no more but by `keep`."""
        self._rewarmer.stop()
        for file in self._files:
            file.stop()

    def keep(self) -> Deferred[None]:
        """Writes what is new at once; called back when that is done, or takes long."""
        return gatherResults([file.keep() for file in self._files]).addCallback(lambda _: None)

    def _read_uses(self, data: bytes) -> int:
        policy = self._pool.policy
        policy.remember(read(data), self._clock.seconds())
        return policy.use_changes

    def _uses(self, known: int) -> tuple[int, bytes] | None:
        policy = self._pool.policy
        used = policy.used(self._clock.seconds(), _SITES)
        changes = policy.use_changes
        return None if changes == known else (changes, written(used))

    def _read_reuse(self, data: bytes) -> int:
        policy = self._pool.policy
        policy.resume_reuse(json.loads(data), self._clock.seconds())
        return policy.reuse(self._clock.seconds()).requests

    def _reuse(self, known: int) -> tuple[int, bytes] | None:
        now = self._clock.seconds()
        reuse = self._pool.policy.reuse(now)
        if reuse.requests == known:
            return None
        return reuse.requests, json.dumps(reuse.state(now)).encode("ascii")
