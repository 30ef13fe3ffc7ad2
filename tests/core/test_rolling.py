"""Conversations about sites of which another thing is to be started now, or nothing at all."""

from __future__ import annotations

import pytest

from luisito.core.lease import Refused
from luisito.core.lifecycle import State
from luisito.core.orders import NOTHING
from luisito.core.sites import Failure
from tests.core.test_policy import Talk
from tests.core.test_silent_streams import Stream


def talk(*sites, **limits):
    """The sites are awake, on a clock that stands at their number."""
    t = Talk(**{"max_servers": max(1, len(sites)), **limits})
    t.awake(*sites)
    return t


# It is awake


def test_the_old_one_serves_until_the_new_one_is_ready():
    t = talk("a", "b")
    assert t.changed("a") == ["spawn a3"]
    assert t.started(3, early=True) == []
    assert [n for n, server in t.servers.items() if t.policy.is_for_nobody(server)] == [3]
    assert t.policy.take("a") is t.servers[1]
    assert t.ask("a1") == ["grant a1 a1"]
    assert t.release(1) == []
    assert t.policy.server("a") is t.servers[1]
    assert t.ready(3) == []
    assert t.policy.server("a") is t.policy.take("a") is t.servers[3]
    assert not t.policy.is_for_nobody(t.servers[3])
    assert t.state(1) is State.DRAINING
    assert t.release(1) == ["terminate a1"]
    assert t.last[0].reason == "its site has a newer server, which is ready"
    assert t.exited(1) == []
    assert t.state(2) is State.READY


def test_that_the_old_one_was_not_replaced_is_told_until_it_is():
    t = talk("a")
    t.changed("a")
    t.exited(2)
    assert t.policy.unreplaced == {"a": "gone"}
    t.at(1000)
    assert not t.policy.failures()
    assert t.policy.unreplaced == {"a": "gone"}
    assert t.changed("a") == ["spawn a3"]
    assert t.at(2000) == ["terminate a3 overdue"]  # start_timeout
    t.exited(3)
    assert t.policy.unreplaced == {"a": "not ready after 60 s"}
    t.at(3000)
    t.changed("a")
    t.failed(4, overloaded=True)
    assert t.policy.unreplaced == {"a": "why"}
    assert t.at(3005) == ["spawn a5"]
    assert t.policy.unreplaced == {"a": "why"}
    assert t.ready(5) == ["terminate a1"]
    assert t.policy.unreplaced == {}


def test_long_service_of_the_old_one_forgives_nothing_that_the_new_one_does():
    t = talk("a")
    t.at(100)
    t.changed("a")
    t.exited(2)
    assert t.stop("a") == ["terminate a1"]
    t.exited(1)
    assert t.ask("a1") == ["refuse a1 BACKING_OFF"]
    assert t.at(101) == []
    assert t.ask("a2") == ["spawn a3"]


@pytest.mark.parametrize("how", ["stop", "removed", "exited", "resign"])
def test_that_the_old_one_was_not_replaced_is_forgotten_when_it_goes(how):
    t = talk("a")
    t.changed("a")
    t.exited(2)
    assert t.policy.unreplaced == {"a": "gone"}
    if how == "resign":
        t.policy.resign()
    elif how == "exited":
        t.exited(1)
    else:
        getattr(t, how)("a")
    assert t.policy.unreplaced == {}


def test_a_new_one_that_fails_where_no_old_one_serves_replaces_none():
    t = talk("a")
    t.exited(1)
    t.ask("a1")
    t.exited(2)
    assert t.policy.failures()
    t.at(1000)
    t.ask("a2")
    t.ready(3)
    t.exited(3, broke=True)
    assert t.policy.unreplaced == {}


def test_an_idle_old_one_ends_at_once():
    t = talk("a")
    t.changed("a")
    assert t.ready(2) == ["terminate a1"]
    assert t.ask("b1") == ["terminate a2", "spawn b3"]
    assert len(t.policy.servers) == 3  # max_servers + overlap + max_rolling
    assert t.ask("c1") == []


def test_the_new_one_is_evicted_like_any_other_once_it_is_ready():
    t = talk("a", "b", overlap=2)
    t.changed("a")
    t.now = 5
    t.ready(3)
    assert t.ask("c1") == ["terminate b2", "spawn c4"]
    assert t.ask("d1") == ["terminate a3", "spawn d5"]


def test_the_new_one_takes_no_room_from_others():
    t = talk("a", "b", max_starting=1, overlap=1)
    assert t.changed("a") == ["spawn a3"]
    assert t.ask("c1") == ["terminate a1", "terminate a3", "spawn c4"]
    t = talk("a", "b", max_starting=1, overlap=1)
    t.policy.take("a")
    assert t.changed("a") == ["spawn a3"]
    assert t.ask("c1") == ["terminate b2", "spawn c4"]


def test_an_old_one_that_drains_takes_none_either():
    t = talk("a", "b")
    t.policy.take("a")
    t.changed("a")
    t.ready(3)
    assert t.ask("c1") == ["terminate b2", "spawn c4"]
    assert t.policy.counts() == {
        State.STARTING: 1,
        State.READY: 1,
        State.DRAINING: 1,
        State.STOPPING: 1,
    }


def test_what_rolls_waits_its_turn():
    t = talk("a", "b", "c")
    assert t.changed("a") == ["spawn a4"]
    assert t.changed("b") == []
    assert t.changed("c") == []
    assert t.changed("b") == []  # keeps its turn
    assert t.ready(4) == ["terminate a1"]  # which is still there
    assert t.exited(1) == ["spawn b5"]
    assert t.exited(5) == ["spawn c6"]


def test_a_long_drain_keeps_no_other_from_rolling_while_there_is_room():
    t = talk("a", "b", "c", max_servers=4)
    t.policy.take("a")
    t.changed("a")
    t.changed("b")
    assert t.ready(4) == ["spawn b5"]
    assert t.changed("c") == []
    assert t.ready(5) == ["terminate b2"]  # alive: a1, a4, b5, c3
    assert t.exited(2) == ["spawn c6"]
    assert t.ready(6) == ["terminate c3"]
    assert t.ask("d1") == ["spawn d7"]  # a1 is one over


def test_a_long_drain_in_a_full_pool_does():
    t = talk("a", "b")
    t.policy.take("a")
    t.changed("a")
    assert t.ready(3) == []
    assert t.changed("b") == []
    assert t.release(1) == ["terminate a1"]
    assert t.exited(1) == ["spawn b4"]


def test_more_may_roll_at_a_time():
    t = talk("a", "b", "c", max_rolling=2)
    assert [t.changed(site) for site in "abc"] == [["spawn a4"], ["spawn b5"], []]
    assert t.exited(4) == ["spawn c6"]


def test_without_overlap_too():
    t = talk("a", overlap=0)
    assert t.changed("a") == ["spawn a2"]
    assert t.ready(2) == ["terminate a1"]
    assert t.changed("a") == []
    assert t.exited(1) == ["spawn a3"]


# The new one fails


def test_one_that_fails_leaves_the_old_one():
    t = talk("a")
    assert t.changed("a") == ["spawn a2"]
    assert t.failed(2) == []
    assert t.policy.failures() == [Failure("a", "why", 2.0, 1, 121.0)]
    assert t.ask("a1") == ["grant a1 a1"]
    assert t.at(100) == []  # no other try of itself


def test_one_that_is_late_leaves_the_old_one():
    t = talk("a", start_timeout=60)
    t.changed("a")
    assert t.policy.deadline() == 61
    assert t.at(61) == ["terminate a2 overdue"]
    assert t.exited(2) == []
    (failure,) = t.policy.failures()
    assert failure.detail == "not ready after 60 s"
    assert t.ask("a1") == ["grant a1 a1"]


def test_another_change_is_tried_when_the_failure_is_over():
    t = talk("a", "b")
    t.changed("a")
    t.exited(3)
    assert t.changed("a") == []
    assert t.changed("a") == []
    assert t.policy.deadline() == 3
    assert t.changed("b") == ["spawn b4"]
    assert t.at(2.9) == []
    assert t.exited(4) == []
    assert t.at(3) == ["spawn a5"]
    assert t.exited(5) == []
    assert t.changed("a") == []
    assert t.at(4.9) == []
    assert t.at(5) == ["spawn a6"]


def test_one_that_waits_for_that_ends_with_its_server():
    t = talk("a", idle_timeout=1.5)
    t.changed("a")
    t.exited(2)
    t.policy.limit("a", None)
    t.changed("a")
    t.stop("a")
    assert t.policy.deadline() == 11
    t.exited(1)
    assert t.at(3) == []
    assert t.ask("a1") == ["spawn a3"]


def test_after_a_failure_the_old_ones_end_is_followed_by_the_back_off():
    t = talk("a")
    t.changed("a")
    t.failed(2)
    t.exited(1)
    assert t.ask("a1") == ["refuse a1 BACKING_OFF"]


def test_a_system_without_processes_is_asked_again():
    t = talk("a")
    t.changed("a")
    assert t.failed(2, overloaded=True) == []
    assert t.policy.failures() == []
    assert t.changed("a") == []
    assert t.policy.deadline() == 6
    assert t.at(6) == ["spawn a3"]
    assert t.failed(3) == []  # once


# It is changed again


def test_an_unfinished_new_one_is_replaced():
    t = talk("a")
    t.changed("a")
    assert t.changed("a") == ["terminate a2"]
    assert t.last[0].reason == "the settings it was started by have changed"
    assert t.changed("a") == []
    assert t.exited(2) == ["spawn a3"]
    assert t.policy.failures() == []
    assert t.ready(3) == ["terminate a1"]


# The old one goes meanwhile


def test_an_old_one_that_is_unused_ends_with_the_new_one():
    t = talk("a", idle_timeout=10)
    t.now = 5
    t.changed("a")
    assert t.at(11) == ["terminate a1", "terminate a2"]
    assert (t.exited(1), t.exited(2)) == ([], [])
    assert t.policy._sites.by_name == {}


@pytest.mark.parametrize("busy", [False, True])
def test_an_old_one_that_is_stopped_ends_with_the_new_one(busy):
    t = talk("a", "b")
    if busy:
        t.policy.take("a")
    t.changed("a")
    t.changed("b")
    assert t.stop("a") == ([] if busy else ["terminate a1"]) + ["terminate a3"]
    assert t.policy.server("a") is None
    assert t.exited(3) == ["spawn b4"]


def test_one_whose_streams_end_for_room_ends_with_the_new_one():
    t = talk("a", stream_idle=10)
    t.policy.take("a")
    Stream(t, 1)
    t.changed("a")
    t.now = 11
    assert t.ask("b1") == ["end 1 of a1 for b", "terminate a2"]
    assert t.release(1) == ["terminate a1", "spawn b3"]


def test_if_the_old_one_dies_the_new_one_goes_on():
    t = talk("a")
    t.changed("a")
    assert t.exited(1) == []
    assert t.ask("a1") == []
    assert t.ready(2) == ["grant a1 a2"]


def test_if_the_old_one_breaks_nobody_is_refused_while_the_new_one_starts():
    t = talk("a")
    t.changed("a")
    assert t.exited(1, broke=True) == []
    assert t.ask("a1") == []
    assert t.ready(2) == ["grant a1 a2"]


def test_if_the_old_one_dies_the_new_one_is_an_ordinary_start():
    t = talk("a", abandon_grace=5)
    t.changed("a")
    t.exited(1)
    assert t.policy.deadline() == 6
    assert t.at(6) == ["terminate a2"]
    t = talk("a")
    t.changed("a")
    t.exited(1)
    assert t.ask("b1") == ["terminate a2", "spawn b3"]


# It is not awake


def test_a_start_begins_anew_for_those_who_wait():
    t = Talk()
    t.ask("a1")
    t.ask("a2")
    t.now = 1
    assert t.changed("a") == ["terminate a1", "spawn a2"]
    assert t.exited(1) == []
    assert t.ready(2) == ["grant a1 a2", "grant a2 a2"]


def test_a_start_that_nobody_waits_for_only_ends():
    t = Talk()
    t.ask("a1")
    t.cancel("a1")
    assert t.changed("a") == ["terminate a1"]


def test_a_start_with_an_early_lease_drains():
    t = Talk()
    t.ask("a1")
    t.ask("a2")
    t.started(1, early=True)
    assert t.changed("a") == ["spawn a2"]
    assert t.release(1) == ["terminate a1"]
    assert t.ready(2) == ["grant a2 a2"]


def test_nothing_is_done_for_one_that_goes_or_sleeps():
    t = talk("a", "b")
    t.policy.take("a")
    t.stop("a")
    t.stop("b")
    assert (t.state(1), t.state(2)) == (State.DRAINING, State.STOPPING)
    assert [t.policy.changed(site, t.now) for site in "abc"] == [NOTHING] * 3


def test_who_waits_for_room_goes_on():
    t = talk("a")
    t.policy.take("a")
    t.ask("b1")
    assert t.changed("b") == []
    t.stop("a")
    assert t.release(1) == ["terminate a1", "spawn b2"]


def test_a_site_that_failed_is_tried_at_once_but_its_failures_count():
    t = Talk()
    t.ask("a1")
    t.failed(1)
    assert t.ask("a2") == ["refuse a2 BACKING_OFF"]
    assert t.changed("a") == []
    assert t.ask("a3") == ["spawn a2"]
    t.failed(2)
    assert t.policy.failures()[0].times == 2


# It is no more


def test_a_removed_mount_is_told_as_such():
    t = Talk(max_servers=1)
    t.hear(t.policy.requested("a/api", "waiter", t.now))
    t.ready(1)
    t.release(1)
    t.hear(t.policy.removed("a/api", t.now))
    assert t.last[0].reason == "its mount is no more"


@pytest.mark.parametrize("busy", [False, True])
def test_a_removed_site_lets_its_server_go(busy):
    t = talk("a", "b")
    if busy:
        t.policy.take("a")
    t.changed("a")
    ends = [] if busy else ["terminate a1"]
    assert t.removed("a") == [*ends, "terminate a3"]
    assert t.last[0].reason == "its site is no more"
    assert t.policy.take("a") is None
    assert t.release(1) == (["terminate a1"] if busy else [])
    assert set(t.policy._sites.by_name) == {"b"}


def test_who_waits_for_a_removed_site_is_refused():
    t = talk("z", overlap=2)
    t.ask("a1")
    assert t.state(1) is State.STOPPING
    assert t.removed("a") == ["refuse a1 NO_SITE", "terminate a2"]
    assert Refused.by(t.last[0]) == Refused(404, "the site is no more", None, "no_site")
    t.ask("b1")
    t.ask("c1")
    assert t.removed("c") == ["refuse c1 NO_SITE"]
    assert t.removed("d") == []


def test_a_removed_site_leaves_nothing_behind():
    t = Talk()
    t.limit("a", start_timeout=1)
    t.ask("a1")
    t.failed(1)
    assert t.removed("a") == []
    assert t.policy.failures() == []
    assert t.policy._sites.by_name == t.policy._sites._own == {}
    assert t.policy.deadline() is None
    assert t.ask("a2") == ["spawn a2"]


# The end


def test_a_shutdown_ends_both():
    t = talk("a", "b")
    t.policy.take("a")
    t.changed("a")
    t.changed("b")
    assert t.shutdown() == ["terminate a3", "terminate b2"]
    assert t.release(1) == ["terminate a1"]
    assert [t.exited(n) for n in (1, 2, 3)] == [[]] * 3


def test_whoever_resigns_rolls_nothing_any_more():
    t = talk("a", "b")
    t.changed("a")
    t.exited(3)
    t.changed("a")
    t.changed("b")
    t.policy.resign()
    assert t.policy.deadline() is None


def test_that_a_site_rolls_is_told_until_the_new_one_is_ready():
    t = talk("a")
    assert not t.policy.is_rolling("a")
    assert not t.policy.is_rolling("b")
    t.changed("a")
    assert t.policy.is_rolling("a")
    t.exited(2)
    assert not t.policy.is_rolling("a")
    assert t.changed("a") == []
    assert t.policy.is_rolling("a")
    t.policy.retry("a", t.now)
    t.policy.retry("b", t.now)
    assert not t.policy.is_rolling("a")
    assert t.changed("a") == ["spawn a3"]
    t.ready(3)
    assert not t.policy.is_rolling("a")
