"""Who comes from a preloaded interpreter: whom the kernel tells of, and whom nobody believes."""

import os
import select
import socket
import time
from types import SimpleNamespace

import pytest

from luisito.spawner.births import Births


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


def child(server, theirs, word):
    """A child that says a word and waits; its pid."""
    pid = os.fork()
    if pid == 0:
        os.close(server.orders)
        theirs.send(word)
        theirs.recv(1)
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
    assert not births.settled(server.uid, time.monotonic())
    births.go(server, pid)
    assert os.waitpid(pid, 0)[1] == 0  # it has been told
    assert births.of(descriptor) is None
    assert server.orders == -1
    now = time.monotonic()
    assert not births.settled(server.uid, now)
    assert births.settled(server.uid, now + 1)
    assert births.settled(server.uid + 1, now)


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
