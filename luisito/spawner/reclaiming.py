"""Giving back the memory of frozen processes: by their cgroup, or page by page (madvise(2))."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

from luisito.spawner import cgroupfs, tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_STEP = 16 * 1024 * 1024  # bytes at a time, after which it is seen whether they are wanted again
_TRIES = 8  # without any success
_PROCESS_MADVISE = 440  # asm-generic/unistd.h; the same on all machines
_MADV_PAGEOUT = 21
_MAX_MAPS = 1 << 24  # bytes
# What the kernel refuses, or has no memory of its own.
_LEFT_OUT = (b"[vvar]", b"[vvar_vclock]", b"[vdso]", b"[vsyscall]")

_libc = ctypes.CDLL(None, use_errno=True)


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def by_cgroup(folder: str, wanted: Callable[[], bool]) -> bool:
    """Have the kernel give up what a cgroup takes (memory.reclaim, cgroups(7)).

    Args:
        folder: of the cgroup.
        wanted: whether that is still to be done.

    Returns:
        Whether it has such a file: since Linux 5.19, where it counts memory.
    """
    file = f"{folder}/memory.reclaim"
    if not os.path.exists(file):
        return False
    fails = 0
    while wanted() and fails < _TRIES:
        before = _current(folder)
        try:
            cgroupfs.write(file, str(min(before, _STEP)))
        except OSError:  # EAGAIN: not so much was to be had
            fails += 1
        if _current(folder) >= before:
            break
    return True


def _current(folder: str) -> int:
    return int(tree.read(f"{folder}/memory.current") or b"0")


def page_by_page(pids: Iterable[int], wanted: Callable[[], bool]) -> bool:
    """Have the kernel give up the pages of processes (MADV_PAGEOUT, since Linux 5.10).

    To be called by a helper, whose pid namespace is that of the servers. It takes CAP_SYS_NICE, and
    the right to trace them (process_madvise(2)). Pages that others have, too, stay.

    Args:
        pids: of the processes, as /proc names them.
        wanted: whether that is still to be done.

    Returns:
        Whether the kernel lets us.
    """
    able = True
    depth = _depth()
    for pid in pids:
        try:
            process = os.pidfd_open(_seen_as(pid, depth))
        except (OSError, ValueError):
            continue  # it has gone
        try:
            for start, end in _ranges(pid):
                if not wanted():
                    return able
                able = _give_up(process, start, end) and able
        finally:
            os.close(process)
    return able


def _give_up(process: int, start: int, end: int) -> bool:
    for at in range(start, end, _STEP):
        vector = _Vector(at, min(_STEP, end - at))
        done = _libc.syscall(
            _PROCESS_MADVISE, process, ctypes.byref(vector), ctypes.c_size_t(1), _MADV_PAGEOUT, 0
        )
        if done < 0 and ctypes.get_errno() in _NO_RIGHT:
            return False
    return True


_NO_RIGHT = (1, 13, 38)  # EPERM, EACCES, ENOSYS; others are of one range


def _ranges(pid: int) -> Iterator[tuple[int, int]]:
    for line in tree.read(f"/proc/{pid}/maps", _MAX_MAPS).splitlines():
        if not line.endswith(_LEFT_OUT):
            start, _, end = line.partition(b" ")[0].partition(b"-")
            yield int(start, 16), int(end, 16)


def _namespaced(pid: int | str) -> list[int]:
    """Tell the pids of a process in the pid namespaces that it is in, the outermost first."""
    text = tree.read(f"/proc/{pid}/status").partition(b"\nNSpid:")[2].partition(b"\n")[0]
    return [int(each) for each in text.split()]


def _depth() -> int:
    return len(_namespaced("self")) - 1


def _seen_as(pid: int, depth: int) -> int:
    """Tell the pid by which we, in an inner namespace, know a process of /proc.

    Raises:
        ValueError: it has gone.
    """
    pids = _namespaced(pid)
    if len(pids) <= depth:
        raise ValueError(pid)
    return pids[depth]
