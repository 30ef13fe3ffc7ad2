"""What is remembered of sites that may sleep."""

from __future__ import annotations

from luisito.core import past
from luisito.core.events import Event, Kind
from luisito.core.past import Past


def event(site, kind, words="", **facts):
    return Event(number=1, at=5.0, site=site, kind=kind, words=words, **facts)


def test_the_last_user_and_the_last_exit_are_remembered():
    told = Past()
    assert (told["a"].uid, told["a"].exit, list(told)) == (None, "", [])
    told.tell(event("a", Kind.WAKE))
    assert (told["a"].uid, list(told)) == (None, ["a"])
    told.tell(event("a", Kind.READY, uid=7))
    told.tell(event("a", Kind.EXITED, "pid 3 exited"))
    told.tell(event("a", Kind.EXITED, "a worker's", worker="celery", uid=8))
    assert told["a"] == (7, "pid 3 exited", 5.0)
    assert told["b"] == (None, "", 0.0)


def test_a_bounded_number_of_sites_is_remembered(monkeypatch):
    monkeypatch.setattr(past, "MOST", 2)
    told = Past()
    for site in ("a", "b", "a", "c"):
        told.tell(event(site, Kind.WAKE))
    assert list(told) == ["a", "c"]
