"""Forking without losing a signal, or into a cgroup; the signals that the spawner lives with."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import ClassVar

# Everything that would end the spawner by default and that others may send it, and what Python
# ignores: what is ignored stays so through exec, what is handled does not. SIGCHLD wakes it, and
# SIGALRM cuts its waits short (see `patience`).
HANDLED = (
    signal.SIGCHLD,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGALRM,
)


# linux/sched.h, asm-generic/unistd.h
_CLONE_CLEAR_SIGHAND = 0x100000000
_CLONE_INTO_CGROUP = 0x200000000
_SYS_CLONE3 = 435

# Not CDLL, which gives up the lock of the interpreter, and takes it again in the child.
_libc = ctypes.PyDLL(None)
_before_fork = ctypes.pythonapi.PyOS_BeforeFork
_after_fork_parent = ctypes.pythonapi.PyOS_AfterFork_Parent
_after_fork_child = ctypes.pythonapi.PyOS_AfterFork_Child
for _hook in (_before_fork, _after_fork_parent, _after_fork_child):
    _hook.restype = None


class _CloneArgs(ctypes.Structure):
    """The struct clone_args of clone3(2)."""

    _fields_: ClassVar = [
        (name, ctypes.c_uint64)
        for name in (
            "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size",
            "tls", "set_tid", "set_tid_size", "cgroup",
        )
    ]  # fmt: skip


_into_cgroup = _CloneArgs(
    flags=_CLONE_CLEAR_SIGHAND | _CLONE_INTO_CGROUP, exit_signal=signal.SIGCHLD
)


class _State:
    """Whether this process is a forked child, where a signal must not be taken for a wake-up."""

    child = False


def handle_signals(wakeup: int) -> None:
    """Let no signal but KILL end us; each writes a byte to the descriptor instead."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals():
        # Whoever started us may have ignored signals (nohup); the servers must not inherit that.
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    for handled in HANDLED:
        signal.signal(handled, _handle)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)


def _handle(number: int, _frame: object) -> None:
    # In the spawner the wake-up descriptor has done it.
    if _State.child and number != signal.SIGCHLD:
        os._exit(128 + number)


def fork() -> int:
    """Fork; in the child a signal ends it, as it would after exec, which resets all handlers.

    Raises:
        OSError: EAGAIN or ENOMEM.
    """
    # One that reaches the child sooner would be written where it wakes us, as if it were ours.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        pid = os.fork()
        if pid == 0:
            _State.child = True
            signal.set_wakeup_fd(-1)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return pid


def fork_into(cgroup: str) -> int | None:
    """Fork a child that is in a cgroup from the first; a signal ends it, as it would after exec.

    To join one later the child would have to wait until the kernel has stopped all forks, which can
    take it 20 ms; and whoever makes or removes another cgroup meanwhile waits, too.

    Args:
        cgroup: its folder.

    Returns:
        As fork; or None where the kernel does not: it cannot (before 5.7), must not (a filter of
        system calls, as containers have them), or has no room, as fork is told, too.

    Raises:
        OSError: there is no such folder.
    """
    _into_cgroup.cgroup = folder = os.open(cgroup, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    # What os.fork() does around fork(2). What glibc does there is for threads and for their locks.
    _before_fork()
    pid: int = _libc.syscall(_SYS_CLONE3, ctypes.byref(_into_cgroup), ctypes.sizeof(_into_cgroup))
    if pid == 0:
        _after_fork_child()
        return 0
    _after_fork_parent()
    os.close(folder)
    return pid if pid > 0 else None
