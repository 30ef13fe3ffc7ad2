"""Servers that say they are busy, and that want more time: beside the model, in single steps."""

import pytest

from luisito.core.adoption import Known
from luisito.core.busy import Said
from luisito.core.lifecycle import State
from luisito.core.orders import Limits, Refuse
from luisito.core.policy import Policy
from luisito.core.sdnotify import has_work, more_time
from tests.core.test_policy import Talk


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [("2500000", 2.5), ("0", 0.0), ("", None), ("-1", None), ("٣", None), ("9" * 19, None)],
)
def test_more_time(asked, seconds):
    assert more_time({"EXTEND_TIMEOUT_USEC": asked}) == seconds
    assert more_time({}) is None


def test_has_work():
    assert [has_work({"X_LUISITO_BUSY": word}) for word in ("1", "0", "2")] == [True, False, None]
    assert has_work({"READY": "1"}) is None


def busy(t, number):
    assert t.hear(t.policy.busy(t.servers[number], t.now)) == []


def done(t, number):
    return t.hear(t.policy.busy_no_more(t.servers[number], t.now))


def test_45_a_busy_server_is_no_victim():
    """FAULTS 45: nor is what it does then a use, so that it goes as early as it would have."""
    t = Talk(max_servers=2, overlap=1, busy_max=100)
    t.awake("a", "b")
    busy(t, 1)
    assert t.ask("c1") == ["terminate b2", "spawn c3"]
    t.exited(2)
    t.ready(3)
    assert t.ask("d1") == []  # all are in use
    assert done(t, 1) == ["terminate a1", "spawn d4"]
    assert done(t, 1) == []


def test_it_is_believed_for_so_long_and_then_when_it_has_said_that_it_was_over():
    t = Talk(idle_timeout=10, busy_max=100)
    t.awake("a")  # at 1
    t.now = 5
    busy(t, 1)
    assert t.policy.said(t.servers[1]) == Said(105, True, 0)
    t.now = 50
    busy(t, 1)
    assert t.at(104) == []
    assert t.policy.deadline() == 105
    assert t.at(105) == ["terminate a1"]
    t.exited(1)

    t.awake("a")
    number = max(t.servers)
    busy(t, number)
    assert done(t, number) == []
    busy(t, number)
    assert t.policy.said(t.servers[number]).busy_until == t.now + 100


def test_one_that_starts_is_busy_when_it_is_ready():
    t = Talk(busy_max=100)
    t.ask("a1")
    busy(t, 1)
    assert t.started(1, early=True) == ["grant a1 a1"]  # which that does not stand in the way of
    t.now = 10
    t.ready(1)
    assert t.policy.said(t.servers[1]) == Said(110, True, 0)
    assert t.servers[1].leases == 2


def test_a_stop_waits_for_the_work():
    t = Talk(busy_max=100)
    t.awake("a", "b")
    for number, site in ((1, "a"), (2, "b")):
        busy(t, number)
        assert t.stop(site) == []
        assert t.state(number) is State.DRAINING
    assert done(t, 1) == ["terminate a1"]
    t.exited(1)
    assert t.at(103) == ["terminate b2"]


def test_work_is_not_believed_where_it_may_not_be():
    t = Talk(busy_max=0)
    t.awake("a")
    busy(t, 1)
    assert t.servers[1].leases == 0
    t.stop("a")
    busy(t, 1)  # too late
    assert t.policy.said(t.servers[1]) == Said()


def test_24_a_start_may_put_off_its_end():
    """FAULTS 24: by busy_max at most, and what it asks for does not make it shorter."""
    t = Talk(start_timeout=60, busy_max=100)
    t.ask("a1")
    t.policy.extend(t.servers[1], 5, 10)
    assert t.policy.deadline() == 60
    t.policy.extend(t.servers[1], 80, 50)
    assert (t.policy.deadline(), t.policy.said(t.servers[1]).extended) == (130, 130)
    t.policy.extend(t.servers[1], 1e9, 55)
    t.limit("a", start_timeout=70, busy_max=100)
    assert t.at(159) == []
    (refuse, _) = t.at(160) and t.last
    assert isinstance(refuse, Refuse)
    assert refuse.detail == "not ready after 70 s and 90 s more (EXTEND_TIMEOUT_USEC)"


def test_27_an_end_may_put_off_the_sigkill():
    """FAULTS 27: but not a second one."""
    t = Talk(stop_timeout=10, busy_max=100)
    t.awake("a")
    t.policy.extend(t.servers[1], 50, t.now)  # one that serves has nothing to put off
    assert t.policy.said(t.servers[1]) == Said()
    t.stop("a")  # at 1
    t.policy.extend(t.servers[1], 50, 5)
    assert t.at(54) == []
    assert t.at(55) == ["kill a1"]
    t.policy.extend(t.servers[1], 50, 56)
    assert t.at(65) == ["kill a1"]


def test_another_pool_goes_on_with_it():
    said = Said(50, True, 0)
    known = [
        Known("a", State.READY, ready_at=1, used_at=1, said=said),
        Known("b", State.READY, current=False, ready_at=1, used_at=2, said=said),
        Known("c", State.READY, ready_at=1, used_at=3, said=Said(9, True, 0)),
        Known("d", State.STARTING, started_at=5, said=Said(0, False, 100)),
        Known("e", State.STOPPING, signalled_at=5, said=Said(0, False, 30)),
    ]
    policy = Policy(Limits(busy_max=1000), lambda: 1.0)
    servers, orders = policy.adopt(known, 10.0)
    assert [server.leases for server in servers] == [1, 1, 0, 0, 0]
    assert [server.state for server in servers[:3]] == [State.READY, State.DRAINING, State.READY]
    assert policy.said(servers[2]) == Said(0, True, 0)
    assert [policy.said(server).extended for server in servers[3:]] == [100, 30]
    assert list(orders) == []
    policy.resign_busy()
    assert [server.leases for server in servers] == [0] * 5
