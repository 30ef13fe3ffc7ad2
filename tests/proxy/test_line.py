"""UPSTREAM_MAX: requests wait for a connection to their server, first come first served."""

import socket

import pytest

from tests.proxy.rig import GET, HOST, OK
from tests.proxy.test_tunnels import SWITCH, UPGRADE

POST = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello"
CLOSING = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


def asking(path, method=b"GET"):
    return b"%s /%s HTTP/1.1\r\n%s\r\n" % (method, path, HOST)


def path_of(head):
    return head.split()[1][1:]


def queue(rig, count):
    """As many clients, whose requests are for /0, /1, ... and came in that order."""
    clients = []
    for number in range(count):
        clients.append(rig.client())
        clients[-1].send(asking(b"%d" % number))
        rig.until(lambda: rig.counters.heads == len(clients))
    rig.settle()
    return clients


def test_one_connection_serves_those_who_wait_in_their_order(make):
    rig = make(UPSTREAM_MAX=1)
    clients = queue(rig, 5)
    assert rig.pool.leases == 5
    app = rig.accept()
    for number, client in enumerate(clients):
        assert path_of(rig.head(app)) == b"%d" % number
        rig.settle()
        assert app.got == b""
        app.send(OK)
        rig.expect(client, b"ok")
    assert rig.no_connection()
    rig.exchange(clients[0], app)
    lines = rig.lines()
    assert [line["start"] for line in lines] == ["warm"] * 6
    assert rig.counters.upstream_connections == 1


def test_a_connection_that_ends_makes_room_for_another(make):
    """An app server without keep-alive."""
    rig = make(UPSTREAM_MAX=2)
    clients = queue(rig, 6)
    apps = [rig.accept(), rig.accept()]
    for number in range(0, 6, 2):
        assert rig.no_connection()
        for app, mine in zip(apps, (number, number + 1), strict=True):
            assert path_of(rig.head(app)) == b"%d" % mine
            app.send(CLOSING)
            rig.expect(clients[mine], b"ok")
            app.close()
        apps = [rig.accept(), rig.accept()] if number < 4 else []


@pytest.mark.parametrize("keep", [False, True])
def test_newcomers_do_not_overtake(make, keep):
    rig = make(UPSTREAM_MAX=1)
    busy, first = queue(rig, 2)
    app = rig.accept()
    rig.head(app)
    app.send(OK if keep else CLOSING)
    rig.expect(busy, b"ok")
    busy.send(asking(b"again"))
    if not keep:
        app.close()
        app = rig.accept()
    assert path_of(rig.head(app)) == b"1"
    app.send(OK)
    rig.expect(first, b"ok")
    assert path_of(rig.head(app)) == b"again"
    app.send(OK)
    rig.expect(busy, b"ok")


def test_whoever_waits_too_long_is_told_to_come_back(make):
    rig = make(UPSTREAM_MAX=1, QUEUE_TIMEOUT=10, RESPONSE_TIMEOUT=100)
    busy, waiting = queue(rig, 2)
    app = rig.accept()
    rig.head(app)
    rig.after(9)
    assert waiting.got == b""
    rig.after(2)
    status, head, page = rig.page(waiting)
    assert status == 503
    assert b"Retry-After: " in head
    assert b"UPSTREAM_MAX" in page
    assert rig.pool.leases == 1
    assert 10 <= rig.lines()[0]["queued"] <= 11.5
    app.send(OK)
    rig.expect(busy, b"ok")
    rig.exchange(waiting, app)


def test_only_so_many_may_wait(make):
    rig = make(UPSTREAM_MAX=1, QUEUE_LIMIT=2)
    clients = queue(rig, 4)
    status, head, page = rig.page(clients.pop())
    assert status == 503
    assert b"Retry-After: " in head
    assert b"QUEUE_LIMIT" in page
    app = rig.accept()
    for client in clients:
        rig.head(app)
        app.send(OK)
        rig.expect(client, b"ok")


def test_row_7_a_client_leaves_the_line(make):
    rig = make(UPSTREAM_MAX=1)
    busy, gone, last = queue(rig, 3)
    app = rig.accept()
    rig.head(app)
    gone.abort()
    rig.until(lambda: rig.pool.leases == 2)
    app.send(OK)
    rig.expect(busy, b"ok")
    assert path_of(rig.head(app)) == b"2"
    app.send(OK)
    rig.expect(last, b"ok")
    assert rig.counters.aborts == 1


def test_bodies_wait_too(make):
    rig = make(UPSTREAM_MAX=1)
    busy, *_ = queue(rig, 1)
    app = rig.accept()
    rig.head(app)
    client = rig.client()
    client.send(b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 200000\r\n\r\n" + b"x" * 200_000)
    rig.settle(40)
    assert all(len(down.buffer) <= 2 * 65536 for down in rig.gateway._clients)  # what is kept
    app.send(OK)
    rig.expect(busy, b"ok")
    assert path_of(rig.head(app)) == b"x"
    rig.until(lambda: len(app.got) == 200_000)
    app.take()
    app.send(OK)
    rig.expect(client, b"ok")


@pytest.mark.parametrize("kind_of_stream", ["tunnel", "events"])
def test_streams_hold_a_connection(make, kind_of_stream):
    rig = make(UPSTREAM_MAX=1)
    stream = rig.client()
    stream.send(UPGRADE if kind_of_stream == "tunnel" else GET)
    app = rig.accept()
    rig.head(app)
    events = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    app.send(SWITCH if kind_of_stream == "tunnel" else events)
    rig.head(stream)
    client = rig.client()
    client.send(GET)
    assert rig.no_connection()
    stream.abort()
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")


def test_an_idle_connection_gives_way_to_one_that_a_post_needs(make):
    """What must not be sent twice takes no connection that was idle for long."""
    rig = make(UPSTREAM_MAX=1)
    client, old, _ = rig.opened()
    rig.after(2)
    client.send(POST)
    app = rig.accept()
    rig.expect(app, b"hello")
    rig.until(lambda: old.over)
    app.send(OK)
    rig.expect(client, b"ok")


def test_a_server_that_dies_lets_nobody_wait_for_nothing(make):
    """Their connections are refused, so each asks the pool for the next server."""
    rig = make(UPSTREAM_MAX=1)
    clients = queue(rig, 3)
    app = rig.accept()
    rig.head(app)
    address = rig.listener.getsockname()
    rig.listener.close()
    rig.pool.awake = False
    rig.backend.retire()
    app.abort()
    rig.until(lambda: rig.pool.leases == 0)
    rig.after(1)
    assert len(rig.pool.waiters) == 3
    assert rig.backend.line is None
    rig.listener = socket.socket(socket.AF_UNIX)
    rig.listener.bind(address + "2")
    rig.listener.listen(8)
    rig.listener.setblocking(False)
    rig.backend = rig.pool.server.data = type(rig.backend)(address + "2")
    rig.pool.grant()
    app = rig.accept()
    for _ in clients:
        rig.head(app)
        app.send(OK)
    for client in clients:
        rig.expect(client, b"ok")


def test_row_34b_one_that_becomes_free_goes_to_who_waits_for_a_full_backlog(rig):
    """First come, first served there too, without another connection."""
    rig.listener.listen(0)
    busy = rig.client()
    busy.send(GET)
    rig.until(lambda: rig.backend.open)
    waiting = queue_behind(rig, 2)
    app = rig.accept()
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(rig.listener.getsockname())
        rig.head(app)
        for client in (busy, *waiting):
            app.send(OK)
            rig.expect(client, b"ok")
    assert rig.counters.upstream_connections == 1


def queue_behind(rig, count):
    clients = []
    for _ in range(count):
        clients.append(rig.client())
        clients[-1].send(GET)
        rig.until(lambda: rig.counters.heads == 1 + len(clients))
    return clients


@pytest.mark.parametrize("limit", [None, 1])
def test_row_34b_only_so_many_wait_for_a_full_backlog(make, limit):
    rig = make(QUEUE_LIMIT=1, UPSTREAM_MAX=limit)
    rig.listener.listen(0)
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(rig.listener.getsockname())
        first, second = rig.client(), rig.client()
        first.send(GET)
        rig.until(lambda: rig.counters.heads == 1)
        second.send(GET)
        status, _, page = rig.page(second)
        assert status == 503
        assert b"backlog" in page
        rig.listener.accept()[0].close()
    rig.after(0.2)
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(first, b"ok")
