"""What becomes of servers is counted by site and kind."""

import pytest

from luisito.core.eventcounts import EventCounts
from luisito.core.events import Event, Kind
from luisito.core.tally import OTHERS


def heard(counts, kind, site="a.test", **facts):
    counts.heard(Event(number=1, at=0.0, site=site, kind=kind, words="", **facts))


@pytest.mark.parametrize(
    ("kind", "facts", "key"),
    [
        (Kind.WAKE, {}, ("server", "")),
        (Kind.WAKE, {"worker": "mail"}, ("worker", "")),
        (Kind.FAILED, {"code": 1}, ("server", "")),
        (Kind.STOPPED, {}, ("server", "")),
        (Kind.KILLED, {}, ("server", "")),
        (Kind.EVICTED, {"other": "b.test"}, ("server", "room")),
        (Kind.EVICTED, {}, ("server", "memory")),
        (Kind.EXITED, {"code": 0}, ("server", "clean")),
        (Kind.EXITED, {"code": 3}, ("server", "error")),
        (Kind.EXITED, {"signal": 9, "worker": "mail"}, ("worker", "signal")),
        (Kind.EXITED, {}, ("server", "unknown")),
    ],
)
def test_kinds(kind, facts, key):
    counts = EventCounts()
    heard(counts, kind, **facts)
    heard(counts, kind, "b.test", **facts)
    heard(counts, kind, **facts)
    assert counts.by_site == {"a.test": {(kind, *key): 2}, "b.test": {(kind, *key): 1}}
    assert sum(counts.starts.counts) == 0


def test_times_of_starts():
    counts = EventCounts()
    heard(counts, Kind.READY, seconds=0.25)
    heard(counts, Kind.READY, seconds=1.5)
    heard(counts, Kind.READY, worker="mail")
    assert sum(counts.starts.counts) == 2
    assert counts.starts.total == 1.75


def test_refusals_are_not_counted():
    counts = EventCounts()
    heard(counts, Kind.REFUSED, count=7)
    assert counts.by_site == {}


def test_too_many_sites_are_others():
    counts = EventCounts(most=2)
    for site in ("a.test", "b.test", "c.test", "d.test", "a.test"):
        heard(counts, Kind.WAKE, site)
    assert {site: sum(one.values()) for site, one in counts.by_site.items()} == {
        "a.test": 2, "b.test": 1, OTHERS: 2,
    }  # fmt: skip
