"""The bench orders servers of a real spawner."""

import os
import time

from bench import spawn


def test_orders_are_taken_and_timed():
    [row] = spawn.rows(3)
    assert len(row.samples["held"]) == 3
    assert all(milliseconds > 0 for milliseconds in row.samples["held"])


def test_the_waiting_child_is_told_directly():
    sock, process, *_ = spawn.begin()
    with spawn.ordering(sock) as orders:
        first = orders.start(1)
        assert 0 < first["order sent"] < first["program runs"] < first["Exited"]
        deadline = time.monotonic() + 20
        while orders.spare != 2:
            assert time.monotonic() < deadline
            orders.read(0.1)
        before = len(os.listdir("/proc/self/fd"))
        assert {"Started", "Running", "Exited"} <= orders.start(2).keys()
        assert len(os.listdir("/proc/self/fd")) <= before
    assert process.wait() == 0
