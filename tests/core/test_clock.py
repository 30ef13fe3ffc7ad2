from __future__ import annotations

import random
from math import inf

from luisito.core.clock import Clock


def test_the_first_due_comes_first_whenever_it_was_set():
    clock = Clock()
    assert (clock.first(), clock.due(1e9)) == (inf, [])
    clock.set("a", 3.0)
    clock.set("b", 1.0)
    clock.set("c", 2.0)
    assert (list(clock), len(clock), "b" in clock) == (["a", "b", "c"], 3, True)
    assert clock.first() == 1.0
    assert clock.due(0.5) == []
    assert clock.due(2.0) == ["b", "c"]
    assert (list(clock), clock.first(), "b" in clock) == (["a"], 3.0, False)


def test_the_last_time_counts():
    clock = Clock()
    clock.set("a", 1.0)
    clock.set("b", 2.0)
    clock.set("a", 3.0)
    assert list(clock) == ["b", "a"]
    assert clock.first() == 2.0
    clock.discard("b")
    clock.discard("b")
    assert clock.due(2.0) == []
    assert clock.due(3.0) == ["a"]


def test_it_is_empty_when_cleared():
    clock = Clock()
    clock.set("a", 1.0)
    clock.clear()
    assert (len(clock), clock.first(), clock.due(1.0)) == (0, inf, [])


def test_those_that_count_no_more_do_not_pile_up():
    clock = Clock()
    clock.set("front", 0.0)
    for number in range(1, 10_000):
        clock.set(number % 7, float(number))
        clock.set(-number, 1e9)
        clock.discard(-number)
    assert len(clock._heap) < 200
    assert clock.due(1e8) == ["front", *sorted(range(7), key=lambda key: (key - 4) % 7)]


def test_many_that_are_forgotten_at_once_make_no_call_long():
    clock = Clock()
    for number in range(1000):
        clock.set(number, float(number))
    for number in range(500):
        clock.discard(number)
    assert clock.first() < 10
    firsts = [clock.first() for _ in range(200)]
    assert firsts == sorted(firsts)
    assert firsts[-1] == 500
    for number in range(500, 1000):
        clock.discard(number)
    while (first := clock.first()) < inf:
        assert first >= 500


def test_any_life_agrees_with_a_scan():
    dice = random.Random(1)
    clock, times = Clock(), {}
    for now in range(3000):
        key = dice.randrange(50)
        if dice.random() < 0.3:
            clock.discard(key)
            times.pop(key, None)
        else:
            times[key] = now + dice.choice([1, 10, 100])
            clock.set(key, times[key])
        assert now <= clock.first() <= min(times.values(), default=inf)
        found = [key for key, at in times.items() if at <= now]
        assert sorted(clock.due(now)) == sorted(found)
        for key in found:
            del times[key]
        assert set(clock) == set(times)
