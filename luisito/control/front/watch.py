"""Which rows have changed since they were looked at last: a comparison, without any I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from luisito.control.overview import ASLEEP

if TYPE_CHECKING:
    from collections.abc import Mapping

# They go on by themselves, so that whoever knows one value knows the next ones.
_MOVING: Final = (
    "up_seconds", "idle_seconds", "busy_seconds", "retry_seconds", "last_exit_seconds",
)  # fmt: skip


class Rows:
    """What was seen of each site.

    Attributes:
        busy: the sites that were not asleep when they were looked at last.
    """

    def __init__(self) -> None:
        self._seen: dict[str, object] = {}
        self._whole: set[str] | None = None
        self.busy: set[str] = set()

    def begin(self, *, whole: bool) -> None:
        """Rows are looked at anew.

        Args:
            whole: all that there are; else some.
        """
        self._whole = set() if whole else None

    def is_new(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is another than it was at the last look, but for its clocks."""
        site = row["site"]
        if self._whole is not None:
            self._whole.add(site)
        if row["state"] == ASLEEP:
            self.busy.discard(site)
        else:
            self.busy.add(site)
        now = {**row, **{name: row.get(name) is None for name in _MOVING}}
        before, self._seen[site] = self._seen.get(site), now
        return before != now

    def end(self) -> list[Mapping[str, Any]]:
        """The look is over: something in the place of the rows that there are no more."""
        if self._whole is None:
            return []
        gone = [site for site in self._seen if site not in self._whole]
        for site in gone:
            del self._seen[site]
            self.busy.discard(site)
        return [{"site": site, "state": "gone"} for site in gone]
