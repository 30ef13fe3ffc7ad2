from __future__ import annotations

import random
from math import inf

from luisito.core.idle import Idle
from luisito.core.lifecycle import Server, State
from luisito.core.orders import SiteLimits


def ready(idle: Idle, number: int, now: float, min_alive: float = 0.0) -> Server:
    server = Server(number, f"s{number}", now)
    server.limits = SiteLimits(min_alive=min_alive)
    server.state = State.READY
    server.ready_at = server.used_at = now
    idle.admit(server)
    server.order[server] = None
    return server


def lease(server: Server) -> None:
    server.leases = 1
    server.order.pop(server, None)


def release(server: Server, now: float) -> None:
    server.leases = 0
    server.used_at = now
    server.order[server] = None


def go(idle: Idle, server: Server) -> None:
    server.state = State.ABSENT
    idle.leave(server)


def limit(idle: Idle, server: Server, min_alive: float) -> None:
    server.limits = SiteLimits(min_alive=min_alive)
    idle.limit(server)


def test_nobody_is_idle():
    idle = Idle()
    assert (idle.victim(0), idle.maturity()) == (None, inf)


def test_the_least_recently_used_goes_first():
    idle = Idle()
    one, two = ready(idle, 1, 0.0), ready(idle, 2, 1.0)
    assert idle.victim(1.0) is one
    lease(one)
    assert idle.victim(2.0) is two
    release(one, 3.0)
    assert idle.victim(3.0) is two
    go(idle, two)
    assert idle.victim(3.0) is one
    assert idle.maturity() == inf


def test_a_young_server_is_idle_but_no_victim():
    idle = Idle()
    one = ready(idle, 1, 0.0, min_alive=10.0)
    two = ready(idle, 2, 1.0, min_alive=10.0)
    assert idle.victim(9.0) is None
    assert idle.maturity() == 10.0
    assert idle.victim(10.0) is one
    assert idle.maturity() == 11.0
    lease(two)
    assert idle.maturity() == 11.0  # it may be idle again by then
    go(idle, two)
    assert idle.maturity() == inf


def test_each_comes_of_age_in_its_own_time():
    idle = Idle()
    ready(idle, 1, 0.0, min_alive=30.0)
    two = ready(idle, 2, 1.0, min_alive=10.0)
    three = ready(idle, 3, 2.0)
    assert idle.victim(2.0) is three
    assert idle.maturity() == 11.0
    assert idle.victim(11.0) is two
    assert idle.maturity() == 30.0


def test_one_that_comes_of_age_while_idle_keeps_its_place():
    idle = Idle()
    old, new = ready(idle, 1, 0.0, min_alive=10.0), ready(idle, 2, 5.0, min_alive=10.0)
    lease(old)
    assert idle.victim(12.0) is None
    release(old, 13.0)
    assert idle.victim(13.0) is old
    assert idle.victim(15.0) is new  # used at 5, and now old enough
    lease(new)
    assert idle.victim(16.0) is old
    release(new, 17.0)
    assert idle.victim(17.0) is old
    go(idle, old)
    assert idle.victim(17.0) is new


def test_one_may_be_young_again():
    idle = Idle()
    one, two = ready(idle, 1, 0.0, min_alive=5.0), ready(idle, 2, 1.0)
    assert idle.victim(5.0) is one  # came of age while idle
    limit(idle, one, 20.0)
    assert idle.victim(6.0) is two
    assert idle.maturity() == 20.0
    lease(two)
    limit(idle, two, 30.0)
    release(two, 7.0)
    assert idle.victim(19.0) is None
    lease(one)
    release(one, 19.5)
    assert idle.victim(20.0) is one
    limit(idle, two, 0.0)
    assert idle.maturity() == 1.0
    assert idle.victim(20.0) is two


def test_those_that_have_gone_do_not_pile_up():
    idle = Idle()
    first = ready(idle, 0, 0.0, min_alive=1.0)
    for number in range(1, 1000):
        server = ready(idle, number, float(number), min_alive=1.0)
        idle.grow(number + 1.0)
        go(idle, server)
    assert idle.victim(2000.0) is first
    assert len(idle._late) < 200


def test_any_life_agrees_with_a_scan():
    dice = random.Random(1)
    for choices in ((0.0,), (3.0,), (20.0,), (0.0, 3.0, 20.0)):
        idle, servers, now = Idle(), [], 0.0
        for number in range(3000):
            now += dice.random()
            living = [s for s in servers if s.state is State.READY]
            pick = dice.choice(living) if living else None
            if pick is None or (dice.random() < 0.3 and len(living) < 40):
                servers.append(ready(idle, number, now, dice.choice(choices)))
            elif dice.random() < 0.2:
                go(idle, pick)
            elif len(choices) > 1 and dice.random() < 0.2:
                limit(idle, pick, dice.choice(choices))
            elif pick.leases:
                release(pick, now)
            else:
                lease(pick)
            living = [s for s in servers if s.state is State.READY]
            unused = [s for s in living if not s.leases]
            mature = [s for s in unused if s.ready_at + s.limits.min_alive <= now]
            assert idle.victim(now) is min(mature, key=lambda s: s.used_at, default=None)
            young = [s.ready_at + s.limits.min_alive for s in living]
            assert idle.maturity() == min((at for at in young if at > now), default=inf)
