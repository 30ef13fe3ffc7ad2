"""The sites that operators have pinned: kept awake whatever their files say, over restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.logger import Logger

from luisito.core.pins import MOST, read, written
from luisito.process.statefile import StateFile

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from typing import Any

    from luisito.pool.kept import KeptSites

_NAME: Final = "pins.json"


class Pins:
    """Knows them, and keeps them in STATE_DIR.

    Args:
        kept: is told.
        folder: STATE_DIR; None where nothing is kept.
        call: see StateFile.

    Attributes:
        sites: their keys.
    """

    _log = Logger()

    def __init__(self, kept: KeptSites, folder: str | None, call: Callable[..., object]) -> None:
        self._kept = kept
        self._file = None if folder is None else StateFile(folder, _NAME, call)
        self.sites: frozenset[str] = frozenset()

    def __contains__(self, site: str) -> bool:
        """Whether a site is pinned."""
        return site in self.sites

    @property
    def last(self) -> bool:
        """Whether they last longer than this process."""
        return self._file is not None

    def read(self) -> None:
        """Goes on with those of the Luisito before; also once that changes none any more."""
        if self._file is None:
            return
        try:
            data = self._file.read()
            self._set(read(data) if data else ())
        except (OSError, ValueError) as error:
            self._log.warn(
                "{path}: cannot be read: {error}; which sites were pinned is forgotten",
                path=self._file.path,
                error=str(error),
            )

    def pin(self, site: str) -> Deferred[str]:
        """Pins a site, by its key.

        Returns:
            Is called back with why it will not last, or with "".

        Raises:
            ValueError: (at once) there is no room for it; with the mend.
        """
        if site not in self.sites:
            if len(self.sites) >= MOST:
                raise ValueError(f"{MOST} sites are pinned already; unpin one")
            why = self._kept.no_room_for(site)
            if why:
                raise ValueError(why)
            self._set(self.sites | {site})
        return self._write()

    def unpin(self, site: str) -> Deferred[str]:
        """Has a site be kept as its file says again; returns as `pin`."""
        self._set(self.sites - {site})
        return self._write()

    def _set(self, sites: Iterable[str]) -> None:
        self.sites = frozenset(sites)
        self._kept.pin(self.sites)

    @inlineCallbacks
    def _write(self) -> Generator[Deferred[Any], Any, str]:
        file = self._file
        if file is None:
            return "STATE_DIR is not set: until Luisito reads its settings again"
        while file.busy:
            yield file.idle()
        why = yield file.write(written(self.sites))
        if why:
            self._log.warn("{path}: cannot be written: {why}", path=file.path, why=why)
            return f"{file.path} cannot be written: {why}"
        return ""
