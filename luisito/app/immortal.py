"""Has what is loaded live for ever, so that servers that use it write no counts into its pages.

From Python 3.12 on, an object whose reference count is over a bound is counted no more (PEP 683).
"""

from __future__ import annotations

import ctypes
import gc
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

_BOUND = 1 << 31  # of the lower 32 bits of a count, in 3.12 to 3.14
_SUITED = (
    0x030C0000 <= sys.hexversion < 0x030F0000
    and sys.implementation.name == "cpython"
    and sys.maxsize > 2**32
    and sys.byteorder == "little"
)
_ADDRESSES = (
    1 << 47 if sys.maxsize > 2**32 else 1 << 30
)  # of a process, on 64-bit machines (user_addr_max)

_PASSING = frozenset({"frame", "generator", "coroutine", "async_generator"})
_Code = type((lambda: None).__code__)


class Immortal:
    """Makes objects so.

    Attributes:
        works: this interpreter has such objects, where we look for that.
    """

    def __init__(self) -> None:
        self._known: set[int] = set()  # that the interpreter has made so itself
        self._lasts: dict[type, bool] = {}
        # Any object's count is an item: nothing is made to look at it.
        self._counts: Any = (ctypes.c_uint32 * (_ADDRESSES // 4)).from_address(0)
        self._ever: int = self._counts[id(None) >> 2]
        self.works = _SUITED and self._ever >= _BOUND and self._tried()

    def _tried(self) -> bool:
        one = object()
        self._counts[id(one) >> 2] = self._ever
        several = [one] * 10
        return len(several) == 10 and bool(self._counts[id(one) >> 2] == self._ever)

    def make(self, roots: Iterable[object]) -> int:
        """Have these live for ever, with all that they lead to.

        Args:
            roots: modules; what they lead to must not have to be closed by being forgotten.

        Returns:
            How many it were, which were not yet.
        """
        if not self.works:
            return 0
        counts, ever, made = self._counts, self._ever, 0
        left = list(roots)
        while left:
            one = left.pop()
            place = id(one)
            if counts[place >> 2] >= _BOUND:
                # What the interpreter has made so leads to what is not: its types to their methods.
                if place in self._known or not gc.is_tracked(one):
                    continue
                self._known.add(place)
            elif not self._may_last(type(one)):
                continue
            else:
                counts[place >> 2] = ever
                made += 1
            left += gc.get_referents(one)
            if type(one) is _Code:
                left += _parts(one)
        return made

    def _may_last(self, kind: type) -> bool:
        """Whether objects stay as they are until the end: files and frames do not."""
        lasts = self._lasts.get(kind)
        if lasts is None:
            lasts = kind.__name__ not in _PASSING
            try:
                type.__getattribute__(kind, "__del__")
                lasts = False
            except AttributeError:
                pass
            self._lasts[kind] = lasts
        return lasts


def _parts(code: object) -> Iterator[object]:
    """What code holds, which the collector is not told."""
    for name in (
        "co_consts", "co_names", "co_name", "co_qualname", "co_filename", "co_linetable",
        "co_exceptiontable",
    ):  # fmt: skip
        yield getattr(code, name)
