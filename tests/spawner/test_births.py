"""Who comes from a preloaded interpreter: whom the kernel tells of, and whom nobody believes."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from luisito.core.cgroup import Limits
from luisito.spawner import tree
from luisito.spawner.births import Births, _move
from luisito.spawner.cgroup import Cgroups
from luisito.spawner.helpers import Helpers
from tests.harness import cgroups

from .conftest import wait_until


@pytest.fixture
def born():
    """Births, a server that is waited for, and the other end of its pair."""
    births = Births(select.poll(), None, None, lambda: ())
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    server = SimpleNamespace(id=1, uid=os.getuid(), orders=ours.detach())
    with theirs:
        yield births, server, theirs
    births.forget(server)


def settled(births, uid, now, *living, ended=0.0):
    """Whether all is in its own place that an interpreter of a user had forked until it ended."""
    return births.settled(SimpleNamespace(uid=uid, reaped_at=ended), living, now)


def child(server, theirs, word, work=lambda: None):
    """A child that says a word, waits and works; its pid."""
    pid = os.fork()
    if pid == 0:
        os.close(server.orders)
        theirs.send(word)
        theirs.recv(1)
        work()
        os._exit(0)
    return pid


def test_one_that_comes_is_told_to_go(born):
    births, server, theirs = born
    births.expect(server)
    descriptor = server.orders
    assert births.of(descriptor) is server
    pid = child(server, theirs, b"here")
    theirs.close()
    assert births.come(server) == pid
    assert not settled(births, server.uid, time.monotonic())
    births.go(server, pid)
    assert os.waitpid(pid, 0)[1] == 0  # it has been told
    assert births.of(descriptor) is None
    assert server.orders == -1
    now = time.monotonic()
    assert not settled(births, server.uid, now)
    assert settled(births, server.uid, now + 1)
    assert settled(births, server.uid + 1, now)


def test_a_start_from_before_its_end_may_have_been_handed_to_it(born):
    births, server, _ = born
    now = time.monotonic()

    def start(**facts):
        return SimpleNamespace(**{"uid": server.uid, "status": 9, "started": now - 1, **facts})

    for one, whether in (
        (start(), False),
        (start(uid=None), False),  # whose it is has not been said either
        (start(uid=server.uid + 1), True),
        (start(status=-1), True),  # it has said all
        (start(started=now + 0.1), True),  # it has found nobody
    ):
        assert settled(births, server.uid, now + 10, one, ended=now) is whether


def test_those_that_are_not_believed(born):
    births, server, theirs = born
    births.expect(server)
    theirs.send(b"here")  # by us, who are no child of ours
    assert births.come(server) == f"pid {os.getpid()} is no child of its own"
    theirs.send(b"something else")
    assert births.come(server) == "it has ended at once"
    server.uid += 1
    theirs.send(b"here")
    assert births.come(server) == f"it is of uid {os.getuid()}"
    theirs.close()
    assert births.come(server) == "it has ended at once"


def test_one_that_is_known_as_another_is_not_believed(born):
    _, server, theirs = born
    pid = child(server, theirs, b"here")
    theirs.close()
    births = Births(select.poll(), None, None, lambda: {pid})
    assert births.come(server) == f"pid {pid} is no child of its own"
    os.close(server.orders)
    server.orders = -1
    os.waitpid(pid, 0)


@pytest.fixture
def folder():
    path = cgroups.make(f"births-{os.getpid()}")
    yield path
    cgroups.remove(path)


class Bounded(Cgroups):
    """As where there are limits, for which not every machine has the controllers."""

    def bounds(self, server):
        return True


@pytest.fixture
def places(born, folder):
    """Makes births in a kind of cgroups; with these, a process that has come, and what it does."""
    _, server, theirs = born
    helpers = Helpers(SimpleNamespace(parent=os.getpid()))
    done, end = os.pipe()
    pids = []

    def work():
        os.write(end, b".")
        signal.pause()

    def make(kind, *forked_by):
        made = kind(folder, Limits(), exclusive=True, lock=-1)
        made.make(1)
        births = Births(select.poll(), helpers, made, lambda: ())
        pids.append(child(server, theirs, b"here", work))
        server.pid, server.code = births.come(server), None
        births.go(server, server.pid, forked_by)
        assert os.read(done, 1) == b"."  # it works
        return births, made, server

    yield make
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in (*pids, *helpers.pids()):
        os.waitpid(pid, 0)
    os.close(done)
    os.close(end)


@pytest.mark.root
@pytest.mark.cgroups
@pytest.mark.root
def test_one_begins_where_it_is_bounded(places):
    births, made, server = places(Bounded)
    assert made.pids(1) == [server.pid]
    assert births.deadline() is None


class Host(Cgroups):
    """As where the site has limits whose worker the interpreter is."""

    def bounds(self, server):
        return server == 9


@pytest.mark.root
@pytest.mark.cgroups
@pytest.mark.root
def test_one_does_not_begin_where_another_site_is_bounded(places):
    births, made, server = places(Host, 8, 9)
    assert made.pids(1) == [server.pid]
    assert births.deadline() is None


@pytest.mark.root
@pytest.mark.cgroups
@pytest.mark.root
def test_one_that_nothing_bounds_begins_before_it_is_moved(places, folder):
    births, made, server = places(Cgroups)
    now = time.monotonic()
    assert made.closed(1) is None  # whoever looks for its processes is to search
    assert not settled(births, server.uid, now + 10)
    assert births.deadline() <= now + 0.1
    births.tick(now + 0.1)
    assert wait_until(lambda: cgroups.pids(f"{folder}/1") == [server.pid])
    assert made.closed(1) is None
    births.tick(now + 2)
    assert settled(births, server.uid, now + 2)
    assert made.pids(1) == [server.pid]
    assert births.deadline() is None


FORKS = """
import os, signal, sys
sys.stdin.read(1)
child = os.fork()
if child:
    print(child, flush=True)
signal.pause()
"""


def test_what_is_forked_while_it_is_moved_is_moved_too(tmp_path):
    """Else it would end with the interpreter, in whose cgroup it were."""
    path = tmp_path / "cgroup.procs"
    os.mkfifo(path)  # where a write waits until we let it go on
    command = [sys.executable, "-c", FORKS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        helper = os.fork()
        if helper == 0:
            _move([(str(tmp_path), server.pid)])
            os._exit(0)
        assert wait_until(lambda: b") S " in tree.read(f"/proc/{helper}/stat"))
        server.stdin.write(b".")
        server.stdin.flush()
        child = int(server.stdout.readline())
        moved = os.open(path, os.O_RDWR)
        os.waitpid(helper, 0)
        pids = os.read(moved, 100)
        os.close(moved)
        os.kill(child, signal.SIGKILL)
        server.kill()
    assert pids == f"{server.pid}{child}".encode()


@pytest.mark.root
@pytest.mark.cgroups
@pytest.mark.root
def test_one_that_has_ended_is_not_moved(born, folder):
    _, server, theirs = born
    made = Cgroups(folder, Limits(), exclusive=True, lock=-1)
    made.make(1)
    births = Births(select.poll(), None, made, lambda: ())  # nobody could move it
    pid = server.pid = child(server, theirs, b"here")
    server.code = None
    births.go(server, births.come(server))
    os.waitpid(pid, 0)
    server.code = 0
    births.tick(time.monotonic() + 1)
    assert births.deadline() is None
