"""The filter of the network process, run by a BPF machine of a few lines on every call there is."""

import re
from pathlib import Path

import pytest

from luisito.core.seccomp import (
    ALLOW,
    AND,
    ARCH_AT,
    CLONE_THREAD,
    EAFNOSUPPORT,
    ENOSYS,
    EPERM,
    EQUAL,
    ERRNO,
    FAMILIES,
    GREATER,
    JUDGED,
    LAST,
    LOAD,
    MACHINES,
    NUMBER_AT,
    REFUSED,
    RETURN,
    TERMINAL,
    program,
)

PID = 4711
X32 = 0x40000000
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
# linux/sched.h: what glibc and musl start a thread with, and a process by fork()
THREAD, FORK = 0x3D0F00, 0x01200011


def run(instructions, number, audit, *arguments):
    """What the kernel's machine returns for one call."""
    words = {NUMBER_AT: number, ARCH_AT: audit}
    for index in range(6):
        value = arguments[index] if index < len(arguments) else 0
        words[16 + 8 * index], words[20 + 8 * index] = value & 0xFFFFFFFF, value >> 32
    at = accumulator = 0
    while True:
        code, jt, jf, k = instructions[at]
        at += 1
        if code == LOAD:
            accumulator = words[k]
        elif code == AND:
            accumulator &= k
        elif code == EQUAL:
            at += jt if accumulator == k else jf
        elif code == GREATER:
            at += jt if accumulator > k else jf
        else:
            assert code == RETURN
            return k


@pytest.fixture(params=MACHINES)
def judge(request):
    """Judges a call of a machine by its name or number."""
    instructions = program(request.param, PID)
    column = list(MACHINES).index(request.param)

    def judge(call, *arguments, audit=MACHINES[request.param].audit):
        if isinstance(call, str):
            call = JUDGED[call][1][column] if call in JUDGED else REFUSED[call][column]
        return run(instructions, call, audit, *arguments)

    judge.numbers = {
        name: numbers[column]
        for name, numbers in (REFUSED | {name: each for name, (_, each) in JUDGED.items()}).items()
        if numbers[column] is not None
    }
    judge.instructions = instructions
    judge.machine = request.param
    return judge


def test_what_the_kernel_asks_of_a_program(judge):
    """As seccomp_check_filter() and bpf_check_classic() do."""
    length = len(judge.instructions)
    assert length < 4096
    assert judge.instructions[-1].code == RETURN
    for at, (code, jt, jf, k) in enumerate(judge.instructions):
        assert code in (LOAD, EQUAL, GREATER, AND, RETURN)
        assert 0 <= k < 2**32
        if code in (EQUAL, GREATER):
            assert max(jt, jf) < 256
            assert at + 1 + max(jt, jf) < length
        else:
            assert (jt, jf) == (0, 0)
        if code == LOAD:
            assert k % 4 == 0
            assert k < 64


def test_every_number(judge):
    """What no argument can change: the tables and nothing else decide."""
    judged = {judge.numbers[name] for name in JUDGED if name != "clone3"}
    refused = {judge.numbers[name] for name in REFUSED if name in judge.numbers}
    for number in range(LAST + 1):
        if number in refused:
            assert judge(number) == ERRNO | EPERM
        elif number == judge.numbers["clone3"]:
            assert judge(number) == ERRNO | ENOSYS
        elif number not in judged:
            assert judge(number, *[2**64 - 1] * 6) == judge(number) == ALLOW, number


@pytest.mark.parametrize("number", [LAST + 1, LAST + 100, X32, X32 + 59, X32 + 520, 2**32 - 1])
def test_what_nobody_has_looked_at(judge, number):
    """Also the x32 ABI, whose execve is 520."""
    assert judge(number) == ERRNO | ENOSYS


def test_the_calls_of_another_architecture(judge):
    """i386 and arm, whose execve is 11; and each of ours as if it were the other's."""
    others = {0x40000003, 0x40000028, *(machine.audit for machine in MACHINES.values())}
    for audit in others - {MACHINES[judge.machine].audit}:
        for number in range(LAST + 1):
            assert judge(number, audit=audit) == ERRNO | ENOSYS


def test_clone_is_for_threads(judge):
    assert judge("clone", THREAD) == ALLOW
    assert judge("clone", THREAD | 1 << 32) == ALLOW
    for flags in (0, FORK, 0x4111, THREAD & ~CLONE_THREAD, CLONE_THREAD << 32):
        assert judge("clone", flags) == ERRNO | EPERM, hex(flags)
    for new in (0x20000, *(1 << bit for bit in range(25, 31))):
        assert judge("clone", THREAD | new) == ERRNO | EPERM, hex(new)
        assert judge("clone", new | 17) == ERRNO | EPERM, hex(new)


@pytest.mark.parametrize("call", ["kill", "tgkill"])
def test_it_signals_itself_alone(judge, call):
    assert judge(call, PID, 15) == ALLOW
    for other in (0, 1, PID - 1, PID + 1, 2**32 - 1, 2**32 - PID, 2**64 - 1, PID << 32):
        assert judge(call, other, 15) == ERRNO | EPERM, other


def test_limits_of_itself_alone(judge):
    assert judge("prlimit64", 0) == judge("prlimit64", PID) == ALLOW
    assert judge("prlimit64", PID + 1) == ERRNO | EPERM


def test_nothing_is_typed_into_a_terminal(judge):
    for command in TERMINAL:
        assert judge("ioctl", 0, command) == ERRNO | EPERM
        # the kernel looks at the lower half alone
        assert judge("ioctl", 0, command | 0xABCD << 32) == ERRNO | EPERM
        assert judge("ioctl", command, 0x5413) == ALLOW
    for command in (0x5401, 0x5421, 0x541B, 0x5413):  # TCGETS, FIONBIO, FIONREAD, TIOCGWINSZ
        assert judge("ioctl", 0, command) == ALLOW


@pytest.mark.parametrize("call", ["socket", "socketpair"])
def test_families_of_sockets(judge, call):
    for family in range(64):
        expected = ALLOW if family in FAMILIES else ERRNO | EAFNOSUPPORT
        assert judge(call, family, 1, 0) == expected


def test_the_numbers_are_the_kernels(judge):
    header = HEADERS[judge.machine]
    if not header.exists():
        pytest.skip(f"needs {header} (linux-libc-dev)")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\b", header.read_text())
    known = {name: int(number) for name, number in found}
    for name, number in judge.numbers.items():
        assert known[name] == number, name
    for name in REFUSED.keys() - judge.numbers.keys():
        assert name not in known
    assert known["seccomp"] == MACHINES[judge.machine].seccomp
    assert known.get("set_mempolicy_home_node", LAST) == LAST
