"""Whose CPU time and memory is counted."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from bench import processes


def test_only_its_own_processes_are_a_proxys():
    """The app server that it has started is not; a part that is another program is."""
    script = "sleep 60 & sh -c 'sleep 60 & tail -f /dev/null & wait' & wait"
    proxy = subprocess.Popen(["sh", "-c", script], start_new_session=True)
    try:
        deadline = time.monotonic() + 20
        while sorted(names(proxy.pid)) != ["sh", "sh", "sleep", "sleep", "tail"]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert proxy.pid in list(processes.own(proxy.pid))
        assert len(list(processes.own(proxy.pid))) == 2
        assert len(list(processes.own(proxy.pid, ["sleep"]))) == 4
        assert processes.resident_bytes(proxy.pid) > 100_000
        assert processes.cpu_seconds(proxy.pid, ["sleep"]) > processes.cpu_seconds(proxy.pid) > 0
    finally:
        for pid in [*processes.descendants(proxy.pid), proxy.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        proxy.wait()


def names(pid):
    for member in (pid, *processes.descendants(pid)):
        yield Path(f"/proc/{member}/comm").read_text().strip()
