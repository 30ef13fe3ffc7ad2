"""Conversations about sites that have several servers."""

from __future__ import annotations

import random

from luisito.core.lifecycle import State
from luisito.core.orders import NOTHING, Limits, Spawn
from luisito.core.policy import Policy
from luisito.core.room import UNUSED
from tests.core.test_policy import NEVER_ENDED, Talk


class Shared(Talk):
    """Requests as the pool asks for them: for the server that is chosen."""

    def __init__(self, *, count=3, **limits):
        super().__init__(**{"max_servers": 10, "max_starting": 9, **limits})
        self.policy.share("a", count, 0.0)

    def ask(self, waiter):
        """As the pool does, of the site that the first letter names."""
        key, orders = self.policy.choose(waiter[0], self.now)
        said = self.hear(orders) + self.hear(self.policy.requested(key, waiter, self.now))
        return said + self.hear(self.policy.start_more(waiter[0], self.now))

    def up(self, *sites):
        """All servers of sites are idle, but for those of others that were there before."""
        for site in sites:
            self.now += 1
            self.ask(f"{site}!")
            for number, server in self.servers.items():
                if server.state is State.STARTING:
                    self.ready(number)
                    if server.leases:
                        self.release(number)

    def take(self, liked=None):
        """One more request for the site, and what its choice has led to."""
        key, orders = self.policy.choose("a", self.now, liked)
        assert self.policy.take(key) is not None
        return key, self.hear(orders)


def test_all_are_started_when_the_site_is_woken():
    t = Shared()
    assert t.ask("a1") == ["spawn a1", "spawn a#22", "spawn a#33"]
    assert t.ask("a2") == []
    assert [t.policy.is_for_nobody(server) for server in t.servers.values()] == [False, True, True]
    assert t.at(30.0) == []  # nobody has to wait for the others for them to go on
    assert t.ready(1) == ["grant a1 a1", "grant a2 a1"]
    assert t.ready(2) == t.ready(3) == []
    assert [t.take()[0] for _ in range(5)] == ["a#2", "a#3", "a#2", "a#3", "a"]
    assert t.policy.keys("a") == ("a", "a#2", "a#3")
    assert t.policy.is_awake("a")


def test_a_site_of_one_is_as_ever():
    t = Shared(count=1)
    assert t.policy.choose("a", 0.0) == ("a", NOTHING)
    assert t.ask("a1") == ["spawn a1"]
    assert not t.policy.shares
    assert t.policy.keys("a") == ("a",)
    assert t.policy.start_more("b", 0.0) is NOTHING
    assert t.policy.share("a", 2, 0.0) is NOTHING
    assert t.policy.shares


def test_whichever_is_ready_first_serves_who_waits():
    t = Shared()
    t.ask("a1")
    t.ask("a2")
    assert t.ready(3) == ["grant a1 a#33", "grant a2 a#33"]
    assert t.at(30.0) == []  # the first goes on as one of several
    assert t.ready(1) == []
    assert t.take()[0] == "a"


def test_one_that_has_its_early_request_keeps_it():
    t = Shared()
    t.ask("a1")
    t.started(1, early=True)
    t.ask("a2")
    assert t.servers[1].leases == 1
    assert t.ready(2) == ["grant a2 a#22"]
    assert t.servers[1] not in t.policy._fleet.spares
    assert t.ready(1) == []


def test_those_who_wait_for_room_are_served_by_another_one():
    t = Shared(max_starting=1)
    t.ask("b1")
    assert t.ask("a1") == []
    record = t.policy._sites.of("a#2")
    record.server = server = t.policy._fleet.launch("a#2", t.policy.limits, 0.0)
    assert t.hear(t.policy.ready(server, 0.0)) == ["grant a1 a#22"]
    assert t.policy.waiting == 1
    assert "a" not in t.policy._sites.by_name


def test_requests_wait_in_one_queue():
    """So that the site's share of all that wait is one site's."""
    t = Shared(queue_limit=2)
    t.ask("a1")
    t.ask("a2")
    assert t.ask("a3") == ["refuse a3 QUEUE_FULL"]
    t.failed(1)
    # Not on the one that has failed, as long as others start.
    assert t.policy.choose("a", t.now)[0] == "a#2"
    assert t.ask("a4") == []
    assert t.servers[2] not in t.policy._fleet.spares
    t.failed(2)
    t.failed(3)
    assert t.policy.choose("a", t.now)[0] == "a"
    assert t.ask("a5") == ["refuse a5 BACKING_OFF"]


def test_one_that_waits_for_room_is_waited_for():
    t = Shared(max_servers=1)
    t.ask("b1")
    t.policy.requested("a#3", "x", 0.0)
    assert t.policy.choose("a", 0.0) == ("a#3", NOTHING)


def test_one_that_is_gone_is_started_again_when_all_others_are_in_use():
    t = Shared()
    t.up("a")
    assert t.exited(2) == []
    assert t.take() == ("a", [])
    assert t.take() == ("a#3", [])
    assert t.take() == ("a", ["spawn a#24"])
    assert t.take() == ("a#3", [])
    t.ready(4)
    assert t.take() == ("a#2", [])


def test_one_that_is_liked_is_taken_while_it_is_ready():
    t = Shared()
    t.up("a")
    assert [t.take("a#3")[0] for _ in range(3)] == ["a#3"] * 3
    t.exited(3)
    assert t.take("a#3")[0] == "a"
    assert t.take("elsewhere")[0] == "a#2"


def test_one_that_fails_takes_no_requests_of_the_others():
    t = Shared()
    t.ask("a1")
    assert t.ready(1) == ["grant a1 a1"]
    t.release(1)
    assert t.failed(2) == []
    assert t.take() == ("a", [])
    assert t.take() == ("a", [])  # and it is left alone for a while
    t.now = 1.5
    assert t.take() == ("a", ["spawn a#24"])


def test_with_too_little_room_there_are_fewer():
    t = Shared(max_servers=2)
    assert t.ask("a1") == ["spawn a1", "spawn a#22"]
    t.ready(1)
    t.ready(2)
    assert t.take() == ("a#2", [])
    assert len(t.policy.servers) == 2
    # The wish lapses; and asked for once more, nothing is started in the place of one in use.
    assert t.at(100.0) == []
    assert [t.take() for _ in range(3)] == [("a", []), ("a#2", []), ("a", [])]
    assert t.policy._room.more == {"a#3": 100.0 + 45.0}
    assert t.exited(2) == ["spawn a#33"]


def test_more_than_one_go_only_for_what_nobody_has_used_for_long():
    t = Shared(max_servers=3)
    t.up("b", "c")
    assert t.ask("a1") == ["spawn a3"]
    t.ready(3)
    t.now = 1 + UNUSED - 0.1
    assert t.take() == ("a", [])
    t.now = 1 + UNUSED
    assert t.at(t.now) == ["terminate b1", "spawn a#24"]
    t.ready(4)
    assert t.exited(1) == []
    t.now = 2 + UNUSED
    assert t.at(t.now) == ["terminate c2", "spawn a#35"]


def test_without_overlap_it_starts_when_the_other_one_has_gone():
    t = Shared(count=2, max_servers=2, overlap=0)
    t.up("b")
    t.now += UNUSED
    assert t.ask("a1") == ["spawn a2", "terminate b1"]
    assert t.exited(1) == ["spawn a#23"]


def test_it_waits_where_more_end_than_may():
    t = Shared(count=3, max_servers=3)
    t.up("b", "c")
    t.now += UNUSED
    assert t.ask("a1") == ["spawn a3", "terminate b1", "spawn a#24"]
    assert t.exited(1) == ["terminate c2", "spawn a#35"]


def test_memory_is_room_too():
    t = Shared(count=3, max_memory=100)
    t.up("b")
    t.weighed(60)
    t.policy._fleet.memory.remember([("a", 30), ("a#2", 30), ("a#3", 30)])
    assert t.ask("a1") == ["spawn a2"]
    t.now += UNUSED + 1
    t.ready(2)
    assert t.take() == ("a", ["terminate b1", "spawn a#23", "spawn a#34"])


def test_it_waits_for_memory_of_those_that_end():
    t = Shared(count=3, max_memory=100, overlap=1)
    t.policy._fleet.memory.remember([("a", 20), ("a#2", 40), ("a#3", 40), ("b", 40), ("c", 40)])
    t.up("b", "c")
    assert t.ask("a1") == ["spawn a3"]
    t.now += UNUSED + 1
    t.ready(3)
    assert t.take()[1] == ["terminate b1", "spawn a#24", "terminate c2"]
    assert t.exited(2) == ["spawn a#35"]


def test_nobody_waits_because_of_one_more():
    t = Shared(count=3, max_servers=3, max_starting=3)
    assert t.ask("a1") == ["spawn a1", "spawn a#22"]  # one start is left to others
    assert t.ask("b1") == ["spawn b3"]
    # All places are in use, and for who waits goes what starts for nobody.
    assert t.ask("c1") == ["terminate a#22", "spawn c4"]
    assert t.ask("d1") == []


def test_a_start_is_left_to_others_but_for_the_only_one():
    t = Shared(count=2, max_starting=1)
    assert t.ask("a1") == ["spawn a1"]
    assert t.ready(1) == ["grant a1 a1", "spawn a#22"]
    assert t.ask("b1") == ["terminate a#22", "spawn b3"]


def test_places_of_those_that_are_kept_up_are_theirs():
    t = Shared(count=2, max_servers=2)
    t.begin()
    t.keep("b")
    t.exited(1)
    assert t.ask("a1") == ["spawn a2"] or t.last == []
    assert all(server.site != "a#2" for server in t.servers.values())


def test_several_that_are_kept_up():
    t = Shared(count=2)
    t.begin()
    assert t.keep("a") + t.keep("a#2") == ["spawn a1", "spawn a#22"]
    t.ready(1)
    t.ready(2)
    assert t.stop("a") == ["terminate a1"]
    assert t.stop("a#2") == ["terminate a#22"]
    t.exited(1)
    t.exited(2)
    assert t.ask("a1") == ["spawn a3", "spawn a#24"]
    t.ready(3)
    t.exited(4)
    assert t.policy._room.more == {}  # it comes by itself
    assert t.ask("a2") == ["grant a2 a3"]


def test_one_that_starts_for_nobody_starts_anew_when_its_file_has_changed():
    t = Shared(count=2)
    t.ask("a1")
    assert t.changed("a") == ["terminate a1", "spawn a3"]
    assert t.changed("a#2") == ["terminate a#22", "spawn a#24"]


def test_they_roll_one_after_another():
    t = Shared()
    t.up("a")
    assert [t.changed(key) for key in t.policy.keys("a")] == [["spawn a4"], [], []]
    assert t.ready(4) == ["terminate a1"]
    assert t.exited(1) == ["spawn a#25"]
    assert t.ready(5) == ["terminate a#22"]
    assert t.exited(2) == ["spawn a#36"]
    assert len([s for s in t.servers.values() if s.state is State.READY]) == 3


def test_one_whose_old_server_dies_goes_on():
    t = Shared(count=2)
    t.up("a")
    t.changed("a#2")
    t.exited(2)
    assert t.at(t.now + 30) == []
    t.ready(3)
    assert t.policy.is_ready("a#2")


def test_what_is_stopped_or_removed_is_not_started_all_the_same():
    t = Shared(count=3, max_servers=1)
    t.ask("a1")
    assert set(t.policy._room.more) == {"a#2", "a#3"}
    t.stop("a#2")
    assert t.removed("a#3") == []
    assert set(t.policy._room.more) == {"a#2"} or not t.policy._room.more


def test_none_is_started_at_the_end():
    for end in (Talk.shutdown, Talk.terminate_all):
        t = Shared(max_servers=1)
        t.ask("a1")
        end(t)
        assert t.policy._room.more == {}
        assert t.policy.start_more("a", t.now) is NOTHING
        assert t.policy._room.more == {}
    t = Shared(max_servers=1)
    t.ask("a1")
    t.policy.resign()
    assert t.policy._room.more == {}


def test_what_waits_for_room_stays_within_the_bounds():
    """At random: nothing but what the bounds allow is started, and nobody waits for ever."""
    for seed in range(200):
        rolled = random.Random(seed)
        limits = Limits(
            max_servers=rolled.randint(1, 5),
            max_starting=rolled.randint(1, 4),
            overlap=rolled.randint(0, 2),
            idle_timeout=rolled.choice([None, 20.0]),
        )
        policy = Policy(limits, lambda: 1.0)
        policy.share("a", 3, 0.0)
        policy.share("b", 2, 0.0)
        held, now = [], 0.0

        def hear(orders, held=held):
            for order in orders:
                if isinstance(order, Spawn):
                    held.append(order.server)

        for waiter in range(60):
            now += rolled.choice([0.1, 1.0, 40.0])
            site = rolled.choice("abc")
            key, orders = policy.choose(site, now)
            hear(orders)
            server = policy.take(key)
            if server is None:
                hear(policy.requested(key, waiter, now))
                hear(policy.start_more(site, now))
            elif rolled.random() < 0.7:
                hear(policy.release(server, now))
            hear(policy.tick(now))
            for one in list(held):
                fate = rolled.random()
                if one.state is State.STOPPING or fate < 0.05:
                    held.remove(one)
                    hear(policy.exited(one, now, "gone"))
                elif one.state is State.STARTING and fate < 0.6:
                    hear(policy.ready(one, now))
                elif one.leases and fate < 0.5:
                    hear(policy.release(one, now))
            counts = policy.counts()
            alive = counts[State.STARTING] + counts[State.READY] + counts[State.DRAINING]
            assert alive <= limits.max_servers
            assert alive + counts[State.STOPPING] <= limits.max_servers + limits.overlap
            assert counts[State.STARTING] <= limits.max_starting
            spares = policy._fleet.spares
            assert all(one.state is State.STARTING for one in spares)
            keys = [one.site for one in policy._fleet.starting]
            assert len(keys) == len(set(keys))


def test_limits_of_pinned_ones_are_each_ones():
    t = Shared(count=2, max_servers=2)
    for key in t.policy.keys("a"):
        t.limit(key, **NEVER_ENDED)
    t.up("a")
    t.now += 2 * UNUSED
    assert t.ask("b1") == []


def test_another_number_than_before():
    t = Shared(count=1)
    t.up("a")
    assert t.hear(t.policy.share("a", 3, t.now)) == ["spawn a#22", "spawn a#33"]
    assert t.policy.share("a", 3, t.now) is t.policy.share("a", 2, t.now) is NOTHING
    assert t.removed("a#3") == ["terminate a#33"]
    assert t.policy.keys("a") == ("a", "a#2")
    assert t.policy.share("a", 1, t.now) is NOTHING
    assert not t.policy.shares
    assert t.policy.is_awake("a")


def test_what_goes_for_one_more_is_asked_first():
    t = Shared(count=2, max_servers=3, pre_stop="/may-stop")
    t.up("b", "c")
    t.now += UNUSED
    assert t.ask("a1") == ["spawn a3", "ask b1"]
    assert t.hear(t.policy.may_stop(t.servers[1], t.now, not_yet=True)) == ["ask c2"]
    assert t.hear(t.policy.may_stop(t.servers[2], t.now, not_yet=False)) == [
        "terminate c2", "spawn a#24",
    ]  # fmt: skip
