"""Puts the network process under its filter of system calls, and tells what is in force."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from luisito.core import seccomp

if TYPE_CHECKING:
    from luisito.core.seccomp import Instruction

_SET_MODE_FILTER: Final = 1  # linux/seccomp.h
_FILTER_FLAG_TSYNC: Final = 1
_FILTERED: Final = "2"  # of Seccomp in /proc/PID/status (proc(5))
_SETS: Final = ("CapInh", "CapPrm", "CapEff", "CapAmb")

_libc = ctypes.CDLL(None, use_errno=True)


class _Filter(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jt", ctypes.c_uint8),
        ("jf", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.POINTER(_Filter)))


class InForce(NamedTuple):
    """What holds this process, as the kernel has it, in words for the log.

    Attributes:
        held: is in force in all of its threads.
        lacking: is not, though it should be.
    """

    held: list[str]
    lacking: list[str]


def confine() -> str:
    """Put all threads under the filter, for good; no_new_privs must be set.

    Returns:
        Why that cannot be done here; "" where it is done.
    """
    name = os.uname().machine
    machine = seccomp.MACHINES.get(name)
    if machine is None or sys.maxsize < 2**32:
        bits = "" if machine is None else ", in 32 bits"
        return f"there is none for {name}{bits}"
    return _install(seccomp.program(name, os.getpid()), machine.seccomp)


def _install(program: list[Instruction], number: int) -> str:
    filters = (_Filter * len(program))(*(_Filter(*each) for each in program))
    answer = _libc.syscall(
        ctypes.c_long(number),
        ctypes.c_ulong(_SET_MODE_FILTER),
        ctypes.c_ulong(_FILTER_FLAG_TSYNC),
        ctypes.byref(_Program(len(program), filters)),
    )
    if answer > 0:
        return f"thread {answer} has another one"
    return os.strerror(ctypes.get_errno()) if answer < 0 else ""


def in_force(no_filter: str) -> InForce:
    """Tell what holds us.

    Args:
        no_filter: what `confine` has returned.
    """
    found = [_status(thread) for thread in os.listdir("/proc/self/task")]
    threads = [status for status in found if status]

    def empty(name: str) -> bool:
        return all(int(status[name], 16) == 0 for status in threads)

    def everywhere(name: str, value: str) -> bool:
        return all(status[name] == value for status in threads)

    held: list[str] = []
    lacking: list[str] = []
    for words, holds in (
        ("no capabilities", all(map(empty, _SETS))),
        ("no_new_privs", everywhere("NoNewPrivs", "1")),
    ):
        (held if holds else lacking).append(words)
    if empty("CapBnd"):  # nobody but root may see to that
        held.append("an empty bounding set")
    if no_filter or not everywhere("Seccomp", _FILTERED):
        lacking.append(f"the filter of system calls ({no_filter or 'of some thread'})")
    else:
        held.append("a filter of system calls that lets it start no program")
    return InForce(held, lacking)


def _status(thread: str) -> dict[str, str]:
    try:
        with open(f"/proc/self/task/{thread}/status", encoding="utf-8", errors="replace") as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return {}
