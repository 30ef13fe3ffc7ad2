"""The kernel's switches for privileges, by prctl(2), capset(2) and unshare(2)."""

from __future__ import annotations

import ctypes
import errno
import os

# linux/prctl.h, linux/sched.h, linux/capability.h
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_PR_SET_MEMORY_MERGE = 67
_CLONE_NEWPID = 0x20000000
_CAPABILITY_VERSION_3 = 0x20080522
_CAPABILITIES = 64  # more than any kernel has; the first unknown one ends the loop

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4


def _prctl(option: int, argument: int = 0) -> None:
    if _libc.prctl(option, argument, 0, 0, 0) < 0:
        _fail()


def _fail() -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))


def set_parent_death_signal(number: int) -> None:
    """Have the kernel send us a signal when our parent dies; a change of user clears it."""
    _prctl(_PR_SET_PDEATHSIG, number)


def set_child_subreaper() -> None:
    """Become the parent of every orphan below us."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def forbid_tracing() -> None:
    """Let no process of our user trace us, read our memory or have it dumped (ptrace(2))."""
    _prctl(_PR_SET_DUMPABLE, 0)


def merge_memory() -> None:
    """Let the kernel merge our pages, and those of all below us, with pages that are alike.

    It does so where KSM runs. Since Linux 6.4, and over exec since 6.7 (PR_SET_MEMORY_MERGE).
    """
    _prctl(_PR_SET_MEMORY_MERGE, 1)


def set_no_new_privs() -> None:
    """Make set-uid bits and file capabilities worth nothing to us and to all below us."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_bounding_set() -> None:
    """Empty the capability bounding set, for us and all below us (capabilities(7)).

    Without CAP_SETPCAP nothing changes: whoever lacks it has no_new_privs to rely on.
    """
    for capability in range(_CAPABILITIES):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            if ctypes.get_errno() not in (errno.EINVAL, errno.EPERM):
                _fail()
            return


def clear_capabilities() -> None:
    """Give up every permitted, effective, inheritable and ambient capability."""
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    if _libc.capset(header, (ctypes.c_uint32 * 6)()) < 0:
        _fail()


def enter_pid_namespace(descriptor: int) -> None:
    """Have our next children live in the pid namespace that a descriptor of /proc/PID/ns names.

    Raises:
        OSError: the kernel does not let us.
    """
    if _libc.setns(descriptor, _CLONE_NEWPID) < 0:
        _fail()


def unshare_pid_namespace() -> None:
    """Have our next child, and all later ones, live in a pid namespace of their own.

    Raises:
        OSError: EPERM without CAP_SYS_ADMIN.
    """
    if _libc.unshare(_CLONE_NEWPID) < 0:
        _fail()
