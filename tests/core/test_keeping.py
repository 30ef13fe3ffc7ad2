"""Sites that are pinned or kept up: which there may be, and conversations about them."""

from __future__ import annotations

import pytest

from luisito.core.adoption import Known
from luisito.core.keeping import NEVER_ENDED, Keep, allot, complaint
from luisito.core.lifecycle import State
from luisito.core.orders import NOTHING
from tests.core.test_policy import Talk
from tests.core.test_silent_streams import Stream

# Which files may


def test_one_place_is_left_for_others():
    wishes = {"c": Keep.PINNED, "a": Keep.PINNED, "z": Keep.ALWAYS, "b": Keep.PINNED}
    kept = {"z": Keep.ALWAYS, "a": Keep.PINNED, "b": Keep.PINNED}
    assert allot(wishes, 5) == ({**kept, "c": Keep.PINNED}, [], 5)
    assert allot(wishes, 4) == (kept, ["c"], 5)
    assert allot(wishes, 2) == ({"z": Keep.ALWAYS}, ["a", "b", "c"], 5)
    assert allot(wishes, 1) == ({}, ["a", "b", "c", "z"], 5)
    assert allot({}, 1) == ({}, [], 1)
    several = dict.fromkeys(("a", "a#2", "b"), Keep.PINNED)
    assert allot(several, 3) == (dict.fromkeys("ab", Keep.PINNED), ["a#2"], 4)


SAID = (
    "{} keep = pinned or always, which leaves no room for other sites in MAX_SERVERS = 1; {} served"
    " on demand until there is"
)


@pytest.mark.parametrize(
    ("sites", "said"),
    [
        ("", ""),
        ("a", SAID.format("1 site file says", "a is")),
        ("abcde", SAID.format("5 site files say", "a, b, c and 2 more are")),
    ],
)
def test_what_is_said_of_those_that_are_left_out(sites, said):
    assert complaint(allot(dict.fromkeys(sites, Keep.ALWAYS), 1), 1) == said


# Pinned


def test_one_that_is_pinned_is_never_a_victim():
    t = Talk(max_servers=2, idle_timeout=5.0, stream_idle=1.0)
    t.limit("p", **NEVER_ENDED)
    t.awake("p", "a")
    assert t.ask("b1") == ["terminate a2", "spawn b3"]
    assert t.ready(3) == ["grant b1 b3"]
    t.exited(2)
    assert t.ask("c1") == []
    assert t.at(1000) == ["refuse c1 QUEUE_TIMEOUT"]
    assert t.state(1) is State.READY
    t.policy.take("p")
    Stream(t, 1)
    assert t.ask("c2") == []
    assert t.at(1010) == []
    assert t.release(3) == ["terminate b3", "spawn c4"]


def test_one_that_is_pinned_while_it_is_awake_stays_and_one_that_is_no_more_may_go():
    t = Talk(max_servers=2)
    t.awake("a", "b")
    t.limit("a", **NEVER_ENDED)
    assert t.ask("c1") == ["terminate b2", "spawn c3"]
    t.exited(2)
    assert t.ask("d1") == []
    t.limit("a")
    assert t.at(t.now) == ["terminate a1", "spawn d4"]


# Kept up


def kept(*sites, **limits):
    """The sites are kept up, and awake."""
    t = Talk(**{"max_servers": len(sites) + 1, **limits})
    for site in sites:
        assert t.keep(site) == []
    assert t.begin() == [f"spawn {site}{n}" for n, site in enumerate(sites, 1)]
    for n in range(1, len(sites) + 1):
        assert t.ready(n) == []
    return t


def test_it_starts_with_the_pool_and_when_its_file_appears():
    t = Talk(idle_timeout=5.0)
    assert t.keep("a") == []
    assert t.policy.deadline() is None
    assert t.begin() == ["spawn a1"]
    assert t.keep("b") == ["spawn b2"]
    assert t.keep("b", on_failure=True) == []
    assert t.ready(1) == t.ready(2) == []
    assert t.at(1000) == []
    assert t.state(1) is t.state(2) is State.READY


def test_its_start_is_not_given_up_although_nobody_waits():
    t = Talk(abandon_grace=1.0, max_starting=1)
    t.keep("a")
    t.begin()
    assert t.ask("b1") == []
    assert t.ask("a1") == t.cancel("a1") == []
    assert t.at(30) == []
    assert t.ready(1) == ["spawn b2"]
    t = Talk(abandon_grace=1.0)
    t.begin()
    t.ask("a1")
    t.cancel("a1")
    assert t.keep("a") == []
    assert t.at(30) == []
    assert t.keep_no_longer("a") == []
    assert t.at(31) == ["terminate a1"]


def test_one_that_ends_is_started_anew_later_each_time():
    t = kept("a")
    t.now = 100
    assert t.exited(1) == ["spawn a2"]  # it was ready for long enough
    t.ready(2)
    assert t.exited(2) == []
    assert t.policy.deadline() == 101
    assert t.at(101) == ["spawn a3"]
    t.ready(3)
    assert t.exited(3, clean=True) == []
    assert t.policy.failures()[0].times == 2
    assert t.at(102.9) == []
    assert t.at(103) == ["spawn a4"]
    assert t.exited(4) == []  # a failed start
    assert t.at(107) == ["spawn a5"]
    t.ready(5)
    t.now = 140
    assert t.exited(5) == ["spawn a6"]


def test_who_asks_does_not_wait_for_that_time_unless_the_start_has_failed():
    t = kept("a")
    assert t.exited(1) == []
    assert t.ask("a1") == ["spawn a2"]
    assert t.exited(2) == ["refuse a1 START_FAILED"]
    assert t.ask("a2") == ["refuse a2 BACKING_OFF"]
    assert t.at(2) == ["spawn a3"]


def test_a_machine_without_room_for_a_process_is_left_alone_a_while():
    t = Talk()
    t.keep("a")
    t.begin()
    assert t.failed(1, overloaded=True) == []
    assert t.at(4.9) == []
    assert t.at(5) == ["spawn a2"]


def test_a_start_that_takes_too_long_is_a_failed_one():
    t = Talk(start_timeout=10.0)
    t.keep("a")
    t.begin()
    assert t.at(10) == ["terminate a1 overdue"]
    assert t.at(10.9) == []
    assert t.at(11) == ["spawn a2"]


def test_one_that_is_kept_up_after_failures_only_rests_after_status_0():
    t = Talk()
    t.keep("a", on_failure=True)
    t.begin()
    t.ready(1)
    t.now = 100
    assert t.exited(1) == ["spawn a2"]
    assert t.ready(2) == t.exited(2, clean=True) == []
    assert t.policy.deadline() is None
    assert t.ask("a1") == ["spawn a3"]
    assert t.exited(3, clean=True) == ["refuse a1 START_FAILED"]
    assert t.at(1000) == []
    assert t.changed("a") == ["spawn a4"]
    t.ready(4)
    assert t.exited(4, clean=True) == []
    assert t.keep("a") == ["spawn a5"]


def test_one_that_rolls_does_not_rest():
    """Whichever of both ends with status 0, the other is its site's server."""
    t = Talk()
    t.keep("a", on_failure=True)
    t.begin()
    t.ready(1)
    assert t.changed("a") == ["spawn a2"]
    assert t.exited(1, clean=True) == []
    assert t.changed("a") == ["terminate a2", "spawn a3"]
    t.ready(3)
    assert t.changed("a") == ["spawn a4"]
    assert t.exited(4, clean=True) == []
    t.now = 100
    assert t.exited(3) == ["spawn a5"]


def test_one_that_is_stopped_rests():
    t = kept("a")
    assert t.stop("a") == ["terminate a1"]
    assert t.exited(1) == []
    assert t.at(1000) == []
    assert t.ask("a1") == ["spawn a2"]
    assert t.stop("a") == ["terminate a2", "spawn a3"]  # somebody asks for it


def test_a_change_that_comes_while_it_starts_starts_it_anew():
    t = Talk()
    t.keep("a")
    t.begin()
    assert t.changed("a") == ["terminate a1", "spawn a2"]
    assert t.exited(2) == []
    assert t.changed("a") == ["spawn a3"]  # it is left alone for its failure no longer


def test_it_rolls_like_others():
    t = kept("a")
    assert t.changed("a") == ["spawn a2"]
    assert t.ready(2) == ["terminate a1"]
    assert t.exited(1) == []
    assert t.changed("a") == ["spawn a3"]
    t.now = 100
    assert t.exited(2) == []  # the new one goes on
    assert t.at(1000) == ["terminate a3 overdue"]  # start_timeout
    assert t.at(1001) == ["spawn a4"]


def test_one_beside_another_one_that_cannot_be_started_is_asked_for_again():
    t = kept("a")
    t.changed("a")
    assert t.failed(2, overloaded=True) == []
    assert t.at(5) == ["spawn a3"]


def test_it_is_kept_up_no_longer():
    t = kept("a", "b")
    assert t.removed("a") == ["terminate a1"]
    assert t.exited(1) == t.at(1000) == []
    assert t.keep_no_longer("b") == []
    assert t.ask("c1") == ["spawn c3"]
    assert t.ask("d1") == ["spawn d4"]
    assert t.ask("e1") == ["terminate b2", "spawn e5"]
    assert t.keep_no_longer("f") == []
    assert t.policy.changed("f", t.now) is NOTHING


# Its place


def test_its_place_is_held_while_it_has_no_server():
    t = kept("a", max_servers=2)
    t.awake("b")
    assert t.exited(1) == []
    assert t.ask("c1") == ["terminate b2", "spawn c3"]
    assert t.ready(3) == ["grant c1 c3"]
    t.exited(2)
    assert t.ask("d1") == []
    assert t.at(t.now + 1) == ["spawn a4"]
    assert t.release(3) == ["terminate c3", "spawn d5"]


def test_its_place_is_held_although_another_one_is_just_stopping():
    t = kept("a", max_servers=2, overlap=0)
    t.awake("b")
    assert t.exited(1) == []
    assert t.ask("c1") == ["terminate b2"]
    assert t.at(t.now + 1) == ["spawn a3"]
    assert t.exited(2) == ["spawn c4"]


def test_it_has_its_turn_before_all_others():
    t = Talk(max_servers=3, max_starting=1)
    t.begin()
    t.ask("x1")
    assert t.ask("y1") == []
    assert t.keep("a") == t.keep("b") == []
    assert t.ready(1) == ["grant x1 x1", "spawn a2"]
    assert t.ready(2) == ["spawn b3"]
    assert t.ready(3) == []
    assert t.release(1) == ["terminate x1", "spawn y4"]


def test_others_make_room_for_it():
    t = Talk(max_servers=2)
    t.awake("x", "y")
    t.begin()
    assert t.keep("a") == ["terminate x1", "spawn a3"]
    t = Talk(max_servers=1)
    t.begin()
    t.ask("x1")
    t.ready(1)
    assert t.keep("a") == []
    assert t.release(1) == ["terminate x1", "spawn a2"]


def test_who_waits_for_it_waits_for_nothing_else():
    t = Talk(max_servers=2, max_starting=1)
    t.begin()
    t.ask("x1")
    assert t.keep("a") == t.ask("y1") == t.ask("a1") == []
    assert t.ready(1) == ["grant x1 x1", "spawn a2"]
    assert t.ready(2) == ["grant a1 a2"]


# The end, and others


def test_nothing_is_started_any_more():
    t = kept("a", "b")
    t.exited(1)
    assert t.shutdown() == ["terminate b2"]
    assert t.exited(2) == t.at(1000) == []
    t = kept("a", "b")
    assert t.terminate_all() == ["terminate a1", "terminate b2"]
    assert t.exited(1) == t.exited(2) == t.at(1000) == []
    t = Talk(max_starting=1)
    t.keep("a")
    t.keep("b")
    assert t.begin() == ["spawn a1"]
    t.ask("c1")
    assert [one.waiter for one in t.policy.resign()] == ["c1"]
    assert t.policy.deadline() is None


def test_one_that_lives_is_taken_over_and_one_that_does_not_is_started():
    t = Talk()
    for site in "abc":
        t.keep(site)
    failed = kept("c")
    failed.now = 0.5
    failed.changed("c")
    failed.ready(2)
    failed.exited(2)
    known = [Known("a", State.READY, ready_at=1.0), Known("x", State.READY, ready_at=1.0)]
    _, orders = t.policy.adopt(known, 10.0, (), failed.policy.failures())
    assert t.hear(orders) == ["spawn b3", "spawn c4"]


def test_of_too_many_what_is_kept_goes_last():
    t = Talk(max_servers=2)
    t.keep("a")
    t.limit("p", **NEVER_ENDED)
    known = [
        Known("a", State.READY, ready_at=1.0, used_at=1.0),
        Known("p", State.READY, ready_at=1.0, used_at=2.0),
        Known("b", State.READY, ready_at=1.0, used_at=3.0),
        Known("c", State.READY, ready_at=1.0, used_at=4.0, leases=1),
    ]
    _, orders = t.policy.adopt(known, 10.0)
    assert t.hear(orders) == ["terminate b3"]
    assert t.policy.counts()[State.DRAINING] == 1


def test_pins_are_told_of_where_there_is_no_room():
    said = complaint(allot({"a": Keep.PINNED, "b": Keep.ALWAYS}, 2), 2, pins=True)
    assert said.startswith("2 sites are kept by their files or by luisito pin, which leaves no")
    assert "; a is served on demand until there is" in said
