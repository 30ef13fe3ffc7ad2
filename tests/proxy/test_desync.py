"""What would let one client's bytes be taken for another's request."""

import pytest

from tests.proxy.rig import GET, HOST, OK


@pytest.mark.parametrize("size", [280_000, 350_000, 1_000_000])
def test_an_answer_in_the_middle_of_an_upload_ends_the_connection(make, size):
    rig = make("unix")
    client = rig.client()
    client.send(b"POST /early HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % size)
    app = rig.accept()
    app.reading = False
    rig.settle()
    client.send(b"x" * size)
    rig.settle()
    app.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
    assert rig.head(client).startswith(b"HTTP/1.1 401 ")
    rig.settle()
    assert rig.backend.idle == []
    victim = rig.client()
    victim.send(GET)
    other = rig.accept()
    assert rig.head(other).startswith(b"GET ")
    other.send(OK)
    rig.expect(victim, b"ok")


def test_a_client_is_read_again_after_its_upload_broke(make):
    rig = make("unix")
    client = rig.client()
    client.send(b"POST /die HTTP/1.1\r\n" + HOST + b"Content-Length: 300000\r\n\r\n")
    app = rig.accept()
    app.reading = False
    rig.settle()
    client.send(b"x" * 300_000)
    rig.settle()
    app.abort()
    status, head, _ = rig.page(client)
    assert status == 502
    if b"Connection: close" not in head:
        client.send(GET)
        app = rig.accept()
        rig.head(app)
        app.send(OK)
        rig.expect(client, b"ok")


@pytest.mark.parametrize(
    "protocol", [b"Connection: Upgrade", b"websocket, Connection: Upgrade", b"websocket"]
)
def test_an_upgrade_over_http_1_0_takes_no_field_away(rig, protocol):
    client = rig.client()
    client.send(
        b"GET /x HTTP/1.0\r\n" + HOST + b"Connection: upgrade\r\nUpgrade: " + protocol + b"\r\n\r\n"
    )
    app = rig.accept()
    head = rig.head(app)
    assert b"\r\nX-Forwarded-For: 127.0.0.1\r\n" in head
    assert b"Upgrade" not in head
    app.send(OK)
    rig.expect(client, b"ok")


def test_an_empty_line_before_a_request_may_come_in_two_pieces(rig):
    """RFC 9112 section 2.2; the answer must not hang on how the bytes were cut."""
    client = rig.client()
    for piece in (b"\r", b"\n", GET):
        client.send(piece)
        rig.turn()
    app = rig.accept()
    assert rig.head(app).startswith(b"GET / HTTP/1.1\r\n")
    app.send(OK)
    rig.expect(client, b"ok")


def test_an_empty_line_behind_a_request_leaves_a_deadline(make):
    """Of a request that waited for its server, the connection had none, and stayed for ever."""
    rig = make("unix", KEEPALIVE_TIMEOUT=10)
    rig.pool.awake = False
    client = rig.client()
    client.send(GET + b"\r\n")
    rig.settle()
    rig.pool.grant()
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")
    rig.after(9)
    assert not client.over
    rig.after(3)
    assert client.ended


def test_an_empty_line_behind_a_request_holds_up_no_end(rig):
    client = rig.client()
    client.send(GET + b"\r\n")
    client.end()
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")
    rig.until(lambda: client.ended)


def test_empty_lines_do_not_keep_a_connection_open(rig):
    client = rig.client()
    for _ in range(4):
        client.send(b"\r\n")
        rig.after(5)
    assert client.over


def test_requests_behind_a_slow_one_are_answered_after_a_half_close(make):
    rig = make("unix")
    client = rig.client(buffer=4096)
    client.reading = False
    client.send(GET * 3)
    client.end()
    app = rig.accept()
    big = b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + b"y" * 60000
    for _ in range(3):
        rig.head(app)
        app.send(big)
        rig.settle()
        client.reading = True
        rig.settle()
    rig.until(lambda: client.over)
    assert client.got.count(b"HTTP/1.1 200 OK") == 3
    assert b" 400 " not in client.got


@pytest.mark.parametrize("body", [b"", b"x"])
def test_pipelined_requests_do_not_each_let_more_be_held(make, body):
    """What was held grew by a read with each answer, as long as its client sent on."""
    rig = make("unix")
    client = rig.client()
    request = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    client.send(request * 20 + GET[:-2] + b"X: " + b"x" * 2_000_000)
    app = rig.accept()
    (down,) = rig.gateway._clients
    for _ in range(20):
        rig.expect(app, b"\r\n\r\n" + body)
        rig.settle()
        assert len(down.buffer) <= 16384 + 2 * 65536  # two reads of a transport
        app.send(OK)
        rig.expect(client, b"ok")
    assert rig.head(client).startswith(b"HTTP/1.1 431 ")


def test_a_long_head_behind_a_request_is_still_read(make):
    """Although more of it is held than is read on for."""
    rig = make("unix", MAX_HEAD_SIZE=60_000)
    client = rig.client()
    head = GET[:-2] + b"X: " + b"x" * 50_000 + b"\r\n\r\n"
    client.send(GET + head[:-1])
    app = rig.accept()
    rig.head(app)
    rig.settle()
    app.send(OK)
    rig.expect(client, b"ok")
    rig.settle()
    client.send(head[-1:])
    assert b"x" * 50_000 in rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")
