"""Starts processes on chosen cores, finds and ends them, reads what they took of CPU and memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import re
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
# Seconds that a process has to end after SIGTERM.
_PATIENCE = 15.0
_PORTS = iter(range(random.randrange(10_000, 15_000), 20_000))


class BenchError(Exception):
    """The bench cannot measure what it means to; the message says why."""


def adopt_orphans() -> None:
    """Become the parent of whatever our children leave behind, so that `end_all` finds it."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def end_all() -> None:
    """Kill and reap every process that descends from this one."""
    while True:
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


@contextlib.contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    """Run what is started inside on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def running(
    argv: Sequence[str],
    cores: Sequence[int],
    log: Path,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, its output in a log file, ended with all its children."""
    with log.open("ab") as output, on_cores(cores):
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    family = list(descendants(process.pid))
    process.terminate()
    deadline = time.monotonic() + _PATIENCE
    while any(_alive(pid) for pid in (process.pid, *family)) and time.monotonic() < deadline:
        process.poll()
        time.sleep(0.02)
    for pid in (process.pid, *family):
        if _alive(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    process.wait()


def _alive(pid: int) -> bool:
    """Whether a process runs: one that has ended and waits to be reaped does not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] not in {b"Z", b"X"}
    except OSError:
        return False


def descendants(pid: int) -> Iterator[int]:
    """The processes below one, parents first (proc(5), /proc/PID/task/TID/children)."""
    for thread in _threads(pid):
        try:
            with open(f"/proc/{pid}/task/{thread}/children") as children:
                found = [int(word) for word in children.read().split()]
        except OSError:
            continue
        for child in found:
            yield child
            yield from descendants(child)


def own(pid: int, parts: Sequence[str] = ()) -> Iterator[int]:
    """A proxy's own processes: itself, and those below it that run the same program or its parts.

    An app server that the proxy has started is none of them.

    Args:
        pid: the proxy's first process.
        parts: names of the files of further programs that are the proxy's.
    """
    program = os.readlink(f"/proc/{pid}/exe")
    for member in (pid, *descendants(pid)):
        try:
            runs = os.readlink(f"/proc/{member}/exe")
        except OSError:  # it has ended
            continue
        if runs == program or os.path.basename(runs) in parts:
            yield member


def cpu_seconds(pid: int, parts: Sequence[str] = ()) -> float:
    """The CPU time, in seconds, that a proxy has taken in all its own processes.

    From /proc/PID/task/TID/schedstat, which counts nanoseconds and is exact for a thread that
    sleeps; utime and stime of /proc/PID/stat are sampled at ticks.
    """
    total = 0
    for member in own(pid, parts):
        for thread in _threads(member):
            with (
                contextlib.suppress(FileNotFoundError, ProcessLookupError),
                open(f"/proc/{member}/task/{thread}/schedstat") as schedstat,
            ):
                total += int(schedstat.read().split()[0])
    return total / 1e9


def resident_bytes(pid: int) -> int:
    """What a proxy's own processes have in memory (VmRSS): a page of two of them counts twice."""
    total = 0
    for member in own(pid):
        with (
            contextlib.suppress(FileNotFoundError, ProcessLookupError),
            open(f"/proc/{member}/status") as status,
        ):
            found = re.search(r"^VmRSS:\s+(\d+) kB$", status.read(), re.MULTILINE)
            total += int(found[1]) * 1024 if found else 0
    return total


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def free_port() -> int:
    """A TCP port of the loopback interface that nothing uses, never the same one twice.

    From below the ports that the kernel gives to outgoing connections, which would come between.
    """
    for port in _PORTS:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise BenchError("no free port is left below 20,000")
