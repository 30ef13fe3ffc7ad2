"""The wheel of deadlines, on a virtual clock."""

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from luisito.net.deadlines import NEVER, Deadlines


class Item:
    def __init__(self, deadline, then=None):
        self.deadline, self.then = deadline, then
        self.at = []

    def expired(self, now):
        self.at.append(now)
        if self.then is not None:
            self.then()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def deadlines(clock):
    return Deadlines(clock, clock.seconds)


def run(clock, seconds):
    clock.pump([1 / 8] * int(seconds * 8))


@pytest.mark.parametrize("deadline", [0.01, 1, 1.3, 10])
def test_noticed_at_most_a_second_late(clock, deadlines, deadline):
    items = [Item(deadline) for _ in range(20)]
    for item in items:
        deadlines.add(item)
        clock.advance(0.05)
    run(clock, 20)
    for item in items:
        assert max(deadline, 0) <= item.at[0] <= max(deadline, 1) + 1.05


def test_looked_at_again_until_it_is_set_or_discarded(clock, deadlines):
    item = Item(1)
    deadlines.add(item)
    run(clock, 4)
    assert len(item.at) == 3 or len(item.at) == 4
    item.deadline = NEVER
    item.at.clear()
    run(clock, 10)
    assert item.at == []
    item.deadline = 0
    deadlines.discard(item)
    deadlines.discard(item)
    run(clock, 3)
    assert item.at == []
    assert clock.getDelayedCalls() == []


def test_one_may_end_another_or_itself(clock, deadlines):
    first, second = Item(0), Item(0)
    first.then = lambda: (deadlines.discard(second), deadlines.discard(first))
    second.then = lambda: (deadlines.discard(second), deadlines.discard(first))
    deadlines.add(first)
    deadlines.add(second)
    run(clock, 3)
    assert len(first.at) + len(second.at) == 1


def test_nothing_ticks_without_items(clock, deadlines):
    assert clock.getDelayedCalls() == []
    item = Item(NEVER)
    deadlines.add(item)
    assert len(clock.getDelayedCalls()) == 1
    deadlines.discard(item)
    run(clock, 1)
    assert clock.getDelayedCalls() == []
    deadlines.add(item)
    deadlines.stop()
    assert clock.getDelayedCalls() == []


def test_invariant_9_a_fault_of_one_does_not_stop_the_others(clock, deadlines):
    def fail():
        raise ZeroDivisionError

    wrong, right = Item(0, fail), Item(5)
    deadlines.add(wrong)
    deadlines.add(right)
    with capturedLogs() as logs:
        run(clock, 8)
    assert len(wrong.at) == 1
    assert right.at
    assert len([event for event in logs if "log_failure" in event]) == 1
