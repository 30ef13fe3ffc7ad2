"""Forks a child that is our parent's: whoever started us reaps it (clone(2), CLONE_PARENT)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

# linux/sched.h, linux/prctl.h
_CLONE_PARENT = 0x00008000
_CLONE_CHILD_CLEARTID = 0x00200000
_CLONE_CHILD_SETTID = 0x01000000
_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_GET_TID_ADDRESS = 1, 15, 40

# By machine: the numbers of clone, set_robust_list and get_robust_list, and the place of clone's
# pointer for the id of the thread (clone(2), "C library/kernel differences").
_CALLS = {"x86_64": (56, 273, 274, 3), "aarch64": (220, 99, 100, 4), "riscv64": (220, 99, 100, 4)}

# Not CDLL, which gives up the lock of the interpreter, and takes it again in the child.
_libc = ctypes.PyDLL(None, use_errno=True)
_before_fork = ctypes.pythonapi.PyOS_BeforeFork
_after_fork_parent = ctypes.pythonapi.PyOS_AfterFork_Parent
_after_fork_child = ctypes.pythonapi.PyOS_AfterFork_Child
for _hook in (_before_fork, _after_fork_parent, _after_fork_child):
    _hook.restype = None


class Forker:
    """Forks siblings.

    Raises:
        OSError: ENOSYS, as it is not known how on this machine.
    """

    def __init__(self) -> None:
        machine = os.uname().machine
        if machine not in _CALLS or sys.maxsize <= 2**32:
            raise OSError(38, f"no clone(2) is known for {machine}")
        self._number, self._set_robust, get_robust, place = _CALLS[machine]
        # What glibc's fork sees to in the child besides, and clone(2) by itself does not: that the
        # thread knows its id, and the kernel the robust mutexes that it holds.
        self._flags = _CLONE_PARENT | signal.SIGCHLD
        self._pointers = [0, 0, 0, 0]
        thread = ctypes.POINTER(ctypes.c_int)()
        known = _libc.prctl(_PR_GET_TID_ADDRESS, ctypes.byref(thread), 0, 0, 0) == 0 and thread
        if known and thread[0] == threading.get_native_id():
            self._flags |= _CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID
            self._pointers[place - 1] = ctypes.cast(thread, ctypes.c_void_p).value or 0
        self._robust, self._size = ctypes.c_void_p(), ctypes.c_size_t()
        where = ctypes.byref(self._robust), ctypes.byref(self._size)
        if _libc.syscall(get_robust, 0, *where) != 0:
            self._robust = ctypes.c_void_p()

    def fork(self) -> int:
        """Fork as os.fork() does, but for the parent of the child.

        Raises:
            OSError: the kernel has no room.
        """
        pointers = [ctypes.c_void_p(value) for value in self._pointers]
        flags = ctypes.c_ulong(self._flags)
        _before_fork()
        pid: int = _libc.syscall(self._number, flags, *pointers)
        if pid == 0:
            _after_fork_child()
            if self._robust:
                _libc.syscall(self._set_robust, self._robust, self._size)
            return 0
        error = ctypes.get_errno()
        _after_fork_parent()
        if pid < 0:
            raise OSError(error, os.strerror(error))
        return pid


def die_with_parent() -> None:
    """Be killed when the parent has gone."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def threads() -> int:
    """Tell how many threads this process has."""
    return os.stat("/proc/self/task").st_nlink - 2


def close_above(last: int) -> None:
    """Close all descriptors with higher numbers."""
    # The limit may be millions, which Python before 3.10 would try one by one.
    os.closerange(last + 1, 1 + max(map(int, os.listdir("/proc/self/fd"))))


class Title:
    """What ps(1) and /proc show as the command and the environment of this process.

    Nothing of the C library may point to where the environment was.
    """

    def __init__(self) -> None:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        # proc_pid_stat(5): fields 48 to 51, of which the third is the first behind the parenthesis
        start, end, environ, last = map(int, fields[45:49])
        self._areas = (start, end - start), (environ, last - environ)
        self._used = [0, 0]

    def clear(self) -> None:
        """Show nothing."""
        for start, size in self._areas:
            ctypes.memset(start, 0, size)

    def set(self, title: str, mark: str) -> None:
        """Show another, after `clear`.

        Args:
            title: the command; it is cut where there is no room.
            mark: all of the environment that is shown.
        """
        name = title.rpartition(" ")[2].encode()[:15]
        _libc.prctl(_PR_SET_NAME, ctypes.c_char_p(name), 0, 0, 0)
        for index, text in enumerate((title, mark)):
            start, size = self._areas[index]
            # The last byte stays 0: by another the kernel takes both for one.
            data = text.encode("utf-8", "surrogateescape")[: max(0, size - 1)]
            data, self._used[index] = data.ljust(self._used[index], b"\0"), len(data)
            ctypes.memmove(start, data, len(data))
