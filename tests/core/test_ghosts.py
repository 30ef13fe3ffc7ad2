"""What larger pools would have done, told by a pool, and by pools that play the same requests."""

import pytest

from bench.keep.traces import TRACES, sites
from bench.keep.world import World
from luisito.core.ghosts import Ghosts
from luisito.core.lifecycle import Server
from luisito.core.memory import FIRST_GUESS, Memory
from luisito.core.orders import Limits, Spawn
from luisito.core.policy import Policy


class Looking(World):
    """Takes note of uses once a minute, as the pool does when servers are weighed."""

    looked = 0.0

    def _asked_for(self, site, now):
        if now >= self.looked + 60:
            self.policy.reuse(now)
            self.looked = now


@pytest.mark.parametrize("name", list(TRACES))
def test_a_pool_foretells_larger_ones(name):
    """Servers take time to start and to answer here, of which the forecast knows nothing."""
    kinds, trace = sites(200, 1), list(TRACES[name](200, 3000, 1))

    def world(servers):
        return Looking(kinds, Limits(max_servers=servers, queue_total=10**6, queue_limit=10**6))

    small = world(20)
    small.run(trace)
    reuse = small.policy.reuse(trace[-1][0])
    for servers in (20, 40, 100):
        assert abs(reuse.cold(servers) - world(servers).run(trace).cold) <= 0.02 * len(trace)


def server(site, ready_at=0.0, memory=None):
    made = Server(1, site, 0.0)
    made.ready_at = made.used_at = ready_at
    made.memory = memory
    return made


def use(of, at, ghosts=None):
    """A use of a server, which then goes if somebody is to know."""
    of.released += 1
    of.used_at = at
    if ghosts is not None:
        ghosts.leave(of)


def test_uses_count_in_the_order_of_time():
    ghosts = Ghosts(Memory(None), None)
    a, b = server("a", 1.0), server("b", 2.0)
    use(b, 2.0, ghosts)
    use(a, 3.0)
    ghosts.look([a], 4.0)  # a, b, a
    assert ghosts.reuse.cold(1) == 3
    assert ghosts.reuse.cold(2) == 2


def test_only_what_was_used_counts():
    ghosts = Ghosts(Memory(None), None)
    idle = server("a")
    idle.released = idle.unnoticed = 5
    ghosts.look([idle], 4.0)
    assert ghosts.reuse.requests == 0
    use(idle, 5.0)
    ghosts.look([idle], 6.0)
    ghosts.look([idle], 9.0)
    assert ghosts.reuse.requests == 2
    assert ghosts.reuse.cold(1) == 1


def test_busy_ones_are_in_use():
    ghosts = Ghosts(Memory(None), 10.0)
    busy = server("a")
    busy.leases = 1
    for now in range(0, 100, 9):
        ghosts.look([busy], now)
    assert ghosts.reuse.cold(1) == 1
    assert ghosts.reuse.seconds == 99


def test_clocks_do_not_go_back():
    ghosts = Ghosts(Memory(None), None)
    use(late := server("late", 5.0), 9.0)
    ghosts.look([late], 9.0)
    use(server("early", 1.0), 2.0, ghosts)
    ghosts.look([], 10.0)
    assert ghosts.reuse.seconds == 4
    assert ghosts.reuse.cold(9) == 2


def test_what_servers_take():
    ghosts = Ghosts(Memory(None), None)
    one, other = server("a", memory=100), server("b")
    for at in (1.0, 2.0):
        use(one, at)
        use(other, at + 0.5)
        ghosts.look([one, other], at)
    assert ghosts.reuse.cold_in(FIRST_GUESS + 100) > 2  # within 1 %
    assert ghosts.reuse.cold_in(FIRST_GUESS * 2) == 2


def test_what_is_held_back_is_bounded():
    policy = Policy(Limits(max_servers=1), lambda: 0.5)
    for number in range(400):
        (order,) = policy.requested(f"s{number % 2}", number, number)
        assert isinstance(order, Spawn)
        policy.ready(order.server, number)
        policy.release(order.server, number)
        policy.exited(order.server, number, "")
        assert len(policy._fleet.ghosts._held) < 200
    reuse = policy.reuse(400.0)
    assert reuse.cold(1) == 400
    assert reuse.cold(2) == 2
    assert not policy._fleet.ghosts._seen


def test_a_pool_goes_on_with_what_another_has_seen():
    """As if no time had passed; what it is told of earlier times counts from then on."""
    before = Ghosts(Memory(None), None)
    for at, site in enumerate("abab"):
        use(server(site, float(at)), float(at), before)
    before.look((), 4.0)

    after = Policy(Limits(), lambda: 0.0)
    after.resume_reuse(before.reuse.state(4.0), 100.0)
    assert after.reuse(100.0).curve() == before.reuse.curve()

    ghosts = Ghosts(Memory(None), None)
    ghosts.resume(before.reuse.state(4.0), 100.0)
    use(server("a", 90.0), 90.0, ghosts)
    ghosts.look((), 101.0)
    assert ghosts.reuse.requests == before.reuse.requests + 2  # the first and the last
    assert ghosts.reuse.cold(2) == 2
    with pytest.raises(ValueError, match="KeyError"):
        after.resume_reuse({}, 100.0)
