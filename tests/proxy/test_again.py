"""What comes again is read by a shorter way: it must not be read otherwise."""

import itertools
import random

import pytest

from tests.proxy.rig import GET, HOST, OK

LINES = [
    b"GET / HTTP/1.1",
    b"GET /a?b HTTP/1.1",
    b"DELETE / HTTP/1.1",
    b"POST / HTTP/1.1",
    b"HEAD / HTTP/1.1",
    b"GET / HTTP/1.0",
    b"GET http://a.test/x HTTP/1.1",
    b"GET http://A.test:80/x HTTP/1.1",
]
BLOCKS = [
    HOST,
    b"host:a.test\r\n",
    HOST + b"X-Forwarded-For: 1.2.3.4\r\n",
    HOST + b"Connection: keep-alive\r\n",
    HOST + b"Connection: keep-alive, X\r\nX: y\r\n",
    HOST + b"Content-Length: 0\r\n",
]
REQUESTS = [
    b"%s\r\n%s\r\n" % (line, block)
    for line, block in itertools.product(LINES, BLOCKS)
    if b"HTTP/1.0" not in line or b"keep-alive" in block
]
ANSWERS = [
    OK,
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
]


def exchange(rig, client, app, request, answer):
    """What the app server and the client got."""
    client.send(request)
    sent = rig.head(app)
    if request.startswith(b"HEAD"):
        answer = answer[: answer.find(b"\r\n\r\n") + 4]
    app.send(answer)
    rig.settle(3)
    return sent, client.take()


def opened(make, **names):
    """A rig, a client and an app server after a first exchange, and what the client got."""
    rig = make(**names)
    return rig, *rig.opened()


def test_on_a_connection_as_on_one_of_its_own(make):
    """Any requests and answers after each other on one connection, and each on a new one."""
    choose = random.Random(1)
    rig, client, app, _ = opened(make)
    for _ in range(150):
        request, answer = choose.choice(REQUESTS), choose.choice(ANSWERS)
        if b"1.0" in request and b"chunked" in answer:
            continue  # ends the connection
        alone = rig.client()
        expected = exchange(rig, alone, app, request, answer)
        alone.close()
        for _ in range(choose.choice([1, 2, 3])):
            assert exchange(rig, client, app, request, answer) == expected


@pytest.mark.parametrize("size", range(1, len(OK)))
def test_an_answer_that_comes_again_in_two_pieces(make, size):
    rig, client, app, first = opened(make)
    client.send(GET)
    rig.head(app)
    app.send(OK[:size])
    rig.settle(3)
    app.send(OK[size:])
    assert rig.expect(client, b"ok") == first


def test_row_17_more_bytes_behind_an_answer_that_comes_again(make):
    """FAULTS 17: they belong to nobody, and their connection is thrown away."""
    rig, client, app, first = opened(make)
    client.send(GET)
    rig.head(app)
    app.send(OK + b"HTTP/1.1 200 OK\r\n")
    assert rig.expect(client, b"ok") == first
    rig.until(lambda: app.over)
    client.send(GET)
    other = rig.accept()
    rig.head(other)
    other.send(OK)
    assert rig.expect(client, b"ok") == first


def test_what_a_head_request_is_answered_is_not_taken_for_a_whole_answer(make):
    rig = make()
    client = rig.client()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    client.send(b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n")
    app = rig.accept()
    rig.head(app)
    app.send(head)
    rig.head(client)
    client.send(GET)
    rig.head(app)
    app.send(head)
    rig.settle(3)
    app.send(b"ok")
    assert rig.expect(client, b"ok").startswith(head)
    client.send(GET)
    rig.head(app)
    app.send(OK)
    assert rig.expect(client, b"ok").startswith(head)


@pytest.mark.parametrize(
    ("line", "status"),
    [(b"GET  / HTTP/1.1", 400), (b"NO / HTTP/1.1", 501), (b"GET / HTTP/2.0", 505), (b"", 400)],
)
def test_a_bad_line_before_lines_that_come_again(make, line, status):
    """FAULTS 57."""
    rig, client, _, _ = opened(make)
    client.send(line + b"\r\n" + HOST + b"\r\n")
    assert rig.page(client)[0] == status
    rig.until(lambda: client.over)


def test_row_4_a_line_over_the_limit_before_lines_that_come_again(make):
    """FAULTS 4 and 5."""
    rig = make(MAX_HEAD_SIZE=8192)
    client, _app, _ = rig.opened()
    client.send(b"GET /%s HTTP/1.1\r\n%s\r\n" % (b"a" * 8192, HOST))
    assert rig.page(client)[0] == 414
    rig.until(lambda: client.over)


def test_after_an_exchange_that_was_not_usual(make):
    """Nothing of it is left to the next one."""
    rig = make()
    client, app = rig.asked()
    app.send(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK)
    rig.expect(client, b"ok")
    client.send(GET)
    rig.head(app)
    app.close()  # sent again, on another connection
    rig.after(0.1)
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")
    rig.pool.awake = False
    client.send(GET)
    rig.until(lambda: rig.pool.waiters)
    rig.pool.grant()
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")
    client.send(GET)
    rig.head(app)
    app.send(b"HTTP/1.1 200 OK\r\n\r\nto the end")
    app.end()
    rig.expect(client, b"to the end")
    rig.until(lambda: client.over)
    assert [line["start"] for line in rig.lines()] == ["warm", "warm", "cold", "warm"]
    assert rig.counters.retries == 1


@pytest.mark.parametrize("method", [b"GET", b"DELETE", b"POST"])
def test_invariant_4_after_its_server_went_to_sleep_the_next_request_is_the_next_one(make, method):
    """Nothing of the request before is sent a second time."""
    rig = make()
    client = rig.client()
    block = HOST + b"Content-Length: 0\r\n\r\n"
    app = None
    for _ in range(3):
        client.send(method + b" /one HTTP/1.1\r\n" + block)
        app = app or rig.accept()
        rig.head(app)
        app.send(OK)
        rig.expect(client, b"ok")
    rig.pool.awake = False
    client.send(b"GET /two HTTP/1.1\r\n" + block)
    rig.until(lambda: rig.pool.waiters)
    rig.pool.grant()
    assert rig.head(app).startswith(b"GET /two ")
    app.send(OK)
    rig.expect(client, b"ok")


BEFORE = [
    b"",
    GET,
    b"GET http://a.test/x HTTP/1.1\r\n" + HOST + b"\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nab",
]


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("data", [b"\n", b"x\n", b"GET /x HTTP/1.1\n", b"GET /x HTTP/1.1\n\n"])
def test_a_bare_newline_is_no_header_line(make, before, data):
    """FAULTS 57: nothing is passed on before a whole head has come."""
    rig = make()
    client, app = rig.client(), None
    if before:
        client.send(before)
        app = rig.accept()
        rig.head(app)
        app.send(OK)
        rig.expect(client, b"ok")
        app.take()
    client.send(data)
    rig.settle()
    assert not client.over
    if app is None:
        assert rig.no_connection()
    else:
        assert app.take() == b""
    client.send(b"\r\n\r\n")
    assert rig.page(client)[0] == 400
