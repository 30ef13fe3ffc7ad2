"""Conversations with the policy: facts said, orders heard, on a clock that only the test moves."""

from __future__ import annotations

import gc
import sys

import pytest

from luisito.core.backoff import BackOff
from luisito.core.keeping import NEVER_ENDED
from luisito.core.lifecycle import Server, State
from luisito.core.orders import (
    NOTHING,
    AskToStop,
    EndStreams,
    Exceeds,
    Freeze,
    Grant,
    Kill,
    Limits,
    Refuse,
    Spawn,
    Terminate,
    Thaw,
)
from luisito.core.policy import Policy


def words(order):
    match order:
        case Spawn(server):
            return f"spawn {server.site}{server.id}"
        case Terminate(server, _, overdue):
            late = " overdue" if overdue else ""
            return f"terminate {server.site}{server.id}{late}"
        case AskToStop(server, _):
            return f"ask {server.site}{server.id}"
        case EndStreams(server, streams, wanted_by):
            return f"end {len(streams)} of {server.site}{server.id} for {wanted_by}"
        case Kill(server):
            return f"kill {server.site}{server.id}"
        case Exceeds(server):
            return f"{server.site}{server.id} exceeds"
        case Freeze(server):
            return f"freeze {server.site}{server.id}"
        case Thaw(server):
            return f"thaw {server.site}{server.id}"
        case Grant(waiter, server):
            return f"grant {waiter} {server.site}{server.id}"
        case Refuse(waiter, refusal):
            return f"refuse {waiter} {refusal.name}"


class Talk:
    """Says facts by server number, and hears orders as words."""

    def __init__(self, **limits):
        self.policy = Policy(Limits(**limits), lambda: 1.0)
        self.now = 0.0
        self.servers: dict[int, Server] = {}
        self.last = NOTHING

    def hear(self, orders):
        self.last = orders
        for order in orders:
            if isinstance(order, Spawn):
                self.servers[order.server.id] = order.server
        return [words(order) for order in orders]

    def ask(self, waiter):
        """Request the site that the waiter's first letter names."""
        return self.hear(self.policy.requested(waiter[0], waiter, self.now))

    def cancel(self, waiter):
        return self.hear(self.policy.cancelled(waiter, self.now))

    def started(self, number, *, early=False):
        return self.hear(self.policy.started(self.servers[number], self.now, early=early))

    def ready(self, number):
        return self.hear(self.policy.ready(self.servers[number], self.now))

    def failed(self, number, **options):
        return self.hear(self.policy.failed(self.servers[number], self.now, "why", **options))

    def exited(self, number, **options):
        return self.hear(self.policy.exited(self.servers[number], self.now, "gone", **options))

    def release(self, number):
        return self.hear(self.policy.release(self.servers[number], self.now))

    def weighed(self, *sizes):
        """Tell what servers take, by their numbers from 1; None of one that was not weighed."""
        found = {self.servers[n]: size for n, size in enumerate(sizes, 1) if size is not None}
        return self.hear(self.policy.weighed(found, self.now))

    def stop(self, site):
        return self.hear(self.policy.stop(site, self.now, "asked to"))

    def limit(self, site, **own):
        self.policy.limit(site, self.policy.limits.of_site(**own))

    def begin(self):
        """Nothing was there before: what is kept up is started."""
        return self.hear(self.policy.adopt([], self.now)[1])

    def keep(self, site, *, on_failure=False):
        self.limit(site, **NEVER_ENDED)
        return self.hear(self.policy.keep(site, self.now, on_failure=on_failure))

    def keep_no_longer(self, site):
        self.policy.limit(site, None)
        return self.hear(self.policy.keep_no_longer(site, self.now))

    def changed(self, site):
        return self.hear(self.policy.changed(site, self.now))

    def removed(self, site):
        return self.hear(self.policy.removed(site, self.now))

    def shutdown(self):
        return self.hear(self.policy.shutdown(self.now))

    def terminate_all(self):
        return self.hear(self.policy.terminate_all(self.now))

    def at(self, now):
        """Move the clock, and tick."""
        self.now = now
        return self.hear(self.policy.tick(now))

    def awake(self, *sites):
        """Have an idle server for each site, a second apart."""
        for site in sites:
            self.now += 1
            self.ask(f"{site}!")
            number = max(self.servers)
            assert self.ready(number) == [f"grant {site}! {site}{number}"]
            self.release(number)

    def state(self, number):
        return self.servers[number].state


# One site


def test_a_request_wakes_its_site():
    t = Talk()
    assert t.policy.take("a") is None
    assert t.ask("a1") == ["spawn a1"]
    assert t.state(1) is State.STARTING
    assert t.started(1) == []
    assert t.ready(1) == ["grant a1 a1"]
    assert t.servers[1].leases == 1
    assert t.release(1) == []
    assert t.policy.take("a") is t.servers[1]
    assert t.policy.take("a").leases == 2
    assert t.policy.release(t.servers[1], 1.0) is NOTHING
    assert t.policy.release(t.servers[1], 2.0) is NOTHING
    assert (t.servers[1].leases, t.servers[1].used_at) == (0, 2.0)
    assert t.ask("a2") == ["grant a2 a1"]


def test_it_tells_the_server_of_a_site_and_what_that_has_served():
    t = Talk()
    assert t.policy.server("a") is None
    t.ask("a1")
    server = t.servers[1]
    assert not t.policy.is_ready("a")
    assert t.policy.server("a") is server
    t.ready(1)
    assert t.policy.is_ready("a")
    t.policy.take("a")
    assert (server.leases, server.released) == (2, 0)
    t.release(1)
    assert (server.leases, server.released) == (1, 1)
    t.release(1)
    assert (server.leases, server.released) == (0, 2)
    t.stop("a")
    assert t.policy.server("a") is None


def test_500_requests_at_once_cause_one_spawn():
    """FAULTS 47."""
    t = Talk(queue_limit=500)
    heard = [order for n in range(500) for order in t.ask(f"a{n}")]
    assert heard == ["spawn a1"]
    assert t.policy.waiting == 500
    assert t.ready(1) == [f"grant a{n} a1" for n in range(500)]
    assert t.policy.waiting == 0
    assert t.servers[1].leases == 500


def test_a_waiter_must_be_unique():
    t = Talk()
    t.ask("a1")
    with pytest.raises(ValueError, match="'a1' waits already"):
        t.ask("a1")


def test_a_death_is_followed_by_a_new_spawn():
    """FAULTS 25, 38."""
    t = Talk()
    t.awake("a")
    t.policy.take("a")
    assert t.exited(1) == []
    assert t.state(1) is State.ABSENT
    assert t.policy.take("a") is None
    assert t.ask("a1") == ["spawn a2"]
    assert t.release(1) == []  # of the dead one: harmless
    assert t.exited(1) == []
    assert t.servers[1].leases == 0


def test_late_facts_are_harmless():
    t = Talk()
    t.awake("a")
    assert t.stop("a") == ["terminate a1"]
    assert t.ready(1) == []
    assert t.started(1) == []
    assert t.exited(1) == []
    assert t.failed(1) == []
    assert t.cancel("nobody") == []
    assert t.stop("a") == []
    assert t.policy.servers == {}


# Early leases (a handed-over socket)


def test_the_first_waiter_may_be_connected_before_ready():
    t = Talk()
    t.ask("a1")
    t.ask("a2")
    assert t.started(1, early=True) == ["grant a1 a1"]
    assert t.ask("a3") == []
    assert t.release(1) == ["grant a2 a1"]  # not ready yet: the next one
    assert t.release(1) == ["grant a3 a1"]
    assert t.ready(1) == []
    assert t.servers[1].leases == 1
    assert t.release(1) == []
    assert t.policy.take("a") is t.servers[1]


def test_one_that_comes_later_takes_the_free_early_lease():
    t = Talk()
    t.ask("a1")
    t.cancel("a1")
    assert t.started(1, early=True) == []
    t.now = 3
    assert t.ask("a2") == ["grant a2 a1"]
    assert t.release(1) == []
    assert t.at(7.9) == []
    assert t.policy.deadline() == 8  # abandoned at 3
    assert t.at(8) == ["terminate a1"]


def test_an_early_lease_keeps_a_start_from_being_abandoned():
    t = Talk()
    t.ask("a1")
    t.started(1, early=True)
    assert t.at(30) == []
    assert t.ready(1) == []
    assert t.servers[1].leases == 1


def test_a_start_that_is_stopped_drains_its_early_lease():
    t = Talk()
    t.ask("a1")
    t.ask("a2")
    t.started(1, early=True)
    assert t.stop("a") == ["spawn a2"]
    assert t.state(1) is State.DRAINING
    assert t.ready(1) == []
    assert t.release(1) == ["terminate a1"]
    assert t.ready(2) == ["grant a2 a2"]


# Failures


def test_an_exit_before_ready_answers_all_at_once_and_backs_off():
    """FAULTS 22, 23."""
    t = Talk()
    t.ask("a1")
    t.ask("a2")
    assert t.exited(1) == ["refuse a1 START_FAILED", "refuse a2 START_FAILED"]
    assert [(r.retry_after, r.detail) for r in t.last] == [(1.0, "gone")] * 2
    assert t.state(1) is State.FAILED
    assert t.policy.failures() == [("a", "gone", 1.0, 1, 120.0)]
    t.now = 0.25
    assert t.ask("a3") == ["refuse a3 BACKING_OFF"]
    assert (t.last[0].retry_after, t.last[0].detail) == (0.75, "gone")
    assert t.ask("b1") == ["spawn b2"]  # the others feel nothing
    t.now = 1.0
    assert t.ask("a3") == ["spawn a3"]
    assert t.failed(3) == ["refuse a3 START_FAILED"]
    assert (t.last[0].retry_after, t.last[0].detail) == (2.0, "why")


def test_one_that_breaks_soon_after_it_was_ready_has_failed_to_start():
    """FAULTS 26: it listens before it has loaded its app."""
    t, delays = Talk(), []
    for n in range(3):
        t.ask(f"a{n}")
        t.ready(n + 1)
        assert t.exited(n + 1, broke=True) == []
        assert t.state(n + 1) is State.FAILED
        assert t.release(n + 1) == []
        assert t.ask("a!") == ["refuse a! BACKING_OFF"]
        assert t.last[0].detail == "gone"
        delays.append(t.last[0].retry_after)
        t.now += delays[-1]
    assert delays == [1, 2, 4]
    t.ask("a9")
    t.ready(4)
    t.release(4)
    t.stop("a")
    assert t.exited(4, broke=True) == []  # it was told to
    assert t.state(4) is State.ABSENT


def test_a_crash_loop_backs_off_ever_longer():
    """FAULTS 26."""
    t, delays = Talk(), []
    for n in range(9):
        t.ask(f"a{n}")
        t.exited(n + 1)
        delays.append(t.last[0].retry_after)
        t.now += delays[-1]
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]


@pytest.mark.parametrize(("up", "delay"), [(29, 2.0), (30, 1.0)])
def test_steady_service_wipes_out_failures(up, delay):
    t = Talk()
    t.ask("a1")
    t.exited(1)
    t.now = 1
    t.ask("a2")
    t.ready(2)
    t.now = 1 + up
    t.exited(2)
    assert t.ask("a3") == ["spawn a3"]
    assert t.exited(3) == ["refuse a3 START_FAILED"]
    assert t.last[0].retry_after == delay


def test_an_old_failure_is_forgotten():
    t = Talk()
    t.ask("a1")
    t.exited(1)
    assert t.policy.deadline() == 120
    t.now = 119
    t.ask("a2")
    assert t.at(120) == []  # being started again: not yet
    assert t.policy.failures() == [("a", "gone", 1.0, 1, 240.0)]
    t.ready(2)
    assert t.at(240) == []
    assert t.policy.failures() == []
    t.release(2)
    assert t.policy.deadline() is None


def test_sites_leave_nothing_behind():
    t = Talk()
    t.awake("a")
    t.stop("a")
    t.exited(1)
    t.ask("b1")
    t.failed(2)
    t.at(200)
    assert t.policy._sites.by_name == {}
    assert t.policy.failures() == []


def test_a_system_without_processes_is_not_the_sites_fault():
    """FAULTS 36."""
    t = Talk()
    t.ask("a1")
    assert t.failed(1, overloaded=True) == ["refuse a1 OVERLOADED"]
    assert t.last[0].retry_after > 0
    assert t.ask("a2") == ["spawn a2"]
    t.cancel("a2")
    t.at(5)
    assert t.failed(2, overloaded=True) == []  # it was being stopped
    assert t.policy.servers == {}


def test_a_start_that_takes_too_long():
    """FAULTS 24: refused at start_timeout, then TERM, then KILL until it is reaped."""
    t = Talk(start_timeout=60, stop_timeout=10)
    t.now = 5
    t.ask("a1")
    t.now = 30
    t.ask("a2")
    assert t.policy.deadline() == 65
    assert t.at(64.9) == []
    assert t.at(65) == [
        "refuse a1 START_TIMEOUT",
        "refuse a2 START_TIMEOUT",
        "terminate a1 overdue",
    ]
    assert t.last[0].detail == "not ready after 60 s"
    assert t.ask("a3") == ["refuse a3 BACKING_OFF"]
    assert t.policy.deadline() == 75
    assert t.at(75) == ["kill a1"]
    assert t.at(84.9) == []
    assert t.at(85) == ["kill a1"]
    assert t.exited(1) == []
    assert t.at(95) == []


def test_each_that_ignores_sigterm_is_killed_in_its_own_time():
    """FAULTS 27."""
    t = Talk(stop_timeout=10)
    t.awake("a", "b")  # until 2
    t.stop("a")
    t.now = 5
    t.stop("b")
    heard = []
    while (due := t.policy.deadline()) < 40:
        heard.append((due, *t.at(due)))
    assert heard == [
        (12, "kill a1"),
        (15, "kill b2"),
        (22, "kill a1"),
        (25, "kill b2"),
        (32, "kill a1"),
        (35, "kill b2"),
    ]


def test_a_start_that_nobody_waits_for_ends():
    """FAULTS 7."""
    t = Talk(abandon_grace=5)
    t.ask("a1")
    t.ask("a2")
    assert t.cancel("a1") == []
    assert t.policy.deadline() == 60
    t.now = 1
    assert t.cancel("a2") == []
    assert t.policy.deadline() == 6
    t.now = 5
    assert t.ask("a3") == []  # somebody does again
    assert t.at(6) == []
    t.cancel("a3")
    assert t.at(11) == ["terminate a1"]
    t.exited(1)
    assert t.ask("a4") == ["spawn a2"]  # no failure, no back-off


def test_an_abandoned_start_that_becomes_ready_stays():
    t = Talk()
    t.ask("a1")
    t.cancel("a1")
    assert t.ready(1) == []
    assert t.at(100) == []
    assert t.ask("a2") == ["grant a2 a1"]


# Room


def test_the_least_recently_used_makes_room():
    t = Talk(max_servers=2, overlap=1)
    t.awake("a", "b")
    t.now += 1
    t.policy.take("a")
    t.release(1)
    assert t.ask("c1") == ["terminate b2", "spawn c3"]
    assert t.ready(3) == ["grant c1 c3"]
    assert t.ask("d1") == []  # the overlap is used
    assert t.exited(2) == ["terminate a1", "spawn d4"]


def test_without_overlap_the_start_waits_for_the_reaping():
    t = Talk(max_servers=2, overlap=0)
    t.awake("a", "b")
    assert t.ask("c1") == ["terminate a1"]
    assert t.ask("c2") == []
    assert t.ask("d1") == []
    assert t.exited(1) == ["spawn c3", "terminate b2"]
    assert t.exited(2) == ["spawn d4"]


def test_two_hosts_in_turn_on_one_place():
    """FAULTS 45."""
    t = Talk(max_servers=1)
    t.ask("a1")
    t.ready(1)
    assert t.ask("b1") == []  # a is busy
    assert t.release(1) == ["terminate a1", "spawn b2"]
    assert t.ask("a2") == []  # never the one on its way out
    assert t.ready(2) == ["grant b1 b2"]
    assert t.release(2) == []  # a's first process is still the overlap
    assert t.exited(1) == ["terminate b2", "spawn a3"]
    assert t.ready(3) == ["grant a2 a3"]


def test_all_busy_then_first_come_first_served():
    """FAULTS 44, 46."""
    t = Talk(max_servers=1, overlap=5)
    t.ask("a1")
    t.ready(1)
    for waiter in ("b1", "c1", "b2"):
        t.now += 1
        assert t.ask(waiter) == []
    assert t.release(1) == ["terminate a1", "spawn b2"]
    assert t.ready(2) == ["grant b1 b2", "grant b2 b2"]
    assert t.release(2) == []
    assert t.release(2) == ["terminate b2", "spawn c3"]


def test_the_oldest_waiter_decides_about_its_sites_turn():
    t = Talk(max_servers=1, overlap=5)
    t.ask("a1")
    t.ready(1)
    for waiter in ("b1", "c1", "b2"):
        t.ask(waiter)
    assert t.cancel("b1") == []
    assert t.release(1) == ["terminate a1", "spawn c2"]


def test_nobody_is_evicted_for_a_start_that_may_not_begin():
    t = Talk(max_servers=3, max_starting=1, overlap=3)
    t.awake("a", "b")
    assert t.ask("c1") == ["spawn c3"]
    assert t.ask("d1") == []
    assert t.ready(3) == ["grant c1 c3", "terminate a1", "spawn d4"]


def test_nobody_is_evicted_for_one_who_has_left():
    t = Talk(max_servers=1, overlap=1)
    t.ask("a1")
    t.ready(1)
    t.ask("b1")
    assert t.cancel("b1") == []
    assert t.release(1) == []
    assert t.policy.waiting == 0


def test_an_abandoned_start_gives_its_place():
    t = Talk(max_servers=1, overlap=1)
    t.ask("a1")
    assert t.ask("b1") == []
    assert t.cancel("a1") == ["terminate a1", "spawn b2"]


def test_an_idle_server_goes_before_an_abandoned_start():
    t = Talk(max_servers=2, overlap=1)
    t.awake("a")
    t.ask("b1")
    t.cancel("b1")
    assert t.ask("c1") == ["terminate a1", "spawn c3"]


def test_an_abandoned_start_gives_its_turn_to_start():
    t = Talk(max_servers=5, max_starting=1)
    t.ask("a1")
    t.ask("b1")
    assert t.cancel("a1") == ["terminate a1", "spawn b2"]


def test_stops_of_all_kinds_count_against_the_overlap():
    t = Talk(max_servers=2, overlap=1, idle_timeout=10)
    t.awake("a", "b")
    assert t.at(12) == ["terminate a1", "terminate b2"]
    assert t.ask("c1") == ["spawn c3"]
    assert t.ask("d1") == []  # two on their way out, one awake
    assert t.exited(1) == ["spawn d4"]


def test_min_alive_protects_young_servers():
    t = Talk(max_servers=1, overlap=1, min_alive=30)
    t.awake("a")  # ready at 1
    assert t.policy.deadline() is None
    t.now = 2
    assert t.ask("b1") == []
    assert t.policy.deadline() == 31
    assert t.at(30.9) == []
    assert t.at(31) == ["terminate a1", "spawn b2"]


# Queues


def test_the_queue_of_a_site_is_bounded():
    t = Talk(queue_limit=2)
    assert t.ask("a1") == ["spawn a1"]
    assert t.ask("a2") == []
    assert t.ask("a3") == ["refuse a3 QUEUE_FULL"]
    assert t.last[0].retry_after > 0
    assert t.ask("b1") == ["spawn b2"]


def test_the_queue_of_all_sites_is_bounded():
    t = Talk(queue_total=2)
    t.ask("a1")
    t.ask("b1")
    assert t.ask("c1") == ["refuse c1 QUEUE_FULL"]
    t.ready(1)
    assert t.ask("c1") == ["spawn c3"]


def test_queue_timeout_counts_until_the_spawn():
    t = Talk(max_servers=1, overlap=1, queue_timeout=45, start_timeout=60)
    t.ask("a1")
    t.ready(1)
    t.ask("b1")
    t.now = 10
    t.ask("b2")
    assert t.policy.deadline() == 45
    assert t.at(45) == ["refuse b1 QUEUE_TIMEOUT"]
    t.now = 50
    assert t.release(1) == ["terminate a1", "spawn b2"]
    assert t.at(55) == []
    t.exited(1)
    assert t.policy.deadline() == 110  # start_timeout from the spawn
    assert t.at(110) == ["refuse b2 START_TIMEOUT", "terminate b2 overdue"]


def test_the_last_to_time_out_leaves_no_site_behind():
    t = Talk(max_servers=1)
    t.ask("a1")
    t.ready(1)
    t.ask("b1")
    assert t.at(45) == ["refuse b1 QUEUE_TIMEOUT"]
    assert t.release(1) == []
    assert set(t.policy._sites.by_name) == {"a"}


# The operator, idleness, the end


def test_stop_lets_a_busy_server_drain():
    t = Talk(max_servers=2)
    t.awake("a")
    t.policy.take("a")
    t.policy.take("a")
    assert t.stop("a") == []
    assert t.state(1) is State.DRAINING
    assert t.policy.take("a") is None
    assert t.ask("a1") == ["spawn a2"]
    assert t.release(1) == []
    assert t.release(1) == ["terminate a1"]
    assert t.last[0].reason == "asked to"
    assert t.ready(2) == ["grant a1 a2"]


def test_a_draining_server_keeps_its_place():
    t = Talk(max_servers=1)
    t.awake("a")
    t.policy.take("a")
    t.stop("a")
    assert t.ask("a1") == []
    assert t.exited(1) == ["spawn a2"]


def test_stop_of_a_start_lets_its_waiters_wait_for_a_new_one():
    t = Talk(max_servers=1, overlap=0, queue_timeout=45)
    t.ask("a1")
    t.now = 40
    assert t.stop("a") == ["terminate a1"]
    assert t.at(50) == ["kill a1"]
    assert t.exited(1) == ["spawn a2"]
    assert t.ready(2) == ["grant a1 a2"]


def test_idle_servers_stop_after_idle_timeout():
    t = Talk(idle_timeout=10)
    t.awake("a", "b")  # at 1 and 2
    assert t.policy.deadline() == 11
    t.policy.take("b")
    assert t.at(11) == ["terminate a1"]
    t.exited(1)
    assert t.policy.deadline() == 12
    assert t.at(12) == []
    assert t.policy.deadline() == 22  # b is busy: no earlier than ten seconds from now
    t.now = 15
    t.release(2)
    assert t.at(24.9) == []
    assert t.at(25) == ["terminate b2"]


def test_shutdown_serves_who_waits_and_lets_the_others_go():
    t = Talk(max_servers=4)
    t.awake("a", "b")
    t.policy.take("b")
    t.ask("c1")
    t.ask("d1")
    t.cancel("d1")
    assert t.shutdown() == ["terminate d4", "terminate a1"]
    assert t.policy.take("b") is None
    assert t.ask("b1") == ["refuse b1 SHUTTING_DOWN"]
    assert t.ready(3) == ["grant c1 c3"]
    assert t.state(3) is State.DRAINING
    assert t.release(2) == ["terminate b2"]
    assert t.release(3) == ["terminate c3"]
    assert t.shutdown() == []


def test_a_start_without_waiters_ends_when_ready_after_a_shutdown():
    t = Talk()
    t.ask("a1")
    t.shutdown()
    t.cancel("a1")
    assert t.ready(1) == ["terminate a1"]


def test_terminate_all_ends_the_drain():
    t = Talk(max_servers=3)
    t.awake("a", "b")
    t.policy.take("a")
    t.stop("a")
    t.policy.take("b")
    t.ask("c1")
    t.ask("d1")
    assert t.terminate_all() == [
        "refuse c1 SHUTTING_DOWN",
        "refuse d1 SHUTTING_DOWN",
        "terminate c3",
        "terminate b2",
        "terminate a1",
    ]
    assert t.release(2) == []
    assert t.exited(2) == []
    assert t.at(12) == ["kill c3", "kill a1"]
    assert t.policy.counts()[State.STOPPING] == 2


def test_what_others_may_see():
    t = Talk(max_servers=3)
    t.awake("a", "b")
    t.policy.take("a")
    t.stop("a")
    t.stop("b")
    t.ask("c1")
    t.awake("d")
    assert t.policy.counts() == {
        State.STARTING: 1,
        State.READY: 1,
        State.DRAINING: 1,
        State.STOPPING: 1,
    }
    assert sorted(t.policy.servers) == [1, 2, 3, 4]
    with pytest.raises(TypeError):
        t.policy.servers[5] = t.servers[1]
    assert t.policy.waiting == 1


def test_a_back_off_of_ones_own():
    policy = Policy(Limits(), lambda: 0.0, BackOff(base=8))
    (spawn,) = policy.requested("a", "a1", 0.0)
    (refuse,) = policy.exited(spawn.server, 0.0, "x")
    assert refuse.retry_after == 4.0


# Cost


def steps(call):
    """Count the lines of Python, and the calls into C, that a call takes."""
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        count += event == "line"
        return trace

    def profile(frame, event, arg):
        nonlocal count
        count += event == "c_call"

    before = sys.gettrace(), sys.getprofile()
    gc.disable()  # whose callbacks, which hypothesis has, would count
    sys.settrace(trace)
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])
        gc.enable()
    return count


def costs(size, min_alive, own=()):
    """Tell what each operation costs in a full pool with one request waiting for room.

    The sites have limits of their own in turn.
    """
    policy = Policy(
        Limits(
            max_servers=size,
            overlap=size,
            max_starting=size,
            idle_timeout=1e9,
            min_alive=min_alive,
            queue_timeout=1e6,
            queue_total=2 * size,
        ),
        lambda: 1.0,
        BackOff(steady=0),
    )
    now, servers = 0.0, []
    for n in range(size):
        now += 1
        if own:
            policy.limit(f"s{n}", policy.limits.of_site(**own[n % len(own)]))
        (spawn,) = policy.requested(f"s{n}", n, now)
        servers.append(spawn.server)
        policy.ready(spawn.server, now)
    now += min_alive
    for server in servers[: size // 2]:
        policy.release(server, now)
    policy.tick(now)
    first, busy = servers[0], servers[-1]
    orders = []

    def evict():
        orders.extend(policy.requested("new", "w", now))

    def fill_up():
        for n in range(size // 2 - 1):
            policy.requested(f"t{n}", f"t{n}", now)

    found = {
        "take": steps(lambda: policy.take("s1")),
        "release": steps(lambda: policy.release(servers[1], now)),
        "evict": steps(evict),
        "deadline": steps(policy.deadline),
        "tick": steps(lambda: policy.tick(now)),
        "ready": steps(lambda: policy.ready(orders[-1].server, now)),
        "exited": steps(lambda: policy.exited(first, now, "")),
    }
    fill_up()
    found["wait"] = steps(lambda: policy.requested("late", "late", now))
    found["cancel"] = steps(lambda: policy.cancelled("late", now))
    policy.requested("late", "late", now)
    found["release for others"] = steps(lambda: orders.extend(policy.release(busy, now)))
    found["stop"] = steps(lambda: policy.stop(servers[-2].site, now, ""))
    found["counts"] = steps(policy.counts)
    site, rolled = servers[-3].site, []
    found["changed"] = steps(lambda: rolled.extend(policy.changed(site, now)))
    found["changed again"] = steps(lambda: rolled.extend(policy.changed(site, now)))
    found["rolled"] = steps(lambda: rolled.extend(policy.exited(rolled[0].server, now, "")))
    found["replaced"] = steps(lambda: rolled.extend(policy.ready(rolled[-1].server, now)))
    found["limit"] = steps(lambda: policy.limit(servers[-4].site, policy.limits))
    found["removed"] = steps(lambda: policy.removed(servers[-4].site, now))
    found["deadline in the end"] = steps(policy.deadline)
    assert [words(order) for order in orders[:2]] == [f"terminate s0{1}", f"spawn new{size + 1}"]
    assert [words(order).split()[0] for order in orders[2:]] == ["terminate", "spawn"]
    assert [words(order).split()[0] for order in rolled] == ["spawn", "terminate", "spawn"]
    return found


OWN = [
    {"idle_timeout": 1e8, "min_alive": 5.0, "start_timeout": 60.0, "stop_timeout": 10.0},
    {"idle_timeout": None, "min_alive": 3.0, "start_timeout": 7.0, "queue_timeout": 5e5},
    {"idle_timeout": 2e8, "min_alive": 0.0, "start_timeout": 9.0, "stop_timeout": 5.0},
]


@pytest.mark.parametrize(("min_alive", "own"), [(0.0, ()), (5.0, ()), (5.0, OWN)])
def test_an_operation_costs_at_ten_thousand_servers_what_it_costs_at_ten(min_alive, own):
    small = costs(10, min_alive, own)
    nothing = steps(lambda: None)
    assert small["take"] - nothing <= 8
    assert small["release"] - nothing <= 8
    assert costs(10_000, min_alive, own) == small
