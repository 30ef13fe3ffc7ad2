"""The line that systemd shows."""

from luisito.core.lifecycle import State
from luisito.core.statusline import status_line

NONE = {State.STARTING: 0, State.READY: 0, State.DRAINING: 0, State.STOPPING: 0}


def test_an_empty_pool():
    assert status_line(NONE, 10, 0, 0, 5.0) == "0 of 10 servers, 0 req/s"


def test_nobody_has_looked_before():
    assert status_line(NONE, 10, 0, 7, 0.0) == "0 of 10 servers"


def test_starting_servers_and_draining_ones_count_as_servers():
    counts = {**NONE, State.STARTING: 2, State.READY: 4, State.DRAINING: 1}
    assert status_line(counts, 10, 0, 205, 5.0) == "7 of 10 servers, 2 starting, 41 req/s"


def test_those_on_their_way_out_and_those_who_wait_are_told_apart():
    counts = {**NONE, State.READY: 10, State.STOPPING: 1}
    told = status_line(counts, 10, 3, 1, 2.0)
    assert told == "10 of 10 servers, 1 stopping, 3 requests waiting, 0 req/s"
