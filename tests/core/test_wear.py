"""Conversations about servers that are replaced after so many requests, or after so long."""

from __future__ import annotations

from luisito.core.lifecycle import State
from luisito.core.wear import AGAIN, JITTER
from tests.core.test_policy import Talk

SOON = 1.0 - JITTER  # of a limit: what the number is that Talk's random gives


def talk(**own):
    t = Talk(max_servers=2)
    t.limit("a", **own)
    t.awake("a", "b")
    return t


def use(t, number, times):
    for _ in range(times):
        assert t.policy.take("a") is t.servers[number]
        t.release(number)


def test_one_that_has_answered_enough_is_replaced_once_the_new_one_is_ready():
    t = talk(max_requests=10)
    use(t, 1, 7)
    assert t.at(5) == []
    use(t, 1, 1)
    assert t.policy.deadline() == 6
    assert t.at(6) == ["spawn a3"]
    assert t.policy.take("a") is t.servers[1]
    assert t.ready(3) == []
    assert t.policy.take("a") is t.servers[3]
    assert t.state(1) is State.DRAINING
    assert t.release(1) == ["terminate a1"]
    assert t.last[0].reason == (
        "it has answered 9 requests (max_requests), and its site has a newer server, which is ready"
    )
    assert t.exited(1) == []
    assert t.at(20) == []  # the new one begins anew


def test_one_that_is_old_is_replaced():
    t = talk(max_age=100)
    ready = t.servers[1].ready_at
    assert t.policy.deadline() == ready + 100 * SOON
    assert t.at(ready + 100 * SOON - 1) == []
    assert t.at(ready + 100 * SOON) == ["spawn a3"]
    assert t.ready(3) == ["terminate a1"]
    assert t.last[0].reason.startswith("it was ready for 90 s (max_age), and ")


def test_both_limits_hold():
    t = talk(max_age=100, max_requests=10)
    assert t.at(10) == []
    assert t.policy.deadline() == 11
    use(t, 1, 10)
    assert t.at(11) == ["spawn a3"]
    t = talk(max_age=100, max_requests=10)
    assert t.at(95) == ["spawn a3"]


def test_not_all_of_the_same_age_are_replaced_at_once():
    numbers = iter([0.0, 0.5, 1.0, 0.0])
    t = Talk(max_servers=3)
    t.policy._fleet.wear._random = lambda: next(numbers)
    for site in "abc":
        t.limit(site, max_age=100)
        t.ask(f"{site}1")
    for number in (1, 2, 3):
        t.ready(number)
        t.release(number)
    assert t.at(90) == ["spawn c4"]
    assert t.ready(4) == ["terminate c3"]
    t.exited(3)
    assert t.at(95) == ["spawn b5"]


def test_the_old_one_stays_where_the_new_one_fails_and_it_is_tried_again():
    t = talk(max_age=100)
    at = t.servers[1].ready_at + 100 * SOON
    assert t.at(at) == ["spawn a3"]
    assert t.exited(3) == []
    assert t.policy.take("a") is t.servers[1]
    assert t.at(at + AGAIN - 1) == []
    assert t.at(at + AGAIN) == ["spawn a4"]


def test_one_that_is_being_replaced_is_not_replaced_twice():
    t = talk(max_age=100)
    t.now = t.servers[1].ready_at + 100 * SOON - 1
    assert t.changed("a") == ["spawn a3"]
    assert t.at(t.now + 1) == []
    assert t.ready(3) == ["terminate a1"]
    assert t.exited(1) == []


def test_limits_that_come_and_go_count_at_once():
    t = talk()
    use(t, 1, 5)
    t.limit("a", max_requests=50)
    assert t.at(2) == []
    t.limit("a", max_requests=5)
    assert t.at(3) == ["spawn a3"]
    assert t.exited(3) == []
    t.limit("a")
    assert t.at(500) == []
    assert t.policy.deadline() is None
    assert t.changed("a") == ["spawn a4"]
    assert t.ready(4) == ["terminate a1"]
    assert t.last[0].reason == "its site has a newer server, which is ready"
