"""Whoever took over crashes, while the process before still has something in flight."""

import errno
import os
import signal

import pytest

from luisito.core.lifecycle import State
from luisito.handover import yielded as module
from luisito.net.handed import Handed
from tests.handover.conftest import WAYS, Logged, waits
from tests.net.turns import tcp_pair


@pytest.fixture
def before(world):
    """The world, and a process that has yielded to another one, with what is in flight there."""
    one = world()
    first = one.net()
    return one, first


def held(one, first):
    """A client whose answer is held back by a server that was awake."""
    first.wake("a.test")
    far = first.get("a.test", "/hold")
    one.until(lambda: first.server("a.test").leases)
    return far


def test_a_lease_goes_on_with_the_next(before):
    one, first = before
    far = held(one, first)
    second = one.succeed(first)
    third = one.replace(second, first)
    server = third.server("a.test")
    assert (server.state, server.leases) == (State.READY, 1)
    one.touch("hold")
    one.body(far)
    one.until(lambda: not server.leases)
    one.until(lambda: first.done)


def test_a_lease_that_the_crashed_one_gave(before):
    one, first = before
    second = one.succeed(first)
    second.wake("a.test")
    asker = first.ask("a.test")
    one.until(lambda: not asker.waiting)
    third = one.replace(second, first)
    assert third.server("a.test").leases == 1
    first.release(asker)
    one.until(lambda: not third.server("a.test").leases)


def test_who_waits_waits_there(before):
    one, first = before
    far = first.get("slow.test")
    one.until(lambda: first.server("slow.test"))
    second = one.succeed(first)
    one.until(lambda: second.server("slow.test"))
    third = one.replace(second, first)
    one.touch("slow.test")
    assert one.body(far)
    assert len(third.policy.servers) == 1
    one.until(lambda: first.done)


def test_several_leases_on_one_server(before):
    """Each was granted by the one that has crashed; one of them before the server was ready."""
    one, first = before
    second = one.succeed(first)
    early, *others = askers = [first.ask("slow.test") for _ in range(3)]
    one.until(lambda: not early.waiting)
    second.pool.answered(second.server("slow.test"))
    one.until(lambda: not any(asker.waiting for asker in askers))
    third = one.replace(second, first)
    server = third.server("slow.test")
    assert (server.state, server.leases) == (State.READY, 3)
    for asker in others:
        first.release(asker)
    one.until(lambda: server.leases == 1)
    first.release(early)
    one.until(lambda: first.done)
    one.until(lambda: not server.leases)


@pytest.mark.parametrize("way", WAYS)
def test_who_waits_is_given_a_server_that_is_ready(world, way):
    """Which the one that crashed had, and had not granted yet."""
    one = world(way)
    first = one.net()
    second = one.succeed(first)
    second.wake("a.test")
    asker = first.ask("a.test")
    third = one.replace(second, first)
    one.until(lambda: not asker.waiting)
    assert third.server("a.test").leases == 1
    assert first.yielded.number(asker.server) == third.number("a.test")
    asker.server.data.connect()[0].close()
    first.release(asker)
    one.until(lambda: not third.server("a.test").leases)


@pytest.fixture
def too_soon(before, request):
    """Somebody who waits in the first is given a server that the third has not adopted yet."""
    one, first = before
    second = one.succeed(first)
    second.wake("a.test")
    pid = second.pid("a.test")
    asker = first.ask("a.test")
    one.crash(second)
    third = one.net()
    adopted = one.hold_adoptions(getattr(request, "param", None))
    done = one.take(third, one.rejoin(first))
    one.until(lambda: adopted)
    assert asker.waiting
    assert third.server("a.test").leases == 1
    return one, first, third, asker, pid, adopted, done


def test_a_server_ends_that_is_granted_before_it_is_adopted(too_soon):
    one, first, third, asker, pid, adopted, done = too_soon
    os.kill(pid, signal.SIGKILL)
    one.until(lambda: third.number("a.test") == 2)
    adopted[0]()
    one.until(lambda: done and not asker.waiting)
    assert done == [None]
    assert first.yielded.number(asker.server) == 2
    first.release(asker)
    one.until(lambda: first.done)


@pytest.mark.parametrize("too_soon", [2], indirect=True)
def test_a_server_has_ended_that_is_granted_before_it_is_adopted(too_soon):
    """Its process has; the spawner tells when it has killed what that has left."""
    one, first, third, asker, pid, adopted, done = too_soon
    adopted[0]()
    one.until(lambda: done)
    one.settle()
    assert asker.waiting
    os.kill(pid, signal.SIGKILL)
    one.until(lambda: not asker.waiting)
    assert first.yielded.number(asker.server) == 2
    first.release(asker)
    one.until(lambda: first.done and not third.server("a.test").leases)


def test_who_was_granted_a_server_before_it_is_adopted_has_gone(too_soon):
    one, first, third, asker, _, adopted, done = too_soon
    first.end()
    third.predecessor.close()
    assert third.server("a.test").leases == 0
    adopted[0]()
    one.until(lambda: done)
    assert asker.server is None


def test_a_server_is_yielded_that_was_granted_before_it_is_adopted(too_soon):
    one, first, third, asker, _, adopted, _ = too_soon
    fourth = one.net()
    theirs = one.make_way(third)
    del one.spawner.adopt
    done = one.take(fourth, theirs)
    adopted[0]()
    one.until(lambda: done and not asker.waiting)
    assert fourth.server("a.test").leases == 1
    first.release(asker)
    one.until(lambda: not fourth.server("a.test").leases)


def test_an_early_lease(before):
    """Its request is in the socket of a server that has not accepted yet."""
    one, first = before
    second = one.succeed(first)
    asker = first.ask("slow.test")
    one.until(lambda: not asker.waiting)
    assert asker.server.early
    third = one.replace(second, first)
    server = third.server("slow.test")
    assert (server.state, server.leases) == (State.STARTING, 1)
    first.yielded.answered(asker.server)
    one.until(lambda: server.state is State.READY)
    first.release(asker)
    one.until(lambda: not server.leases)


def test_a_server_that_accepts_while_nobody_looks(before):
    """Its early lease was given by the one that has crashed."""
    one, first = before
    second = one.succeed(first)
    far = first.get("slow.test", "/hold")
    one.until(lambda: second.server("slow.test"))
    start = second.pool.start_of(second.server("slow.test"))
    one.until(lambda: start.was_connected)
    accepts_while_nobody_looks(one, first, second)
    one.touch("hold")
    one.body(far)


def test_a_server_that_the_first_has_started_accepts_while_nobody_looks(before):
    one, first = before
    far = first.get("slow.test", "/hold")
    one.until(lambda: first.pool._early)
    accepts_while_nobody_looks(one, first, one.succeed(first))
    one.touch("hold")
    one.body(far)


def test_a_server_that_another_one_has_connected_to_accepts_while_nobody_looks(before):
    """The first of two that have yielded."""
    one, first = before
    far = first.get("slow.test", "/hold")
    one.until(lambda: first.pool._early)
    second = one.succeed(first)
    accepts_while_nobody_looks(one, second, one.succeed(second))
    one.touch("hold")
    one.body(far)


def accepts_while_nobody_looks(one, left, crashed):
    one.crash(crashed)
    one.touch("slow.test")
    one.until(lambda: not waits(one))
    new = one.net()
    done = one.take(new, one.rejoin(left))
    one.until(lambda: done)
    one.until(lambda: new.states() == {"slow.test": State.READY})


def test_an_early_lease_is_withdrawn(before):
    one, first = before
    second = one.succeed(first)
    asker = first.ask("slow.test")
    one.until(lambda: not asker.waiting)
    pid = second.pid("slow.test")
    one.crash(second)
    third = one.net()
    os.kill(pid, signal.SIGKILL)
    done = one.take(third, one.rejoin(first))
    one.until(lambda: done)
    one.until(lambda: asker.taken_back)
    first.release(asker)
    one.settle()


def test_clients_are_given_to_the_next(before):
    one, first = before
    far = first.get("a.test", "/hold")
    one.until(lambda: first.server("a.test") and first.server("a.test").leases)
    second = one.succeed(first)
    one.crash(second)
    one.settle()
    one.touch("hold")
    one.body(far)
    one.settle()
    assert not first.done  # its client has nowhere to go yet
    third = one.net()
    done = one.take(third, one.rejoin(first))
    one.until(lambda: done)
    far.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
    one.body(far)
    assert third.gateway.counters.taken == 1
    one.until(lambda: first.done)


def test_the_crash_is_noticed_at_the_latest_by_the_next(before):
    """Both are told in the same turn."""
    one, first = before
    asker = first.lease("a.test")
    second = one.succeed(first)
    third = one.replace(second, first)  # no turn in between
    assert third.server("a.test").leases == 1
    first.release(asker)
    one.until(lambda: first.done)


def test_a_client_goes_on_with_the_next_before_the_crash_is_noticed(before):
    """It is to be given on in the turn of the crash."""
    one, first = before
    asker = first.lease("a.test")
    second = one.succeed(first)
    ours, far = tcp_pair(None)
    far = one.far(far)
    one.crash(second)
    first.yielded.client(Handed(ours, 8080, b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"))
    third = one.net()
    done = one.take(third, one.rejoin(first))
    one.until(lambda: done)
    one.body(far)
    assert third.gateway.counters.taken == 1
    first.release(asker)
    one.until(lambda: first.done)


def test_whose_successor_lives_stays_with_it(before):
    """Its successor has yielded itself, to the one that crashed."""
    one, first = before
    asker = first.lease("a.test")
    second = one.succeed(first)
    third = one.succeed(second)
    fourth = one.replace(third, second, first)
    assert fourth.server("a.test").leases == 1
    one.until(lambda: fourth.others[0].ended.called)
    first.release(asker)
    one.until(lambda: not fourth.server("a.test").leases)
    first.end()
    one.until(lambda: second.done)


def test_nobody_comes(before, monkeypatch):
    monkeypatch.setattr(module, "REJOIN_WITHIN", 0.1)
    one, first = before
    far = first.get("a.test", "/hold")
    one.until(lambda: first.server("a.test") and first.server("a.test").leases)
    second = one.succeed(first)
    asker = first.ask("slow.test")
    one.until(lambda: not asker.waiting)
    one.crash(second)
    with Logged() as logged:
        one.until(lambda: first.yielded.lost.called)
    assert "none has come within 0.1 s: 0 requests" in logged.texts[-1]
    late = first.ask("b.test")
    assert late.why.status == 503
    one.touch("hold")
    one.until(lambda: far.over)
    first.release(asker)
    one.until(lambda: first.done)


def test_somebody_comes_late(before, monkeypatch):
    monkeypatch.setattr(module, "REJOIN_WITHIN", 0.1)
    one, first = before
    asker = first.lease("a.test")
    second = one.succeed(first)
    one.crash(second)
    one.until(lambda: first.yielded.lost.called)
    third = one.net()
    done = one.take(third, one.rejoin(first))
    one.until(lambda: done)
    assert third.server("a.test").leases == 1
    late = first.ask("a.test")
    one.until(lambda: not late.waiting)
    assert late.server is not None
    first.release(late)
    one.crash(third)  # and once more nobody comes in time
    one.until(lambda: first.yielded._give_up)
    waiter = first.ask("b.test")
    assert waiter.waiting
    one.until(lambda: not waiter.waiting)
    assert waiter.why.status == 503
    first.release(asker)
    one.until(lambda: first.done)


def test_it_ends_while_it_waits(before):
    one, first = before
    first.lease("a.test")
    second = one.succeed(first)
    one.crash(second)
    one.settle()
    first.end()
    theirs = one.rejoin(first)  # no more
    assert theirs.recv(1) == b""
    theirs.close()


def test_nobody_comes_for_its_clients(before, monkeypatch):
    monkeypatch.setattr(module, "REJOIN_WITHIN", 0.1)
    one, first = before
    far = held(one, first)
    second = one.succeed(first)
    one.crash(second)
    one.until(lambda: first.yielded._give_up)
    one.touch("hold")
    one.body(far)
    one.until(lambda: far.over)
    one.until(lambda: first.done)


def test_who_is_still_answered_is_told_that_nobody_comes(before, monkeypatch):
    monkeypatch.setattr(module, "REJOIN_WITHIN", 0.1)
    one, first = before
    far = held(one, first)
    one.crash(one.succeed(first))
    one.until(lambda: first.yielded.lost.called)
    one.touch("hold")
    one.until(lambda: far.over)
    assert b"\r\nConnection: close\r\n" in far.got
    one.until(lambda: first.done)


def test_it_ends_while_its_clients_wait(before):
    one, first = before
    far = held(one, first)
    one.crash(one.succeed(first))
    one.until(lambda: first.yielded._give_up)
    one.touch("hold")
    one.body(far)
    one.until(lambda: first.yielded._homeless)
    first.end()
    one.until(lambda: far.over)


def test_a_client_that_cannot_be_given_to_the_next(before, monkeypatch):
    one, first = before
    far = held(one, first)
    second = one.succeed(first)
    one.crash(second)
    one.until(lambda: first.yielded._give_up)
    one.touch("hold")
    one.body(far)
    one.until(lambda: first.yielded._homeless)

    def pack(handed):
        handed.sock.close()
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(module, "pack", pack)
    third = one.net()
    done = one.take(third, one.rejoin(first))
    one.until(lambda: done and far.over and first.done)
