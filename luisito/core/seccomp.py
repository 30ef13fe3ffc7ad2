"""Which system calls the network process may make, as a filter for the kernel (seccomp(2)).

Everything that it has no use for and that is worth something to whoever has taken it over is
refused; all the rest is let through, since which calls Python, OpenSSL and the C library make
differs from one version to the next. A call that is refused fails, as it does for want of a right:
a library that merely tries one must not end the server.

The numbers are those of the kernel's arch/x86/entry/syscalls/syscall_64.tbl and
include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Machine(NamedTuple):
    """A kind of processor.

    Attributes:
        audit: its AUDIT_ARCH_..., by which the kernel says whose table a call's number is from.
        seccomp: the number of seccomp(2) itself.
    """

    audit: int
    seccomp: int


class Instruction(NamedTuple):
    """One of classic BPF, struct sock_filter of linux/filter.h.

    Attributes:
        code: what it does.
        jt: how many instructions to skip where its comparison holds.
        jf: how many to skip where it does not.
        k: its operand.
    """

    code: int
    jt: int
    jf: int
    k: int


MACHINES: Final = {
    "x86_64": Machine(0xC000003E, 317),
    "aarch64": Machine(0xC00000B7, 277),
}
"""By what uname(2) calls them."""

LAST: Final = 450
"""The last call of Linux 6.1. Later ones are as unknown as on that kernel, until somebody has
looked at them here; the numbers of the x32 ABI are all above it."""

_Numbers = tuple[int | None, int | None]  # in the order of MACHINES; None where there is none

# What a program is started by; clone is, too, but for threads.
_STARTS: Final[dict[str, _Numbers]] = {
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
}
# What reaches into other processes of the same user.
_OTHERS: Final[dict[str, _Numbers]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "tkill": (200, 130),
}
# Another view of files and processes: what a user namespace makes possible without a capability.
_VIEWS: Final[dict[str, _Numbers]] = {
    "unshare": (272, 97),
    "setns": (308, 268),
    "chroot": (161, 51),
    "pivot_root": (155, 41),
    "mount": (165, 40),
    "umount2": (166, 39),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
}
# Where bugs of the kernel were found again and again; io_uring makes calls that no filter sees.
_KERNEL: Final[dict[str, _Numbers]] = {
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "vmsplice": (278, 75),
    "modify_ldt": (154, None),
    "personality": (135, 92),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "iopl": (172, None),
    "ioperm": (173, None),
}
# The keyring of whoever has started us outlives the change of user (keyrings(7)).
_KEYS: Final[dict[str, _Numbers]] = {
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
}
REFUSED: Final = {**_STARTS, **_OTHERS, **_VIEWS, **_KERNEL, **_KEYS}
"""Whatever their arguments: EPERM."""

JUDGED: Final[dict[str, tuple[str, _Numbers]]] = {
    "clone": ("threads", (56, 220)),
    "clone3": ("unknown", (435, 435)),
    "kill": ("own", (62, 129)),
    "tgkill": ("own", (234, 131)),
    "prlimit64": ("limits", (302, 261)),
    "ioctl": ("terminals", (16, 29)),
    "socket": ("families", (41, 198)),
    "socketpair": ("families", (53, 199)),
}
"""By their arguments, in a part of the program that has this name."""

CLONE_THREAD: Final = 0x00010000
CLONE_NEW: Final = 0x00020000 | 0x7E000000
"""The flags of linux/sched.h that ask for a namespace: CLONE_NEWNS, then NEWCGROUP to NEWNET."""
TERMINAL: Final = (0x5412, 0x541C, 0x5423)
"""TIOCSTI and TIOCLINUX type into a terminal, as its user would; TIOCSETD loads drivers."""
FAMILIES: Final = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6 and AF_NETLINK (sock_diag(7); getaddrinfo asks for our addresses)."""

EPERM, ENOSYS, EAFNOSUPPORT = 1, 38, 97  # asm-generic/errno.h
ALLOW: Final = 0x7FFF0000  # SECCOMP_RET_ALLOW
ERRNO: Final = 0x00050000  # SECCOMP_RET_ERRNO

# linux/bpf_common.h: load a word of struct seccomp_data; compare with k; and; return k
LOAD, EQUAL, GREATER, AND, RETURN = 0x20, 0x15, 0x25, 0x54, 0x06
NUMBER_AT, ARCH_AT = 0, 4  # in struct seccomp_data


def argument_at(index: int) -> int:
    """Tell where the lower half of a call's argument is; both machines put that first."""
    return 16 + 8 * index


_Line = tuple[int, int, str, str]  # code, operand, where to go if it holds, and if not; "" is on


def program(machine: str, pid: int) -> list[Instruction]:
    """Write the filter for one process.

    Args:
        machine: one of MACHINES.
        pid: of the process, the only one that it may signal or set limits of.

    Returns:
        What every system call is run through. The kernel remembers which calls are let through
        whatever their arguments, so those cost nothing (Linux 5.11).
    """
    column = list(MACHINES).index(machine)
    refused = [(numbers[column], "refused") for numbers in REFUSED.values()]
    judged = [(numbers[column], part) for part, numbers in JUDGED.values()]
    parts: dict[str, list[_Line]] = {
        "": [
            (LOAD, ARCH_AT, "", ""),
            (EQUAL, MACHINES[machine].audit, "", "unknown"),  # else i386 on x86_64, arm on aarch64
            (LOAD, NUMBER_AT, "", ""),
            (GREATER, LAST, "unknown", ""),
            *((EQUAL, number, to, "") for number, to in refused + judged if number is not None),
            (RETURN, ALLOW, "", ""),
        ],
        # clone3 is among these: the C library then uses clone, whose flags can be seen from here.
        "unknown": [(RETURN, ERRNO | ENOSYS, "", "")],
        "threads": [
            (LOAD, argument_at(0), "", ""),
            (AND, CLONE_THREAD | CLONE_NEW, "", ""),
            (EQUAL, CLONE_THREAD, "allowed", "refused"),
        ],
        "limits": [
            (LOAD, argument_at(0), "", ""),
            (EQUAL, 0, "allowed", ""),
            (EQUAL, pid, "allowed", "refused"),
        ],
        "own": [
            (LOAD, argument_at(0), "", ""),
            (EQUAL, pid, "allowed", "refused"),
        ],
        "terminals": [
            (LOAD, argument_at(1), "", ""),
            *((EQUAL, command, "refused", "") for command in TERMINAL),
            (RETURN, ALLOW, "", ""),
        ],
        "families": [
            (LOAD, argument_at(0), "", ""),
            *((EQUAL, family, "allowed", "") for family in FAMILIES),
            (RETURN, ERRNO | EAFNOSUPPORT, "", ""),
        ],
        "allowed": [(RETURN, ALLOW, "", "")],
        "refused": [(RETURN, ERRNO | EPERM, "", "")],
    }
    return _assembled(parts)


def _assembled(parts: dict[str, list[_Line]]) -> list[Instruction]:
    """Put the parts one behind the other, and distances in the place of their names."""
    starts: dict[str, int] = {}
    flat: list[_Line] = []
    for name, lines in parts.items():
        starts[name] = len(flat)
        flat += lines

    def distance(name: str, at: int) -> int:
        return starts[name] - at - 1 if name else 0

    return [
        Instruction(code, distance(holds, at), distance(fails, at), k)
        for at, (code, k, holds, fails) in enumerate(flat)
    ]
