"""What is remembered of sites that may have no server now: who they ran as, how they ended."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from luisito.core.events import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from luisito.core.events import Event

MOST: Final = 10_000
"""Sites that are remembered."""


class Passed(NamedTuple):
    """The past of a site.

    Attributes:
        uid: whom its last server ran as; None where that is not known.
        exit: how its last server ended, in words; "" where none has.
        exited_at: when, in seconds since the epoch.
    """

    uid: int | None = None
    exit: str = ""
    exited_at: float = 0.0


class Past:
    """The pasts of sites, as events tell them, but for those of workers.

    Where there are too many, it forgets that of the site to which nothing has happened for longest.
    """

    def __init__(self) -> None:
        self._of: OrderedDict[str, Passed] = OrderedDict()

    def __getitem__(self, site: str) -> Passed:
        return self._of.get(site, _UNKNOWN)

    def __iter__(self) -> Iterator[str]:
        return iter(self._of)

    def tell(self, event: Event) -> None:
        """Take an event."""
        if event.worker is not None:
            return
        past = self._of.get(event.site, _UNKNOWN)
        if event.uid is not None:
            past = past._replace(uid=event.uid)
        if event.kind is Kind.EXITED:
            past = past._replace(exit=event.words, exited_at=event.at)
        self._of[event.site] = past
        self._of.move_to_end(event.site)
        if len(self._of) > MOST:
            self._of.popitem(last=False)


_UNKNOWN: Final = Passed()
