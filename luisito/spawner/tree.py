"""Which processes belong to a server, read from /proc (proc(5)); nothing here signals."""

from __future__ import annotations

import os
from itertools import islice
from typing import NamedTuple

MARK = "LUISITO_SERVER"  # a variable in the environment of every server and so of its descendants
_MAX_ENVIRON = 1 << 20  # bytes
_MOST_DIGITS = 10  # of a server's number


class Status(NamedTuple):
    """The parts of /proc/PID/stat that matter here."""

    zombie: bool
    parent: int
    session: int


def read(path: str, limit: int = 1 << 16) -> bytes:
    """Read a file of /proc; empty when the process has gone or is not ours to read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        parts = []
        while limit > 0 and (part := os.read(descriptor, limit)):
            parts.append(part)
            limit -= len(part)
        return b"".join(parts)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def status(pid: int) -> Status | None:
    """Tell a process's state, parent and session; None when it has gone."""
    # The name in parentheses may hold anything, so count from the last one.
    fields = read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    if len(fields) < 4:
        return None
    return Status(fields[0] in (b"Z", b"X"), int(fields[1]), int(fields[3]))


def has_ended(pid: int) -> bool:
    """Tell whether a process has ended; False where /proc hides other users' (hidepid)."""
    found = status(pid)
    return found.zombie if found is not None else bool(read("/proc/1/stat"))


def owner(pid: int) -> int | None:
    """Tell a process's real uid; None when it has gone."""
    # Not the owner of its folder in /proc, which is root where a process is not dumpable.
    fields = read(f"/proc/{pid}/status").partition(b"\nUid:")[2].split(None, 1)
    return int(fields[0]) if fields else None


def innermost(pid: int) -> int:
    """Tell the pid that a process has in its own pid namespace; 0 when it has gone."""
    text = read(f"/proc/{pid}/status")
    fields = text.partition(b"\nNSpid:")[2].partition(b"\n")[0].split()
    if not fields:  # before Linux 4.1, or gone
        return pid if text else 0
    return int(fields[-1])


def children(pid: int) -> list[int]:
    """List the children of all threads of a process."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    return [
        int(child)
        for thread in threads
        for child in read(f"/proc/{pid}/task/{thread}/children").split()
    ]


def descendants(pid: int) -> list[int]:
    """List everything below a process, parents before their children."""
    found = children(pid)
    for child in found:  # grows while it is walked
        found += children(child)
    return found


def belongs(pid: int, server: int, leader: int) -> bool:
    """Tell whether an orphan came from a server: by its session, or the mark it inherited.

    Either may have been lost (setsid; a process title written over the environment), rarely both.
    """
    state = status(pid)
    if state is None:
        return False
    if state.session == leader:
        return True
    return marked(pid) == server


def marked(pid: int) -> int | None:
    """Tell the server whose mark a process has inherited; None where there is none."""
    environ = b"\0" + read(f"/proc/{pid}/environ", _MAX_ENVIRON)
    _, found, rest = environ.partition(f"\0{MARK}=".encode())
    number = rest.partition(b"\0")[0]
    # Whoever runs there may have written anything, and int() refuses thousands of digits.
    return int(number) if found and number.isdigit() and len(number) <= _MOST_DIGITS else None


def living(pids: list[int]) -> list[int]:
    """Leave out those that have gone, or only wait to be reaped."""
    return [pid for pid in pids if (state := status(pid)) is not None and not state.zombie]


def owns(pids: list[int], inode: int, limit: int | None = None) -> bool:
    """Tell whether one of the processes has a socket with this inode open.

    Args:
        pids: of the processes.
        inode: of the socket.
        limit: how many descriptors of each process to look at; None for all.
    """
    wanted = f"socket:[{inode}]"
    return any(_has_open(f"/proc/{pid}/fd", wanted, limit) for pid in pids)


def _has_open(folder: str, wanted: str, limit: int | None) -> bool:
    try:
        with os.scandir(folder) as descriptors:
            for descriptor in islice(descriptors, limit):
                try:
                    if os.readlink(descriptor.path) == wanted:
                        return True
                except OSError:
                    continue  # closed meanwhile, or not ours to see
    except OSError:
        pass  # the process has gone, or is not ours to see
    return False
