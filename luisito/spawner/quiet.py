"""Whether a server does anything by itself while nobody asks it: what can be seen from outside."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from luisito.spawner import tree

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

SETTLES = 0.5
"""Seconds until the first look, in which it notices that the connections to it were closed; on a
machine that is busy that may take as long again, after which is the second look."""

SPAN = 2.5
"""Seconds from that to the last one: whatever has run in between has work of its own."""

_MOST_FILES = 1024  # descriptors of a process that are looked at
_SIGN = 1 << 31  # of a 32-bit timeout; negative is for ever

_POINTER, _NUMBER, _ALWAYS = "pointer", "number", "always"
# System calls that wait, by their numbers: which argument bounds that, and how (asm/unistd.h).
# What is not here waits for ever, or cannot be known to do otherwise.
_WAITS = {
    "x86_64": {
        7: (2, _NUMBER),  # poll
        23: (4, _POINTER),  # select
        35: (0, _ALWAYS),  # nanosleep
        128: (2, _POINTER),  # rt_sigtimedwait
        202: (3, _POINTER),  # futex
        219: (0, _ALWAYS),  # restart_syscall, of one of these
        220: (3, _POINTER),  # semtimedop
        230: (0, _ALWAYS),  # clock_nanosleep
        232: (3, _NUMBER),  # epoll_wait
        270: (4, _POINTER),  # pselect6
        271: (2, _POINTER),  # ppoll
        281: (3, _NUMBER),  # epoll_pwait
        441: (3, _POINTER),  # epoll_pwait2
    },
    "aarch64": {
        22: (3, _NUMBER),
        72: (4, _POINTER),
        73: (2, _POINTER),
        98: (3, _POINTER),
        101: (0, _ALWAYS),
        115: (0, _ALWAYS),
        128: (0, _ALWAYS),
        137: (2, _POINTER),
        192: (3, _POINTER),
        441: (3, _POINTER),
    },
}


class Look(NamedTuple):
    """What was seen of some processes.

    Attributes:
        ran: how often each thread had been on a processor, by (pid, tid).
        wakes: why they will do something by themselves; "" where nothing shows that.
    """

    ran: dict[tuple[int, int], int]
    wakes: str


def look(pids: Iterable[int]) -> Look:
    """Look at all threads, timers and waits of processes."""
    ran: dict[tuple[int, int], int] = {}
    wakes = ""
    for pid in pids:
        threads = _threads(pid)
        for tid in threads:
            ran[pid, tid] = _switches(tree.read(f"/proc/{pid}/task/{tid}/status"))
        wakes = wakes or _timers(pid) or _waits(pid, threads)
    return Look(ran, wakes)


def compare(first: Look, second: Look) -> str:
    """Say why a server is not quiet that was looked at twice; "" where it is."""
    if first.wakes or second.wakes:
        return first.wakes or second.wakes
    if first.ran != second.ran:
        return "some of it has run though nobody had asked it"
    return ""


def _threads(pid: int) -> Collection[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def _switches(status: bytes) -> int:
    """Count context switches, of either kind (proc(5)): whoever has run has had one."""
    lines = [line for line in status.splitlines() if b"ctxt_switches:" in line]
    return sum(int(line.rpartition(b":")[2]) for line in lines)


def _timers(pid: int) -> str:
    """Tell of a timerfd that is armed, and of POSIX timers."""
    if tree.read(f"/proc/{pid}/timers"):
        return f"pid {pid} has a timer (timer_create)"
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return ""
    for name in names[:_MOST_FILES]:
        try:
            is_timer = os.readlink(f"/proc/{pid}/fd/{name}") == "anon_inode:[timerfd]"
        except OSError:
            continue
        if is_timer and b"it_value: (0, 0)" not in tree.read(f"/proc/{pid}/fdinfo/{name}"):
            return f"pid {pid} has a timer (timerfd)"
    return ""


def _waits(pid: int, threads: Collection[int]) -> str:
    """Tell of a thread that waits for a time, or may do so."""
    known = _WAITS.get(os.uname().machine, {})
    for tid in threads:
        call = tree.read(f"/proc/{pid}/task/{tid}/syscall").split()
        if not known or not call:
            # Nothing is known of it; of a single one the time between two looks tells enough.
            if len(threads) > 1:
                return f"pid {pid} has {len(threads)} threads, of which nothing more is known"
        elif is_timed(known, call):
            return f"pid {pid} waits for a time, and not only for requests"
    return ""


def is_timed(known: dict[int, tuple[int, str]], call: list[bytes]) -> bool:
    """Tell whether a line of /proc/PID/syscall is of a wait that ends by itself."""
    number = int(call[0]) if call[0].lstrip(b"-").isdigit() else -1  # "running"
    if number not in known or len(call) < 7:
        return False
    at, kind = known[number]
    value = int(call[1 + at], 16)
    if kind == _NUMBER:
        return not value & _SIGN
    return kind == _ALWAYS or value != 0
