"""Several servers of a site are told of as one."""

from __future__ import annotations

import pytest

from luisito.control.sites import _OF_SERVERS, _together


def server(state, pid, idle, in_flight=0, memory=10):
    return {
        "state": state,
        "pid": pid,
        "uid": 5,
        "up_seconds": 9.0,
        "idle_seconds": idle,
        "in_flight": in_flight,
        "requests": 3,
        "memory_bytes": memory,
        "start_seconds": 0.4,
    }


def test_nothing_is_told_of_one_that_sleeps():
    assert _together([], "asleep") == dict.fromkeys(_OF_SERVERS)


@pytest.mark.parametrize(
    ("servers", "pid", "idle", "in_flight", "requests", "memory"),
    [
        ([server("awake", 1, 4.0)], 1, 4.0, 0, 3, 10),
        ([server("draining", 1, None, 2), server("awake", 2, 4.0)], 2, None, 2, 6, 20),
        ([server("awake", 1, 4.0), server("awake", 2, 2.0, memory=None)], 1, 2.0, 0, 6, 10),
        ([server("waking", 1, None, memory=None)], 1, None, 0, 3, None),
    ],
)
def test_they_are_added(servers, pid, idle, in_flight, requests, memory):
    state = "waking" if servers[0]["state"] == "waking" else "awake"
    found = _together(servers, state)
    assert (found["pid"], found["idle_seconds"], found["in_flight"]) == (pid, idle, in_flight)
    assert (found["requests"], found["memory_bytes"]) == (requests, memory)
