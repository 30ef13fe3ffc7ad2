"""The chronicle tells whoever listens, whatever the others do."""

from __future__ import annotations

import time

from twisted.logger import globalLogPublisher

from luisito.core.events import TOGETHER, Kind
from luisito.process.chronicle import Chronicle


def test_all_who_listen_hear_of_it():
    clock, logged = [10.0], []
    chronicle = Chronicle(lambda: clock[0])
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


def test_a_flood_of_refusals_is_one_event():
    clock = [10.0]
    chronicle = Chronicle(lambda: clock[0])
    for _ in range(50):
        chronicle.refused("a", "too many requests wait")
    clock[0] += TOGETHER
    chronicle.refused("a", "too many requests wait")
    assert [(each.number, each.count) for each in chronicle.recent] == [(1, 1), (2, 50)]
