"""The ends of servers that nobody could be told of, as no network process was there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from luisito.core import wire

MOST: Final = 1000
"""So many are kept, the last ones: far more than servers and workers live at a time."""


class Ends:
    """Keeps them for whoever follows, who is told of each when it takes the server over.

    It lists such a server like those that live, or it would not know what has ended.
    """

    def __init__(self) -> None:
        self._kept: dict[int, tuple[dict[str, wire.Scalar], wire.Exited | wire.Failed]] = {}

    def keep(self, row: dict[str, wire.Scalar], fact: wire.Exited | wire.Failed) -> None:
        """Keep what could not be told.

        Args:
            row: of the server, as it is listed.
            fact: its end.
        """
        self._kept[fact.server] = row, fact
        if len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]

    @property
    def rows(self) -> list[dict[str, wire.Scalar]]:
        """Of all of them."""
        return [row for row, _ in self._kept.values()]

    def take(self, server: int) -> wire.Exited | wire.Failed | None:
        """Tell the end of one, and keep it no longer; None where it is not known."""
        _, fact = self._kept.pop(server, (None, None))
        return fact
