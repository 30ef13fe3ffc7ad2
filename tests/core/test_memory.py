"""Conversations about the memory that servers take, and are expected to take."""

from __future__ import annotations

import pytest

from luisito.core.lifecycle import State
from luisito.core.memory import FIRST_GUESS, Memory
from luisito.core.orders import Limits
from luisito.core.text import mebibytes
from tests.core.test_adoption import adopt, ready
from tests.core.test_policy import Talk, steps, words
from tests.core.test_silent_streams import Stream


def test_what_nobody_has_measured_is_guessed():
    t = Talk(max_memory=3 * FIRST_GUESS)
    t.awake("a", "b", "c")
    assert t.policy.memory == 3 * FIRST_GUESS
    assert t.ask("d1") == ["terminate a1", "spawn d4"]
    assert t.policy.memory == 3 * FIRST_GUESS


def test_a_new_server_counts_as_its_sites_last_one_and_others_with_the_median():
    t = Talk()
    t.awake("a", "b", "c")
    t.weighed(900, 20, 300)
    t.stop("a")
    t.exited(1)
    assert t.policy.memory == 320
    t.ask("a2")
    assert t.policy.memory == 1220
    t.ask("d1")
    assert t.policy.memory == 1520  # the median of 20, 300, 900
    assert [t.servers[n].memory for n in (2, 3, 4)] == [20, 300, None]


def test_one_that_starts_counts_with_what_is_expected_until_it_takes_more():
    t = Talk()
    t.awake("a")
    t.weighed(100)
    t.ask("b1")
    assert t.weighed(None, 30) == []
    assert t.policy.memory == 200
    t.weighed(None, 250)
    assert t.policy.memory == 350
    assert t.policy.took() == [("a", 100)]  # what was measured of b was not all of it
    t.ready(2)
    t.weighed(None, 40)
    assert t.policy.memory == 140
    assert t.policy.took() == [("a", 100), ("b", 40)]


def talk(limit, took, **limits):
    """Make one that knows what sites took."""
    made = Talk(max_memory=limit, **{"max_servers": 20, **limits})
    made.policy.adopt([], made.now, took=list(took.items()))
    return made


def test_idle_ones_go_for_one_that_needs_more_the_least_recently_used_first():
    t = talk(100, {"a": 30, "b": 30, "c": 30, "d": 70})
    t.awake("a", "b", "c")
    assert t.ask("d1") == ["terminate a1", "terminate b2"]
    assert t.last[0].reason == "room was needed for d"
    assert t.exited(1) == ["spawn d4"]


def test_several_go_at_once_for_one_that_is_large():
    t = talk(100, {"a": 90, **dict.fromkeys("bcdefg", 15)})
    t.awake(*"bcdefg")
    assert t.ask("a1") == [f"terminate {site}{n}" for n, site in enumerate("bcdefg", 1)]
    # Beyond one of those on their way out, each counts until it has gone.
    for number in (1, 2, 3, 4):
        assert t.exited(number) == []
    assert t.exited(5) == ["spawn a7"]


def test_without_overlap_those_on_their_way_out_count():
    t = talk(100, {"a": 50}, overlap=0)
    t.awake("a", "b")
    assert t.ask("c1") == ["terminate a1"]
    assert t.ask("d1") == []
    assert t.exited(1) == ["spawn c3", "terminate b2"]
    assert t.exited(2) == ["spawn d4"]


def test_a_roll_takes_memory_that_others_waited_for_and_another_one_goes_for_these():
    t = talk(300, {"a": 100}, overlap=0)
    t.awake("a", "b", "c")
    assert t.ask("d1") == ["terminate a1"]
    assert t.changed("c") == ["spawn c4", "terminate b2"]
    assert t.at(t.now + 1) == []  # nothing was left to be seen to later
    assert t.exited(1) == []
    assert t.exited(2) == ["spawn d5"]


def test_those_on_their_way_out_do_not_hold_up_who_has_room_beside_them():
    t = talk(100, {"a": 30}, overlap=0)
    t.awake("a", "b")
    t.stop("a")
    assert t.ask("c1") == ["spawn c3"]


def test_who_waits_waits_for_a_busy_one_and_nothing_in_flight_ends():
    t = talk(100, {"a": 50})
    t.awake("a", "b")
    t.policy.take("a")
    t.policy.take("b")
    assert t.weighed(500, 600) == ["a1 exceeds", "b2 exceeds"]
    assert t.weighed(500, 600) == []  # said once
    assert t.ask("c1") == []
    assert t.release(1) == ["terminate a1"]
    assert t.ask("d1") == []
    assert t.release(2) == ["terminate b2"]
    assert t.exited(1) == ["spawn c3"]  # b is the one that may still be there
    assert "refuse d1 QUEUE_TIMEOUT" in t.at(t.now + 45)


def test_the_first_who_waits_is_not_overtaken_by_one_that_needs_less():
    t = talk(100, {"a": 80, "b": 20, "c": 30, "d": 1})
    t.awake("b", "c")
    t.policy.take("c")
    assert t.ask("a1") == ["terminate b1"]
    assert t.exited(1) == []
    assert t.ask("d1") == []  # though there would be room for it
    assert t.release(2) == ["terminate c2", "spawn a3", "spawn d4"]


def test_idle_ones_go_when_others_have_grown():
    t = talk(100, {"a": 20})
    t.awake("a", "b", "c")
    t.policy.take("b")
    assert t.weighed(None, 70) == ["terminate a1"]
    assert t.last[0].reason == "all take 0 MiB, and MAX_MEMORY is 100"
    assert t.weighed(None, 90) == ["terminate c3"]
    assert t.weighed(None, 100) == []


def test_none_goes_for_memory_while_streams_end_for_room():
    t = talk(100, {"a": 50, "b": 50, "c": 40}, stream_idle=60, queue_timeout=500)
    t.awake("a", "b")
    t.policy.take("a")
    t.policy.take("b")
    stream = Stream(t, 1)
    t.now = 100
    assert t.ask("c1") == ["end 1 of a1 for c"]
    assert t.release(2) == []
    assert t.weighed(60, 50) == []
    assert stream.over() == ["terminate a1", "spawn c3"]


def test_young_ones_are_spared_until_they_are_of_age():
    t = talk(100, {"a": 50}, min_alive=10)
    t.awake("a", "b")  # at 1 and 2
    assert t.weighed(60, 60) == []
    t.now = 11
    assert t.weighed(60) == ["terminate a1"]


def test_one_alone_may_take_more_than_all_may():
    t = talk(100, {"a": 50, "b": 10})
    t.awake("b", "a")
    assert t.weighed(10, 300) == ["a2 exceeds", "terminate b1"]
    assert t.weighed(None, 400) == []
    t.exited(1)
    assert t.ask("b2") == ["terminate a2", "spawn b3"]
    t.ready(3)
    t.release(3)
    t.exited(2)
    assert t.ask("a2") == ["terminate b3", "spawn a4"]
    t.ready(4)
    assert t.weighed(None, None, None, 300) == ["a4 exceeds"]
    assert t.release(4) == []
    assert t.state(4) is State.READY


def test_a_start_that_nobody_waits_for_gives_its_memory():
    t = talk(100, {"a": 60})
    t.ask("a1")
    t.cancel("a1")
    assert t.ask("b1") == ["terminate a1", "spawn b2"]


def test_a_site_that_rolls_may_go_over_it():
    t = talk(100, {"a": 80})
    t.awake("a")
    assert t.changed("a") == ["spawn a2"]
    assert t.policy.memory == 160
    assert t.ready(2) == ["terminate a1"]
    assert t.policy.memory == 80


def test_figures_that_come_late_are_harmless():
    t = talk(100, {"a": 40})
    t.awake("a", "b")
    t.stop("a")
    assert t.weighed(900) == []
    assert t.policy.memory == 40
    t.exited(1)
    assert t.weighed(900) == []
    assert t.policy.memory == 40
    t.exited(2)
    assert t.policy.memory == 0


def test_nothing_is_less_than_a_byte():
    t = Talk()
    t.awake("a")
    t.weighed(0)
    assert t.policy.memory == 1


def test_a_site_that_is_no_more_is_forgotten():
    t = Talk()
    t.awake("a", "b")
    t.weighed(900, 20)
    t.removed("a")
    t.removed("b")
    t.exited(1)
    t.exited(2)
    assert t.policy.took() == []
    t.ask("a2")
    assert t.policy.memory == FIRST_GUESS


def test_sites_beyond_ten_thousand_are_forgotten_the_one_weighed_first_first():
    memory = Memory(None)
    memory.remember((f"s{n}", n) for n in range(10_000))
    memory.remember([("s0", 7), ("new", 8)])
    took = memory.took()
    assert len(took) == 10_000
    assert took[0] == ("s2", 2)
    assert took[-2:] == [("s0", 7), ("new", 8)]


def test_another_pool_goes_on_with_the_figures():
    t = Talk(max_memory=200)
    servers = (
        ready("a", at=1.0, memory=90),
        ready("b", at=2.0, memory=70),
        ready("c", at=3.0),
    )
    t.policy.adopt([], t.now, took=[("c", 50), ("d", 120)])
    assert adopt(t, *servers) == ["terminate a1"]
    assert t.policy.memory == 120
    assert t.servers[2].memory == 70
    t.exited(1)
    assert t.ask("d1") == ["terminate b2", "spawn d4"]
    assert t.policy.took() == [("c", 50), ("d", 120), ("a", 90), ("b", 70)]
    t.policy.resign()
    assert t.policy.memory == 0
    assert len(t.policy.took()) == 4


def test_the_limit_must_be_one():
    with pytest.raises(ValueError, match="max_memory"):
        Limits(max_memory=0)


def test_memory_for_people():
    assert mebibytes(1536 * 1024**2) == "1,536 MiB"


def costs(size):
    """Tell what making room for memory costs in a pool of idle servers."""
    t = talk(100 * size, {"a": 100}, max_servers=2 * size, max_starting=size, overlap=size)
    sites = [f"s{n}" for n in range(size)]
    for n, site in enumerate(sites, 1):
        (spawn,) = t.policy.requested(site, site, t.now)
        t.servers[n] = spawn.server
        t.policy.ready(spawn.server, t.now)
        t.policy.release(spawn.server, t.now)
    t.weighed(*[100] * size)
    heard = []

    def weigh(number, memory):
        sizes = {t.servers[number]: memory}
        return steps(lambda: heard.extend(t.policy.weighed(sizes, t.now)))

    found = {
        "evict": steps(lambda: heard.extend(t.policy.requested("new", "w", t.now))),
        "grow": weigh(5, 200),
        "shrink": weigh(5, 50),
        "start": steps(lambda: heard.extend(t.policy.requested("s0", "v", t.now))),
    }
    assert [words(order).split()[0] for order in heard] == [
        "terminate",
        "spawn",
        "terminate",
        "spawn",
    ]
    return found


def test_room_for_memory_costs_at_ten_thousand_servers_what_it_costs_at_ten():
    small = costs(10)
    assert costs(10_000) == small
