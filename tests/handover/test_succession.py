"""A process follows another one while servers run, start and stop, and requests are in flight."""

import os
import socket

import pytest

from luisito.core import handover
from luisito.core.lifecycle import State
from luisito.handover import predecessor as predecessors
from tests.handover.conftest import WAYS

STARTING, READY, DRAINING, STOPPING = (
    State.STARTING,
    State.READY,
    State.DRAINING,
    State.STOPPING,
)


def body(world, far):
    world.until(lambda: b"\r\n\r\n" in far.got or far.over)
    head, _, data = far.take().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    return int(data)


def pid(net, site):
    return net.pool.start_of(net.server(site)).pid


@pytest.mark.parametrize(("way", "tcp"), [*((way, False) for way in WAYS), ("fd", True)])
def test_a_server_that_is_awake_goes_on(world, way, tcp):
    one = world(way, tcp=tcp)
    first = one.net()
    served_by = body(one, first.get("a.test"))
    before, start = first.server("a.test"), first.pool.start_of(first.server("a.test"))
    times = before.started_at, before.ready_at, before.used_at
    second = one.succeed(first)
    server = second.server("a.test")
    assert first.policy.servers == {}
    assert (server.state, server.leases, server.released) == (READY, 0, 1)
    after = server.started_at, server.ready_at, server.used_at
    assert after == pytest.approx(times, abs=1e-5)
    assert second.number("a.test") == start.number
    assert pid(second, "a.test") == start.pid == served_by
    assert body(one, second.get("a.test")) == served_by
    start = second.pool.start_of(server)
    one.until(lambda: start.argv)
    assert start.tail == "here is a.test"
    second.pool.stop("a.test", "asked to")
    one.until(lambda: second.policy.servers == {})
    assert os.listdir(one.listen_dir) == []


def test_numbers_go_on_where_they_were(world):
    one = world()
    first = one.net()
    first.lease("a.test")
    second = one.succeed(first)
    second.lease("b.test")
    assert (second.number("a.test"), second.number("b.test")) == (1, 2)


def test_what_is_in_flight_keeps_its_server(world):
    one = world(max_servers=1)
    first = one.net()
    far = first.get("a.test", "/hold")
    one.until(lambda: first.server("a.test") and first.server("a.test").leases)
    one.until(lambda: first.states() == {"a.test": READY})
    second = one.succeed(first)
    other = second.get("b.test")
    one.settle()
    assert second.policy.waiting == 1
    assert second.server("a.test").leases == 1
    assert one.over == []
    one.touch("hold")
    body(one, far)
    body(one, other)  # only now there is room
    one.until(lambda: one.over)
    assert second.server("a.test") is None


def test_many_in_flight_are_one_lease(world):
    one = world()
    first = one.net()
    askers = [first.lease("a.test") for _ in range(5)]
    second = one.succeed(first)
    server = second.server("a.test")
    for asker in askers[1:]:
        first.release(asker)
        one.settle()
        assert server.leases == 1
    first.release(askers[0])
    one.until(lambda: server.leases == 0)
    one.until(lambda: one.over)
    assert server.state is READY


@pytest.mark.parametrize("way", WAYS)
def test_who_waited_is_served_by_the_old_process_when_the_new_one_says(world, way):
    one = world(way)
    first = one.net()
    fars = [first.get("slow.test") for _ in range(3)]
    one.until(lambda: first.policy.servers)
    second = one.succeed(first)
    assert first.policy.waiting == 0
    assert second.states() == {"slow.test": STARTING}
    one.touch("slow.test")
    served_by = {body(one, far) for far in fars}
    assert served_by == {pid(second, "slow.test")}
    one.until(lambda: one.over)
    one.until(lambda: second.server("slow.test").leases == 0)
    assert second.states() == {"slow.test": READY}


def test_who_waits_for_room_goes_on_waiting(world):
    one = world(max_servers=1)
    first = one.net()
    busy = first.lease("a.test")
    far, other = first.get("b.test"), first.get("c.test")
    one.until(lambda: first.policy.waiting == 2)
    second = one.succeed(first)
    one.until(lambda: second.policy.waiting == 2)
    first.release(busy)
    body(one, far)
    body(one, other)
    one.until(lambda: one.over)


def test_a_request_that_is_tried_again_asks_the_new_process(world):
    """Its server dies under it in the old one."""
    one = world()
    first = one.net()
    far = first.get("a.test", "/hold")
    one.until(lambda: first.server("a.test") and first.server("a.test").leases)
    one.until(lambda: first.states() == {"a.test": READY})
    second = one.succeed(first)
    dead = pid(second, "a.test")
    one.touch("hold")
    os.kill(dead, 9)
    assert body(one, far) != dead


# Servers that start


def test_an_early_lease_of_before_is_the_only_one(world):
    one = world()
    first = one.net()
    early = first.lease("slow.test")
    assert first.states() == {"slow.test": STARTING}
    second = one.succeed(first)
    server = second.server("slow.test")
    assert (server.leases, server.early) == (1, True)
    late = second.ask("slow.test")
    one.settle()
    assert late.waiting
    first.release(early)
    one.until(lambda: not late.waiting)
    assert server.state is STARTING


def test_it_is_ready_as_soon_as_it_accepts_who_was_connected_before(world):
    one = world()
    first = one.net()
    far = first.get("slow.test", "/hold")
    one.until(lambda: first.pool._early)
    theirs = one.make_way(first)
    second = one.net()
    one.touch("slow.test")  # accepts while nobody looks
    one.until(lambda: not waits(first, one))
    done = one.take(second, theirs)
    one.until(lambda: done)
    one.until(lambda: second.states() == {"slow.test": READY})
    one.touch("hold")
    body(one, far)


def waits(net, world):
    """Whether a connection waits on the listening socket."""
    adopted = []
    world.spawner.adopt(1).addCallback(adopted.append)
    world.until(lambda: adopted)
    output, notify, listener = adopted[0]
    with socket.socket(fileno=listener) as sock:
        os.close(output)
        os.close(notify)
        import select

        return bool(select.select([sock], [], [], 0)[0])


def test_an_early_lease_from_the_new_process_makes_it_ready(world):
    """Who waits in the old process is the first to be connected, by the old process."""
    one = world()
    first = one.net()
    blocker = first.lease("slow.test")
    far = first.get("slow.test")
    one.until(lambda: first.policy.waiting == 1)
    second = one.succeed(first)
    server, start = second.server("slow.test"), second.pool.start_of(second.server("slow.test"))
    one.until(lambda: second.policy.waiting == 1)
    start.was_connected = False
    first.release(blocker)
    one.until(lambda: second.policy.waiting == 0)
    one.until(lambda: start.was_connected)  # not before the old one has connected
    assert server.state is STARTING
    one.touch("slow.test")
    body(one, far)
    assert server.state is READY


def test_an_answer_in_the_old_process_makes_it_ready(world):
    one = world()
    first = one.net()
    early = first.lease("slow.test")
    second = one.succeed(first)
    first.yielded.answered(early.server)
    first.yielded.answered(early.server)  # once is enough
    one.until(lambda: second.server("slow.test").state is READY)
    assert second.server("slow.test").leases == 1
    assert early.server.ready_at > early.server.started_at


def test_an_early_lease_of_before_is_withdrawn(world):
    one = world(start_timeout=0.3)
    first = one.net()
    far = first.get("slow.test")
    one.until(lambda: first.pool._early)
    second = one.succeed(first)
    one.until(lambda: b"\r\n\r\n" in far.got)
    assert far.take().startswith(b"HTTP/1.1 504")
    one.until(lambda: one.over)
    one.until(lambda: second.policy.servers == {})


def test_an_early_lease_from_the_new_process_is_withdrawn(world):
    one = world()
    first = one.net()
    blocker = first.lease("slow.test")
    waiter = first.ask("slow.test")
    second = one.succeed(first)
    first.release(blocker)
    one.until(lambda: not waiter.waiting)
    os.kill(pid(second, "slow.test"), 9)
    one.until(lambda: waiter.taken_back)
    assert waiter.taken_back.status == 502
    assert "SIGKILL" in waiter.taken_back.detail
    first.release(waiter)
    one.until(lambda: one.over)


def test_a_start_that_fails_is_told_to_who_waited_before(world):
    one = world("port")
    first = one.net()
    far = first.get("slow.test")
    one.until(lambda: first.policy.servers)
    second = one.succeed(first)
    one.until(lambda: second.pool.start_of(second.server("slow.test")).uid is not None)
    start = second.pool.start_of(second.server("slow.test"))
    one.until(lambda: start.tail)
    os.kill(start.pid, 9)
    one.until(lambda: b"\r\n\r\n" in far.got)
    assert far.take().startswith(b"HTTP/1.1 502")
    assert [failure.site for failure in second.policy.failures()] == ["slow.test"]
    assert "here is slow.test" in second.policy.failures()[0].detail


# Servers that stop


def test_a_server_that_stops_is_killed_by_the_new_process(world):
    one = world(stop_timeout=0.5)
    first = one.net()
    first.release(first.lease("a.test"))
    os.kill(pid(first, "a.test"), 19)
    first.pool.stop("a.test", "asked to")
    signalled = next(iter(first.pool._of.values())).signalled_at
    second = one.succeed(first)
    assert second.states() == {"a.test": STOPPING}
    assert second.policy.deadline() == pytest.approx(signalled + 0.5, abs=1e-5)
    one.until(lambda: second.policy.servers == {})


def test_a_server_that_drains_ends_with_its_last_lease(world):
    one = world()
    first = one.net()
    busy = first.lease("a.test")
    first.pool.stop("a.test", "asked to")
    second = one.succeed(first)
    assert second.states() == {"a.test": DRAINING}
    first.release(busy)
    one.until(lambda: second.policy.servers == {})


def test_less_room_than_before(world):
    one = world()
    first = one.net()
    for site in ("a.test", "b.test", "c.test"):
        first.release(first.lease(site))
    busy = first.lease("a.test")
    second = one.succeed(first, max_servers=2)
    assert second.states()["b.test"] is STOPPING
    one.until(lambda: second.states() == {"a.test": READY, "c.test": READY})
    first.release(busy)


# Races


def test_a_server_that_ended_while_it_was_handed_over(world):
    one = world()
    first = one.net()
    early, late = first.lease("slow.test"), first.ask("slow.test")
    theirs = one.make_way(first)
    gone = first.yielded._leases[early.server]
    assert gone
    one.serving = first  # who is told, and has no use for it
    os.kill(next(row["pid"] for row in listing(one)), 9)
    one.until(lambda: listing(one) == [])
    second = one.net()
    done = one.take(second, theirs)
    one.until(lambda: done)
    one.until(lambda: early.taken_back)
    assert early.taken_back.detail == "the server ended while it was handed over"
    first.release(early)
    one.until(lambda: second.number("slow.test") == 2)  # a new one, for who waited
    one.touch("slow.test")
    one.until(lambda: not late.waiting)


def listing(world):
    rows = []
    world.spawner.servers().addCallback(rows.append)
    world.until(lambda: rows)
    return rows[0]


def test_a_server_that_ends_between_the_list_and_its_adoption(world):
    one = world()
    first = one.net()
    busy = first.lease("a.test")
    dead = pid(first, "a.test")
    theirs = one.make_way(first)
    second = one.net()
    ask = one.spawner.adopt

    def adopt(number):
        os.kill(dead, 9)
        one.until(lambda: listing(one) == [])
        return ask(number)

    one.spawner.adopt = adopt
    done = one.take(second, theirs)
    one.until(lambda: done)
    assert done == [None]
    one.until(lambda: second.policy.servers == {})
    first.release(busy)
    one.until(lambda: one.over)


def test_a_start_that_was_ordered_at_the_last_moment(world):
    one = world()
    first = one.net()
    waiter = first.ask("a.test")  # its Started is still to come
    second = one.succeed(first)
    one.until(lambda: not waiter.waiting)
    assert second.number("a.test") == 1
    first.release(waiter)


def test_a_waiter_that_leaves_while_its_grant_travels(world):
    one = world()
    first = one.net()
    waiter, other = first.ask("slow.test"), first.ask("slow.test")
    theirs = one.make_way(first)
    second = one.net()
    done = one.take(second, theirs)
    one.until(lambda: done)
    one.touch("slow.test")
    first.yielded._pair.pause()
    server = second.server("slow.test")
    one.until(lambda: server.leases == 2)
    first.gateway.cancel(waiter)
    one.settle()
    assert server.leases == 2
    first.yielded._pair.go_on()
    one.until(lambda: server.leases == 1)
    assert waiter.server is None
    assert other.server is not None
    first.release(other)
    one.until(lambda: server.leases == 0)
    one.until(lambda: one.over)


def test_a_waiter_that_leaves_before(world):
    one = world("port")
    first = one.net()
    waiter = first.ask("slow.test")
    second = one.succeed(first)
    assert second.policy.waiting == 1
    first.gateway.cancel(waiter)
    first.gateway.cancel(waiter)
    one.until(lambda: second.policy.waiting == 0)
    one.until(lambda: one.over)


def test_the_lease_of_a_server_that_has_gone_is_given_back(world):
    one = world()
    first = one.net()
    busy = first.lease("a.test")
    second = one.succeed(first)
    os.kill(pid(second, "a.test"), 9)
    one.until(lambda: second.policy.servers == {})
    first.release(busy)
    first.release(busy)  # late, and harmless
    one.until(lambda: one.over)


def test_an_early_lease_is_withdrawn_while_it_is_given_back(world):
    one = world()
    first = one.net()
    early = first.lease("slow.test")
    second = one.succeed(first)
    first.yielded._pair.pause()
    os.kill(pid(second, "slow.test"), 9)
    one.until(lambda: second.policy.servers == {})
    first.release(early)
    one.settle()
    first.yielded._pair.go_on()
    one.until(lambda: one.over)
    assert early.taken_back is None


def test_the_new_process_dies(world):
    one = world()
    first = one.net()
    busy, waiter = first.lease("a.test"), first.ask("slow.test")
    second = one.succeed(first)
    one.until(lambda: second.policy.waiting == 1 or second.policy.servers)
    second.predecessor.close()
    one.until(lambda: not waiter.waiting)
    assert (waiter.why.status, waiter.why.retry_after) == (503, 1.0)
    late = first.ask("c.test")
    assert late.why.status == 503
    assert one.over == []
    first.yielded.client(80, [os.open("/dev/null", os.O_RDONLY)])  # harmless
    first.release(busy)
    one.until(lambda: one.over)


def test_the_old_process_dies(world):
    one = world()
    first = one.net()
    first.lease("a.test")
    first.ask("slow.test")
    first.ask("slow.test")
    second = one.succeed(first, abandon_grace=0.2)
    one.until(lambda: second.policy.waiting)
    first.yielded.close()
    one.until(lambda: second.server("a.test").leases == 0)
    assert second.policy.waiting == 0
    one.until(lambda: second.states() == {"a.test": READY})  # the other started for nobody


def test_the_old_process_dies_before_it_has_told_all(world):
    one = world()
    first = one.net()
    first.lease("a.test")
    first.lease("b.test")
    theirs = one.make_way(first)
    ours, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for message in (theirs.recv(65536), theirs.recv(65536)):
        ours.send(message)  # of which version it is, and one server
    ours.close()
    theirs.close()
    end.setblocking(False)
    second = one.net()
    done = one.take(second, end)
    one.until(lambda: done)
    one.until(lambda: second.states() == {"a.test": STARTING, "b.test": STARTING} or done)
    assert [s.leases for s in second.policy.servers.values()] == [0, 0]
    body(one, second.get("a.test"))


def test_the_old_process_hangs(world, monkeypatch):
    monkeypatch.setattr(predecessors, "TOLD_WITHIN", 0.1)
    one = world()
    first = one.net()
    first.lease("a.test")
    ours, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end.setblocking(False)
    one.make_way(first).close()
    second = one.net()
    done = one.take(second, end)
    one.until(lambda: done)
    assert done == [None]
    body(one, second.get("a.test"))
    ours.close()


def test_another_version(world):
    one = world()
    first = one.net()
    first.lease("a.test")
    one.make_way(first).close()
    ours, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end.setblocking(False)
    ours.send(handover.encode(handover.Begin(handover.VERSION + 1)))
    second = one.net()
    done = one.take(second, end)
    one.until(lambda: done)
    assert ours.recv(10) == b""
    body(one, second.get("a.test"))
    ours.close()


def test_nobody_has_served_before(world):
    """As after a crash, with what the spawner's list alone can tell."""
    one = world("port")
    first = one.net()
    first.lease("a.test")
    first.yielded = None
    first.pool.yield_to(Nobody())
    second = one.net()
    done = one.take(second, None)
    one.until(lambda: done)
    assert second.states() == {"a.test": STARTING}
    one.until(lambda: second.states() == {"a.test": READY})
    body(one, second.get("a.test"))


class Nobody:
    def hold(self, start, early):
        pass

    def request(self, site, waiter):
        pass


# Three in a row


def test_what_the_first_has_in_flight_is_kept_by_the_third(world):
    one = world(max_servers=2)
    first = one.net()
    far = first.get("a.test", "/hold")
    one.until(lambda: first.server("a.test") and first.server("a.test").leases)
    early, late = first.lease("slow.test"), first.ask("slow.test")
    parked = first.get("c.test")
    one.until(lambda: first.policy.waiting == 2)
    second = one.succeed(first)
    one.until(lambda: second.policy.waiting == 2)
    third = one.succeed(second)
    ends = one.over
    assert second.policy.servers == {}
    one.until(lambda: third.policy.waiting == 2)
    assert third.server("a.test").leases == 1
    assert third.server("slow.test").leases == 1
    first.gateway.release(early.server, first.board.seconds())  # given back through both
    one.until(lambda: not late.waiting)
    assert third.server("slow.test").leases == 1
    assert third.server("slow.test").state is STARTING
    first.yielded.answered(late.server)
    one.until(lambda: third.server("slow.test").state is READY)
    first.release(late)
    body(one, parked)  # it has made room
    one.touch("hold")
    body(one, far)
    one.until(lambda: ends)
    one.until(lambda: third.states()["a.test"] is READY and not third.server("a.test").leases)


def test_an_early_lease_is_withdrawn_through_both(world):
    one = world()
    first = one.net()
    early, late = first.lease("slow.test"), first.ask("slow.test")
    second = one.succeed(first)
    third = one.succeed(second)
    os.kill(pid(third, "slow.test"), 9)
    one.until(lambda: early.taken_back and late.why)
    assert early.taken_back.status == late.why.status == 502


def test_the_second_dies_and_the_third_has_its_leases_back(world):
    one = world()
    first = one.net()
    first.lease("a.test")
    waiter = first.ask("slow.test")
    second = one.succeed(first)
    third = one.succeed(second)
    second.end()
    one.until(lambda: third.server("a.test").leases == 0)
    one.until(lambda: waiter.why)
    assert waiter.why.status == 503
