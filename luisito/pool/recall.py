"""Tells what became of sites, from what is kept of them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import TimeoutError as TookLong
from twisted.internet.defer import inlineCallbacks

from luisito.core.accounts import COLD, WARM, cut
from luisito.core.events import for_owner
from luisito.core.figures import figures
from luisito.errors import NotFoundOut
from luisito.process.database import EVENT, LATER, SITE
from luisito.process.unsaved import sites_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeAlias

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from luisito.core.events import Event
    from luisito.pool.history import History, Wait
    from luisito.process.chronicle import Chronicle
    from luisito.process.database import Database

    Told: TypeAlias = dict[str, Any]

_PATIENCE: Final = 4.0  # seconds for the disk, twice; who asks at the control socket waits 10


class Recall:
    """Reads it, after what is new is written.

    Args:
        clock: the reactor.
        history: what is kept.
        chronicle: what is remembered of it, where that cannot be read.
    """

    def __init__(self, clock: IReactorTime, history: History, chronicle: Chronicle) -> None:
        self._clock, self._history, self._chronicle = clock, history, chronicle

    def told(self) -> Told:
        """What goes with each answer."""
        return {
            "path": self._history.path,
            "began": round(self._history.began, 3),
            "unwritten": self._history.trouble or None,
        }

    @inlineCallbacks
    def events(self, site: str | None, kind: str | None, uid: int | None, limit: int) -> Wait:
        """The last events, the newest last, for JSON.

        Args:
            site: only of this one; None for all, or for all whose last server ran as `uid`.
            kind: only these, by their word; None for all.
            uid: of the sites' user, who is told only what came when they were that already,
                and not which other site one had to go for; None tells all.
            limit: how many.

        Raises:
            NotFoundOut: (in the Deferred) it cannot be read.
        """
        try:
            yield self._until_now()
            rows = yield self._ask(lambda database: database.events(site, kind, uid, limit))
        except NotFoundOut:
            if uid is not None:
                raise
            recent = map(_as_told, self._chronicle.recent)
            return [one for one in recent if _is_of(one, site, kind)][-limit:]
        found = [dict(zip(EVENT, row, strict=True)) for row in rows]
        if uid is not None:
            return [_for_owner(one) for one in found]
        new = map(_as_told, self._history.unwritten)
        return [*found, *(one for one in new if _is_of(one, site, kind))][-limit:]

    @inlineCallbacks
    def stats(self, site: str | None, uid: int | None) -> Wait:
        """The statistics of sites, for JSON, in the order of their names.

        Args:
            site: only of this one; None for all.
            uid: only of those whose last server ran as this user, as far as the file tells of
                them; None for all, with what could not be written as yet.

        Returns:
            (in the Deferred) An iterator.

        Raises:
            NotFoundOut: (in the Deferred) it cannot be read.
        """
        yield self._until_now()
        if uid is None:
            new = self._history.unsaved()
            rows, buckets = yield self._ask(lambda database: sites_with(new, database, site))
        else:
            rows, buckets = yield self._ask(lambda database: database.sites(site, uid))
        return _figures(rows, buckets, time.time())

    def _until_now(self) -> Deferred[Any]:
        return self._patiently(self._history.flush())

    def _ask(self, job: Callable[[Database], Any]) -> Deferred[Any]:
        return self._patiently(self._history.desk.ask(job))

    def _patiently(self, asked: Deferred[Any]) -> Deferred[Any]:
        return asked.addTimeout(_PATIENCE, self._clock).addErrback(self._unknown)

    def _unknown(self, failure: Failure) -> None:
        failure.trap(TookLong, *LATER)
        late = failure.check(TookLong) is not None
        why = "the disk does not answer" if late else failure.getErrorMessage()
        raise NotFoundOut(f"{self._history.path}: cannot be read: {why}")


def _as_told(event: Event) -> Told:
    return {**cut(event).as_dict(), "process": os.getpid()}


def _is_of(event: Told, site: str | None, kind: str | None) -> bool:
    return site in (None, event["site"]) and kind in (None, event["kind"])


def _for_owner(event: Told) -> Told:
    return {**event, "other": None, "words": for_owner(event["words"], event["other"])}


def _figures(
    rows: Sequence[Sequence[Any]], buckets: Sequence[tuple[str, int, str]], now: float
) -> Iterator[Told]:
    of = {(name, warmth): text for name, warmth, text in buckets}
    for row in rows:
        named = dict(zip(SITE, row, strict=True))
        name = named["name"]
        yield figures(named, of.get((name, WARM), ""), of.get((name, COLD), ""), now)
