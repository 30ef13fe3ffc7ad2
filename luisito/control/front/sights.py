"""What streams tell of: the rows of sites, and the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from luisito.control.overview import Overview


class Sights:
    """See stream.Shown.

    Args:
        overview: of the pool.
    """

    def __init__(self, overview: Overview) -> None:
        self._overview = overview

    def rows(self, uid: int) -> Iterator[Mapping[str, Any]]:
        """See Shown."""
        return self._overview.servers(uid)

    def row_of(self, uid: int, site: str) -> Mapping[str, Any] | None:
        """See Shown."""
        del uid
        return {"site": site, "state": "asleep"}

    def status(self) -> Mapping[str, Any]:
        """See Shown."""
        return self._overview.status()
