"""RLIMITS: which limits of setrlimit(2) there are, and how they are written."""

from collections.abc import Mapping
from typing import Final

Limit = tuple[int | None, int | None]
"""Soft and hard; None is no limit."""

UNITS: Final[Mapping[str, str]] = {
    "as": "bytes of address space",
    "core": "bytes of a core file",
    "cpu": "seconds of processor time, of each process",
    "data": "bytes of data segment and private writable memory",
    "fsize": "bytes of a file that is written",
    "memlock": "bytes of locked memory",
    "msgqueue": "bytes of POSIX message queues, of the user",
    "nice": "20 less the lowest nice value",
    "nofile": "one more than the highest number of a descriptor",
    "nproc": "processes and threads, of the user",
    "rtprio": "the highest real-time priority",
    "rttime": "microseconds of real-time scheduling without a blocking system call",
    "sigpending": "queued signals, of the user",
    "stack": "bytes of the first thread's stack",
}
"""The names, without RLIMIT_ and in lower case, and what each counts."""

NO_EFFECT: Final = ("locks", "rss")  # on Linux since 2.4.25 and 2.4.30

LARGEST: Final = 2**63 - 1


def fits(soft: int | None, hard: int | None) -> bool:
    """Tell whether a soft limit is no higher than a hard one."""
    return hard is None or (soft is not None and soft <= hard)


def exceeds(wanted: int | None, given: int | None) -> bool:
    """Tell whether a hard limit is higher than another."""
    return not fits(wanted, given)


def shown(limit: Limit) -> str:
    """Write a limit as it stands in settings.py."""
    soft, hard = ('"unlimited"' if number is None else str(number) for number in limit)
    return soft if soft == hard else f"({soft}, {hard})"
