"""Memory that a child has before it is asked for (luisito/app/warming.py, luisito/app/ahead.py)."""

from __future__ import annotations

import mmap
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from preloading import PATIENCE, Interpreter

import luisito
from luisito.app import warming
from luisito.app.immortal import Immortal
from luisito.spawner import tree

PAGE = mmap.PAGESIZE
WRITTEN = 100


@pytest.fixture
def written():
    """Memory, and a process that has written to each second page of it."""
    with mmap.mmap(-1, 2 * WRITTEN * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        write(memory, PAGE)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            pid = os.fork()
            if pid == 0:
                write(memory, 2 * PAGE)
                theirs.send(b".")
                ours.close()
                theirs.recv(1)
                os._exit(0)
            theirs.close()
            ours.recv(1)
            yield memory, pid
        os.waitpid(pid, 0)


def write(memory: mmap.mmap, step: int) -> None:
    for place in range(0, len(memory), step):
        memory[place] = 1


def faults(memory: mmap.mmap, other: int, *how) -> int:
    """How often a child that was warmed has no page when it writes as the other one has."""
    pagemap = os.open(f"/proc/{other}/pagemap", os.O_RDONLY)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if how:
                most, until = how
                warming.have(warming.own(pagemap, most), until)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            write(memory, 2 * PAGE)
            after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            os.write(writing, str(after - before).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with open(reading) as file:
        os.close(pagemap)
        return int(file.read())


def test_what_another_has_written_to_is_had_before(written) -> None:
    assert faults(*written) >= WRITTEN
    assert faults(*written, 1 << 30, lambda: False) < WRITTEN / 2


def test_it_stops_at_a_limit_and_where_there_is_no_time(written) -> None:
    assert faults(*written, 0, lambda: False) >= WRITTEN
    assert faults(*written, 1 << 30, lambda: True) >= WRITTEN


def private(pid: int) -> int:
    """What it has of its own, in kB."""
    lines = tree.read(f"/proc/{pid}/smaps_rollup").decode().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))


@pytest.mark.parametrize("may", [True, False])
def test_the_next_child_has_what_the_last_server_wrote_to(tmp_path: Path, may: bool) -> None:
    interpreter = Interpreter(tmp_path, environ={"LUISITO_WARMS": "1"} if may else {})
    try:
        interpreter.has("waitress")
        ahead = interpreter.ahead()
        server = interpreter.order().go()
        assert server.pid == ahead
        assert server.ask("1") == "1"
        after = interpreter.ahead()
        assert (private(after) > private(server.pid) * 2 / 3) == may
        server = interpreter.order().go()
        assert server.pid == after
        assert server.ask("2") == "2"
    finally:
        interpreter.close()


COOLS = """
import os, select, socket, sys, time
sys.path.insert(0, sys.argv[1])
from luisito.app import ahead, forking
ahead._LATER = ahead._BEGINS = 0.0
class Title:
    def set(self, title, mark): pass
os.environ[ahead.WARMS] = "1"
one = ahead.Ahead(forking.Forker(), Title())
def fork():
    if one.fork():
        time.sleep(1000)
assert one.timeout() == 0
fork()
assert one.timeout() is None  # it has as little as it can
select.select([one._ours], [], [])  # it has come so far
ours, theirs = socket.socketpair()
assert one.hand(theirs)
assert one.timeout() == 0
fork()
assert 0 < one.timeout() <= 60_000
warm = one._ours
fork()
assert one._ours is warm  # it is not time yet
pieces = list(one._pieces)
assert pieces
assert one.hand(theirs)
fork()
assert one._ours is not warm
warm = one._ours
assert list(one._pieces) == pieces  # none of what the last one was given in vain
one._at = 0.0
fork()
assert one._ours is not warm
assert one.timeout() is None
select.select([one._ours], [], [])
assert one.hand(theirs)
fork()
assert one.timeout() is not None
one.drop()  # more was loaded
fork()
assert one.timeout() is None
print("cooled")
"""


def test_one_that_is_long_not_asked_for_has_less() -> None:
    # Its children are the shell's, which ends them with itself.
    command = ["sh", "-c", '"$@"; exit', "sh", sys.executable, "-c", COOLS]
    ran = subprocess.run(
        [*command, str(Path(luisito.__file__).parent.parent)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ran.stdout == "cooled\n", ran.stderr


def test_objects_live_for_ever_where_this_interpreter_has_such() -> None:
    immortal = Immortal()
    assert immortal.works is ((3, 12) <= sys.version_info < (3, 15))
    if not immortal.works:
        assert immortal.make([sys]) == 0
