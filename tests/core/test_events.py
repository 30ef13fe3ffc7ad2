"""Events: what they are told with, which are remembered, and what leads to them in the policy."""

from __future__ import annotations

import json

from luisito.core.events import RECENT, TOGETHER, Event, Kind, Recent, Refusals
from luisito.core.memory import FIRST_GUESS
from luisito.core.orders import Refuse, Terminate
from tests.core.test_policy import Talk
from tests.core.test_rewarming import Warm
from tests.core.test_sharing import Shared
from tests.core.test_silent_streams import talk as talk_with_streams


def event(number, site="a", **facts):
    return Event(number=number, at=1.5, site=site, kind=Kind.READY, words="ready", **facts)


def test_as_json():
    told = json.loads(json.dumps(event(7, seconds=0.25, pid=12).as_dict()))
    assert (told["number"], told["kind"], told["seconds"], told["pid"]) == (7, "ready", 0.25, 12)
    assert told["other"] is None
    assert told["count"] == 1


def test_the_last_ones_are_remembered():
    recent = Recent()
    assert recent.last == 0
    assert not list(recent)
    for number in range(1, RECENT + 3):
        recent.add(event(number, "ab"[number % 2]))
    assert recent.last == RECENT + 2
    assert [next(iter(recent)).number, len(list(recent))] == [3, RECENT]
    assert [one.number for one in recent.of("b")][:2] == [3, 5]
    assert recent.of("c") == []


def test_many_refusals_are_told_as_one():
    refusals = Refusals()
    assert refusals.count("a", "full", 100.0) == [("a", "full", 1)]
    assert [refusals.count("a", "full", 100.0 + n / 10) for n in range(5)] == [[]] * 5
    assert refusals.count("a", "late", 100.0) == [("a", "late", 1)]
    assert refusals.count("b", "full", 100.0) == [("b", "full", 1)]
    assert refusals.count("a", "full", 100.0 + TOGETHER) == [("a", "full", 6)]
    assert refusals.count("a", "full", 100.5 + TOGETHER) == []


def test_the_last_ones_of_many_are_told_though_no_more_come():
    refusals = Refusals()
    refusals.count("a", "full", 100.0)
    refusals.count("b", "full", 101.0)
    assert refusals.due() is None
    for _ in range(3):
        refusals.count("b", "full", 102.0)
        refusals.count("a", "full", 102.0)
    assert refusals.due() == 100.0 + TOGETHER
    assert refusals.rest(99.9 + TOGETHER) == []
    assert refusals.rest(100.0 + TOGETHER) == [("a", "full", 3)]
    assert refusals.count("a", "full", 101.0 + TOGETHER) == []  # ten seconds from the last event
    assert refusals.due() == 101.0 + TOGETHER
    both = [("b", "full", 3), ("a", "full", 1)]
    assert refusals.rest(101.0 + TOGETHER, at_once=True) == both
    assert refusals.due() is None


def test_not_more_sites_are_counted_than_there_is_room_for():
    refusals = Refusals()
    for number in range(1000):
        assert refusals.count(str(number), "full", 0.0) == [(str(number), "full", 1)]
    assert refusals.count("0", "full", 0.0) == []
    assert refusals.count("1000", "full", 0.0) == [("1000", "full", 1), ("0", "full", 1)]
    assert refusals.count("0", "full", 0.0) == [("0", "full", 1)]  # was forgotten
    assert refusals.count("1000", "full", 0.0) == []


# -- what the policy tells


def the_last_end(t):
    return next(order for order in t.last if isinstance(order, Terminate))


def test_a_site_that_goes_for_another_one_goes_for_it():
    t = Talk(max_servers=1)
    t.awake("a")
    assert t.ask("b1")[0] == "terminate a1"
    assert the_last_end(t).wanted_by == "b"


def test_so_does_one_whose_streams_end_for_it():
    t, stream = talk_with_streams("a")
    t.now = 200
    t.ask("b1")
    stream.over()
    assert the_last_end(t).wanted_by == "b"


def test_for_memory_it_goes_for_all():
    t = Talk(max_servers=3, max_memory=4 * FIRST_GUESS)
    t.awake("a", "b")
    t.hear(t.policy.weighed(dict.fromkeys(t.servers.values(), 3 * FIRST_GUESS), t.now))
    assert the_last_end(t).wanted_by == ""


def test_one_that_is_unused_goes_for_nobody():
    t = Talk(max_servers=3, idle_timeout=60)
    t.awake("a")
    t.at(t.now + 60)
    assert the_last_end(t).wanted_by is None


def test_a_refusal_names_its_site():
    t = Talk(max_servers=1, queue_limit=1, queue_timeout=5)
    t.ask("a1")
    t.ask("a2")
    assert [order.site for order in t.last if isinstance(order, Refuse)] == ["a"]
    t.ask("b1")
    t.at(t.now + 5)
    assert [order.site for order in t.last if isinstance(order, Refuse)] == ["b"]


def test_what_a_server_is_started_for():
    t = Talk(max_servers=4)
    t.ask("a1")
    assert t.policy.cause(t.servers[1]) == "for a request"
    t.ask("a2")
    assert t.policy.cause(t.servers[1]) == "for 2 requests"
    t.ready(1)
    t.changed("a")
    assert t.policy.cause(t.servers[2]) == "to take the place of the one that serves"
    t.hear(t.policy.adopt([], t.now)[1])  # from then on sites are kept
    t.hear(t.policy.keep("b", t.now, on_failure=False))
    assert t.policy.cause(t.servers[3]) == "as its site is kept awake"


def test_what_others_are_started_for():
    warm = Warm(max_servers=4)
    warm.warm("a")
    assert warm.policy.cause(warm.servers[1]) == "ahead of time"
    shared = Shared()
    shared.ask("a1")
    assert shared.policy.cause(shared.servers[2]) == "as one more server of its site"
