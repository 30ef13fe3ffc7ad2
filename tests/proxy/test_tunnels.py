"""Upgrades: held bytes, tunnels, half-close, other answers than 101."""

import pytest

from tests.core.directories import record
from tests.proxy.rig import GET, HOST, OK

UPGRADE = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
MIB = 1 << 20


def tunnel(rig, buffer=None):
    client = rig.client(buffer=buffer)
    client.send(UPGRADE)
    app = rig.accept()
    rig.head(app)
    app.send(SWITCH)
    assert rig.head(client) == SWITCH
    return client, app


def test_row_70_tunnel_with_early_bytes(rig):
    client = rig.client()
    client.send(UPGRADE + b"\x81early")
    app = rig.accept()
    head = rig.head(app)
    assert b"Connection: Upgrade\r\nUpgrade: websocket\r\n" in head
    client.send(b"more")
    rig.settle()
    assert app.got == b""
    app.send(SWITCH + b"\x81hello")
    assert rig.expect(client, b"hello") == SWITCH + b"\x81hello"
    assert rig.expect(app, b"more") == b"\x81earlymore"
    client.send(b"ping\r\n\r\n")
    rig.expect(app, b"ping\r\n\r\n")
    app.send(b"pong")
    rig.expect(client, b"pong")
    rig.after(500)
    app.send(b"still there")
    rig.expect(client, b"still there")
    assert rig.pool.leases == 1
    app.end()
    rig.until(lambda: client.ended)
    client.send(b"last")
    rig.expect(app, b"last")
    client.end()
    rig.until(lambda: app.ended)
    rig.until(lambda: rig.pool.leases == 0)
    line = rig.lines()[-1]
    assert line["status"] == 101
    assert line["in"] == len(UPGRADE) + len(b"\x81earlymoreping\r\n\r\nlast")
    assert line["out"] >= len(b"\x81hellopongstill there")


def test_row_70_many_early_bytes(rig):
    """More than is held at a time; all of it goes on after the 101."""
    client, app = rig.asked(UPGRADE + b"x" * MIB)
    rig.settle(50)
    assert app.got == b""
    app.send(SWITCH)
    rig.head(client)
    rig.until(lambda: len(app.got) == MIB)
    app.send(b"y")
    rig.expect(client, b"y")


def test_tunnel_back_pressure_and_order(rig):
    client, app = tunnel(rig)
    client.reading = app.reading = False
    client.send(b"c" * (32 * MIB))
    app.send(b"a" * (32 * MIB))
    rig.settle(200)
    assert client.left > 16 * MIB
    assert app.left > 16 * MIB
    client.keeps = app.keeps = False
    client.reading = app.reading = True
    rig.until(lambda: client.count > 32 * MIB and app.count > 32 * MIB, 20)


@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_last_words_of_the_app_reach_a_slow_client(make, way):
    rig = make(way)
    client, app = tunnel(rig)
    client.reading = False
    app.send(b"a" * (8 * MIB))
    rig.settle(100)
    app.end()
    client.reading = True
    rig.until(lambda: client.ended)
    assert len(client.got) == 8 * MIB


@pytest.mark.parametrize("who", ["client", "app"])
def test_tunnel_that_is_torn(make, who):
    rig = make("tcp")
    client, app = tunnel(rig)
    gone, left = (client, app) if who == "client" else (app, client)
    gone.abort()
    rig.until(lambda: left.over)
    assert left.reset
    rig.until(lambda: rig.pool.leases == 0)
    assert rig.counters.answers == 1


@pytest.mark.parametrize("who", ["client", "app"])
def test_row_46_half_of_a_tunnel_that_is_silent_ends(make, who):
    """Apps that never end their own side would keep their server busy for ever."""
    rig = make("tcp", RESPONSE_TIMEOUT=5)
    client, app = tunnel(rig)
    gone, left = (client, app) if who == "client" else (app, client)
    rig.after(1000)  # with both sides there it may be silent
    gone.end()
    rig.until(lambda: left.ended)
    for _ in range(3):
        rig.after(4)
        left.send(b"x")
        rig.expect(gone, b"x")
    assert rig.pool.leases == 1
    rig.after(7)
    rig.until(lambda: left.over)
    assert rig.pool.leases == 0
    assert rig.lines()[-1]["end"] == "one side of the tunnel had ended, and the other was silent"


@pytest.mark.parametrize("half", [False, True])
def test_a_silent_tunnel_ends_where_its_site_says_so(make, half):
    rig = make("tcp", ALLOWED_HOSTS=None, RESPONSE_TIMEOUT=100)
    rig.directory.change([record("a.test", limits={"websocket_timeout": 5})])
    client, app = tunnel(rig)
    if half:
        client.end()
        rig.until(lambda: app.ended)
    back = (app, client) if half else (client, app)
    for sender, taker in ((app, client), back, (app, client)):
        rig.after(4)
        sender.send(b"x")
        rig.expect(taker, b"x")
    assert rig.pool.leases == 1
    rig.after(4)
    assert not client.over
    rig.after(3)
    rig.until(lambda: client.over and app.over)
    assert rig.pool.leases == 0
    half_closed = "one side of the tunnel had ended, and the other was silent"
    assert rig.lines()[-1]["end"] == (half_closed if half else "silent for websocket_timeout")


def test_a_client_that_reads_slowly_is_not_silent(make):
    rig = make("tcp", ALLOWED_HOSTS=None)
    rig.directory.change([record("a.test", limits={"websocket_timeout": 5})])
    client, app = tunnel(rig, buffer=4096)
    client.reading = False
    app.send(b"a" * (8 * MIB))
    rig.settle(50)
    for _ in range(4):
        rig.after(4)
        client.count += len(client.sock.recv(1 << 20))
        rig.settle(50)
    assert rig.pool.leases == 1
    for _ in range(4):
        rig.after(4)
    rig.until(lambda: rig.pool.leases == 0)
    assert rig.lines()[-1]["end"] == "silent for websocket_timeout"


def test_without_it_a_tunnel_may_be_silent_for_ever(make):
    rig = make("tcp", ALLOWED_HOSTS=None)
    rig.directory.change([record("a.test", limits={"websocket_timeout": None})])
    client, app = tunnel(rig)
    rig.after(100_000)
    app.send(b"x")
    rig.expect(client, b"x")


def test_client_half_closed_before_the_101(rig):
    client = rig.client()
    client.send(UPGRADE + b"x")
    client.end()
    app = rig.accept()
    rig.head(app)
    rig.settle()
    app.send(SWITCH)
    rig.head(client)
    rig.until(lambda: app.ended)
    assert app.got == b"x"
    app.send(b"y")
    app.end()
    rig.until(lambda: client.ended)
    assert client.got == b"y"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nok",
        OK,
    ],
)
def test_row_71_another_answer_stays_http(rig, answer):
    client, app = rig.asked(UPGRADE)
    app.send(answer)
    assert rig.expect(client, b"ok") == answer
    client.send(GET)
    assert rig.head(app).startswith(b"GET / ")
    app.send(OK)
    rig.expect(client, b"ok")


def test_row_71_with_a_chunked_body(rig):
    client, app = rig.asked(UPGRADE + GET)
    app.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    rig.expect(client, b"0\r\n\r\n")
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"\r\n\r\nok")


def test_row_72_h2c_is_stripped(rig):
    client = rig.client()
    client.send(
        GET[:-2]
        + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n"
    )
    app = rig.accept()
    head = rig.head(app).lower()
    assert b"upgrade" not in head
    assert b"http2-settings" not in head
    app.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert rig.page(client)[0] == 502


def test_row_20_a_101_for_a_request_with_a_body(rig):
    client = rig.client()
    client.send(
        b"POST / HTTP/1.1\r\n" + HOST
        + b"Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nhi"
    )  # fmt: skip
    app = rig.accept()
    assert b"Upgrade" not in rig.head(app)
    app.send(SWITCH)
    assert rig.page(client)[0] == 502
