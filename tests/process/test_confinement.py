"""What a process that has dropped its privileges can still do, tried for real."""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import platform
import pwd
import resource
import signal
import socket
import subprocess
import sys
import threading

import pytest

from luisito.core import seccomp
from luisito.process import confinement
from luisito.process.who import drop

pytestmark = pytest.mark.skipif(
    platform.machine() not in seccomp.MACHINES, reason="there is no filter for this machine"
)
libc = ctypes.CDLL(None, use_errno=True)
COLUMN = [*seccomp.MACHINES, platform.machine()].index(platform.machine())


def call(number, *arguments):
    """Make a system call; return its error's name, or "" where there was none."""
    answer = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(each) for each in arguments))
    return errno.errorcode[ctypes.get_errno()] if answer < 0 else ""


def named(name, *arguments):
    numbers = seccomp.JUDGED[name][1] if name in seccomp.JUDGED else seccomp.REFUSED[name]
    return call(numbers[COLUMN], *arguments)


def attempt(work):
    """What an attempt has come to: its value, or the name of its error."""
    try:
        return work()
    except OSError as error:
        return errno.errorcode[error.errno]


def dropped(work, before=lambda: None):
    """Do some work in a child that has dropped; return what it returned."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            before()
            user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
            drop(*(user[2:4] if user else (os.getuid(), os.getgid())))
            os.write(write, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as said:
        data = said.read()
    assert os.waitpid(pid, 0)[1] == 0
    assert data, "the child has said nothing"
    return json.loads(data)


@pytest.fixture
def other():
    """A process of the user that has dropped."""
    user = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}
    process = subprocess.Popen(["sleep", "1000"], **(user if os.geteuid() == 0 else {}))
    yield process
    process.kill()
    assert process.wait() == -signal.SIGKILL, "somebody else was quicker"


def test_it_starts_no_program():
    def work():
        return {
            "fork": attempt(os.fork),
            "exec": attempt(lambda: os.execv("/bin/true", ["true"])),
            "execveat": attempt(lambda: os.execve(os.open("/bin/true", os.O_RDONLY), ["true"], {})),
            "spawn": attempt(lambda: os.posix_spawn("/bin/true", ["true"], {})),
            "popen": attempt(lambda: subprocess.Popen(["true"]).pid),
            "system": attempt(lambda: os.system("true")),
        }

    found = dropped(work)
    # system(3) tells of a child that could not be made by -1, which Python turns round
    assert found.pop("system") != 0
    assert set(found.values()) == {"EPERM"}, found


def test_each_refused_call():
    def work():
        return {name: named(name, *[0] * 6) for name in seccomp.REFUSED
                if seccomp.REFUSED[name][COLUMN] is not None}  # fmt: skip

    found = dropped(work)
    assert set(found.values()) == {"EPERM"}, found


def test_what_is_unknown_is_unknown():
    found = dropped(lambda: [named("clone3", 0, 0), call(451), call(0x40000000 | 39)])
    assert found == ["ENOSYS"] * 3


def test_the_other_abi_of_the_processor():
    """getpid of i386, by int 0x80."""
    if platform.machine() != "x86_64":
        pytest.skip("needs x86_64")
    code = b"\x53\xb8\x14\x00\x00\x00\xcd\x80\x5b\xc3"  # push rbx; mov eax, 20; int 0x80; pop; ret

    def asked():
        memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        memory.write(code)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        return ctypes.CFUNCTYPE(ctypes.c_int)(address)()

    pid = os.fork()
    if pid == 0:
        os._exit(0 if asked() == os.getpid() else 1)
    if os.waitpid(pid, 0)[1]:
        pytest.skip("needs a kernel with CONFIG_IA32_EMULATION")
    assert dropped(asked) == -errno.ENOSYS


def test_it_signals_nobody(other):
    def work():
        return [
            *(attempt(lambda pid=pid: os.kill(pid, signal.SIGKILL)) for pid in (other.pid, 0, -1)),
            attempt(lambda: signal.pidfd_send_signal(os.pidfd_open(other.pid), signal.SIGKILL)),
            named("tgkill", other.pid, other.pid, signal.SIGKILL),
            attempt(lambda: os.killpg(other.pid, signal.SIGKILL)),
        ]

    assert dropped(work) == ["EPERM"] * 6
    assert other.poll() is None


def test_it_signals_itself():
    def work():
        got = []
        signal.signal(signal.SIGUSR2, lambda *_: got.append(1))
        os.kill(os.getpid(), signal.SIGUSR2)
        signal.raise_signal(signal.SIGUSR2)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR2)
        return len(got)

    assert dropped(work) == 3


def test_it_sets_limits_of_nobody(other):
    def work():
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.prlimit(os.getpid(), resource.RLIMIT_CORE)
        return attempt(lambda: resource.prlimit(other.pid, resource.RLIMIT_CPU, (1, 1)))

    assert dropped(work) == "EPERM"


def test_it_types_into_no_terminal():
    controller, terminal = os.openpty()

    def work():
        # 2**32 more, which the kernel does not look at
        typed = attempt(lambda: fcntl.ioctl(terminal, 0x5412, b"x"))
        return [typed, named("ioctl", terminal, 0x5412 + 2**32, 0), os.isatty(terminal)]

    assert dropped(work) == ["EPERM", "EPERM", True]
    os.close(controller)
    os.close(terminal)


def test_families_of_sockets():
    def work():
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK):
            socket.socket(family, socket.SOCK_DGRAM).close()
        for pair in socket.socketpair():
            pair.close()
        families = (socket.AF_ALG, socket.AF_PACKET, socket.AF_VSOCK, socket.AF_CAN)
        return [
            attempt(lambda family=family: socket.socket(family, socket.SOCK_RAW))
            for family in families
        ]

    assert dropped(work) == ["EAFNOSUPPORT"] * 4


def test_threads_start_and_are_held_too():
    """One that ran before, which the filter must reach (TSYNC), and one started afterwards."""
    go, found = threading.Event(), []

    def early():
        go.wait()
        found.append(attempt(os.fork))

    def before():
        before.thread = threading.Thread(target=early)
        before.thread.start()

    def work():
        go.set()
        before.thread.join()
        late = threading.Thread(target=lambda: found.append(attempt(os.fork)))
        late.start()
        late.join()
        return found

    assert dropped(work, before) == ["EPERM", "EPERM"]


THREADPOOL = """
import json, os, pwd, socket, sys
from twisted.internet import reactor, threads
from luisito.process.who import drop
user = pwd.getpwnam("nobody")
held, lacking = drop(*(user[2:4] if os.geteuid() == 0 else (os.getuid(), os.getgid())))
done = threads.deferToThread(socket.getaddrinfo, "localhost", 80)
done.addCallback(lambda found: (print(json.dumps([held, lacking, bool(found)])), reactor.stop()))
reactor.run()
"""


def test_the_threadpool_and_name_lookups():
    """Of a whole interpreter, with Twisted's reactor."""
    run = subprocess.run(
        [sys.executable, "-c", THREADPOOL], capture_output=True, text=True, check=True, timeout=60
    )
    held, lacking, found = json.loads(run.stdout)
    assert found
    assert lacking == []
    assert held[-1] == "a filter of system calls that lets it start no program"
    assert ("an empty bounding set" in held) == (os.geteuid() == 0)
    assert run.stderr == ""


def test_what_is_lacking_is_told(monkeypatch):
    """On a processor that we have no filter for, with a thread that has kept a capability."""
    uname, status = platform.uname()._replace(machine="riscv64"), confinement._status
    monkeypatch.setattr(confinement.os, "uname", lambda: uname)
    monkeypatch.setattr(
        confinement, "_status", lambda thread: {**status(thread), "CapEff": "0000000000000400"}
    )
    assert dropped(lambda: confinement.in_force(confinement.confine()).lacking) == [
        "no capabilities",
        "the filter of system calls (there is none for riscv64)",
    ]


def test_a_filter_that_the_kernel_refuses_is_told():
    def work():
        return confinement._install([], seccomp.MACHINES[platform.machine()].seccomp)

    assert dropped(work) == "Invalid argument"
