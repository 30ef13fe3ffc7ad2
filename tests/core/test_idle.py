from __future__ import annotations

import random

from luisito.core.idle import Idle
from luisito.core.lifecycle import Server, State


def ready(idle: Idle, number: int, now: float) -> Server:
    server = Server(number, f"s{number}", now)
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


def go(server: Server) -> None:
    server.order.pop(server, None)
    server.state = State.ABSENT


def test_nobody_is_idle():
    idle = Idle(0.0)
    assert (idle.victim(0), idle.oldest(), idle.maturity()) == (None, None, None)


def test_the_least_recently_used_goes_first():
    idle = Idle(0.0)
    one, two = ready(idle, 1, 0.0), ready(idle, 2, 1.0)
    assert idle.victim(1.0) is idle.oldest() is one
    lease(one)
    assert idle.victim(2.0) is two
    release(one, 3.0)
    assert idle.victim(3.0) is two
    go(two)
    assert idle.victim(3.0) is one
    assert idle.maturity() is None


def test_a_young_server_is_idle_but_no_victim():
    idle = Idle(10.0)
    one = ready(idle, 1, 0.0)
    two = ready(idle, 2, 1.0)
    assert idle.oldest() is one
    assert idle.victim(9.0) is None
    assert idle.maturity() == 10.0
    assert idle.victim(10.0) is one
    assert idle.maturity() == 11.0
    lease(two)
    assert idle.maturity() == 11.0  # it may be idle again by then
    go(two)
    assert idle.maturity() is None


def test_one_that_comes_of_age_while_idle_keeps_its_place():
    idle = Idle(10.0)
    old, new = ready(idle, 1, 0.0), ready(idle, 2, 5.0)
    lease(old)
    assert idle.victim(12.0) is None
    release(old, 13.0)
    assert idle.victim(13.0) is old
    assert idle.victim(15.0) is new  # used at 5, and now old enough
    lease(new)
    assert idle.victim(16.0) is old
    release(new, 17.0)
    assert idle.victim(17.0) is old
    go(old)
    assert idle.victim(17.0) is new


def test_those_that_have_gone_do_not_pile_up():
    idle = Idle(1.0)
    first = ready(idle, 0, 0.0)
    for number in range(1, 1000):
        server = ready(idle, number, float(number))
        idle.grow(number + 1.0)
        go(server)
    assert idle.victim(2000.0) is first
    assert len(idle._late) < 200


def test_any_life_agrees_with_a_scan():
    dice = random.Random(1)
    for min_alive in (0.0, 3.0, 20.0):
        idle, servers, now = Idle(min_alive), [], 0.0
        for number in range(3000):
            now += dice.random()
            living = [s for s in servers if s.state is State.READY]
            pick = dice.choice(living) if living else None
            if pick is None or (dice.random() < 0.3 and len(living) < 40):
                servers.append(ready(idle, number, now))
            elif dice.random() < 0.2:
                go(pick)
            elif pick.leases:
                release(pick, now)
            else:
                lease(pick)
            unused = [s for s in servers if s.state is State.READY and not s.leases]
            mature = [s for s in unused if s.ready_at + min_alive <= now]
            assert idle.victim(now) is min(mature, key=lambda s: s.used_at, default=None)
            assert idle.oldest() is min(unused, key=lambda s: s.used_at, default=None)
            young = [
                s.ready_at + min_alive
                for s in servers
                if s.state is State.READY and s.ready_at + min_alive > now
            ]
            assert idle.maturity() == min(young, default=None)
