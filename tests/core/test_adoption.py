"""Conversations with a policy that takes over the servers of another one, or gives up its own."""

from __future__ import annotations

import pytest

from luisito.core.adoption import Known
from luisito.core.lifecycle import State
from luisito.core.sites import Failure, Waiting
from tests.core.test_policy import Talk

STARTING, READY, DRAINING, STOPPING = (
    State.STARTING,
    State.READY,
    State.DRAINING,
    State.STOPPING,
)


def adopt(talk, *known, waiting=(), failures=()):
    """Have it adopt them, and number them as it lists them, from 1."""
    servers, orders = talk.policy.adopt(known, talk.now, waiting, failures)
    talk.servers.update({server.id: server for server in servers})
    heard = talk.hear(orders)
    assert [server.site for server in servers] == [one.site for one in known]
    return heard


def ready(site, at=1.0, **more):
    return Known(site, READY, started_at=at, ready_at=at, **{"used_at": at, **more})


def talk(now=100.0, **limits):
    made = Talk(**limits)
    made.now = now
    return made


def test_what_is_ready_serves_at_once():
    t = talk()
    assert adopt(t, ready("a", released=7)) == []
    assert t.state(1) is READY
    assert t.policy.server("a") is t.policy.take("a") is t.servers[1]
    assert (t.servers[1].leases, t.servers[1].released) == (1, 7)
    assert t.ask("b1") == ["spawn b2"]
    assert t.release(1) == []


def test_a_lease_that_is_held_elsewhere_counts():
    t = talk(max_servers=1)
    adopt(t, ready("a", leases=1))
    assert t.ask("b1") == []  # never stopped for room
    assert t.ask("a1") == ["grant a1 a1"]
    assert t.release(1) == []
    assert t.release(1) == ["terminate a1", "spawn b2"]


def test_the_least_recently_used_of_before_makes_room():
    t = talk(max_servers=3, overlap=3)
    adopt(t, ready("a", 1, used_at=50), ready("b", 2, used_at=30), ready("c", 3, used_at=40))
    assert t.ask("d1") == ["terminate b2", "spawn d4"]
    assert t.ask("e1") == ["terminate c3", "spawn e5"]
    assert t.policy.take("a") is t.servers[1]
    assert t.ask("f1") == []


def test_idle_timeout_counts_from_the_use_of_before():
    t = talk(idle_timeout=60)
    adopt(t, ready("a", 1, used_at=50), ready("b", 2, used_at=30))
    assert t.policy.deadline() <= 90
    assert t.at(100) == ["terminate b2"]
    t.exited(2)
    assert t.policy.deadline() == 110
    assert t.at(110) == ["terminate a1"]


def test_min_alive_counts_from_the_readiness_of_before():
    t = talk(max_servers=2, min_alive=60)
    # The younger was used before the older, which has the first number; both are too young.
    adopt(t, ready("a", 70, used_at=75), ready("b", 60, used_at=90))
    assert t.ask("c1") == []
    assert t.policy.deadline() == 120
    assert t.at(119.9) == []
    assert t.at(120) == ["terminate b1", "spawn c3"]


def test_a_time_that_is_still_to_come_counts_as_now():
    t = talk(now=10.0, idle_timeout=60, stop_timeout=5, start_timeout=50)
    late = {"started_at": 1e9, "ready_at": 1e9, "used_at": 1e9, "signalled_at": 1e9}
    adopt(t, *(Known(state.name, state, **late) for state in (STARTING, READY, STOPPING)))
    assert [s.used_at for s in t.servers.values()] == [10, 10, 10]
    assert t.at(15) == ["kill STOPPING3", "terminate STARTING1"]
    assert t.at(70)[-1] == "terminate READY2"


def test_a_start_goes_on_and_has_the_rest_of_its_time():
    t = talk(start_timeout=60)
    adopt(t, Known("b", started_at=90), Known("a", started_at=70))
    assert t.ask("a1") == []
    assert t.ask("b1") == []
    assert t.policy.deadline() == 130
    # numbered in the order of their starts
    assert t.at(130) == ["refuse a1 START_TIMEOUT", "terminate a1 overdue"]
    assert t.ready(2) == ["grant b1 b2"]


def test_a_start_that_is_overdue_is_looked_at_first():
    """It may have been ready for long, which whoever started it had no time to tell."""
    t = talk(start_timeout=60)
    adopt(t, Known("a", started_at=20), Known("b", started_at=43))
    assert t.ask("a1") == []
    assert t.ask("b1") == []
    assert t.at(104.9) == []
    assert t.ready(2) == ["grant b1 b2"]
    assert t.at(105) == ["refuse a1 START_TIMEOUT", "terminate a1 overdue"]


def test_a_start_that_nobody_waits_for_is_abandoned():
    t = talk(abandon_grace=5)
    adopt(t, Known("a", started_at=99), Known("b", started_at=99))
    assert t.ask("b1") == []
    assert t.policy.deadline() == 105
    assert t.at(105) == ["terminate a1"]


def test_an_early_lease_that_is_held_elsewhere_is_the_only_one():
    t = talk()
    adopt(t, Known("a", early=True, leases=1, started_at=99))
    assert t.ask("a1") == []
    assert t.started(1, early=True) == []
    assert t.at(110) == []
    assert t.release(1) == ["grant a1 a1"]
    assert t.ready(1) == []
    assert t.servers[1].leases == 1


def test_what_is_not_current_takes_no_new_lease():
    t = talk(max_servers=4)
    heard = adopt(
        t,
        ready("a", 1, current=False, leases=1),
        ready("b", 2, current=False),
        Known("c", current=False, started_at=3),
    )
    assert heard == ["terminate b2", "terminate c3"]
    assert t.last[0].reason == "the settings it was started by have changed"
    assert t.state(1) is DRAINING
    assert t.policy.take("a") is None
    assert t.ask("a1") == ["spawn a4"]
    assert t.release(1) == ["terminate a1"]
    assert set(t.policy._sites.by_name) == {"a"}


def test_what_was_draining_goes_on_so():
    t = talk()
    busy = Known("a", DRAINING, leases=1, started_at=1, ready_at=2)
    assert adopt(t, busy, Known("a", DRAINING, started_at=2), ready("a", 3)) == ["terminate a2"]
    assert t.policy.take("a") is t.servers[3]
    assert t.release(1) == ["terminate a1"]


def test_what_was_stopping_is_killed_in_its_time():
    t = talk(stop_timeout=10)
    adopt(
        t,
        Known("a", STOPPING, started_at=1, signalled_at=98),
        Known("a", STOPPING, started_at=2, signalled_at=95, current=False),
    )
    assert t.policy.deadline() == 105
    assert t.at(105) == ["kill a2"]
    assert t.at(108) == ["kill a1"]
    assert t.exited(1) == []
    assert t.exited(2) == []
    assert t.policy.servers == {}


def test_stopping_ones_count_against_the_overlap():
    t = talk(max_servers=1, overlap=1)
    adopt(t, ready("a"), Known("b", STOPPING, signalled_at=99))
    assert t.ask("c1") == []
    assert t.exited(1) == ["terminate a2", "spawn c3"]


@pytest.mark.parametrize("state", [STARTING, READY])
def test_of_two_for_one_site_the_newer_serves(state):
    t = talk()
    newer = Known("a", state, started_at=2, ready_at=2, leases=1)
    assert adopt(t, newer, ready("a", 1)) == ["terminate a1"]
    assert t.last[0].reason == "its site has a newer server"
    assert t.policy.server("a") is t.servers[2]


@pytest.mark.parametrize("current", [False, True])
def test_one_that_starts_beside_another_one_goes_on(current):
    t = talk(max_servers=2)
    old = ready("a", 1, current=current)
    assert adopt(t, Known("a", STARTING, started_at=99), old, ready("b", 2)) == []
    assert t.policy.take("a") is t.servers[1]
    assert t.ready(3) == []
    assert t.policy.take("a") is t.servers[3]
    assert t.release(1) == ["terminate a1"]


def test_one_that_starts_beside_another_one_is_replaced_where_it_is_not_current():
    t = talk(max_servers=2)
    beside = Known("a", STARTING, started_at=99, current=False)
    assert adopt(t, ready("a", 1), beside) == ["terminate a2"]
    assert t.policy.take("a") is t.servers[1]


def test_fewer_servers_than_before_and_one_of_them_rolls():
    t = talk(max_servers=1)
    heard = adopt(
        t,
        ready("a", 1, used_at=1),
        ready("b", 2, used_at=100),
        ready("c", 3, leases=1),
        Known("a", STARTING, started_at=99, used_at=99),
    )
    assert heard == ["terminate a1", "terminate a4", "terminate b2"]


def test_fewer_servers_than_before_the_idle_ones_go_first():
    t = talk(max_servers=2)
    heard = adopt(
        t,
        ready("a", 1, used_at=10, leases=1),
        ready("b", 2, used_at=30),
        ready("c", 3, used_at=20),
        ready("d", 4, used_at=40),
    )
    assert heard == ["terminate c3", "terminate b2"]
    assert t.last[0].reason == "MAX_SERVERS is 2 now"
    assert t.policy.counts()[READY] == 2


def test_fewer_servers_than_before_and_all_in_use():
    t = talk(max_servers=1, overlap=5)
    assert adopt(t, ready("a", 1, leases=1), ready("b", 2, leases=1), ready("c", 3)) == [
        "terminate c3"
    ]
    assert (t.state(1), t.state(2)) == (DRAINING, READY)
    assert t.policy.take("b") is t.servers[2]
    assert t.ask("a1") == []  # still more than there may be
    assert t.release(1) == ["terminate a1"]
    assert t.release(2) == []
    assert t.release(2) == ["terminate b2", "spawn a4"]


def test_a_start_that_fails_is_its_sites_failure():
    t = talk()
    adopt(t, Known("a", started_at=99))
    t.ask("a1")
    assert t.exited(1) == ["refuse a1 START_FAILED"]
    assert t.ask("a2") == ["refuse a2 BACKING_OFF"]


# Who waited, and what had failed


def test_a_start_that_somebody_waits_for_makes_no_room_for_others():
    t = talk(max_servers=1)
    waiting = [Waiting("a", "a1", 99.0), Waiting("b", "b1", None)]
    assert adopt(t, Known("b", started_at=99), waiting=waiting) == []
    assert t.policy.waiting == 2
    assert t.ready(1) == ["grant b1 b1"]
    assert t.release(1) == ["terminate b1", "spawn a2"]


def test_who_waited_for_room_may_have_it_at_once():
    t = talk(max_servers=2, overlap=2)
    waiting = [Waiting("c", "c1", 98.0), Waiting("d", "d1", 99.0), Waiting("b", "b1", None)]
    heard = adopt(t, ready("a"), Known("b", started_at=99), waiting=waiting)
    assert heard == ["terminate a1", "spawn c3"]


def test_nobody_waits_longer_for_room_because_another_pool_decides():
    t = talk(max_servers=1, queue_timeout=45)
    waiting = [Waiting("a", "a1", 60.0), Waiting("b", "b1", 80.0), Waiting("c", "c1", 1e9)]
    assert adopt(t, ready("z", leases=1), waiting=waiting) == []
    assert t.ask("d1") == []
    assert t.policy.deadline() == 105
    assert t.at(105) == ["refuse a1 QUEUE_TIMEOUT"]
    assert t.at(125) == ["refuse b1 QUEUE_TIMEOUT"]
    assert t.at(145) == ["refuse c1 QUEUE_TIMEOUT", "refuse d1 QUEUE_TIMEOUT"]


def test_turns_are_kept_where_times_are_not_in_order():
    t = talk(max_servers=1, queue_timeout=45)
    waiting = [Waiting("a", "a1", 80.0), Waiting("b", "b1", 60.0)]
    adopt(t, ready("z", leases=1), waiting=waiting)
    assert t.policy.deadline() == 105
    assert t.stop("z") == []
    assert t.release(1) == ["terminate z1", "spawn a2"]
    assert t.at(105) == ["refuse b1 QUEUE_TIMEOUT"]


def test_more_waited_than_may_wait_now():
    t = talk(queue_limit=1)
    waiting = [Waiting("a", "a1", None), Waiting("a", "a2", None)]
    assert adopt(t, Known("a", started_at=99), waiting=waiting) == ["refuse a2 QUEUE_FULL"]


def test_who_waited_for_what_would_not_be_started_now_waits_for_a_new_one():
    t = talk(queue_timeout=45)
    waiting = [Waiting("a", "a1", None)]
    heard = adopt(t, Known("a", current=False, started_at=99), waiting=waiting)
    assert heard == ["terminate a1", "spawn a2"]


def test_who_waited_for_what_is_ready_has_it():
    t = talk(max_servers=1)
    assert adopt(t, ready("a"), waiting=[Waiting("a", "a1", None)]) == ["grant a1 a1"]
    assert t.ask("b1") == []
    assert t.release(1) == ["terminate a1", "spawn b2"]


def test_fewer_servers_than_before_and_somebody_waits_for_a_start():
    t = talk(max_servers=1, overlap=5)
    heard = adopt(t, Known("a", started_at=99), ready("b", 2), waiting=[Waiting("a", "a1", None)])
    assert heard == ["terminate b1"]
    assert t.ready(2) == ["grant a1 a2"]


def test_fewer_servers_than_before_and_somebody_waits_for_each():
    t = talk(max_servers=1, overlap=5)
    waiting = [Waiting("a", "a1", None), Waiting("b", "b1", None)]
    starts = [Known("a", started_at=98, used_at=98), Known("b", started_at=99, used_at=99)]
    assert adopt(t, *starts, waiting=waiting) == ["terminate a1"]
    assert t.ready(2) == ["grant b1 b2"]
    assert t.release(2) == ["terminate b2", "spawn a3"]


def test_a_site_that_had_failed_is_left_alone_for_the_rest_of_its_time():
    t = talk()
    adopt(t, failures=[Failure("a", "gone", 104.0, 3, 190.0), Failure("b", "", 1e9, 9, 1e9)])
    assert t.ask("a1") == ["refuse a1 BACKING_OFF"]
    assert (t.last[0].retry_after, t.last[0].detail) == (4.0, "gone")
    assert t.ask("b1") == ["refuse b1 BACKING_OFF"]
    assert t.last[0].retry_after == 60
    t.now = 104
    assert t.ask("a1") == ["spawn a1"]
    t.exited(1)  # for the fourth time
    assert t.policy.failures()[1] == ("a", "gone", 112.0, 4, 224.0)
    assert t.at(220) == []
    assert [failure.site for failure in t.policy.failures()] == ["a"]


# The one that gives up its own


def test_whoever_resigns_has_nothing_any_more():
    t = Talk(max_servers=3, overlap=0, stop_timeout=10)
    t.awake("a", "b")
    t.policy.take("a")
    t.ask("c1")
    t.ask("d1")  # b makes room
    t.ask("c2")
    t.cancel("d1")
    t.ask("e1")
    t.policy.streamed(t.servers[1], Silent(), t.now)
    assert t.policy.resign() == [("e", "e1", 2.0), ("c", "c1", None), ("c", "c2", None)]
    assert t.policy.servers == {}
    assert t.policy.waiting == 0
    assert t.policy.deadline() is None
    assert t.policy.failures() == []
    assert t.policy.counts() == dict.fromkeys((STARTING, READY, DRAINING, STOPPING), 0)
    # what comes late is harmless
    assert t.policy.take("a") is None
    assert t.ask("a1") == ["refuse a1 SHUTTING_DOWN"]
    assert [t.started(3), t.ready(3), t.exited(3), t.failed(3), t.exited(2), t.cancel("c1")] == [
        []
    ] * 6
    assert t.at(1000) == []
    assert t.shutdown() == []
    assert t.terminate_all() == []


class Silent:
    def active_at(self, now):
        return 0.0


def test_who_was_parked_again_has_the_turn_of_now():
    t = Talk(max_servers=1)
    t.ask("a1")
    t.ask("b1")
    assert t.stop("a") == ["terminate a1", "spawn b2"]
    t.ask("c1")
    assert t.policy.resign() == [("a", "a1", 0.0), ("c", "c1", 0.0), ("b", "b1", None)]


# -- sites whose files have changed


def old(site, at=1.0, **more):
    return ready(site, at, current=False, rolls=True, **more)


def test_what_rolls_serves_until_a_new_one_is_ready():
    t = talk()
    assert adopt(t, old("a"), ready("b", current=False)) == ["terminate b2", "spawn a3"]
    assert t.policy.take("a") is t.servers[1]
    t.ready(3)
    assert t.policy.take("a") is t.servers[3]
    assert t.release(1) == ["terminate a1"]


def test_what_rolls_stays_where_the_new_one_fails():
    t = talk()
    assert adopt(t, old("a")) == ["spawn a2"]
    t.exited(2)
    assert t.policy.take("a") is t.servers[1]


@pytest.mark.parametrize(("started", "told"), [(40, {"a": "why"}), (60, {})])
def test_what_was_not_replaced_is_known_by_what_failed_after_its_start(started, told):
    t = talk()
    failures = [Failure("a", "why", 50.0, 1, 200.0)]
    adopt(t, ready("a", started), failures=failures)
    assert t.policy.unreplaced == told


def test_what_rolls_goes_where_a_new_one_serves_already():
    t = talk()
    assert adopt(t, old("a", 1), ready("a", 2)) == ["terminate a1"]
    assert t.policy.take("a") is t.servers[2]


def test_a_new_one_that_starts_beside_what_rolls_goes_on():
    t = talk()
    assert adopt(t, old("a", 1), Known("a", started_at=99)) == []
    assert t.policy.take("a") is t.servers[1]
    t.ready(2)
    assert t.policy.take("a") is t.servers[2]


def test_an_old_one_that_is_not_ready_does_not_serve():
    t = talk()
    assert adopt(t, Known("a", current=False, rolls=True)) == ["terminate a1"]
