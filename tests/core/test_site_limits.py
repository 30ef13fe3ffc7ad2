"""Conversations about sites with limits of their own."""

from __future__ import annotations

import pytest

from luisito.core.orders import Limits, SiteLimits
from tests.core.test_policy import Talk
from tests.core.test_silent_streams import Stream


def test_what_a_site_has_not_of_its_own_is_the_pools():
    own = Limits(start_timeout=7, idle_timeout=60).of_site(idle_timeout=None, queue_limit=3)
    assert own == SiteLimits(start_timeout=7, idle_timeout=None, queue_limit=3)


def test_no_site_has_limits_that_are_the_pools():
    with pytest.raises(TypeError, match="max_servers"):
        Limits().of_site(max_servers=3)
    with pytest.raises(ValueError, match="start_timeout"):
        Limits().of_site(start_timeout=0)


def test_idle_timeout():
    t = Talk(idle_timeout=60)
    t.limit("b", idle_timeout=10)
    t.limit("c", idle_timeout=None)
    t.awake("a", "b", "c")  # at 1, 2 and 3
    assert t.policy.deadline() == 12
    assert t.at(12) == ["terminate b2"]
    assert t.last[0].reason == "unused for 10 s (IDLE_TIMEOUT)"
    t.exited(2)
    assert t.policy.deadline() == 61
    assert t.at(61) == ["terminate a1"]
    t.exited(1)
    assert t.policy.deadline() is None


def test_idle_timeout_while_it_runs():
    t = Talk()
    t.awake("a", "b")  # at 1 and 2
    t.policy.take("b")
    assert t.policy.deadline() is None
    t.now = 100
    t.limit("a", idle_timeout=150)
    t.limit("b", idle_timeout=30)
    assert t.policy.deadline() == 32
    assert t.at(100) == []  # b is busy
    assert t.policy.deadline() == 130
    t.policy.limit("b", None)
    assert t.policy.deadline() == 151
    assert t.at(151) == ["terminate a1"]
    t.exited(1)
    assert t.policy.deadline() is None
    t.limit("b", idle_timeout=1)
    t.release(2)
    assert t.at(152) == ["terminate b2"]


def test_min_alive():
    t = Talk(max_servers=3, overlap=3, stop_timeout=1000)
    t.limit("a", min_alive=30)
    t.limit("b", min_alive=10)
    t.awake("a", "b", "c")  # at 1, 2 and 3
    assert t.ask("d1") == ["terminate c3", "spawn d4"]
    assert t.ask("e1") == []
    assert t.policy.deadline() == 12
    assert t.at(12) == ["terminate b2", "spawn e5"]
    assert t.ask("f1") == []
    t.limit("a", min_alive=20)
    assert t.policy.deadline() == 21
    assert t.at(20.9) == []
    t.policy.limit("a", None)
    assert t.policy.deadline() <= 20.9
    assert t.at(20.9) == ["terminate a1", "spawn f6"]


def test_start_timeout():
    t = Talk(start_timeout=60)
    t.limit("b", start_timeout=10)
    t.ask("a1")
    t.ask("b1")
    t.ask("c1")
    assert t.policy.deadline() == 10
    assert t.at(10) == ["refuse b1 START_TIMEOUT", "terminate b2 overdue"]
    assert t.last[0].detail == "not ready after 10 s"
    t.limit("c", start_timeout=100)  # while it starts
    t.limit("a", start_timeout=30)
    assert t.at(29.9) == ["kill b2"]
    assert t.at(30) == ["refuse a1 START_TIMEOUT", "terminate a1 overdue"]
    assert [t.exited(n) for n in (1, 2)] == [[], []]
    assert t.at(99.9) == []
    assert t.at(100) == ["refuse c1 START_TIMEOUT", "terminate c3 overdue"]


def test_stop_timeout():
    t = Talk(stop_timeout=10)
    t.limit("b", stop_timeout=3)
    t.awake("a", "b")  # at 1 and 2
    t.stop("a")
    t.stop("b")
    t.policy.limit("b", None)  # comes too late for it
    assert t.at(4.9) == []
    assert t.at(5) == ["kill b2"]
    assert t.at(8) == ["kill b2"]
    assert t.at(12) == ["kill b2", "kill a1"]


def test_stream_idle():
    t = Talk(max_servers=2, overlap=2, stream_idle=60, stop_timeout=1000)
    t.limit("b", stream_idle=None)
    t.awake("a", "b")
    for number, server in t.servers.items():
        t.policy.take(server.site)
        t.now = number
        Stream(t, number)
    assert t.ask("c1") == []
    assert t.policy.deadline() == 45 + 2  # its patience
    t.limit("a", stream_idle=20)
    assert t.policy.deadline() <= t.now
    assert t.at(20.9) == []
    assert t.policy.deadline() == 21
    assert t.at(21) == ["end 1 of a1 for c"]
    assert t.release(1) == ["terminate a1", "spawn c3"]
    assert t.ask("d1") == []
    t.policy.limit("b", None)
    assert t.at(61.9) == []
    assert t.at(62) == ["end 1 of b2 for d"]


def test_queue_limit_and_queue_timeout():
    t = Talk(max_servers=1, queue_limit=2, queue_timeout=45)
    t.limit("b", queue_limit=1, queue_timeout=10)
    t.limit("c", queue_timeout=20)
    t.awake("z")
    t.policy.take("z")
    for waiter in ("a1", "b1", "c1"):
        assert t.ask(waiter) == []
    assert t.ask("b2") == ["refuse b2 QUEUE_FULL"]
    assert t.ask("a2") == []
    assert t.ask("a3") == ["refuse a3 QUEUE_FULL"]
    t.policy.limit("b", None)  # b1 waits as long as was said
    assert t.ask("b2") == []
    assert t.policy.deadline() == 11
    assert t.at(11) == ["refuse b1 QUEUE_TIMEOUT"]
    assert t.at(21) == ["refuse c1 QUEUE_TIMEOUT"]
    assert t.at(46) == [
        "refuse a1 QUEUE_TIMEOUT",
        "refuse a2 QUEUE_TIMEOUT",
        "refuse b2 QUEUE_TIMEOUT",
    ]


def test_the_turns_are_those_of_the_waiting_however_long_each_may_wait():
    t = Talk(max_servers=1)
    t.limit("b", queue_timeout=10)
    t.awake("z")
    t.policy.take("z")
    t.ask("a1")
    t.ask("b1")
    t.stop("z")
    assert t.release(1) == ["terminate z1", "spawn a2"]
