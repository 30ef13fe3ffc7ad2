"""Browsers are shown a page while their site wakes; who is none waits."""

import pytest

from luisito.core.lifecycle import State
from tests.core.directories import record
from tests.proxy.rig import OK

BROWSER = b"Accept: text/html\r\n"


def get(more=BROWSER, method=b"GET"):
    return b"%s /p HTTP/1.1\r\nHost: a.test\r\n%s\r\n" % (method, more)


@pytest.fixture
def rig(make):
    rig = make(ALLOWED_HOSTS=None, WAKES_PER_ADDRESS=2)
    rig.directory.change([record("a.test", waiting_page=True), record("b.test")])
    rig.pool.awake = False
    return rig


def test_it_comes_at_once_and_one_waits_for_all(rig):
    clients = [rig.client() for _ in range(3)]
    for client in clients:
        client.send(get())
        status, head, body = rig.page(client)
        assert (status, b"\r\nRetry-After: 1\r\n" in head) == (503, True)
        assert b"a.test is waking up" in body
    assert len(rig.pool.waiters) == 1
    rig.pool.grant()
    rig.settle()
    assert (rig.pool.leases, rig.pool.unnoticed, rig.pool.probed) == (0, 1, 0)
    clients[0].send(get())
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(clients[0], b"ok")
    said = [(line["status"], line["start"], line["reason"]) for line in rig.lines()]
    assert said == [(503, "", "waiting")] * 3 + [(200, "warm", "")]


@pytest.mark.parametrize(
    "request_",
    [
        get(b"Accept: */*\r\n"),
        get(BROWSER + b"Sec-Fetch-Mode: cors\r\n"),
        get(method=b"HEAD"),
        get(BROWSER + b"Content-Length: 2\r\n") + b"hi",
        get().replace(b"a.test", b"b.test"),
    ],
    ids=["api", "fetch", "head", "body", "another site"],
)
def test_others_wait(rig, request_):
    client = rig.client()
    client.send(request_)
    rig.until(lambda: rig.pool.waiters)
    assert client.got == b""
    rig.pool.refuse(503, "no")
    rig.head(client)


def test_who_asks_for_a_site_that_has_failed_is_told_why(rig):
    client = rig.client()
    client.send(get())
    assert rig.page(client)[0] == 503
    rig.pool.failed = True
    rig.pool.refuse(502, "it did not start")
    client.send(get())
    rig.until(lambda: rig.pool.waiters)
    rig.pool.refuse(502, "it did not start again")
    status, _, body = rig.page(client)
    assert (status, b"it did not start again" in body) == (502, True)  # to an operator
    stranger = rig.client(peer=b"192.0.2.1")
    stranger.send(get())
    rig.until(lambda: rig.pool.waiters)
    rig.pool.refuse(502, "it did not start again")
    assert b"it did not start" not in rig.page(stranger)[2]


def test_a_server_whose_socket_was_handed_over_is_connected_to(rig):
    """Or it could not be seen that it is ready, as no request goes there."""
    client = rig.client()
    client.send(get())
    rig.page(client)
    rig.pool.server.state, rig.pool.server.leases = State.STARTING, 1
    rig.pool.grant()
    rig.after(0.2)
    assert (rig.pool.leases, rig.pool.probed) == (1, 1)
    rig.pool.server.state = State.READY
    rig.after(0.2)
    assert (rig.pool.leases, rig.pool.unnoticed) == (0, 1)


def test_pages_count_as_wakes(rig):
    client = rig.client(peer=b"192.0.2.1")
    statuses = []
    for _ in range(3):
        client.send(get())
        statuses.append(rig.page(client)[0])
        rig.pool.refuse(503, "no room")
    assert statuses == [503, 503, 429]


@pytest.mark.parametrize(
    ("target", "refresh"), [(b"/p?q=1", b'1; url="/p?q=1"'), (b"//b.test/p", b"1")]
)
def test_a_sites_own_page_comes_back_to_its_address(rig, target, refresh):
    rig.gateway.doorkeeper.pages = {"a.test": b"<p>ours"}
    client = rig.client()
    client.send(get().replace(b"/p", target, 1))
    status, head, body = rig.page(client)
    assert (status, body) == (503, b"<p>ours")
    assert b"\r\nRefresh: %s\r\n" % refresh in head
    rig.pool.grant()
    rig.settle()
