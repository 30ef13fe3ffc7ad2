"""What shows from outside that a process does something by itself: real processes."""

import os
import subprocess
import time

import pytest

from luisito.spawner import quiet, reclaiming
from luisito.spawner.quiet import Look, compare, is_timed

from .conftest import PYTHON, wait_until

POSIX_TIMER = """
import ctypes, signal
identity = ctypes.c_void_p()
assert not ctypes.CDLL(None).timer_create(1, None, ctypes.byref(identity))
"""
TIMERFD = """
import ctypes
fd = ctypes.CDLL(None).timerfd_create(1, 0)
if {armed}:
    when = (ctypes.c_long * 4)(0, 0, 1000, 0)
    assert not ctypes.CDLL(None).timerfd_settime(fd, 0, when, None)
"""
THREAD = """
import threading
threading.Thread(target={target}, daemon=True).start()
"""
WAITS = {
    "input": "sys.stdin.read()",
    "epoll": "select.epoll().poll()",
    "lock": "a = threading.Lock(); a.acquire(); a.acquire()",
}


@pytest.fixture
def waits():
    """Runs some text and then waits; the pid, once it does that."""
    started = []

    def start(text, wait=WAITS["input"]):
        whole = f"import select, sys, threading, time\n{text}\nprint(flush=True)\n{wait}"
        process = subprocess.Popen([*PYTHON, whole], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        process.stdout.readline()
        sleeping(process.pid)
        return process.pid

    yield start
    for process in started:
        process.kill()
        process.communicate()


def sleeping(pid):
    """Waits until all threads of a process sleep, in the same places for a while."""
    calls = [None]

    def still():
        time.sleep(0.05)
        found = []
        for tid in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{tid}/syscall") as file:
                found.append(file.read())
        calls.append(found)
        return calls[-1] == calls[-2] and not any("running" in call for call in found)

    assert wait_until(still)


@pytest.mark.root
@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_who_only_waits_for_somebody_is_quiet(waits, wait):
    pid = waits(THREAD.format(target="sys.stdin.read"), wait)
    first = quiet.look([pid])
    assert len(first.ran) == 2
    assert compare(first, quiet.look([pid])) == ""


@pytest.mark.root
@pytest.mark.parametrize(
    ("text", "why"),
    [
        (POSIX_TIMER, "timer_create"),
        (TIMERFD.format(armed=True), "timerfd"),
        (THREAD.format(target="lambda: time.sleep(1000)"), "waits for a time"),
        (THREAD.format(target="lambda: threading.Event().wait(1000)"), "waits for a time"),
        (THREAD.format(target="lambda: select.select([], [], [], 1000)"), "waits for a time"),
        (THREAD.format(target="lambda: select.poll().poll(1000000)"), "waits for a time"),
        (THREAD.format(target="lambda: select.epoll().poll(1000)"), "waits for a time"),
    ],
    ids=["timer", "timerfd", "sleep", "lock", "select", "poll", "epoll"],
)
def test_who_waits_for_a_time_is_not(waits, text, why):
    assert why in quiet.look([waits(text)]).wakes


@pytest.mark.root
def test_a_timer_that_is_not_armed_is_none(waits):
    assert quiet.look([waits(TIMERFD.format(armed=False))]).wakes == ""


def test_who_has_run_between_two_looks_is_not_quiet():
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        cat.stdin.write(b"a\n")
        cat.stdin.flush()
        cat.stdout.readline()
        sleeping(cat.pid)
        first = quiet.look([cat.pid])
        cat.stdin.write(b"a\n")
        cat.stdin.flush()
        cat.stdout.readline()
        assert compare(first, quiet.look([cat.pid])).startswith("some of it has run")
        cat.stdin.close()
    assert compare(first, quiet.look([cat.pid])) != ""  # it has gone


def test_what_a_machine_does_not_tell(monkeypatch):
    """Of one thread the time between two looks tells enough."""
    monkeypatch.setattr(quiet, "_WAITS", {})
    assert quiet.look([os.getpid()]).wakes in ("", threads_of(os.getpid()))
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as cat:
        assert quiet.look([cat.pid]).wakes == ""
        cat.stdin.close()


def threads_of(pid):
    count = len(os.listdir(f"/proc/{pid}/task"))
    return f"pid {pid} has {count} threads, of which nothing more is known"


@pytest.mark.parametrize(
    ("call", "timed"),
    [
        (b"running", False),
        (b"-1 0x7ffe 0x7f12", False),
        (b"0 0x0 0x1 0x2 0x3 0x4 0x5 0x7ffe 0x7f12", False),  # read
        (b"232 0x4 0x1 0x2 0xffffffff 0x0 0x0 0x7ffe 0x7f12", False),  # epoll_wait
        (b"232 0x4 0x1 0x2 0xffffffffffffffff 0x0 0x0 0x7ffe 0x7f12", False),
        (b"232 0x4 0x1 0x2 0x3e8 0x0 0x0 0x7ffe 0x7f12", True),
        (b"202 0x4 0x80 0x2 0x0 0x0 0x0 0x7ffe 0x7f12", False),  # futex
        (b"202 0x4 0x80 0x2 0x7ffe 0x0 0x0 0x7ffe 0x7f12", True),
        (b"35 0x4 0x0 0x0 0x0 0x0 0x0 0x7ffe 0x7f12", True),  # nanosleep
    ],
)
def test_waits(call, timed):
    assert is_timed(quiet._WAITS["x86_64"], call.split()) is timed


def test_why_is_said_of_either_look():
    calm, odd = Look({}, ""), Look({}, "why")
    assert compare(calm, calm) == ""
    assert compare(calm, odd) == compare(odd, calm) == "why"


# -- giving memory back


def resident(pid, kind):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(f"{kind}:"))


@pytest.mark.root
def test_pages_of_files_are_given_back(waits, tmp_path):
    """What can be read again from its file needs no swap."""
    path = tmp_path / "data"
    path.write_bytes(os.urandom(1 << 20) * 8)
    with open(path) as file:
        os.fsync(file.fileno())
    pid = waits(
        "import mmap\n"
        f"file = open({str(path)!r})\n"
        "data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
        "sum(data[::4096])"
    )
    before = resident(pid, "Pss_File")
    assert before > 8192
    assert reclaiming.page_by_page([pid], lambda: False)
    assert resident(pid, "Pss_File") > 8192
    assert reclaiming.page_by_page([pid, 1 << 22], lambda: True)
    assert resident(pid, "Pss_File") < before - 7000


def test_who_has_gone_has_no_memory():
    assert reclaiming.page_by_page([1 << 22], lambda: True)


def test_a_cgroup_that_counts_no_memory_has_none_to_give_back(tmp_path):
    assert not reclaiming.by_cgroup(str(tmp_path), lambda: True)
