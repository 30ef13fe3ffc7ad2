"""Long bodies, back-pressure, early answers and slow peers."""

import hashlib
import socket

import pytest

from tests.proxy.rig import GET, HOST, OK

MIB = 1 << 20
POST = b"POST /x HTTP/1.1\r\n" + HOST
BIG = bytes(range(256)) * (3 * MIB // 256)


@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_long_download(make, way):
    rig = make(way)
    client = rig.client()
    client.send(GET)
    app = rig.accept()
    for _ in range(2):
        rig.head(app)
        app.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BIG))
        app.send(BIG)
        rig.head(client)
        rig.until(lambda: len(client.got) == len(BIG))
        assert hashlib.sha1(client.take()).digest() == hashlib.sha1(BIG).digest()
        client.send(GET)
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")
    assert rig.lines()[0]["out"] > len(BIG)


@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_long_upload(make, way):
    rig = make(way)
    client = rig.client()
    request = POST + b"Content-Length: %d\r\n\r\n" % len(BIG) + BIG
    client.send(request)
    app = rig.accept()
    for number in range(2):
        if number:
            client.send(request)
        rig.head(app)
        rig.until(lambda: len(app.got) == len(BIG))
        assert hashlib.sha1(app.take()).digest() == hashlib.sha1(BIG).digest()
        app.send(OK)
        rig.expect(client, b"ok")
    assert rig.lines()[1]["in"] > len(BIG)


@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_long_chunked_both_ways(make, way):
    rig = make(way)
    client = rig.client()
    body = b"".join(b"%x\r\n%s\r\n" % (70000, BIG[:70000]) for _ in range(30)) + b"0\r\n\r\n"
    client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    app = rig.accept()
    rig.head(app)
    rig.until(lambda: len(app.got) == len(body))
    assert app.take() == body
    app.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    rig.head(client)
    rig.until(lambda: len(client.got) == len(body))
    assert client.take() == body
    rig.exchange(client, app)


def test_body_sent_while_the_connection_is_being_made(make):
    """What comes in between the head and a connection over TCP is neither lost nor moved."""
    rig = make("tcp")
    client = rig.client()
    client.send(POST + b"Content-Length: 9\r\n\r\nabc")
    rig.reactor.iterate(0)
    client.send(b"def")
    rig.reactor.iterate(0)
    client.send(b"ghi")
    app = rig.accept()
    assert rig.expect(app, b"ghi").endswith(b"\r\n\r\nabcdefghi")
    app.send(OK)
    rig.expect(client, b"ok")


@pytest.mark.parametrize("length", [1000, 60_000, 100_000, 400_000])
def test_body_sent_while_the_server_starts(rig, length):
    rig.pool.awake = False
    client = rig.client()
    client.send(POST + b"Content-Length: %d\r\n\r\n" % length + BIG[:length])
    rig.settle(40)
    held = rig.gateway._clients
    assert len(next(iter(held)).buffer) <= 65536 * 2
    rig.pool.grant()
    app = rig.accept()
    rig.head(app)
    rig.until(lambda: len(app.got) == length)
    assert app.take() == BIG[:length]
    app.send(OK)
    rig.expect(client, b"ok")
    rig.exchange(client, app)


def test_rows_3_21_back_pressure_of_a_download(rig):
    """Endless response, a reader that does not read: what is kept is bounded."""
    client = rig.client(buffer=8192)
    client.reading = False
    client.send(GET)
    app = rig.accept()
    rig.head(app)
    app.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    app.send(b"100000\r\n" + b"x" * (64 * MIB))
    rig.settle(200)
    taken = 64 * MIB - app.left
    assert taken < 4 * MIB
    rig.settle(50)
    assert 64 * MIB - app.left == taken
    app.drop()


def test_row_3_back_pressure_of_a_spliced_download(rig):
    client = rig.client(buffer=8192)
    client.reading = False
    client.send(GET)
    app = rig.accept()
    rig.head(app)
    app.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB) + b"x" * (64 * MIB))
    rig.settle(200)
    taken = 64 * MIB - app.left
    assert taken < 4 * MIB
    app.drop()


@pytest.mark.parametrize("chunked", [False, True])
def test_row_3_slow_reader_with_progress_survives(rig, chunked):
    client = rig.client(buffer=8192)
    client.reading = False
    client.keeps = False
    client.send(GET)
    app = rig.accept()
    rig.head(app)
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (8 * MIB)
    app.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
    app.send((b"800000\r\n" if chunked else b"") + b"x" * (8 * MIB))
    app.send(b"\r\n0\r\n\r\n" if chunked else b"")
    rig.settle(200)
    for _ in range(6):
        rig.after(45)
        client.reading = True
        client.poll(100_000)
        client.reading = False
    assert not client.over
    assert rig.gateway.busy == 1
    client.reading = True
    rig.until(lambda: client.count > 8 * MIB)
    rig.until(lambda: rig.gateway.busy == 0)
    assert rig.counters.answers == 1


@pytest.mark.parametrize("body", ["length", "chunked", "events"])
def test_row_3_reader_without_progress_is_dropped(rig, body):
    """Event streams too, although they may be silent for as long as they like."""
    client = rig.client(buffer=8192)
    client.reading = False
    client.send(GET)
    app = rig.accept()
    rig.head(app)
    framing = {
        "length": b"Content-Length: %d" % (64 * MIB),
        "chunked": b"Transfer-Encoding: chunked",
        "events": b"Transfer-Encoding: chunked\r\nContent-Type: text/event-stream",
    }[body]
    app.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
    app.send((b"" if body == "length" else b"4000000\r\n") + b"x" * (16 * MIB))
    rig.settle(200)
    rig.after(59)
    assert rig.gateway.busy == 1
    for _ in range(5):  # whatever the kernel still moves counts as progress
        rig.after(61)
    assert rig.gateway.busy == 0
    assert rig.lines()[-1]["end"] == "the client stopped reading"
    rig.until(lambda: app.over or app.sent)
    client.reading = True
    rig.until(lambda: client.over)
    assert client.reset


def test_event_stream_is_passed_on_at_once_and_may_be_silent(rig):
    client, app = rig.asked()
    app.send(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    rig.head(client)
    for _ in range(3):
        rig.after(200)
        app.send(b"9\r\ndata: 1\n\n\r\n")
        rig.expect(client, b"data: 1\n\n\r\n")
    assert rig.gateway.busy == 1
    app.send(b"0\r\n\r\n")
    rig.expect(client, b"0\r\n\r\n")
    rig.exchange(client, app)


@pytest.mark.parametrize("early", [False, True])
def test_who_leaves_a_silent_event_stream_has_gone(rig, early):
    """Nothing else would tell; but an end may come with the request."""
    client = rig.client()
    client.send(GET)
    if early:
        client.end()
    app = rig.accept()
    rig.head(app)
    app.send(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    rig.head(client)
    rig.settle()
    if early:
        app.send(b"9\r\ndata: 1\n\n\r\n0\r\n\r\n")
        rig.expect(client, b"9\r\ndata: 1\n\n\r\n0\r\n\r\n")
        return
    assert rig.gateway.busy == 1
    client.end()
    rig.until(lambda: app.over)
    assert rig.gateway.busy == rig.pool.leases == 0
    assert rig.lines()[-1]["end"] == "the client went away"


@pytest.mark.parametrize("size", [50_000, 8 * MIB])
def test_row_12_early_413_in_the_middle_of_an_upload(rig, size):
    client, app = rig.asked(POST + b"Content-Length: %d\r\n\r\n" % (size * 2) + b"x" * size)
    app.reading = False
    app.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
    head = rig.head(client)
    assert head.startswith(b"HTTP/1.1 413")
    assert b"Connection: close\r\n" in head
    rig.expect(client, b"big")
    client.send(b"x" * (size // 2))
    rig.until(lambda: client.sent)
    rig.settle()
    assert client.ended
    assert not client.reset
    app.reading = True
    rig.until(lambda: app.over)
    client.end()
    rig.until(lambda: not rig.gateway.deadlines._slot_of)


def test_row_12_app_answers_early_and_resets(make):
    """The app's last words are read although it takes no more."""
    rig = make("tcp")
    client, app = rig.asked(POST + b"Content-Length: %d\r\n\r\n" % (64 * MIB))
    app.reading = False
    client.send(b"x" * (32 * MIB))
    rig.settle(100)
    app.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
    app.close()
    rig.expect(client, b"big")
    rig.until(lambda: client.sent)
    assert not client.reset


def test_row_12_linger_ends_by_itself(rig):
    client = rig.client()
    client.send(b"garbage\r\n\r\n")
    assert rig.page(client)[0] == 400
    rig.until(lambda: client.ended)
    client.send(b"more")
    rig.after(4)
    assert len(rig.gateway.deadlines._slot_of) == 1
    rig.after(3)
    assert not rig.gateway.deadlines._slot_of


def test_row_12_our_own_413(make):
    rig = make(MAX_BODY_SIZE=1000)
    client = rig.client()
    client.send(POST + b"Content-Length: 1000000\r\n\r\n" + b"x" * 300_000)
    status, head, _ = rig.page(client)
    assert status == 413
    assert b"Connection: close" in head
    client.send(b"x" * 700_000)
    rig.until(lambda: client.sent)
    rig.settle()
    assert not client.reset
    assert rig.no_connection()


def test_row_12_our_own_413_for_chunks(make):
    rig = make(MAX_BODY_SIZE=1000)
    client, app = rig.asked(
        POST + b"Transfer-Encoding: chunked\r\n\r\n100\r\n" + b"x" * 256 + b"\r\n"
    )
    client.send(b"ffff\r\n" + b"x" * 5000)
    assert rig.page(client)[0] == 413
    rig.until(lambda: app.over)


def test_answer_before_the_upload_ends(rig):
    """The head of an answer in the middle of an upload: both go on."""
    client, app = rig.asked(POST + b"Content-Length: 400000\r\n\r\n" + BIG[:200_000])
    app.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    rig.expect(client, b"ab")
    client.send(BIG[200_000:400_000])
    rig.until(lambda: len(app.got) == 400_000)
    assert app.take() == BIG[:400_000]
    app.send(b"cd")
    rig.expect(client, b"cd")
    rig.until(lambda: client.ended)
    assert rig.counters.answers == 1


@pytest.mark.parametrize("chunked", [False, True])
def test_row_2_body_that_stops(rig, chunked):
    client = rig.client()
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 1000000"
    client.send(POST + framing + b"\r\n\r\n" + (b"100\r\n" if chunked else b"") + b"x" * 100)
    app = rig.accept()
    rig.head(app)
    rig.after(59)
    assert client.got == b""
    rig.after(3)
    assert rig.page(client)[0] == 408
    rig.until(lambda: app.over)
    assert rig.pool.leases == 0


def test_row_2_body_that_drips(rig):
    """A byte every ten seconds is no progress to speak of."""
    client, _app = rig.asked(POST + b"Content-Length: 1000000\r\n\r\n")
    for _ in range(6):
        client.send(b"x")
        rig.after(10)
    rig.after(2)
    assert rig.page(client)[0] == 408


FRAMINGS = {False: b"Content-Length: 1000000\r\n\r\n", True: b"Transfer-Encoding: chunked\r\n\r\n"}


def piece(data, chunked):
    return b"%x\r\n%s\r\n" % (len(data), data) if chunked else data


@pytest.mark.parametrize("chunked", [False, True])
def test_row_2_body_that_drips_just_in_time(rig, chunked):
    """A byte every 59 seconds is never silent for BODY_TIMEOUT; the slot is free all the same."""
    client, app = rig.asked(POST + FRAMINGS[chunked])
    client.send(piece(b"x", chunked))
    rig.after(59)
    assert rig.gateway.busy == 1
    client.send(piece(b"x", chunked))
    rig.after(3)
    assert rig.page(client)[0] == 408
    rig.until(lambda: app.over)
    assert rig.pool.leases == 0
    line = rig.lines()[-1]
    assert line["status"] == 408
    assert 60 <= line["total"] <= 62


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("rate", "until"), [(100, 75), (400, 300), (600, None)])
def test_row_2_the_least_rate_of_a_body(rig, chunked, rate, until):
    """500 bytes buy a second: at 400 B/s, 60 s + 400/500 of t is over at t = 300 s."""
    client, _app = rig.asked(POST + FRAMINGS[chunked])
    size = int(5.125 * rate) - (7 if chunked else 0)
    for _ in range(100):
        client.send(piece(b"x" * size, chunked))
        rig.after(5)  # and an eighth
        if not rig.gateway.busy:
            break
    if until is None:
        assert client.got == b""
    else:
        assert rig.page(client)[0] == 408
        assert until <= rig.lines()[-1]["total"] <= until + 5 + 2


def upload(rig, client, size, chunked, short=0):
    """Begins an upload to an app server that does not read; `short` bytes are held back."""
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
    client.send(POST + framing + b"\r\n\r\n")
    app = rig.accept()
    rig.head(app)
    app.reading = app.keeps = False
    body = b"x" * size
    data = b"%x\r\n%s\r\n0\r\n\r\n" % (size, body) if chunked else body
    client.send(data[: len(data) - short])
    rig.settle(100)
    return app


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_a_slow_app_is_not_the_clients_fault(make, way, chunked):
    """The client could send, and may not: neither rate nor silence is counted against it."""
    rig = make(way, RESPONSE_TIMEOUT=400)
    rig.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client = rig.client()
    app = upload(rig, client, 16 * MIB, chunked)
    for _ in range(8):  # under 500 B/s; of a unix socket the kernel tells pieces of 64 KiB only
        rig.after(300)
        app.reading = True
        app.poll(100_000)
        app.reading = False
    assert rig.gateway.busy == 1
    app.reading = True
    rig.until(lambda: client.sent and app.count >= 16 * MIB, 20)
    app.send(OK)
    rig.expect(client, b"ok")


@pytest.mark.parametrize("chunked", [False, True])
def test_the_time_of_a_slow_app_is_given_back_to_the_client(rig, chunked):
    """Its own silence is counted from when it may send again, and its own rate in its own time."""
    client = rig.client()
    app = upload(rig, client, 8 * MIB, chunked, short=50)
    for _ in range(10):
        rig.after(50)
        app.reading = True
        app.poll(200_000)
        app.reading = False
    app.reading = True
    rig.until(lambda: client.sent and app.count >= 8 * MIB - 50)
    rig.after(58)
    assert rig.gateway.busy == 1
    rig.after(4)
    assert rig.page(client)[0] == 408


@pytest.mark.parametrize("chunked", [False, True])
def test_row_18_app_that_takes_the_last_of_a_body_slowly(rig, chunked):
    """The body has left the client, not us: the app server has its time from its last reading."""
    client = rig.client()
    app = upload(rig, client, 700_000, chunked)
    rig.until(lambda: client.sent)
    for _ in range(4):
        rig.after(45)
        app.reading = True
        app.poll(100_000)
        app.reading = False
    assert rig.gateway.busy == 1
    rig.after(64)
    assert rig.page(client)[0] == 504
    client.drop()


def test_a_body_is_not_due_while_its_server_starts(rig):
    """However long the start takes, the client has its BODY_TIMEOUT after it."""
    rig.pool.awake = False
    client = rig.client()
    client.send(POST + FRAMINGS[False] + b"some")
    rig.settle()
    rig.after(200)
    rig.pool.grant()
    app = rig.accept()
    rig.head(app)
    rig.after(58)
    assert rig.gateway.busy == 1
    rig.after(4)
    assert rig.page(client)[0] == 408


def test_slow_upload_at_a_fair_rate_is_let_through(rig):
    client, app = rig.asked(POST + b"Content-Length: 300000\r\n\r\n")
    for _ in range(30):
        client.send(b"x" * 10_000)
        rig.after(10)
    rig.until(lambda: len(app.got) == 300_000)
    app.send(OK)
    rig.expect(client, b"ok")


@pytest.mark.parametrize("size", [64 * MIB, -1])
def test_row_18_app_that_does_not_read(rig, size):
    """The client is not to blame: 504, not 408."""
    client = rig.client()
    framing = b"Content-Length: %d" % size if size > 0 else b"Transfer-Encoding: chunked"
    client.send(POST + framing + b"\r\n\r\n")
    app = rig.accept()
    rig.head(app)
    app.reading = False
    client.send((b"" if size > 0 else b"4000000\r\n") + b"x" * (60 * MIB))
    rig.settle(300)
    assert client.left > 30 * MIB  # what is kept is bounded
    rig.after(63)
    assert rig.page(client)[0] == 504
    client.drop()


def test_row_8_half_close_after_the_request(rig):
    client = rig.client()
    client.send(POST + b"Content-Length: 5\r\n\r\nhello")
    client.end()
    app = rig.accept()
    rig.expect(app, b"hello")
    rig.settle()
    app.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BIG) + BIG)
    rig.head(client)
    rig.until(lambda: client.ended)
    assert client.take() == BIG


def test_row_8_half_close_behind_pipelined_requests(rig):
    client = rig.client()
    client.send(GET + GET)
    client.end()
    app = rig.accept()
    for _ in range(2):
        rig.head(app)
        rig.settle()
        app.send(OK)
        rig.expect(client, b"ok")
    rig.until(lambda: client.ended)


@pytest.mark.parametrize("sent", [100, 300_000])
def test_half_close_in_the_middle_of_a_body(rig, sent):
    client = rig.client()
    client.send(POST + b"Content-Length: 1000000\r\n\r\n" + b"x" * sent)
    client.end()
    app = rig.accept()
    rig.head(app)
    rig.until(lambda: app.over)
    rig.until(lambda: client.over)
    assert rig.counters.aborts == 1


def test_half_close_in_the_middle_of_a_body_while_the_server_starts(rig):
    rig.pool.awake = False
    client = rig.client()
    client.send(POST + b"Content-Length: 1000\r\n\r\nsome")
    client.end()
    rig.settle()
    rig.pool.grant()
    rig.until(lambda: client.over)
    assert rig.counters.aborts == 1


def test_half_close_in_the_middle_of_a_head(rig):
    client = rig.client()
    client.send(GET + GET[:10])
    client.end()
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")
    assert rig.page(client)[0] == 400
    rig.until(lambda: client.ended)


def test_short_writes_to_the_app(make):
    """A small socket buffer towards the app server: bodies wait, and arrive whole."""
    rig = make("tcp")
    rig.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client = rig.client()
    body = b"".join(b"%x\r\n%s\r\n" % (5000, BIG[:5000]) for _ in range(200)) + b"0\r\n\r\n"
    client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    app = rig.accept()
    rig.head(app)
    rig.until(lambda: len(app.got) == len(body))
    assert app.take() == body
    app.send(OK)
    rig.expect(client, b"ok")


def test_row_18_a_short_body_that_was_sent_twice_still_has_an_end(make):
    """Its first connection turned out to be dead at the send; the app never answers the second."""
    rig = make("unix", RESPONSE_TIMEOUT=5)
    client, app, _ = rig.opened()
    app.close()
    (down,) = rig.gateway._clients
    # before the end of the app's connection has been seen
    down.received(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc")
    rig.after(0.1)
    again = rig.accept()
    rig.expect(again, b"abc")
    rig.after(4)
    assert rig.pool.leases == 1
    rig.after(2)
    assert rig.page(client)[0] == 504
    assert rig.pool.leases == 0
