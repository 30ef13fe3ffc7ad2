"""Which sites have a folder, as far as the spawner was asked lately."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    _Told = Callable[[str], None]

_SECONDS: Final = 10.0
_SITES: Final = 10_000


class Folders:
    """Asks once for all who want to know at a time: an answer costs the spawner a process.

    Args:
        ask: the spawner, whether a site's PROJECT_PATH is there.
        clock: the monotonic time in seconds.
    """

    def __init__(self, ask: Callable[[str], Deferred[bool]], clock: Callable[[], float]) -> None:
        self._ask = ask
        self._known: TTLCache[str, bool] = TTLCache(_SITES, _SECONDS, timer=clock)
        self._waiting: dict[str, list[_Told]] = {}

    def known(self, site: str) -> bool | None:
        """Whether it has one; None where that is to be asked."""
        return self._known.get(site)

    def ask(self, site: str, told: _Told) -> None:
        """Finds out; calls `told` with "" when it is known, else with why it cannot be told."""
        waiting = self._waiting.get(site)
        if waiting is not None:
            waiting.append(told)
            return
        self._waiting[site] = [told]

        def answered(exists: bool) -> None:
            self._known[site] = exists
            self._tell(site, "")

        def failed(failure: Failure) -> None:
            self._tell(site, failure.getErrorMessage())

        self._ask(site).addCallbacks(answered, failed)

    def _tell(self, site: str, why: str) -> None:
        for told in self._waiting.pop(site):
            told(why)
