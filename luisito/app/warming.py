"""Has pages of memory of our own before they are written to, which servers before us came to write.

After a fork each first write to a page costs a fault, two or three microseconds, and a server makes
thousands until it has answered. All children of an interpreter have the same things in the same
places, so that what one of them has written to another one will.
"""

from __future__ import annotations

import array
import ctypes
import os
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PAGE = os.sysconf("SC_PAGE_SIZE")
_POPULATE_WRITE = 23  # MADV_POPULATE_WRITE of madvise(2), since Linux 5.14
# Of proc_pid_pagemap(5), the bits from 56 on: in memory, of no file, and nobody else's.
_OWN = 0x81
_ENTRY = 8  # bytes of a page's bits

_libc = ctypes.PyDLL(None)


def pagemap() -> int:
    """Open what tells which pages of this process are its own, and of no other.

    Raises:
        OSError: the kernel does not tell.
    """
    return os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)


def own(other: int, most: int) -> array.array[int]:
    """Find what another process, which we have forked, has of its own.

    Args:
        other: its `pagemap`; it may have ended, which leaves nothing to find.
        most: bytes of it in all.

    Returns:
        The address and the size of each piece, in turns.

    Raises:
        OSError: the kernel does not tell.
    """
    found = array.array("Q")
    left = most // _PAGE
    for start, end in _writable():
        size = (end - start) // _PAGE * _ENTRY
        entries = array.array("Q", os.pread(other, size, start // _PAGE * _ENTRY))
        page = start
        for is_own, run in groupby(entry >> 56 == _OWN for entry in entries):
            count = sum(1 for _ in run)
            if is_own:
                if count > left:
                    return found
                left -= count
                found.extend((page, count * _PAGE))
            page += count * _PAGE
    return found


def have(pieces: Sequence[int], until: Callable[[], bool]) -> None:
    """Have pieces of memory of our own.

    Args:
        pieces: as `own` gives them.
        until: tells that there is no time any more.
    """
    for index in range(0, len(pieces), 2):
        if until() or _populate(pieces[index], pieces[index + 1]):
            return


def _populate(start: int, size: int) -> int:
    failed: int = _libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), _POPULATE_WRITE)
    return failed


def _writable() -> list[tuple[int, int]]:
    """The parts of memory that forks copy, by their first and last addresses."""
    with open("/proc/self/maps", "rb") as file:
        words = [line.split(None, 2) for line in file]
    found = [place.split(b"-") for place, rights, _ in words if rights == b"rw-p"]
    return [(int(start, 16), int(end, 16)) for start, end in found]
