"""A process that is sent what takes an hour to close reads on all the same."""

import select
import socket
import subprocess
import sys

import pytest

from tests.harness import descriptors

READS = """
import signal, socket, sys
from luisito.spawner import patience
signal.signal(signal.SIGALRM, lambda *_: None)
with socket.socket(fileno=int(sys.argv[1])) as sock:
    if sys.argv[2] == "patience":
        patience.refuse_descriptors = lambda _: False
        assert patience.begin_for_good()
    print("ready", flush=True)
    sys.stdin.readline()
    print(sock.recv(100), flush=True)
"""


def reader(theirs, how):
    process = subprocess.Popen(
        [sys.executable, "-c", READS, str(theirs.fileno()), how],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=[theirs.fileno()],
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("how", ["patience", "none"])
def test_a_plain_read_of_what_lingers(how):
    """As of a connection to an app server, where the kernel cannot refuse it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connections, peers = descriptors.lingering(3)
        descriptors.pass_on(ours, b"x", connections)
        with reader(theirs, how) as process:
            process.stdin.write("\n")
            process.stdin.flush()
            if how == "none":
                assert not select.select([process.stdout], [], [], 1.0)[0], "it lingers no more"
                process.kill()
            else:
                assert process.stdout.readline() == "b'x'\n"
        for peer in peers:
            peer.close()


BEGINS = """
import signal, sys
from luisito.spawner import patience
patience.refuse_descriptors = lambda _: sys.argv[1] == "newer"
print(patience.begin_for_good(), signal.getitimer(signal.ITIMER_REAL)[1] > 0)
"""


@pytest.mark.parametrize(("kernel", "said"), [("newer", "False False\n"), ("older", "True True\n")])
def test_it_is_begun_where_it_is_needed(kernel, said):
    run = [sys.executable, "-c", BEGINS, kernel]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == said


ENDS = """
import time
from luisito.spawner import patience
patience.refuse_descriptors = lambda _: False
assert patience.begin_for_good()

class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(0.3)

slow = Slow()  # goes when the interpreter has taken its handlers away
"""


def test_no_alarm_goes_off_in_the_end():
    assert subprocess.run([sys.executable, "-c", ENDS], check=False).returncode == 0
