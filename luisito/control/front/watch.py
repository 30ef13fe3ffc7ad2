"""Which rows have changed since they were looked at last: a comparison, without any I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# They go on by themselves, so that whoever knows one value knows the next ones.
_MOVING: Final = ("up_seconds", "idle_seconds", "busy_seconds", "retry_seconds")


class Rows:
    """What was seen of each site."""

    def __init__(self) -> None:
        self._before: dict[str, object] = {}
        self._now: dict[str, object] = {}

    def begin(self) -> None:
        """All rows are looked at anew."""
        self._now = {}

    def is_new(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is another than it was at the last look, but for its clocks."""
        moving = {name: row.get(name) is None for name in _MOVING}
        now = self._now[row["site"]] = {**row, **moving}
        return self._before.get(row["site"]) != now

    def gone(self) -> list[str]:
        """The sites that have no row any more; ends the look."""
        left = [site for site in self._before if site not in self._now]
        self._before = self._now
        return left
