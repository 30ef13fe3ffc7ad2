"""Sites that are started again after a reboot: whose turn it is, and that nobody misses that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core.lifecycle import Server, State
from luisito.core.orders import Limits, Spawn, Terminate
from luisito.core.policy import Policy
from luisito.core.rewarming import LEAST_PAUSE, LONGEST, MOST_PAUSE, Rewarming, Turn
from luisito.core.uses import Used
from tests.core.test_policy import Talk

MB = 1024 * 1024


class Warm(Talk):
    """A Talk in which sites are rewarmed, too."""

    def warm(self, site):
        """What comes of a site's turn, and what is ordered."""
        turn, orders = self.policy.rewarm(site, self.now)
        heard = self.hear(orders)
        assert bool(heard) == (turn is Turn.STARTED)
        return heard or turn


# -- when the policy starts one


def test_one_at_a_time_as_long_as_there_is_room_that_nobody_will_miss():
    t = Warm(max_servers=4)
    assert t.warm("a") == ["spawn a1"]
    assert t.warm("b") is Turn.LATER
    assert t.ready(1) == []
    assert t.warm("a") is Turn.AWAKE
    assert t.warm("b") == ["spawn b2"]
    assert t.ready(2) == []
    assert t.warm("c") == ["spawn c3"]
    assert t.ready(3) == []
    assert t.warm("d") is Turn.NO_ROOM  # a quarter is left
    assert t.ask("d1") == ["spawn d4"]


def test_a_quarter_of_the_memory_is_left_too():
    t = Warm(max_memory=100 * MB)
    t.policy.remember([Used("a", 9.0, 40 * MB), Used("b", 3.0, 35 * MB), Used("c", 1.0)], 0.0)
    assert t.warm("a") == ["spawn a1"]
    t.ready(1)
    assert t.warm("c") is Turn.NO_ROOM  # it is expected to take as much as the median
    assert t.warm("b") == ["spawn b2"]
    t.ready(2)
    assert t.policy.memory == 75 * MB


def test_who_asks_for_it_joins():
    t = Warm(abandon_grace=5.0)
    assert t.warm("a") == ["spawn a1"]
    assert t.ask("a1") == []
    assert t.ready(1) == ["grant a1 a1"]
    assert t.release(1) == []
    t.warm("b")
    assert t.ask("b1") == []
    assert t.cancel("b1") == []
    assert t.at(5.0) == ["terminate b2"]  # as any start that nobody waits for any more


def test_not_while_anybody_waits_or_anything_starts_or_ends():
    t = Warm(max_starting=1)
    t.ask("a1")
    t.ask("b1")
    assert t.warm("b") is Turn.AWAKE  # as good as
    assert t.warm("c") is Turn.LATER
    t.ready(1)
    assert t.warm("c") is Turn.LATER
    t.ready(2)
    t.release(2)
    t.stop("b")
    assert t.warm("c") is Turn.LATER
    t.exited(2)
    assert t.warm("c") == ["spawn c3"]
    t.shutdown()
    assert t.warm("d") is Turn.LATER


def test_it_gives_way_where_but_one_may_start():
    t = Warm(max_starting=1)
    t.warm("a")
    assert t.ask("b1") == ["terminate a1", "spawn b2"]
    assert t.servers[1].ready_at == 0.0
    t.exited(1)
    t.ready(2)
    assert not t.policy.failures()


def test_those_that_are_closed_or_failed_or_kept_up_are_passed_over():
    t = Warm()
    t.policy.close("a", 5.0, t.now)
    assert t.warm("a") is Turn.PASSED_OVER
    t.policy.open("a")
    t.ask("a1")
    t.failed(1)
    assert t.warm("a") is Turn.PASSED_OVER
    t.keep("b")
    t.begin()
    t.exited(2)
    assert t.warm("b") is Turn.AWAKE


def test_one_server_of_several_is_enough():
    t = Warm()
    t.policy.share("a", 2, t.now)
    t.hear(t.policy.requested("a#2", "w", t.now))
    assert t.warm("a") is Turn.AWAKE


@pytest.mark.parametrize("late", [False, True])
def test_a_failure_is_nobodys(late):
    """Who asks a moment later has the site started, and is not told to wait."""
    t = Warm(start_timeout=10.0)
    t.warm("a")
    if late:
        assert t.at(10.0) == ["terminate a1 overdue"]
        t.exited(1)
    else:
        assert t.failed(1) == []
    assert not t.policy.failures()
    assert t.ask("a1") == ["spawn a2"]
    t.failed(2)
    assert t.policy.has_failed("a")


def test_one_that_was_joined_fails_as_any_other():
    t = Warm()
    t.warm("a")
    t.ask("a1")
    assert t.failed(1) == ["refuse a1 START_FAILED"]
    assert t.policy.has_failed("a")


def test_what_nobody_has_used_goes_first_and_of_that_the_least_used():
    t = Warm(max_servers=5, overlap=5)
    for number, site in enumerate("abc", 1):
        t.warm(site)
        t.now += 1
        t.ready(number)
    t.now += 1
    t.policy.release(t.policy.take("c"), t.now)  # of which nobody knew
    t.policy.release_unnoticed(t.policy.take("b"), t.now)
    t.awake("d", "e")
    assert t.ask("f1") == ["terminate b2", "spawn f6"]
    assert t.ask("g1") == ["terminate a1", "spawn g7"]
    assert t.ask("h1") == ["terminate c3", "spawn h8"]


def test_not_before_its_min_alive():
    t = Warm(max_servers=4, overlap=5, min_alive=10.0)
    t.awake("x", "y")
    t.now = 20.0
    t.warm("a")
    t.ready(3)
    assert t.ask("z1") == ["spawn z4"]
    assert t.ask("v1") == ["terminate x1", "spawn v5"]
    t.now = 30.0
    assert t.ask("w1") == ["terminate a3", "spawn w6"]


def test_by_cost_it_goes_by_its_uses_of_before():
    t = Warm(max_servers=4, overlap=5, policy="cost")
    t.policy.remember([Used("a", 99.0), Used("b", 5.0)], t.now)
    for number, site in enumerate("ab", 1):
        t.warm(site)
        t.now += 1
        t.ready(number)
    t.now += 3600
    t.awake("c", "d")
    assert t.ask("e1") == ["terminate b2", "spawn e5"]


def test_what_was_used_is_told_with_its_memory():
    t = Warm()
    t.policy.remember([Used("a", 2.0, 7), Used("b", 5.0)], 0.0)
    approx = pytest.approx
    assert t.policy.used(0.0, 9) == [Used("b", approx(5.0)), Used("a", approx(2.0), 7)]
    before = t.policy.use_changes
    t.now = 120.0
    t.awake("a")
    assert t.policy.used(t.now, 1) == [Used("b", pytest.approx(5.0, rel=0.01))]
    assert t.policy.use_changes > before


# -- that it delays nobody


FACTS = st.lists(
    st.tuples(
        st.sampled_from(["request", "ready", "release", "exit", "fail", "warm", "warm", "wait"]),
        st.integers(0, 5),
    ),
    max_size=60,
)


@given(
    FACTS,
    st.builds(
        Limits,
        max_servers=st.integers(1, 8),
        max_starting=st.integers(1, 3),
        overlap=st.integers(0, 2),
        max_memory=st.sampled_from([None, 300]),
        min_alive=st.sampled_from([0.0, 3.0]),
    ),
)
def test_nothing_goes_for_it_and_one_starts_at_a_time(facts, limits):
    policy, now = Policy(limits, lambda: 1.0), 0.0
    servers = {}

    def obey(orders):
        for order in orders:
            if isinstance(order, Spawn):
                servers[order.server.id] = order.server

    for number, (fact, which) in enumerate(facts):
        site = f"s{which}"
        of = [s for s in servers.values() if s.site == site]
        starting = [s for s in of if s.state is State.STARTING]
        if fact == "request":
            obey(policy.requested(site, number, now))
        elif fact == "ready" and starting:
            obey(policy.ready(starting[0], now))
        elif fact == "release":
            for server in [s for s in of if s.leases and s.state is State.READY][:1]:
                obey(policy.release(server, now))
        elif fact == "exit":
            for server in [s for s in of if s.state is State.STOPPING]:
                obey(policy.exited(server, now, ""))
        elif fact == "fail" and starting:
            obey(policy.failed(starting[0], now, ""))
        elif fact == "wait":
            now += which
            obey(policy.tick(now))
        elif fact == "warm":
            counts, waiting = policy.counts(), policy.waiting
            turn, orders = policy.rewarm(site, now)
            assert not [order for order in orders if isinstance(order, Terminate)]
            assert (turn is Turn.STARTED) == (len(orders) == 1)
            if turn is Turn.STARTED:
                assert not counts[State.STARTING] + counts[State.STOPPING] + waiting
                alive = counts[State.READY] + counts[State.DRAINING] + 1
                assert alive <= 0.75 * limits.max_servers
                obey(orders)
                # whoever comes now has a start at once, as if there were none
                other = policy.requested("new", "somebody", now)
                assert "new" in [o.server.site for o in other if isinstance(o, Spawn)]
                obey(other)
                obey(policy.cancelled("somebody", now))


# -- whose turn it is


def server(at):
    made = Server(1, "a", at)
    made.state = State.STARTING
    return made


def turn(rewarming, now, ready, load=0.0):
    """Have one started, ready after so many seconds (None: it fails); returns its site."""
    site = rewarming.next(now, load)
    start = server(now)
    rewarming.told(Turn.STARTED, start)
    assert rewarming.next(now + 0.1, load) is None
    if ready is None:
        start.state = State.FAILED
    else:
        start.ready_at, start.state = now + ready, State.READY
    return site


def test_the_hottest_comes_first_and_each_is_followed_by_a_pause():
    r = Rewarming("abc", 9, 0.0)
    assert (r.chosen, r.over, r.words()) == (3, False, "0 of 3 sites, 3 still to come")
    assert turn(r, 0.0, 2.0) == "a"
    assert r.next(2.0, 0.0) is None
    assert r.next(3.9, 0.0) is None
    assert turn(r, 4.0, 0.01) == "b"
    assert r.next(4.1, 0.0) is None
    assert r.next(4.1 + LEAST_PAUSE, 0.0) == "c"
    r.told(Turn.LATER)
    assert r.next(5.0, 0.0) == "c"
    r.told(Turn.AWAKE)
    assert r.over
    assert r.words() == "2 of 3 sites, 1 awake already"


def test_the_more_others_have_to_do_the_longer_the_pause():
    r = Rewarming("abcd", 9, 0.0)
    turn(r, 0.0, 2.0)
    assert r.next(2.0, 4.0) is None
    assert r.next(9.9, 4.0) is None
    assert r.next(10.0, 4.0) == "b"
    turn(r, 10.0, 2.0)
    assert r.next(12.0, 1000.0) is None
    assert r.next(12.0 + MOST_PAUSE, 1000.0) == "c"


def test_those_that_are_passed_over_make_room_for_others():
    r = Rewarming("abcdef", 2, 0.0)
    assert r.chosen == 2
    for site in "abc":
        assert r.next(0.0, 0.0) == site
        r.told(Turn.PASSED_OVER)
    assert turn(r, 0.0, None) == "d"
    assert r.next(9.0, 0.0) is None
    assert r.next(20.0, 0.0) == "e"
    r.told(Turn.NO_ROOM)
    assert (r.over, r.next(30.0, 0.0)) == (True, None)
    assert r.words() == "0 of 2 sites, 1 without room, 3 passed over, 1 did not start"


def test_it_ends_some_time():
    r = Rewarming("abc", 9, 0.0)
    assert turn(r, 0.0, 1.0) == "a"
    assert r.next(LONGEST, 0.0) is None
    assert r.over
    assert r.words() == "1 of 3 sites, 2 still to come"


def test_none_is_over_at_once():
    assert Rewarming([], 9, 0.0).over
    assert Rewarming("abc", 0, 0.0).over


@given(
    st.lists(st.sampled_from([*Turn]), max_size=60),
    st.integers(0, 12),
    st.lists(st.floats(0.0, 40.0), min_size=60, max_size=60),
)
def test_each_has_at_most_one_turn_in_order(turns, most, seconds):
    sites = [f"s{n}" for n in range(9)]
    r, now, had, started = Rewarming(sites, most, 0.0), 0.0, [], 0
    for what, wait in zip(turns, seconds, strict=False):
        now += wait
        site = r.next(now, 2.0)
        if site is None:
            continue
        if what in (Turn.STARTED, Turn.FAILED):
            had.append(site)
            start = server(now)
            r.told(Turn.STARTED, start)
            start.state = State.READY
            start.ready_at = now + 0.5 if what is Turn.STARTED else 0.0
            started += 1
        else:
            r.told(what)
            had += [site] if what is not Turn.LATER else []
        assert sum(r.counts.values()) - r.counts[Turn.PASSED_OVER] == r.chosen <= most
    assert had == sites[: len(had)]
    r.next(now + LONGEST, 0.0)
    assert r.over
