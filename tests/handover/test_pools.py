"""A process follows another one while servers run, start and stop, and requests are in flight."""

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys

import pytest
from twisted.python.failure import Failure

from luisito.core import handover, wire
from luisito.core.events import Kind
from luisito.core.lifecycle import State
from luisito.errors import SpawnerLost
from luisito.handover import predecessor as predecessors
from luisito.net.handed import Handed
from luisito.process import outgoing
from luisito.spawner import tree
from tests.handover.conftest import WAYS, Asker, Logged, Nobody, waits
from tests.harness import processes
from tests.net.turns import tcp_pair

STARTING, READY, DRAINING, STOPPING = (
    State.STARTING,
    State.READY,
    State.DRAINING,
    State.STOPPING,
)


def ends():
    """Of a door: ours, by which a test is the old process, and the new one's."""
    ours, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end.setblocking(False)
    return ours, end


@pytest.mark.parametrize(("way", "tcp"), [*((way, False) for way in WAYS), ("fd", True)])
def test_a_server_that_is_awake_goes_on(world, way, tcp):
    one = world(way, tcp=tcp)
    first = one.net()
    served_by = one.body(first.get("a.test"))
    before, start = first.server("a.test"), first.pool.start_of(first.server("a.test"))
    times = before.started_at, before.ready_at, before.used_at
    second = one.succeed(first)
    server = second.server("a.test")
    assert first.policy.servers == {}
    assert (server.state, server.leases, server.released) == (READY, 0, 1)
    after = server.started_at, server.ready_at, server.used_at
    assert after == pytest.approx(times, abs=1e-5)
    assert second.number("a.test") == start.number == served_by
    assert second.pid("a.test") == start.pid
    assert one.body(second.get("a.test")) == served_by
    start = second.pool.start_of(server)
    # what it says from now on comes here
    one.until(lambda: start.tail == "here is a.test\nasked for \nasked for")
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
    assert first.done == []
    one.touch("hold")
    one.body(far)
    one.body(other)  # only now there is room
    one.until(lambda: first.done)
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
    one.until(lambda: first.done)
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
    served_by = {one.body(far) for far in fars}
    assert served_by == {second.number("slow.test")}
    one.until(lambda: first.done)
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
    one.body(far)
    one.body(other)
    one.until(lambda: first.done)


def test_a_request_that_is_tried_again_asks_the_new_process(world):
    """Its server dies under it in the old one."""
    one = world()
    first = one.net()
    far = first.get("a.test", "/hold")
    one.until(lambda: first.server("a.test") and first.server("a.test").leases)
    one.until(lambda: first.states() == {"a.test": READY})
    second = one.succeed(first)
    dead = second.pid("a.test")
    os.kill(dead, signal.SIGKILL)
    # the spawner tells of it, before the old process looks for another one
    processes.until(lambda: not os.path.exists(f"/proc/{dead}"), 8, "the end of the server")
    one.touch("hold")
    assert one.body(far) == 2


# Servers that start


def test_an_early_lease_of_before_is_the_only_one(world):
    one = world()
    first = one.net()
    early = first.early("slow.test")
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
    one.until(lambda: not waits(one))
    done = one.take(second, theirs)
    one.until(lambda: done)
    one.until(lambda: second.states() == {"slow.test": READY})
    one.touch("hold")
    one.body(far)


def test_an_early_lease_from_the_new_process_makes_it_ready(world):
    """Who waits in the old process is the first to be connected, by the old process."""
    one = world()
    first = one.net()
    blocker = first.early("slow.test")
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
    one.body(far)
    one.until(lambda: server.state is READY)


def test_an_answer_in_the_old_process_makes_it_ready(world):
    one = world()
    first = one.net()
    early = first.early("slow.test")
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
    one.until(lambda: first.done)
    one.until(lambda: second.policy.servers == {})


def test_an_early_lease_from_the_new_process_is_withdrawn(world):
    one = world()
    first = one.net()
    blocker = first.early("slow.test")
    waiter = first.ask("slow.test")
    second = one.succeed(first)
    first.release(blocker)
    one.until(lambda: not waiter.waiting)
    os.kill(second.pid("slow.test"), signal.SIGKILL)
    one.until(lambda: waiter.taken_back)
    assert waiter.taken_back.status == 502
    assert "SIGKILL" in waiter.taken_back.detail
    first.release(waiter)
    one.until(lambda: first.done)


def test_a_start_that_fails_is_told_to_who_waited_before(world):
    one = world("port")
    first = one.net()
    far = first.get("slow.test")
    one.until(lambda: first.policy.servers)
    second = one.succeed(first)
    one.until(lambda: second.pool.start_of(second.server("slow.test")).uid is not None)
    start = second.pool.start_of(second.server("slow.test"))
    one.until(lambda: start.tail)
    os.kill(start.pid, signal.SIGKILL)
    one.until(lambda: b"\r\n\r\n" in far.got)
    assert far.take().startswith(b"HTTP/1.1 502")
    assert [failure.site for failure in second.policy.failures()] == ["slow.test"]
    assert "here is slow.test" in second.policy.failures()[0].detail


def test_who_waits_for_room_waits_no_longer_than_before(world):
    one = world(max_servers=1)
    first = one.net()
    busy = first.lease("a.test")
    waiters = [first.ask("b.test"), first.ask("c.test")]
    before = list(first.policy._sites.parked.values())
    second = one.succeed(first)
    assert list(second.policy._sites.parked.values()) == pytest.approx(before, abs=1e-5)
    third = one.succeed(second)
    assert list(third.policy._sites.parked.values()) == pytest.approx(before, abs=1e-5)
    assert all(waiter.waiting for waiter in waiters)
    first.release(busy)
    one.until(lambda: not waiters[0].waiting)
    first.release(waiters[0])
    one.until(lambda: not waiters[1].waiting)
    first.release(waiters[1])


def test_a_start_that_somebody_waits_for_makes_no_room_for_others(world):
    one = world("port", max_servers=1)
    first = one.net()
    far = first.get("slow.test")
    one.until(lambda: first.policy.servers)
    other = first.get("b.test")
    one.until(lambda: first.policy.waiting == 2)
    second = one.succeed(first)
    assert second.policy.waiting == 2
    assert second.states() == {"slow.test": STARTING}
    one.touch("slow.test")
    assert (one.body(far), one.body(other)) == (1, 2)


@pytest.mark.parametrize("changed", [False, True])
def test_a_site_that_has_failed_is_left_alone_as_long_as_the_same_would_be_run(world, changed):
    one = world("port")
    first = one.net()
    first.ask("slow.test")
    one.until(lambda: first.pool.start_of(first.server("slow.test")).uid is not None)
    os.kill(first.pid("slow.test"), signal.SIGKILL)
    one.until(first.policy.failures)
    (before,) = first.policy.failures()
    theirs = one.make_way(first)
    if changed:
        one.runs = "something else"
    second = one.net()
    done = one.take(second, theirs)
    one.until(lambda: done)
    if changed:
        assert second.policy.failures() == []
        return
    (after,) = second.policy.failures()
    assert (after.site, after.detail, after.times) == (before.site, before.detail, 1)
    times = before.until, before.forget_at
    assert (after.until, after.forget_at) == pytest.approx(times, abs=1e-5)


def test_the_next_knows_what_sites_took_that_sleep_by_now(world):
    one = world()
    first = one.net()
    for number, site in enumerate(["a.test", "b.test"], 1):
        lease = first.lease(site)
        started = first.pool.start_of(first.server(site))
        first.pool.spawner_weighed({started.number: 5000 * number, 999: 1})
        first.release(lease)
        first.pool.stop(site, "asked to")
    one.until(lambda: not first.policy.servers)
    second = one.succeed(first)
    assert second.policy.took() == [("a.test", 5000), ("b.test", 10000)]


# Servers that stop


def test_a_server_that_stops_is_killed_by_the_new_process(world):
    one = world(stop_timeout=60.0)
    first = one.net()
    first.wake("a.test")
    held = first.pid("a.test")
    os.kill(held, signal.SIGSTOP)
    processes.until(lambda: processes.stat(held)[0] == "T", 8, "a stop")
    first.pool.stop("a.test", "asked to")
    with Logged() as logged:
        second = one.succeed(first, stop_timeout=0.1)
        one.until(lambda: second.policy.servers == {})
    assert [text for text in logged.texts if "does not stop within STOP_TIMEOUT" in text]


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
    first.wake("a.test", "b.test", "c.test")
    busy = first.lease("a.test")
    second = one.succeed(first, max_servers=2)
    assert second.server("b.test") is None
    one.until(lambda: second.states() == {"a.test": READY, "c.test": READY})
    first.release(busy)


def test_the_settings_have_changed(world):
    one = world()
    first = one.net()
    first.wake("a.test", "b.test")
    busy = first.lease("a.test")
    ask = one.spawner.servers
    one.spawner.servers = lambda: ask().addCallback(
        lambda rows: [{**row, "current": 0} for row in rows]
    )
    second = one.succeed(first)
    assert second.server("a.test") is second.server("b.test") is None
    assert one.body(second.get("a.test")) == 3
    first.release(busy)
    one.until(lambda: second.states() == {"a.test": READY})


def test_a_site_that_is_none_any_more(world):
    one = world("port")
    first = one.net()
    far = first.get("slow.test")
    one.until(lambda: first.policy.servers)
    theirs = one.make_way(first)
    second = one.net(hosts=["other.test"])
    done = one.take(second, theirs)
    one.until(lambda: done)
    one.until(lambda: b"\r\n\r\n" in far.got)
    assert far.take().startswith(b"HTTP/1.1 404")
    one.until(lambda: first.done)


def test_whether_a_site_has_a_folder_is_asked_by_the_new_process(world):
    one = world()
    one.names = {"PROJECT_PATH": f"{one.folder}/%HOST"}
    first = one.net()
    one.names = {}
    second = one.succeed(first)
    asker = Asker()
    first.gateway.request("a.test", asker)  # the spawner would say that it has none
    one.until(lambda: not asker.waiting)
    assert asker.server is not None
    assert second.number("a.test") == 1


# Races


def test_a_server_that_ended_while_it_was_handed_over(world):
    one = world()
    first = one.net()
    early, late = first.early("slow.test"), first.ask("slow.test")
    theirs = one.make_way(first)
    gone = first.yielded._leases[early.server]
    assert gone
    one.serving = first  # who is told, and has no use for it
    os.kill(next(row["pid"] for row in listing(one)), signal.SIGKILL)
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


def handing_over(world):
    """Who has made way, with a server awake: that one's pid, the ends of pairs, who follows."""
    first = world.net()
    first.wake("a.test")
    return first, first.pid("a.test"), world.make_way(first), world.net()


def end_before_adoption(world, pid):
    """Has a server end between the list and its adoption."""
    ask = world.spawner.adopt

    def adopt(number):
        os.kill(pid, signal.SIGKILL)
        world.until(lambda: listing(world) == [])
        return ask(number)

    world.spawner.adopt = adopt


def test_a_server_that_ends_between_the_list_and_its_adoption(world):
    one = world()
    first = one.net()
    busy = first.lease("a.test")
    dead = first.pid("a.test")
    theirs = one.make_way(first)
    second = one.net()
    end_before_adoption(one, dead)
    done = one.take(second, theirs)
    one.until(lambda: done)
    assert done == [None]
    one.until(lambda: second.policy.servers == {})
    first.release(busy)
    one.until(lambda: first.done)


def test_no_interpreter_stays_for_a_server_that_ended_before_its_adoption(world):
    one = world()
    first, dead, theirs, second = handing_over(one)
    end_before_adoption(one, dead)
    listed = one.spawner.servers

    def shared(rows):
        return [{**row, "environment": "shared"} for row in rows]

    one.spawner.servers = lambda: listed().addCallback(shared)
    done = one.take(second, theirs)
    one.until(lambda: done)
    one.until(lambda: second.policy.servers == {})
    assert second.pool.crew.preloads._preloading._by_server == {}
    one.until(lambda: first.done)


@pytest.mark.parametrize("reaped", [False, True])
def test_a_server_that_has_gone_before_it_is_adopted_and_of_which_nobody_has_told(world, reaped):
    """Its process has just ended, and what it has left is still to be killed; or that is done."""
    one = world()
    first, dead, theirs, second = handing_over(one)
    adopted = one.hold_adoptions(keep=None if reaped else 2)
    done = one.take(second, theirs)
    one.until(lambda: adopted)
    exits = []
    one.spawner_exited = exits.append
    if reaped:
        os.kill(dead, signal.SIGKILL)
        one.until(lambda: exits)
    adopted[0]()
    one.until(lambda: done)
    assert done == [None]
    assert second.states() == {"a.test": READY}
    far, waiter = second.get("a.test"), first.ask("a.test")  # which is given the address
    one.until(lambda: b"\r\n\r\n" in far.got)
    assert far.take().startswith(b"HTTP/1.1 502")
    one.until(lambda: not waiter.waiting)
    first.release(waiter)
    if not reaped:
        os.kill(dead, signal.SIGKILL)
        one.until(lambda: exits)
    del one.spawner_exited
    second.pool.spawner_exited(exits[0])
    assert one.body(second.get("a.test")) == 2


def test_a_start_that_was_ordered_at_the_last_moment(world):
    one = world()
    first = one.net()
    waiter = first.ask("a.test")  # its Started is still to come
    second = one.succeed(first)
    one.until(lambda: not waiter.waiting)
    assert second.number("a.test") == 1
    first.release(waiter)


def test_a_waiter_that_leaves_while_its_grant_travels(world):
    one = world("port")
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
    one.until(lambda: first.done)


def test_a_waiter_that_leaves_before(world):
    one = world("port")
    first = one.net()
    waiter = first.ask("slow.test")
    second = one.succeed(first)
    assert second.policy.waiting == 1
    first.gateway.cancel(waiter)
    first.gateway.cancel(waiter)
    one.until(lambda: second.policy.waiting == 0)
    one.until(lambda: first.done)


def test_the_lease_of_a_server_that_has_gone_is_given_back(world):
    one = world()
    first = one.net()
    busy = first.lease("a.test")
    second = one.succeed(first)
    os.kill(second.pid("a.test"), signal.SIGKILL)
    one.until(lambda: second.policy.servers == {})
    first.release(busy)
    first.release(busy)  # late, and harmless
    one.until(lambda: first.done)


def test_an_early_lease_is_withdrawn_while_it_is_given_back(world):
    one = world()
    first = one.net()
    early = first.early("slow.test")
    second = one.succeed(first)
    first.yielded._pair.pause()
    os.kill(second.pid("slow.test"), signal.SIGKILL)
    one.until(lambda: second.policy.servers == {})
    first.release(early)
    one.settle()
    first.yielded._pair.go_on()
    one.until(lambda: first.done)
    assert early.taken_back is None


def test_the_new_process_dies(world):
    one = world("port")
    first = one.net()
    busy, waiter = first.lease("a.test"), first.ask("slow.test")
    second = one.succeed(first)
    one.until(lambda: second.policy.waiting == 1 or second.policy.servers)
    second.predecessor.close()
    one.until(lambda: not waiter.waiting)
    assert (waiter.why.status, waiter.why.retry_after) == (503, 1.0)
    late = first.ask("c.test")
    assert late.why.status == 503
    assert first.done == []
    first.get("a.test")  # whose client cannot be passed on
    first.release(busy)
    one.until(lambda: first.done)


def test_the_old_process_dies(world):
    one = world("port")
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
    one.body(second.get("a.test"))


def test_the_old_process_hangs(world, monkeypatch):
    monkeypatch.setattr(predecessors, "TOLD_WITHIN", 0.1)
    one = world()
    first = one.net()
    first.lease("a.test")
    ours, end = ends()
    one.make_way(first).close()
    second = one.net()
    done = one.take(second, end)
    one.until(lambda: done)
    assert done == [None]
    one.body(second.get("a.test"))
    ours.close()


def test_the_old_process_is_killed(world):
    """In the middle of all: what it said last counts, though it has left replies unread."""
    one = world("port")
    first = one.net()
    first.lease("a.test")
    theirs = one.make_way(first)
    said = []
    while not said or not isinstance(said[-1], handover.Handed):
        said.append(handover.decode_told(theirs.recv(65536)))
    lease = said[1].lease
    said += [handover.Want(100 + n, "slow.test", None) for n in range(20)]
    ours, end = ends()
    reader, writer = os.pipe()
    far = socket.create_server(("127.0.0.1", 0))
    last = [handover.Released(lease), handover.Client(80)]
    child = subprocess.Popen(
        [sys.executable, "-c", OLD, str(ours.fileno()), str(reader), str(far.getsockname()[1])],
        pass_fds=(ours.fileno(), reader),
        stdin=subprocess.PIPE,
    )
    for message in (*said, *last):
        child.stdin.write(handover.encode(message) + b"\n")
    child.stdin.close()
    ours.close()
    os.close(reader)
    second = one.net()
    done = one.take(second, end)
    one.until(lambda: done)
    server = second.server("a.test")
    assert server.leases == 1
    one.until(lambda: second.policy.waiting == 20)
    one.until(lambda: second.server("slow.test"))
    one.touch("slow.test")
    one.until(lambda: second.policy.waiting == 0)
    second.predecessor._pair.pause()
    os.write(writer, b"x")  # it says its last words
    os.close(writer)
    child.wait()
    assert child.returncode == -9
    second.predecessor._pair.go_on()
    one.until(lambda: server.leases == 0)
    one.until(lambda: second.server("slow.test").leases == 0)
    theirs.close()
    with far:
        client = one.far(far.accept()[0])
    client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert one.body(client) == 1


# Says all lines but two, waits until it is told to, says these, and is killed.
OLD = """
import array, os, signal, socket, sys
sock = socket.socket(fileno=int(sys.argv[1]))
*lines, released, passed = sys.stdin.buffer.read().splitlines()
for line in lines:
    sock.send(line)
os.read(int(sys.argv[2]), 1)
sock.send(released)
client = socket.create_connection(("127.0.0.1", int(sys.argv[3])))
rights = array.array("i", [client.fileno()])
sock.sendmsg([passed], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_another_version(world):
    one = world()
    first = one.net()
    first.lease("a.test")
    one.make_way(first).close()
    ours, end = ends()
    ours.send(handover.encode(handover.Begin(handover.VERSION + 1)))
    second = one.net()
    done = one.take(second, end)
    one.until(lambda: done)
    assert ours.recv(10) == b""
    one.body(second.get("a.test"))
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
    assert second.states() == {"a.test": READY}
    one.body(second.get("a.test"))


def test_nobody_has_served_before_and_the_spawner_tells_who_is_ready(world):
    one = world()
    first = one.net()
    first.wake("a.test")
    first.pool.yield_to(Nobody())
    ask = one.spawner.servers
    one.spawner.servers = lambda: ask().addCallback(
        lambda rows: [{**row, "ready": 1, "started": 1} for row in rows]
    )
    second = one.net()
    done = one.take(second, None)
    one.until(lambda: done)
    assert second.states() == {"a.test": READY}
    assert one.body(second.get("a.test")) == 1


def test_no_room_for_the_descriptors_of_a_server(world):
    one = world()
    first = one.net()
    busy = first.lease("a.test")
    adopt = one.spawner.adopt

    def no_room(number):
        return adopt(number).addCallback(lambda fds: [os.close(fd) for fd in fds] and 1 / 0)

    def as_client(number):
        return no_room(number).addErrback(lambda _: Failure(LookupError("")))

    one.spawner.adopt = as_client
    with Logged() as logged:
        second = one.succeed(first)
        one.until(lambda: second.policy.servers == {})
    assert [text for text in logged.texts if "too many files open" in text]
    assert not [text for text in logged.texts if "memory runs out" in text]
    first.release(busy)


def test_the_spawner_is_lost_meanwhile(world):
    one = world()
    first = one.net()
    busy = first.lease("a.test")
    theirs = one.make_way(first)
    top = one.spawner._process.pid
    for pid in (top, *tree.children(top)):  # the guardian, too, where there is one
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    second = one.net()
    done = one.take(second, theirs)
    one.until(lambda: done)
    one.until(lambda: one.lost)
    assert done[0].check(SpawnerLost)
    first.release(busy)


# The end


def hand(net, count=1):
    """Pass clients on, of whom nobody has read what they have sent; returns their far ends."""
    fars = []
    for _ in range(count):
        ours, far = tcp_pair()
        fars.append(net.world.far(far))
        net.yielded.client(Handed(ours, 8080, b"GET / HT"))
        fars[-1].send(b"TP/1.1\r\nHost: a.test\r\n\r\n")
    return fars


def test_a_process_ends_when_nothing_is_in_flight_and_all_is_said(world):
    one = world(queue_limit=1000)
    first = one.net()
    busy = first.lease("a.test")
    second = one.succeed(first)
    second.predecessor._pair.pause()
    fars = hand(first, 10)
    while not first.yielded._pair._outgoing:
        fars += hand(first, 10)
    first.release(busy)
    one.until(lambda: first.yielded.over.called)
    one.settle()
    assert not first.done
    second.predecessor._pair.go_on()
    one.until(lambda: first.done)
    assert {one.body(far) for far in fars} == {1}


def test_it_does_not_wait_for_what_can_never_be_said(world):
    one = world()
    first = one.net()
    second = one.succeed(first)
    second.predecessor._pair.pause()
    waits = []
    while not first.yielded._pair._outgoing:
        hand(first, 10)
    first.yielded.flush().addCallback(waits.append)
    one.settle()
    assert not waits
    second.end()
    one.until(lambda: waits)


def test_the_second_ends_after_the_first(world):
    one = world()
    first = one.net()
    far = first.get("a.test", "/hold")
    one.until(lambda: first.server("a.test") and first.server("a.test").leases)
    second = one.succeed(first)
    third = one.succeed(second)
    one.until(lambda: second.yielded._handed)
    one.settle()
    assert not second.done
    one.touch("hold")
    one.body(far)
    one.until(lambda: first.done)
    one.until(lambda: third.gateway.counters.taken)
    assert not second.done
    first.end()
    one.until(lambda: second.done)
    far.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
    one.body(far)
    assert third.gateway.counters.answers == 1


def test_facts_about_servers_that_were_given_up(world):
    one = world()
    first = one.net()
    first.wake("a.test")
    second = one.succeed(first)
    one.serving = first
    fds = [os.open(os.devnull, os.O_RDONLY) for _ in range(2)]
    first.pool.spawner_started(1, 2, *fds)
    for fd in fds:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
    first.pool.spawner_running(wire.Running(1, 2, 3, "a", "/", []))
    first.pool.spawner_failed(1, "why", overloaded=False)
    first.pool.spawner_exited(wire.Exited(1, 0, None))
    assert first.policy.servers == {}
    assert second.states() == {"a.test": READY}


def test_a_start_is_logged_once(world):
    """The spawner tells whoever adopts a server how it was started."""
    one = world()
    first = one.net()
    first.wake("a.test")
    second = one.succeed(first)
    start = second.pool.start_of(second.server("a.test"))
    with Logged() as logged:
        second.pool.spawner_running(wire.Running(1, start.uid, 0, "a", "/", ["serve"]))
    assert start.argv == ["serve"]
    assert logged.texts == []


def test_the_end_of_the_last_server_ends_a_drain(world):
    """One that was told to stop, and then to yield."""
    one = world()
    first = one.net()
    first.lease("a.test")
    empty = []
    first.pool.shutdown().addCallback(empty.append)
    assert not empty
    one.succeed(first)
    assert empty == [None]


# Clients, and what else is said


def test_a_client_goes_on_with_the_new_process(world):
    one = world()
    first = one.net()
    idle, busy = first.get("a.test"), first.get("a.test", "/hold")
    one.body(idle)
    second = one.succeed(first)
    one.until(lambda: second.gateway.counters.taken == 1)
    for far in (idle, busy):
        one.touch("hold")
        if far is busy:
            one.body(far)
        far.send(b"GET / HTTP/1.1\r\nHost: b.test\r\n\r\n")
        assert one.body(far) == second.number("b.test")
    assert second.gateway.counters.taken == 2
    one.until(lambda: first.done)


def test_many_clients_wait_until_they_are_read(world):
    one = world(queue_limit=1000)
    first = one.net()
    second = one.succeed(first)
    second.predecessor._pair.pause()
    fars = hand(first, 300)
    assert first.yielded._pair._outgoing
    second.predecessor._pair.go_on()
    assert {one.body(far) for far in fars} == {1}
    assert second.gateway.counters.taken == 300


def test_clients_who_wait_to_be_passed_on_are_closed_when_the_new_process_dies(world):
    one = world()
    first = one.net()
    second = one.succeed(first)
    second.predecessor._pair.pause()
    fars = hand(first, 300)
    second.end()
    one.until(lambda: all(far.over for far in fars))


def test_no_room_to_keep_a_client(world, monkeypatch):
    one = world()
    first = one.net()
    second = one.succeed(first)
    second.predecessor._pair.pause()
    hand(first, 300)

    def full(_fd):
        raise OSError(errno.EMFILE, "Too many open files")

    ours, far = tcp_pair()
    far = one.far(far)
    with monkeypatch.context() as patch:
        patch.setattr(outgoing.os, "dup", full)
        with pytest.raises(OSError, match="Too many open files"):
            first.yielded.client(Handed(ours, 8080, b""))
    one.until(lambda: far.over)


def test_thousands_wait(world):
    """More than the socket between them holds, on the way there and on the way back."""
    one = world("port", queue_limit=5000, queue_total=5000)
    first = one.net()
    waiters = [first.ask("slow.test") for _ in range(4000)]
    second = one.succeed(first)
    one.until(lambda: second.policy.waiting == 4000)
    one.touch("slow.test")
    one.until(lambda: not any(waiter.waiting for waiter in waiters))
    assert second.server("slow.test").leases == 4000
    for waiter in waiters:
        first.release(waiter)
    one.until(lambda: second.server("slow.test").leases == 0)
    one.until(lambda: first.done)


def test_more_wait_than_may(world):
    one = world("port")
    first = one.net()
    waiters = [first.ask("slow.test") for _ in range(5)]
    second = one.succeed(first, queue_limit=2)
    one.until(lambda: sum(waiter.waiting for waiter in waiters) == 2)
    assert [waiter.why.status for waiter in waiters[2:]] == [503] * 3
    assert second.policy.waiting == 2
    chronicle = second.pool.chronicle
    assert [event.count for event in chronicle.recent if event.kind is Kind.REFUSED] == [1]
    second.pool.close()  # the last ones are told at the end
    assert [event.count for event in chronicle.recent if event.kind is Kind.REFUSED] == [1, 2]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "not JSON"),
        (b'{"op": "granted"}', "unknown message 'granted'"),
        (handover.encode(handover.Handed()), "out of turn"),
        (handover.encode(handover.Begin(handover.VERSION)), "out of turn"),
        (b" " * 70_000, "cut"),
    ],
)
def test_what_makes_no_sense_costs_nothing_else(world, data, words):
    one = world()
    first = one.net()
    second = one.succeed(first)
    with Logged() as logged:
        first.yielded._pair._sock.send(data)
        first.yielded.request("a.test", waiter := Asker())
        one.until(lambda: not waiter.waiting)
    assert [text for text in logged.texts if words in text]
    assert second.policy.servers


def test_leases_and_waiters_that_are_unknown(world):
    one = world("port")
    first = one.net()
    waiter = first.ask("slow.test")
    second = one.succeed(first)
    number = first.yielded._numbers[waiter]
    pair = first.yielded._pair
    with Logged() as logged:
        for message in (
            handover.Released(99),
            handover.Unwant(99),
            handover.Answered(99),
            handover.Connected(99),
            handover.Want(number, "b.test", None),
        ):
            pair.send(message)
        said = f"request {number} waits already"
        one.until(lambda: [text for text in logged.texts if said in text])
    back = second.predecessor._pair
    back.send(handover.Refused(99, 503, "", None))
    back.send(handover.Withdrawn(99, 503, ""))
    one.settle()
    assert waiter.waiting


def told(world, old, new, *messages):
    """A process takes over from one that says this, and has no servers; returns its end."""
    old.pool.yield_to(Nobody())
    ours, end = ends()
    for message in (handover.Begin(handover.VERSION), *messages, handover.Handed()):
        ours.send(handover.encode(message))
    done = world.take(new, end)
    world.until(lambda: done)
    assert done == [None]
    return ours


def test_two_requests_of_one_number(world):
    one = world()
    first, second = one.net(), one.net()
    want = handover.Want(1, "slow.test", None)
    with Logged() as logged:
        ours = told(one, first, second, want, want)
    assert [text for text in logged.texts if "request 1 waits already" in text]
    other = second.ask("slow.test")
    one.until(lambda: second.server("slow.test").leases)
    second.pool.answered(second.server("slow.test"))
    assert not other.waiting
    ours.close()
    one.until(lambda: second.server("slow.test").leases == 1)


def test_one_lease_on_two_servers(world):
    one = world()
    first, second = one.net(), one.net()
    first.wake("a.test", "b.test", "c.test")
    numbers = [first.number(site) for site in ("a.test", "b.test", "c.test")]
    lents = [handover.Lent(number, 1, False) for number in numbers[:2]]
    held = handover.Held(
        numbers[2], "ready", 1, False, False, False, 0, 1, 1, 1, None, False, ""
    )  # fmt: skip
    with Logged() as logged:
        ours = told(one, first, second, *lents, held)
    assert len([text for text in logged.texts if "lease 1 is held already" in text]) == 2
    assert [second.server(site).leases for site in ("a.test", "b.test", "c.test")] == [1, 0, 0]
    ours.close()
    one.until(lambda: not second.server("a.test").leases)


@pytest.mark.parametrize("state", ["ready", "starting"])
def test_nobody_knows_where_a_server_listens(world, state):
    """It is ready, as the old process tells, but not since when; or has answered already."""
    one = world("port")
    first, second = one.net(), one.net()
    first.ask("slow.test")
    start = first.pool.start_of(first.server("slow.test"))
    one.until(lambda: start.uid is not None)
    held = handover.Held(
        start.number, state, 1, False, False, False, 0, handover.micros(first.board.seconds()),
        None, 0, None, False, "",
    )  # fmt: skip
    ours = told(one, first, second, held)
    ours.send(handover.encode(handover.Answered(1)))
    far = second.get("slow.test")
    one.settle()
    assert second.states() == {"slow.test": STARTING}
    one.touch("slow.test")
    one.body(far)
    ours.close()


def test_a_fault_in_an_order_costs_no_other(world):
    class Faulty(Asker):
        def granted(self, server):
            1 / 0  # noqa: B018

    one = world("port")
    net = one.net()
    net.gateway.request("slow.test", Faulty())
    other = net.ask("slow.test")
    with Logged() as logged:
        one.touch("slow.test")
        one.until(lambda: not other.waiting)
    assert other.server is not None
    failures = [event for event in logged.events if "log_failure" in event]
    assert [failure["order"].server for failure in failures] == [other.server]


def test_a_fault_in_a_hook_costs_nothing_else(world):
    one = world()
    first = one.net()
    second = one.succeed(first)
    second.predecessor._client = lambda handed: handed.sock.close() or 1 / 0
    with Logged() as logged:
        hand(first)
        first.yielded.request("a.test", waiter := Asker())
        one.until(lambda: not waiter.waiting)
    assert [event for event in logged.events if "log_failure" in event]


def test_an_early_client_is_out_of_turn(world):
    one = world()
    first = one.net()
    theirs = one.make_way(first)
    ours, end = ends()
    ours.send(handover.encode(handover.Begin(handover.VERSION)))
    with open(os.devnull) as file:
        socket.send_fds(ours, [handover.encode(handover.Client(80))], [file.fileno()])
    ours.send(handover.encode(handover.Handed()))
    second = one.net()
    with Logged() as logged:
        done = one.take(second, end)
        one.until(lambda: done)
    assert [text for text in logged.texts if "out of turn: Client" in text]
    assert second.gateway.counters.taken == 0
    ours.close()
    theirs.close()


# Three in a row


def test_what_the_first_has_in_flight_is_kept_by_the_third(world):
    one = world(max_servers=2)
    first = one.net()
    far = first.get("a.test", "/hold")
    one.until(lambda: first.server("a.test") and first.server("a.test").leases)
    early, late = first.early("slow.test"), first.ask("slow.test")
    parked = first.get("c.test")
    one.until(lambda: first.policy.waiting == 2)
    second = one.succeed(first)
    one.until(lambda: second.policy.waiting == 2)
    third = one.succeed(second)
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
    one.body(parked)  # it has made room
    one.touch("hold")
    one.body(far)
    first.end()
    one.until(lambda: second.done)
    one.until(lambda: third.states()["a.test"] is READY and not third.server("a.test").leases)


def test_an_early_lease_is_withdrawn_through_both(world):
    one = world()
    first = one.net()
    early, late = first.early("slow.test"), first.ask("slow.test")
    second = one.succeed(first)
    third = one.succeed(second)
    os.kill(third.pid("slow.test"), signal.SIGKILL)
    one.until(lambda: early.taken_back and late.why)
    assert early.taken_back.status == late.why.status == 502


def test_the_second_dies_and_the_third_has_its_leases_back(world):
    one = world("port")
    first = one.net()
    first.lease("a.test")
    waiter = first.ask("slow.test")
    second = one.succeed(first)
    third = one.succeed(second)
    second.end()
    one.until(lambda: third.server("a.test").leases == 0)
    one.until(lambda: waiter.why)
    assert waiter.why.status == 503
