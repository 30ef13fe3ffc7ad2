"""The waiting pages that sites have of their own, as the spawner's helpers have read them."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from luisito.errors import LuisitoError, SpawnerLost

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from luisito.process.sitefiles import Change


_AT_ONCE: Final = 4  # of the spawner's helpers, which have other work, too


class WaitingPages:
    """Asks for a page when the record of its site is new.

    Args:
        ask: for the page of a site, by its key; as Questions.page.

    Attributes:
        pages: by the keys of sites; one that could not be read is not there.
        broken: why those could not be read, likewise.
    """

    _log = Logger()

    def __init__(self, ask: Callable[[str], Deferred[bytes]]) -> None:
        self._ask = ask
        self.pages: dict[str, bytes] = {}
        self.broken: dict[str, str] = {}
        self._asked: dict[str, object] = {}  # the last question for each
        self._line: deque[str] = deque()
        self._working = 0

    def change(self, change: Change) -> None:
        """Hears of a change of a site's file, of a mount, or of one more server."""
        site, _, now = change
        if now is None or not isinstance(now.get("waiting_page"), str):
            self.pages.pop(site, None)
            self.broken.pop(site, None)
            self._asked.pop(site, None)
            return
        self._asked[site] = object()
        self._line.append(site)
        self._next()

    def _next(self) -> None:
        while self._line and self._working < _AT_ONCE:
            site = self._line.popleft()
            token = self._asked.get(site)
            if token is None or site in self._line:
                continue
            self._working += 1
            asked = self._ask(site)
            read, not_read = partial(self._read, site, token), partial(self._not_read, site, token)
            asked.addCallbacks(read, not_read).addBoth(self._done)

    def _done(self, result: object) -> object:
        self._working -= 1
        self._next()
        return result

    def _read(self, site: str, token: object, page: bytes) -> None:
        if self._asked.get(site) is token:
            self.pages[site] = page
            self.broken.pop(site, None)

    def _not_read(self, site: str, token: object, failure: Failure) -> None:
        failure.trap(LuisitoError)
        if self._asked.get(site) is token and failure.check(SpawnerLost) is None:
            self.pages.pop(site, None)
            self.broken[site] = failure.getErrorMessage()
            self._log.warn(
                "{site}: {why}; until its file is written again, Luisito's own page is shown",
                site=site,
                why=self.broken[site],
            )
