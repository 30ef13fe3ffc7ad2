"""The chronicle tells whoever listens, whatever the others do."""

from __future__ import annotations

import time

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from luisito.core.events import TOGETHER, Kind
from luisito.process.chronicle import Chronicle


def test_all_who_listen_hear_of_it():
    logged = []
    chronicle = Chronicle(Clock())
    heard = []
    chronicle.tellers += [lambda _: 1 / 0, heard.append]
    before = time.time()
    globalLogPublisher.addObserver(logged.append)
    try:
        chronicle.tell(Kind.EVICTED, "a", "stopping pid 5", pid=5, other="b")
    finally:
        globalLogPublisher.removeObserver(logged.append)
    assert [entry["log_failure"].type for entry in logged] == [ZeroDivisionError]
    (event,) = heard
    assert list(chronicle.recent) == heard
    assert (event.number, event.kind, event.other) == (1, Kind.EVICTED, "b")
    assert before <= event.at <= time.time()


def refused(chronicle):
    return [(each.number, each.site, each.count) for each in chronicle.recent]


def test_a_flood_of_refusals_is_one_event():
    clock = Clock()
    chronicle = Chronicle(clock)
    for _ in range(50):
        chronicle.refused("a", "too many requests wait")
    clock.advance(TOGETHER - 1)
    chronicle.refused("b", "too many requests wait")
    chronicle.refused("b", "too many requests wait")
    assert refused(chronicle) == [(1, "a", 1), (2, "b", 1)]
    clock.advance(1)
    assert refused(chronicle)[2:] == [(3, "a", 49)]
    clock.advance(TOGETHER)
    assert refused(chronicle)[3:] == [(4, "b", 1)]
    assert not clock.getDelayedCalls()


def test_the_end_of_a_flood_is_told_at_the_end():
    clock = Clock()
    chronicle = Chronicle(clock)
    chronicle.settle()
    for _ in range(3):
        chronicle.refused("a", "too many requests wait")
    chronicle.settle()
    assert refused(chronicle) == [(1, "a", 1), (2, "a", 2)]
    assert not clock.getDelayedCalls()
