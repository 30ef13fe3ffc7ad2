"""Messages that wait for room, and the descriptors beside them."""

import os
import resource
import socket

import pytest

from luisito.process.outgoing import Outgoing
from luisito.spawner import channel


@pytest.fixture
def ends():
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in pair:
        end.setblocking(False)
    with pair[0], pair[1]:
        yield pair


@pytest.fixture
def one_free():
    """Room for one more descriptor, and for no other."""
    in_use = max(map(int, os.listdir("/proc/self/fd")))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = [os.open("/dev/null", os.O_RDONLY)]
    while spare[-1] <= in_use:
        spare.append(os.open("/dev/null", os.O_RDONLY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare[-1] + 2, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for descriptor in spare:
        os.close(descriptor)


def full(sock):
    """One where a message waits already."""
    outgoing = Outgoing(sock)
    while not outgoing.send(b"x" * 1000):
        pass
    return outgoing


def test_what_waits_has_copies_of_its_descriptors(ends):
    outgoing = full(ends[0])
    with open(os.devnull) as file:
        outgoing.send(b"last", (file.fileno(),))
    data, descriptors = channel.receive(ends[1])
    while data != b"last":
        outgoing.flush()
        data, descriptors = channel.receive(ends[1])
    assert os.readlink(f"/proc/self/fd/{descriptors[0]}") == os.devnull
    channel.close(descriptors)


def test_35_no_copy_is_left_where_there_is_no_room_for_all(ends, one_free):
    outgoing = full(ends[0])
    for _ in range(2):
        with pytest.raises(OSError, match="Too many open files"):
            outgoing.send(b"x", (0, 0))
    os.close(os.dup(0))
