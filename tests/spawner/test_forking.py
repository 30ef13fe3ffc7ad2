"""A child that was just forked."""

import subprocess
import sys

# The child sends itself a signal in os.fork(), before that returns.
SIGNALLED_AT_ONCE = """
import os, signal, sys, time
from luisito.spawner import forking
wake, wakeup = os.pipe2(os.O_NONBLOCK)
forking.handle_signals(wakeup)
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
pid = forking.fork()
if pid == 0:
    time.sleep(20)
    os._exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
heard = os.read(wake, 100)
os.kill(os.getpid(), signal.SIGHUP)
print(code, signal.SIGTERM in heard, signal.SIGHUP in os.read(wake, 100))
"""


def test_a_signal_to_a_child_at_once_ends_the_child_and_wakes_nobody_else():
    found = subprocess.run(
        [sys.executable, "-c", SIGNALLED_AT_ONCE],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.stdout.split() == ["143", "False", "True"], found
