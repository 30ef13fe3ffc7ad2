"""What /proc tells of processes."""

import os
import subprocess

from luisito.spawner import tree


def test_a_process_has_ended_before_it_is_reaped():
    with subprocess.Popen(["sleep", "60"]) as process:
        assert not tree.has_ended(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert tree.has_ended(process.pid)
    assert tree.has_ended(process.pid)
