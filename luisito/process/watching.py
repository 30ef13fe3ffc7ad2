"""Notices that something in SITES_DIR may have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger
from twisted.python.filepath import FilePath

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from luisito.net.switchboard import Switchboard

_CALM: Final = 0.2  # seconds without an event after which it is told
_LATEST: Final = 1.0  # seconds from the first event until it is told in any case
_EVERY: Final = 2.0  # seconds from one look to the next where nothing can be noticed
_SUFFIX: Final = b".toml"


class Watching:
    """Tells when site files or their bases may have changed.

    By inotify(7); where that is not to be had, or the folder has gone, it tells every 2 s, and
    tries again to have it.

    Args:
        board: the reactor.
        path: of the folder.
        changed: is called then.

    Attributes:
        why_not: why nothing can be noticed; "" where it can.
    """

    _log = Logger()

    def __init__(self, board: Switchboard, path: str, changed: Callable[[], None]) -> None:
        self._board, self._path, self._changed = board, path, changed
        self._folder = FilePath(path).asBytesMode()
        self._timers: IReactorTime = board
        self._call: IDelayedCall | None = None
        self._first = self._last = 0.0
        self._closed = False
        self._notifier: Any = None  # an INotify, which is imported here only where it is needed
        self.why_not = self._open()

    def start(self) -> None:
        """Begins; what has happened since this was made is told."""
        if self._notifier is not None:
            self._notifier.startReading()
        else:
            self._poll()

    def close(self) -> None:
        """Tells nothing more."""
        self._closed = True
        self._drop()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _open(self) -> str:
        """Has the kernel notice; returns why that cannot be, or ""."""
        try:
            # Here, since it looks for the C library by starting programs (ctypes.util), which is
            # forbidden later, and is for those who have site files.
            from twisted.internet import inotify
        except ImportError as error:
            return str(error)
        self._ends = (
            inotify.IN_DELETE_SELF | inotify.IN_MOVE_SELF | inotify.IN_UNMOUNT | inotify.IN_IGNORED
        )
        mask = (
            inotify.IN_CLOSE_WRITE
            | inotify.IN_MOVED_TO
            | inotify.IN_MOVED_FROM
            | inotify.IN_DELETE
            | inotify.IN_ATTRIB
            | inotify.IN_CREATE
            | inotify.IN_MOVE_SELF
            | inotify.IN_ONLYDIR
        )
        notifier = None
        try:
            # typed as one of Twisted's reactors, of which it asks no more than the Switchboard has
            notifier = inotify.INotify(self._board)
            notifier.watch(self._folder, mask, callbacks=[self._noticed])
        except inotify.INotifyError as error:
            if notifier is not None:
                notifier.loseConnection()
            return str(error)
        self._notifier = notifier
        return ""

    def _drop(self) -> None:
        notifier, self._notifier = self._notifier, None
        if notifier is not None:
            notifier.loseConnection()

    def _noticed(self, _watch: object, path: FilePath[bytes], mask: int) -> None:
        if self._notifier is None:
            return  # what was still on its way when it was dropped
        if mask & self._ends:
            self._drop()
            self.why_not = "the folder has gone"
            self._poll()
            return
        name = path.basename()
        if path != self._folder and (name.startswith(b".") or not name.endswith(_SUFFIX)):
            return
        self._last = self._timers.seconds()
        if self._call is None:
            self._first = self._last
            self._call = self._timers.callLater(_CALM, self._due)

    def _due(self) -> None:
        now = self._timers.seconds()
        at = min(self._last + _CALM, self._first + _LATEST)
        if now < at:
            self._call = self._timers.callLater(at - now, self._due)
        else:
            self._call = None
            self._changed()

    # -- where nothing can be noticed

    def _poll(self) -> None:
        """Begins to tell from time to time."""
        self._log.warn(
            "SITES_DIR = {path}: changes cannot be noticed ({why}), so it is looked through every"
            " {every:g} s",
            path=self._path,
            why=self.why_not,
            every=_EVERY,
        )
        if self._call is not None:
            self._call.cancel()
        self._call = self._timers.callLater(_EVERY, self._turn)

    def _turn(self) -> None:
        self.why_not = self._open()
        if self.why_not:
            self._call = self._timers.callLater(_EVERY, self._turn)
        else:
            self._call = None
            self._notifier.startReading()
            self._log.info("SITES_DIR = {path}: changes are noticed again", path=self._path)
        self._changed()
