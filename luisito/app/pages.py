"""Has forked servers copy fewer pages of memory than they would."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Objects/obmalloc.c of CPython: blocks of one size in pools, which begin with 48 bytes of their own
# and lie at multiples of 4 kB.
_STEP, _LARGEST, _HEADER, _PAGE = 16, 512, 48, 4096
_MOST = 128 * 1024  # bytes that are filled of one size at most


def share() -> list[object]:
    """Prepare what is there to be shared.

    Returns:
        What must be kept, so that nothing else comes in its place.
    """
    gc.collect()
    for one in gc.get_objects():
        # What else a class is asked for first is noted in it. (isinstance() would ask others.)
        if issubclass(type(one), type):
            try:
                type.__getattribute__(one, "there is none")
            except AttributeError:
                pass
    # A new object in a hole among old ones has a whole page of those copied; and a server's objects
    # are scattered over as many pages as there are holes.
    kept = [block for size in range(_STEP, _LARGEST + 1, _STEP) for block in _fill(size)]
    gc.freeze()
    return kept


def _fill(size: int) -> Iterator[object]:
    """Give objects of a size until they come out of a new pool."""
    last = 0
    for _ in range(_MOST // size):
        block = _block(size)
        yield block
        if last % _PAGE == _HEADER and id(block) == last + size:
            return
        last = id(block)


def _block(size: int) -> object:
    if size == 16:  # what each has by itself: sys.getsizeof()
        return object()
    if size == 32:
        return id(size)
    return bytes(size - 33)
