"""Forks a child that is our parent's: whoever started us reaps it (clone(2), CLONE_PARENT)."""

from __future__ import annotations

import ctypes
import os
import signal

_CLONE_PARENT = 0x00008000  # linux/sched.h
_SYS_CLONE = {"x86_64": 56, "aarch64": 220, "riscv64": 220, "i686": 120, "armv7l": 120}
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15  # linux/prctl.h

# Not CDLL, which gives up the lock of the interpreter, and takes it again in the child.
_libc = ctypes.PyDLL(None, use_errno=True)
_before_fork = ctypes.pythonapi.PyOS_BeforeFork
_after_fork_parent = ctypes.pythonapi.PyOS_AfterFork_Parent
_after_fork_child = ctypes.pythonapi.PyOS_AfterFork_Child
for _hook in (_before_fork, _after_fork_parent, _after_fork_child):
    _hook.restype = None


def fork_sibling() -> int:
    """Fork as os.fork() does, but for the parent of the child.

    Raises:
        OSError: the kernel has no room, or does not know how.
    """
    number = _SYS_CLONE.get(os.uname().machine)
    if number is None:
        raise OSError(38, f"no clone(2) is known for {os.uname().machine}")
    _before_fork()
    pid: int = _libc.syscall(number, _CLONE_PARENT | signal.SIGCHLD, None, None, None, None)
    if pid == 0:
        _after_fork_child()
        return 0
    error = ctypes.get_errno()
    _after_fork_parent()
    if pid < 0:
        raise OSError(error, os.strerror(error))
    return pid


def die_with_parent(parent: int) -> None:
    """Be killed when the parent has gone; end at once where it is not who it should be."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(127)


def set_title(title: str, mark: str) -> None:
    """Have ps(1) and /proc show another command and environment than those we were started with.

    Args:
        title: the command; it is cut where there is no room.
        mark: all of the environment that is shown.
    """
    name = title.rpartition(" ")[2].encode()[:15]
    _libc.prctl(_PR_SET_NAME, ctypes.c_char_p(name), 0, 0, 0)
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    # proc_pid_stat(5): fields 48 to 51, of which the third is the first behind the parenthesis
    arg_start, arg_end, env_start, env_end = map(int, fields[45:49])
    for start, end, text in ((arg_start, arg_end, title), (env_start, env_end, mark)):
        size = end - start
        if start and size > 1:
            data = text.encode("utf-8", "surrogateescape")[: size - 1]
            ctypes.memmove(start, data.ljust(size, b"\0"), size)
