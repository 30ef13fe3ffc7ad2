"""Servers that are frozen while nobody needs them: beside the model, in single steps."""

import pytest

from luisito.core.hibernation import AGAIN
from luisito.core.lifecycle import State
from tests.core.test_policy import Talk


def talk(**limits):
    return Talk(**{"hibernate_after": 10, **limits})


def frozen(t, number):
    return t.policy.hibernates(t.servers[number])


def refused(t, number):
    return t.hear(t.policy.does_not_hibernate(t.servers[number], t.now))


def resting(t, site="a"):
    """One server, frozen since 11 s."""
    t.awake(site)
    number = max(t.servers)
    assert t.at(t.now + 10) == [f"freeze {site}{number}"]
    assert frozen(t, number)
    return number


def test_an_idle_server_is_frozen_and_runs_on_before_the_next_request_gets_it():
    t = talk()
    t.awake("a")
    assert t.policy.deadline() == 11
    assert t.at(10.9) == []
    assert t.at(11) == ["freeze a1"]
    assert t.policy.take("a") is None  # nobody gets it unnoticed
    assert (t.policy.is_ready("a"), t.policy.is_frozen(t.servers[1])) == (True, False)
    assert frozen(t, 1)
    assert (t.policy.is_frozen(t.servers[1]), t.policy.frozen) == (True, 1)
    assert t.policy.counts()[State.READY] == 1  # it has its place
    t.now = 50
    assert t.ask("a1") == ["thaw a1", "grant a1 a1"]
    assert t.policy.frozen == 0
    assert t.policy.take("a") is t.servers[1]
    assert t.release(1) == t.release(1) == []
    assert t.at(59.9) == []
    assert t.at(60) == ["freeze a1"]


def test_one_in_use_is_looked_at_later():
    t = talk()
    t.awake("a")
    t.now = 8
    assert t.policy.take("a") is t.servers[1]
    assert t.at(11) == []
    t.now = 12
    t.release(1)
    assert t.at(21) == []
    assert t.at(22) == ["freeze a1"]


def test_it_is_off_unless_a_time_is_set_and_false_is_never():
    t = Talk()
    t.awake("a")
    assert t.policy.deadline() is None
    t.limit("b", hibernate_after=5)
    t.limit("c", hibernate_after=5, hibernate=False)
    t.awake("b", "c")
    assert t.at(99) == ["freeze b2"]


def test_one_that_cannot_be_frozen_runs_on_and_is_tried_again_much_later():
    t = talk()
    t.awake("a")
    t.at(11)
    assert refused(t, 1) == ["thaw a1"]
    assert refused(t, 1) == []
    assert t.policy.take("a") is t.servers[1]
    t.release(1)
    assert t.policy.deadline() == 21 + AGAIN
    assert t.at(21 + AGAIN) == ["freeze a1"]


def test_what_is_heard_late_is_nothing():
    t = talk()
    t.awake("a")
    t.at(11)
    assert t.ask("a1") == ["thaw a1", "grant a1 a1"]
    assert not frozen(t, 1)
    assert refused(t, 1) == []
    assert t.policy.frozen == 0


def test_a_change_of_its_limits_wakes_one_that_is_to_be_frozen_no_more():
    t = talk()
    resting(t)
    t.limit("a", hibernate_after=99)
    assert t.policy.deadline() == 0
    assert t.at(12) == []  # it may go on resting
    t.limit("a", hibernate=False)
    assert t.at(12) == ["thaw a1"]
    assert t.policy.deadline() is None
    assert t.policy.take("a") is t.servers[1]


def test_frozen_ones_are_victims_like_others():
    t = talk(max_servers=1, overlap=1)
    resting(t)
    assert t.ask("b1") == ["terminate a1", "spawn b2"]
    assert t.policy.frozen == 0
    assert not frozen(t, 1)
    t.exited(1)
    assert t.ready(2) == ["grant b1 b2"]


@pytest.mark.parametrize("end", ["shutdown", "terminate_all"])
def test_the_end_takes_frozen_ones_along(end):
    t = talk()
    resting(t)
    assert getattr(t, end)() == ["terminate a1"]


def test_one_that_ends_while_it_is_frozen_is_forgotten():
    t = talk()
    resting(t)
    t.exited(1)
    assert t.ask("a1") == ["spawn a2"]
    assert t.policy.frozen == 0


def test_one_that_is_asked_before_it_is_stopped_must_run_for_that():
    t = talk(max_servers=1, overlap=1, pre_stop="/may-stop")
    resting(t)
    assert t.ask("b1") == ["thaw a1", "ask a1"]


def test_one_that_says_it_has_work_runs_on():
    t = talk()
    t.awake("a")
    t.at(11)
    assert t.hear(t.policy.busy(t.servers[1], t.now)) == ["thaw a1"]
    assert t.at(30) == []
    t.policy.busy_no_more(t.servers[1], t.now)
    assert t.at(40) == ["freeze a1"]


def test_it_counts_with_what_it_weighs_and_when_it_wakes_with_what_it_took_before():
    t = talk()
    t.awake("a")
    t.weighed(50)
    t.at(11)
    assert frozen(t, 1)
    t.weighed(3)
    assert t.policy.memory == 3
    assert t.policy.took() == [("a", 50)]  # what its next one is expected to take
    t.ask("a1")
    assert t.policy.memory == 50
    t.weighed(40)
    assert t.policy.memory == 40


def test_what_was_never_weighed_counts_as_it_did():
    t = talk()
    resting(t)
    before = t.policy.memory
    t.ask("a1")
    assert t.policy.memory == before


def test_of_several_servers_of_a_site_all_wake_with_the_first():
    t = talk()
    t.hear(t.policy.share("a", 2, 0))
    t.awake("a")
    assert t.hear(t.policy.start_more("a", t.now)) == ["spawn a#22"]
    t.ready(2)
    assert t.at(11) == ["freeze a1", "freeze a#22"]
    key, orders = t.policy.choose("a", t.now)
    assert (key, t.hear(orders)) == ("a", [])
    assert t.ask("a1") == ["thaw a1", "grant a1 a1"]
    assert t.hear(t.policy.start_more("a", t.now)) == ["thaw a#22"]


def test_a_newer_one_takes_the_place_of_a_frozen_one():
    t = talk()
    resting(t)
    assert t.changed("a") == ["spawn a2"]
    assert t.ready(2) == ["terminate a1"]
    assert t.policy.take("a") is t.servers[2]
