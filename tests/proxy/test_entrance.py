"""Whether a client may connect: how many there are, and from where."""

import pytest

from tests.proxy.rig import GET, OK

CLIENTS = "All 3 client connections"


def told(log):
    return [event["log_format"].split(",")[0] for event in log]


@pytest.fixture
def full(make):
    """A rig that is full with three clients who have had an answer, the first of them first."""
    rig = make(MAX_CLIENTS=3)
    clients = []
    for _ in range(3):
        assert not rig.gateway.entrance.is_full()
        client = rig.client()
        client.send(GET)
        if not clients:
            app = rig.accept()
        rig.head(app)
        app.send(OK)
        rig.expect(client, b"ok")
        clients.append(client)
        rig.after(1)
    return rig, clients, app


def test_those_that_have_been_idle_longest_make_room(full):
    rig, clients, _app = full
    new, busy = clients[2], clients[0]
    rig.pool.awake = False
    busy.send(GET.replace(b"GET", b"PUT"))
    rig.until(lambda: rig.pool.waiters)
    rig.gateway.entrance.make_room()
    rig.until(lambda: not rig.gateway.entrance.is_full())
    rig.until(lambda: clients[1].over)
    assert rig.counters.closed_for_room == 2
    rig.settle()
    assert new.over
    assert not busy.over
    rig.pool.refuse(503, "")


def test_no_more_are_closed_than_make_room_for_some(make):
    rig = make(MAX_CLIENTS=50)
    for _ in range(50):
        assert not rig.gateway.entrance.is_full()
        rig.client()
        rig.turn()
        rig.clock.advance(0.01)
    rig.gateway.entrance.make_room()
    rig.until(lambda: not rig.gateway.entrance.is_full())
    rig.until(lambda: sum(far.over for far in rig.fars) == 32)
    assert [far.over for far in rig.fars] == [True] * 32 + [False] * 18


@pytest.mark.parametrize("begun", [GET, GET[:-2]])
def test_where_all_are_busy_nobody_is_closed(make, log, begun):
    """Not even whose request is not whole yet: HEAD_TIMEOUT ends it."""
    rig = make(MAX_CLIENTS=3)
    rig.pool.awake = False
    for _ in range(3):
        rig.client().send(begun)
    rig.settle()
    entrance = rig.gateway.entrance
    for _ in range(50):
        assert not entrance.make_room()
        rig.after(0.2)
    assert rig.counters.closed_for_room == 0
    assert told(log) == ["All {most} client connections that there may be are in use"] * 2
    rig.fars[0].abort()
    rig.until(lambda: not entrance.is_full())
    rig.pool.refuse(503, "")


def test_a_client_counts_until_it_is_closed(make):
    """Also one that only reads the rest of its answer."""
    rig = make(MAX_CLIENTS=1, TRUSTED_PROXIES=["unix"], MAX_CLIENTS_PER_ADDRESS=1)
    entrance = rig.gateway.entrance
    client = rig.client(b"192.0.2.1")
    client.send(b"x\r\n\r\n")
    rig.expect(client, b"</html>\n")
    rig.settle()
    assert rig.gateway._clients == set()
    assert entrance.is_full()
    assert not entrance.welcomes(b"192.0.2.1")
    client.end()
    rig.until(lambda: not entrance.is_full())
    assert entrance.welcomes(b"192.0.2.1")


def test_one_address_has_no_more_than_it_may(make, log):
    rig = make(MAX_CLIENTS_PER_ADDRESS=2, TRUSTED_PROXIES=["127.0.0.1", "unix", "2001:db8:9::/48"])
    gateway = rig.gateway
    for peer in (b"192.0.2.1", b"2001:db8::1", b"127.0.0.1", b"", b"2001:db8:9::1"):
        for _ in range(2):
            rig.client(peer)
    for again in (b"192.0.2.1", b"2001:db8::2"):
        assert gateway.accept(again, 80) is None
    for other in (b"192.0.2.2", b"2001:db8:0:1::1", b"127.0.0.1", b"", b"2001:db8:9::1"):
        assert gateway.accept(other, 80) is not None
    assert rig.counters.refused == 2
    assert told(log) == ["{times} connections were refused"]
    rig.fars[0].abort()
    rig.until(lambda: gateway.entrance.welcomes(b"192.0.2.1"))


def test_whoever_is_refused_is_told_so_seldom(make, log):
    rig = make(MAX_CLIENTS_PER_ADDRESS=1)
    rig.client(b"192.0.2.1")
    for _ in range(100):
        assert rig.gateway.accept(b"192.0.2.1", 80) is None
    rig.after(11)
    assert rig.gateway.accept(b"192.0.2.1", 80) is None
    assert [event["times"] for event in log] == [1, 100]
    assert rig.counters.refused == 101
    assert rig.gateway.entrance.refusal.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: " in rig.gateway.entrance.refusal
