"""Conversations with a pool in which the server goes that it costs least to be without."""

from __future__ import annotations

import math
import random
from collections import Counter

import attrs
import pytest

from luisito.core.cost import RETURNS, ByCost
from luisito.core.lifecycle import Server, State
from luisito.core.memory import Memory
from luisito.core.orders import Limits, SiteLimits
from luisito.core.uses import HALF_LIFE, VISIT, Uses
from tests.core.test_adoption import adopt, ready
from tests.core.test_policy import Talk, steps

MB = 1024 * 1024


def talk(took, limit=100, **limits):
    """Make a pool that knows how many MB its sites take."""
    bound = None if limit is None else limit * MB
    made = Talk(policy="cost", max_memory=bound, **{"max_servers": 20, "overlap": 20, **limits})
    made.policy.adopt([], made.now, took=[(site, size * MB) for site, size in took.items()])
    return made


def wake(t, site, seconds, uses=1):
    """Have a server that took so long to start, and was used so often."""
    heard = t.ask(f"{site}!")
    number = max(t.servers)
    t.now += seconds
    t.ready(number)
    t.release(number)
    use(t, site, uses - 1)
    return heard


def use(t, site, times=1):
    for _ in range(times):
        t.now += 0.001
        assert t.policy.release(t.policy.take(site), t.now) == ()


def visit(t, site, times):
    """Have a server used again and again, so that each use counts."""
    for _ in range(times):
        t.now += VISIT
        use(t, site)


def test_one_that_starts_soon_goes_before_one_that_starts_slowly_though_it_was_used_later():
    t = talk(dict.fromkeys("abc", 50))
    wake(t, "a", 8.0)
    wake(t, "b", 0.5)
    assert t.ask("c1") == ["terminate b2", "spawn c3"]


def test_a_large_one_goes_before_a_small_one_that_starts_as_slowly():
    t = talk({"a": 20, "b": 70, "c": 30})
    wake(t, "a", 1.0)
    wake(t, "b", 1.0)
    assert t.ask("c1") == ["terminate b2", "spawn c3"]


def test_of_those_alike_the_one_goes_that_is_asked_for_less():
    t = talk(dict.fromkeys("abc", 50))
    wake(t, "a", 1.0)
    wake(t, "b", 1.0)
    for site in "bababaaaaab":
        t.now += VISIT
        use(t, site)
    t.now += HALF_LIFE / 10
    assert t.ask("c1") == ["terminate b2", "spawn c3"]


def test_many_uses_within_a_minute_count_as_one():
    made, (one, other) = idle(2)
    made.victim(50.0)
    for _ in range(100):
        use_of(one, 60.0)
    use_of(other, 70.0)
    use_of(other, 130.0)
    assert made.victim(HALF_LIFE / 10) is one


def test_so_they_do_however_often_it_is_looked_at_meanwhile():
    made, (one, other) = idle(2)
    for second in range(60):
        for _ in range(2):
            use_of(one, 60.0 + second)
            made.victim(60.0 + second)
    for time in (70.0, 130.0, 190.0):
        use_of(other, time)
    assert made.victim(HALF_LIFE / 10) is one


def test_one_that_is_visited_just_now_outlives_one_that_is_asked_for_more_each_day():
    t = talk(dict.fromkeys("abcd", 45))
    wake(t, "a", 1.0)
    visit(t, "a", 9)
    t.now += 600
    wake(t, "b", 1.0)
    t.now += 60
    # of b another request is expected every 200 s now, of a every 1,900 s
    assert t.ask("c1") == ["terminate a1", "spawn c3"]


def test_one_that_is_asked_for_more_each_day_outlives_a_visit_that_is_over():
    t = talk(dict.fromkeys("abcd", 45))
    wake(t, "a", 1.0)
    visit(t, "a", 99)
    t.now += 600
    wake(t, "b", 1.0)
    t.now += 600
    assert t.ask("c1") == ["terminate b2", "spawn c3"]


def test_one_that_is_not_used_any_more_goes_in_the_end():
    t = talk(dict.fromkeys("abcdefgh", 50))
    wake(t, "a", 3.5)
    wake(t, "b", 1.0)
    went = []
    for site in "cdefg":
        t.now += 60
        went += wake(t, site, 1.0)[:1]
    # a counts as if its last use were 3.5 times as short ago
    assert went == ["terminate b2", "terminate c3", "terminate d4", "terminate a1", "terminate e5"]


def test_uses_of_long_ago_hardly_count():
    t = talk(dict.fromkeys("abc", 50))
    wake(t, "a", 1.0)
    visit(t, "a", 99)
    t.stop("a")
    t.exited(1)
    t.now += 10 * HALF_LIFE
    wake(t, "a", 1.0)
    wake(t, "b", 1.0)
    visit(t, "b", 2)
    t.now += HALF_LIFE / 10
    assert t.ask("c1") == ["terminate a2", "spawn c4"]


def test_many_uses_in_a_long_time_are_few_a_day():
    t = talk(dict.fromkeys("abc", 50))
    wake(t, "a", 1.0)
    for _ in range(200):
        t.now += HALF_LIFE / 2  # so that three of these count, about
        use(t, "a")
    wake(t, "b", 1.0)
    visit(t, "b", 4)
    t.now += HALF_LIFE / 10
    assert t.ask("c1") == ["terminate a1", "spawn c3"]


def test_what_a_site_was_used_for_counts_when_it_is_woken_again():
    t = talk(dict.fromkeys("abc", 50))
    wake(t, "a", 1.0)
    visit(t, "a", 9)
    t.stop("a")
    t.exited(1)
    wake(t, "a", 1.0)
    wake(t, "b", 1.0)
    t.now += HALF_LIFE / 10
    assert t.ask("c1") == ["terminate b3", "spawn c4"]


def test_without_max_memory_all_are_of_one_size():
    t = talk({"a": 400, "b": 10}, limit=None, max_servers=2)
    wake(t, "a", 5.0)
    wake(t, "b", 1.0)
    assert t.ask("c1") == ["terminate b2", "spawn c3"]


def test_a_look_that_is_no_use_changes_nothing():
    t = talk(dict.fromkeys("abcd", 50))
    wake(t, "a", 1.0)
    t.now += 1
    wake(t, "b", 1.0)
    for _ in range(9):
        t.now += VISIT
        t.policy.release_unnoticed(t.policy.take("a"), t.now)
        together = [t.policy.take("a"), t.policy.take("a")]
        for server in together:
            t.policy.release_unnoticed(server, t.now)
    assert t.ask("c1") == ["terminate a1", "spawn c3"]


def test_busy_and_young_and_pinned_ones_stay_whatever_they_cost():
    t = talk(dict.fromkeys("abcde", 25))
    for site in "ab":
        wake(t, site, 0.1)
    t.limit("c", min_alive=10.0)
    wake(t, "c", 0.1)
    wake(t, "d", 5.0)
    t.limit("b", min_alive=float("inf"))
    t.policy.take("a")
    assert t.ask("e1") == ["terminate d4", "spawn e5"]
    t.exited(4)
    t.ready(5)
    assert t.ask("d2") == []
    assert t.at(t.now + 10) == ["terminate c3", "spawn d6"]


def test_idle_ones_go_by_cost_when_others_have_grown():
    t = talk(dict.fromkeys("abc", 30))
    for site, seconds in (("a", 3.0), ("b", 1.0), ("c", 2.0)):
        wake(t, site, seconds)
    t.policy.take("c")
    assert t.weighed(None, None, 60 * MB) == ["terminate b2"]


def test_another_pool_goes_on_with_what_it_was_told():
    t = Talk(policy="cost", max_memory=100 * MB, overlap=9)
    t.now = 3600.0
    servers = (
        attrs.evolve(ready("a", at=50.0, memory=30 * MB, released=4), started_at=48.0),
        attrs.evolve(ready("b", at=50.0, memory=30 * MB, released=9), started_at=48.0),
        # as after a crash: nobody knows how long that took, nor how often it was used
        ready("c", at=50.0, memory=30 * MB),
    )
    servers = [attrs.evolve(server, used_at=1000.0) for server in servers]
    assert adopt(t, *servers) == []
    assert [t.ask(f"{site}1")[0] for site in "de"] == ["terminate c3", "terminate a1"]


def idle(count):
    """Make a set of idle servers, each a second older in use than the next."""
    made, servers = ByCost(Memory(None), Uses()), []
    for n in range(count):
        server = Server(n, f"s{n}", float(n))
        server.state, server.limits = State.READY, SiteLimits()
        server.ready_at = server.used_at = n + 1.0
        server.released = 1
        made.admit(server)
        server.order[server] = None
        servers.append(server)
    return made, servers


def leave(made, server):
    """Have it go, as the pool does."""
    made.leave(server)
    made._uses.leave(server)


def use_of(server, now):
    """Use it, as the pool's warm path does."""
    server.order.pop(server, None)
    server.released += 1
    server.used_at = now
    server.order[server] = None


@pytest.mark.parametrize("limit", [None, 1])
def test_any_life_agrees_with_a_scan(limit):
    """What the docstring says, reckoned for all that are idle, each time."""
    dice = random.Random(1)
    memory = Memory(limit)
    made, servers, now, number = ByCost(memory, Uses()), [], 0.0, 0
    # of each site: its uses, the last of them that was counted, and those that were not yet
    uses, until, fresh = Counter(), {}, Counter()

    def count(server):
        new = fresh.pop(server, 0)
        if new:
            since = max(until.get(server.site, -math.inf), server.ready_at - VISIT)
            uses[server.site] += min(new, (server.used_at - since) / VISIT)
            until[server.site] = server.used_at

    def worth(server):
        size = memory.of(server) / MB if limit else 1
        rate = uses[server.site] * math.log(2) / HALF_LIFE
        rate += RETURNS / (1 + now - server.used_at)
        return rate * (server.ready_at - server.started_at) / size

    for _ in range(4000):
        now += dice.choice([0.1, 1.0, 30.0]) * dice.random()
        pick = dice.choice(servers) if servers else None
        if pick is None or (dice.random() < 0.3 and len(servers) < 40):
            number += 1
            asleep = sorted({f"s{n}" for n in range(60)} - {s.site for s in servers})
            server = Server(number, dice.choice(asleep), now - dice.choice([0.25, 1, 4]))
            memory.remember([(server.site, dice.choice([20, 50, 90]) * MB)])
            memory.launch(server)
            server.state, server.limits = State.READY, SiteLimits(min_alive=dice.choice([0, 0, 5]))
            server.ready_at = server.used_at = now
            made.admit(server)
            server.order[server] = None
            servers.append(server)
        elif dice.random() < 0.7:
            if not pick.leases:
                pick.order.pop(pick, None)
            pick.leases += 1
            unnoticed = dice.random() < 0.3
            pick.released += 1
            pick.unnoticed += unnoticed
            pick.leases -= 1
            if unnoticed:
                made.back(pick)
            else:
                pick.used_at, pick.order[pick] = now, None
                fresh[pick] += 1
        else:
            mature = [s for s in servers if s.ready_at + s.limits.min_alive <= now]
            for server in mature:
                count(server)
            victim = made.victim(now)
            assert (victim is None) == (not mature)
            if victim is not None:
                # Within a day, which all this takes, a use hardly counts less.
                assert worth(victim) <= 1.05 * min(map(worth, mature))
                count(victim)
                victim.state = State.STOPPING
                leave(made, victim)
                servers.remove(victim)
    assert number > 300
    assert now < HALF_LIFE / 2


def test_64_are_compared_for_a_victim_and_the_others_of_them_have_their_turn_again_last():
    made, servers = idle(200)
    for number, seconds in ((70, 0.25), (63, 0.5), (100, 0.1)):
        servers[number].started_at = servers[number].ready_at - seconds
    for number in (63, 100, 70):
        assert made.victim(300.0) is servers[number]
        assert made.victim(300.0) is not None
        servers[number].state = State.STOPPING
        leave(made, servers[number])


def test_sites_beyond_ten_thousand_are_forgotten_the_one_counted_first_first():
    made, servers = idle(10_001)
    servers[10_000].site = "s0"
    for server in servers:
        server.state = State.ABSENT
        leave(made, server)
    assert len(made._uses._uses) == 10_000
    (late, gone) = idle(2)[1]
    late.site, gone.site = "s1", "new"
    for server in (late, gone):
        server.ready_at = server.used_at = 20_000.0
        made.admit(server)
        leave(made, server)
    assert len(made._uses._uses) == 10_000
    assert "s2" not in made._uses._uses
    assert made._uses._uses["s1"][0] == pytest.approx(2.0, abs=0.3)


def test_nothing_stays_behind_of_those_that_have_gone():
    made, servers = idle(50)
    for round_ in range(200):
        for server in servers:
            use_of(server, 100.0 + round_)
        assert made.victim(100.0 + round_) is not None
    for server in servers:
        server.state = State.ABSENT
        leave(made, server)
    assert made.victim(400.0) is None
    assert not made._uses._seen


def costs(size, policy="cost"):
    """Tell what a warm request and two evictions cost in a pool of idle servers."""
    t = Talk(policy=policy, max_servers=size, max_starting=size, overlap=size)
    for n in range(size):
        t.now += 1
        (spawn,) = t.policy.requested(f"s{n}", n, t.now)
        t.policy.ready(spawn.server, t.now)
        t.policy.release(spawn.server, t.now)
    return {
        "take": steps(lambda: t.policy.take("s1")),
        "release": steps(lambda: t.policy.release(t.policy.server("s1"), t.now)),
        "evict": steps(lambda: t.policy.requested("new", "v", t.now)),
        "evict again": steps(lambda: t.policy.requested("newer", "w", t.now)),
    }


def test_an_operation_costs_at_ten_thousand_servers_what_it_costs_at_two_hundred():
    small = costs(200)
    lru = costs(200, policy="lru")
    assert (small["take"], small["release"]) == (lru["take"], lru["release"])
    assert costs(10_000) == small


def test_the_policy_must_be_one():
    with pytest.raises(ValueError, match="policy"):
        Limits(policy="mru")
