from __future__ import annotations

from luisito.core.backoff import BackOff
from luisito.core.lifecycle import Server, State
from luisito.core.orders import Limits, Refusal, Refuse
from luisito.core.sites import Site, Sites


def sites(**limits):
    return Sites(Limits(**limits), lambda: 1.0, BackOff())


def test_a_request_waits_and_leaves_nothing():
    s = sites()
    site = s.enqueue("a", 1, 0.0)
    assert isinstance(site, Site)
    assert s.enqueue("a", 2, 0.0) is site
    assert list(site.waiters) == [1, 2]
    assert s.dequeue(1) is site
    s.forget(site)
    assert s.by_name == {"a": site}
    s.forget(s.dequeue(2))
    assert (s.by_name, s.waiting) == ({}, {})


def test_both_limits():
    s = sites(queue_limit=2, queue_total=3)
    s.enqueue("a", 1, 0.0)
    s.enqueue("a", 2, 0.0)
    assert s.enqueue("a", 3, 0.0).refusal is Refusal.QUEUE_FULL
    s.enqueue("b", 3, 0.0)
    assert s.enqueue("c", 4, 0.0).refusal is Refusal.QUEUE_FULL
    assert set(s.by_name) == {"a", "b"}


def test_no_site_holds_more_than_its_share_of_the_queue():
    s = sites(queue_limit=100, queue_total=10, queue_share=0.25)
    for waiter in (1, 2):
        assert isinstance(s.enqueue("a", waiter, 0.0), Site)
    assert s.enqueue("a", 3, 0.0).refusal is Refusal.QUEUE_FULL
    assert isinstance(s.enqueue("b", 3, 0.0), Site)
    s = sites(queue_total=3, queue_share=0.1)  # one in any case
    assert isinstance(s.enqueue("a", 1, 0.0), Site)


def test_a_failure_refuses_now_and_for_a_while():
    s, orders = sites(), []
    site = s.enqueue("a", 1, 0.0)
    s.fail(site, Refusal.START_FAILED, "why", 10.0, orders)
    assert orders == [Refuse(1, Refusal.START_FAILED, 1.0, "why")]
    assert s.enqueue("a", 2, 10.75) == Refuse(2, Refusal.BACKING_OFF, 0.25, "why")
    assert s.enqueue("a", 2, 11.0) is site


def test_steady_service_is_forgiven():
    s = sites()
    site = s.enqueue("a", 1, 0.0)
    s.fail(site, Refusal.START_FAILED, "why", 0.0, [])
    s.served(site, 1.0, 30.9)
    assert (site.failures, site.detail) == (1, "why")
    s.served(site, 1.0, 31.0)
    assert (site.failures, site.detail) == (0, "")
    assert (s.by_name, s.failed) == ({}, {})


def test_failures_are_forgotten_each_in_its_time_but_not_during_a_start():
    s = sites()
    a, b, c = (s.enqueue(name, name, 0.0) for name in "abc")
    for now, site in enumerate((a, b, c, a)):
        s.fail(site, Refusal.START_FAILED, "why", float(now), [])
    b.server = Server(1, "b", 90.0)
    b.server.state = State.STARTING
    s.enqueue("a", "a", 100.0)
    s.tick(123.0, [])
    assert list(s.by_name) == ["a", "b"]
    assert list(s.failed.items()) == [(b, 243.0), (a, 243.0)]
    b.server.state = State.READY
    s.dequeue("a")
    s.tick(243.0, [])
    assert list(s.by_name) == ["b"]
    assert b.failures == 0


def test_the_wait_for_room_ends_first_come_first():
    s, orders = sites(queue_timeout=5.0), []
    for now, name in enumerate("ab"):
        s.enqueue(name, name, float(now))
        s.park(name, float(now))
    s.tick(5.0, orders)
    assert [(o.waiter, o.refusal) for o in orders] == [("a", Refusal.QUEUE_TIMEOUT)]
    assert list(s.parked) == ["b"]
    assert set(s.by_name) == {"b"}
