"""What is believed of those that look at folders, whose users may make them say anything."""

import select
import socket

import pytest

from luisito.core import wire
from luisito.spawner.watcher import LONGEST
from luisito.spawner.watchers import Watchers, _Watcher


@pytest.fixture
def said():
    """Tells what comes of words of one that looks for servers 3 and 4."""
    poller = select.poll()
    watchers = Watchers(None, poller)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    descriptor = ours.fileno()
    one = watchers._by_user[1000, 1000] = watchers._by_descriptor[descriptor] = _Watcher(
        (1000, 1000), 0, ours
    )
    for server in (3, 4):
        one.servers.add(server)
        watchers._by_server[server] = one
    poller.register(ours, select.POLLIN)

    def say(words):
        if words is None:
            theirs.close()
        elif words:
            theirs.send(words)
        return watchers.readable(descriptor)

    yield say
    theirs.close()
    if watchers._by_descriptor:
        ours.close()


def test_it_may_speak_of_its_own_users_servers_alone(said):
    assert said(b"3 tmp/restart.txt") == wire.Touched(3, "tmp/restart.txt")
    assert said(b"4 a b") == wire.Touched(4, "a b")
    wrong = [b"5 x", b"-3 x", b"\xb3 x", b"3x", b" ", b"3" * LONGEST, b"x" * (LONGEST + 9), b""]
    for words in wrong:
        assert said(words) is None
    assert said(b"3 still") == wire.Touched(3, "still")


def test_its_end_is_no_more_than_that(said):
    assert said(None) is None
    assert said(b"") is None
