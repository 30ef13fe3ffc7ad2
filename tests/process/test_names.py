"""Hosts are looked up by real threads; of name servers that do not answer, too."""

import json
import socket
import subprocess
import sys

import pytest

# Looks up each name by itself, prints what was found within its seconds, and ends.
LOOK_UP = """
import json, sys
from twisted.internet import reactor
from twisted.internet.task import LoopingCall
from luisito.process.names import Names

class Receiver:
    def __init__(self):
        self.found, self.over = [], False
    def resolutionBegan(self, _resolution):
        pass
    def addressResolved(self, address):
        self.found.append([type(address).__name__, address.host, address.port])
    def resolutionComplete(self):
        self.over = True

names, seconds = json.loads(sys.argv[1])
Names(reactor)
receivers = [Receiver() for _ in names]

def ask():
    for name, receiver in zip(names, receivers):
        assert reactor.nameResolver.resolveHostName(receiver, name, portNumber=80).name == name
    look.start(0.01)

def all_over():
    if all(receiver.over for receiver in receivers):
        reactor.stop()

look = LoopingCall(all_over)
reactor.callWhenRunning(ask)
reactor.callLater(seconds, reactor.stop)
reactor.run()
print(json.dumps([sorted(one.found) if one.over else None for one in receivers]))
"""


def looked_up(*names, seconds=30, before=()):
    """What was found of each; None where nobody has answered in time."""
    done = subprocess.run(
        [*before, sys.executable, "-c", LOOK_UP, json.dumps([names, seconds])],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_what_is_found():
    v4, v6, none, odd = looked_up("127.0.0.2", "::1", "no.such.invalid", "x" * 70)
    assert v4 == [["IPv4Address", "127.0.0.2", 80]]
    assert v6 == [["IPv6Address", "::1", 80]]
    assert (none, odd) == ([], [])


@pytest.mark.root
def test_the_end_does_not_wait_for_a_name_server_that_does_not_answer(tmp_path):
    """Each look-up lasts two minutes, and there are no more of them than there is room for."""
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.0.0.99\noptions timeout:30 attempts:4\n")
    line = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    unshare = ["unshare", "--mount", "sh", "-c", line, str(conf)]
    with socket.socket(type=socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.99", 53))
        found = looked_up(*["a.example"] * 17, seconds=2, before=unshare)
    assert found == [None] * 16 + [[]]
