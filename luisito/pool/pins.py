"""The sites that operators have pinned: kept awake whatever their files say, over restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.defer import TimeoutError as TookLong
from twisted.logger import Logger

from luisito.core.pins import MOST, read, written
from luisito.process.statefile import StateFile

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from typing import Any

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from luisito.pool.kept import KeptSites

_NAME: Final = "pins.json"
_LAST_WAIT: Final = 2.0  # seconds for the disk


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
        self._written = self.sites  # or tried to be

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
            self._written = self.sites
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

    def settle(self, clock: IReactorTime) -> Deferred[None]:
        """Called back when all that was told is written, as far as it can be, or takes long."""
        return self._write_all().addTimeout(_LAST_WAIT, clock).addErrback(_takes_long)

    @inlineCallbacks
    def _write_all(self) -> Generator[Deferred[Any], Any, None]:
        while self._file is not None and self._written != self.sites:
            yield self._write()

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
        sites = self.sites
        why = yield file.write(written(sites))
        self._written = sites
        if why:
            self._log.warn("{path}: cannot be written: {why}", path=file.path, why=why)
            return f"{file.path} cannot be written: {why}"
        return ""


def _takes_long(failure: Failure) -> None:
    failure.trap(TookLong)
