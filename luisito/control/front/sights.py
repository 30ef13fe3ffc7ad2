"""What streams tell of: the rows of sites, the whole, and what is advised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luisito.advice.advice import Found
from luisito.advice.svg import chart

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from luisito.control.overview import Overview
    from luisito.control.sites import SiteView


class Sights:
    """See stream.Shown.

    Args:
        overview: of the pool.
        view: of the sites.
    """

    def __init__(self, overview: Overview, view: SiteView) -> None:
        self._overview, self._view = overview, view

    def all(self, uid: int) -> Iterator[Mapping[str, Any]]:
        """See Shown."""
        return self._view.rows(uid)

    def busy(self, uid: int, before: Collection[str]) -> Iterator[Mapping[str, Any]]:
        """See Shown."""
        return self._view.rows(uid, sorted(self._view.busy().union(before)))

    def status(self) -> Mapping[str, Any]:
        """See Shown."""
        return self._overview.status()

    def drawing(self) -> Mapping[str, Any]:
        """See Shown."""
        found = Found.of(self._overview.advice())
        return {**found.as_dict(), "svg": chart(found) if found.curve else None}
