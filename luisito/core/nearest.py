"""Which of many names somebody may have meant."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

LIKE: Final = 0.6
"""How like a name another one has to be, of 1: difflib's own measure for that."""


class Nearest:
    """Compares names, as many at a time as there is time for.

    Args:
        name: that was written.

    Attributes:
        best: the name that is most like it; None as long as none is.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._matcher = SequenceMatcher(b=name, autojunk=False)
        self._ratio = LIKE
        self.best: str | None = None

    def look(self, names: Iterable[str]) -> None:
        """Look at some more names; of those that are alike it takes the first."""
        matcher = self._matcher
        for name in names:
            matcher.set_seq1(name)
            # each of the first two is an upper bound of the next, and cheaper
            bounds = matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio
            if name != self._name and all(bound() >= self._ratio for bound in bounds):
                ratio = matcher.ratio()
                if self.best is None or ratio > self._ratio:
                    self.best, self._ratio = name, ratio
