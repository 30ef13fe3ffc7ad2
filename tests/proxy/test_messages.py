"""Requests and responses as they pass: framing, interim answers, HTTP/1.0, heads refused."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.proxy.rig import GET, HOST, OK

POST = b"POST /x HTTP/1.1\r\n" + HOST


def test_keep_alive_both_ways(rig):
    client = rig.client()
    client.send(GET)
    app = rig.accept()
    for number in range(3):
        if number:
            client.send(GET)
        assert rig.head(app).startswith(b"GET / HTTP/1.1\r\nHost: a.test\r\n")
        app.send(OK)
        assert rig.expect(client, b"ok") == OK
    assert rig.counters.upstream_connections == 1
    assert rig.counters.answers == 3


def test_row_9_pipelined_in_order_one_at_a_time(rig):
    client = rig.client()
    client.send(
        GET.replace(b"/ ", b"/1 ") + GET.replace(b"/ ", b"/2 ") + GET.replace(b"/ ", b"/3 ")
    )
    app = rig.accept()
    for name in (b"1", b"2", b"3"):
        assert rig.head(app).startswith(b"GET /%s " % name)
        rig.settle()
        assert app.got == b""
        app.send(OK.replace(b"ok", name * 2))
        assert rig.expect(client, name * 2).endswith(b"\r\n\r\n" + name * 2)
    assert rig.no_connection()


def test_row_9_pipelined_behind_a_body(rig):
    client = rig.client()
    client.send(POST + b"Content-Length: 3\r\n\r\nabc" + GET)
    app = rig.accept()
    rig.expect(app, b"\r\n\r\nabc")
    app.send(OK)
    rig.expect(client, b"ok")
    assert rig.head(app).startswith(b"GET / ")
    app.send(OK)
    rig.expect(client, b"ok")


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified", b"200 OK"])
def test_row_14_no_body_with_a_length(rig, status):
    """HEAD, 204 and 304 with Content-Length: no body, no hang."""
    client = rig.client()
    request = GET.replace(b"GET", b"HEAD") if status == b"200 OK" else GET
    client.send(request)
    app = rig.accept()
    for number in range(2):
        if number:
            client.send(request)
        rig.head(app)
        app.send(b"HTTP/1.1 " + status + b"\r\nContent-Length: 100\r\n\r\n")
        assert rig.head(client).startswith(b"HTTP/1.1 " + status)
    assert rig.counters.upstream_connections == 1


def test_row_14_chunked_answer_to_head(rig):
    client, app = rig.asked(GET.replace(b"GET", b"HEAD"))
    app.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert b"chunked" not in rig.head(client)
    rig.exchange(client, app)


def test_row_13_interim_answers_are_relayed(rig):
    client, app = rig.asked()
    app.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + OK)
    got = rig.expect(client, b"ok")
    assert got == (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + OK
    )
    assert rig.counters.answers == 1


def test_row_13_thousands_of_interim_answers(rig):
    client, app = rig.asked()
    app.send(b"HTTP/1.1 102 P\r\n\r\n" * 5000 + OK)
    assert rig.expect(client, b"ok").count(b"102 P") == 5000


def test_row_13_interim_answers_do_not_reach_http_1_0(rig):
    client, app = rig.asked(b"GET / HTTP/1.0\r\n" + HOST + b"\r\n")
    app.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)
    assert b"103" not in rig.expect(client, b"ok")
    rig.until(lambda: client.ended)


def test_row_10_the_apps_100_is_relayed_once(rig):
    client = rig.client()
    client.send(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    app = rig.accept()
    assert b"Expect: 100-continue" in rig.head(app)
    app.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
    assert rig.head(client) == b"HTTP/1.1 100 Continue\r\n\r\n"
    rig.after(3)
    assert client.got == b""
    client.send(b"hello")
    assert rig.expect(app, b"hello") == b"hello"
    app.send(OK)
    assert rig.expect(client, b"ok") == OK


def test_row_10_a_silent_app_gets_our_100(rig):
    client, app = rig.asked(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    rig.settle()
    assert client.got == b""
    rig.after(2)
    assert rig.head(client) == b"HTTP/1.1 100 Continue\r\n\r\n"
    app.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    client.send(b"hello")
    rig.expect(app, b"hello")
    app.send(OK)
    assert rig.expect(client, b"ok") == OK


def test_row_10_no_100_for_http_1_0(rig):
    client = rig.client()
    client.send(
        b"POST / HTTP/1.0\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    )
    app = rig.accept()
    rig.head(app)
    rig.after(3)
    assert client.got == b""
    client.send(b"hello")
    rig.expect(app, b"hello")
    app.send(OK)
    rig.expect(client, b"ok")


def test_row_10_the_app_answers_417(rig):
    client, app = rig.asked(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    app.send(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
    head = rig.head(client)
    assert head.startswith(b"HTTP/1.1 417 ")
    assert b"Connection: close\r\n" in head
    rig.until(lambda: client.ended)
    rig.until(lambda: app.over)


def test_chunked_response_with_trailers(rig):
    client = rig.client()
    client.send(GET)
    app = rig.accept()
    body = b"5;x=y\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
    for _ in range(2):
        rig.head(app)
        app.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        assert rig.expect(client, b"X-Sum: 1\r\n\r\n").endswith(b"\r\n\r\n" + body)
        client.send(GET)
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")


def test_chunked_request_with_trailers(rig):
    client = rig.client()
    body = b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n"
    client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + body + GET)
    app = rig.accept()
    assert b"Transfer-Encoding: chunked\r\n" in rig.head(app)
    assert rig.expect(app, b"X-Sum: 1\r\n\r\n") == body
    app.send(OK)
    rig.expect(client, b"ok")
    assert rig.head(app).startswith(b"GET / ")
    app.send(OK)
    rig.expect(client, b"ok")


def test_body_until_the_end_of_the_connection(rig):
    client, app = rig.asked()
    app.send(b"HTTP/1.0 200 OK\r\n\r\nsome")
    head = rig.head(client)
    assert head == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    rig.expect(client, b"some")
    app.send(b"thing")
    rig.expect(client, b"thing")
    app.close()
    rig.until(lambda: client.ended)
    assert rig.counters.answers == 1


CHUNKED_ANSWER = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n5\r\nthing\r\n0\r\n\r\n"
)


def test_http_1_0_gets_no_chunks(rig):
    client = rig.client()
    client.send(b"GET / HTTP/1.0\r\n" + HOST + b"\r\n")
    app = rig.accept()
    assert rig.head(app).startswith(b"GET / HTTP/1.1\r\n")
    app.send(CHUNKED_ANSWER)
    rig.until(lambda: client.ended)
    assert client.got == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsomething"


def test_http_1_0_keep_alive(rig):
    client = rig.client()
    request = b"GET / HTTP/1.0\r\n" + HOST + b"Connection: keep-alive\r\n\r\n"
    client.send(request)
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    assert b"Connection: keep-alive\r\n" in rig.expect(client, b"ok")
    client.send(request)
    rig.head(app)
    app.send(CHUNKED_ANSWER)
    rig.until(lambda: client.ended)
    assert b"Connection: close\r\n" in client.got


def test_http_1_1_connection_close(rig):
    client = rig.client()
    client.send(GET[:-2] + b"Connection: close\r\n\r\n")
    app = rig.accept()
    assert b"Connection" not in rig.head(app)
    app.send(OK)
    assert b"Connection: close\r\n" in rig.expect(client, b"ok")
    rig.until(lambda: client.ended)
    assert not app.over


def conversation(rig, cuts: list[int], *, of_app: bool) -> None:
    """Three exchanges whose bytes arrive in pieces."""
    client = rig.client()
    requests = [
        POST + b"Content-Length: 5\r\n\r\nhello",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a\r\n!\r\n0\r\nA: b\r\n\r\n",
        GET,
    ]
    answers = [
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nbody-ok",
    ]
    ends = [b"hello", b"A: b\r\n\r\n", b"\r\n\r\n"]

    def pieces(far, data: bytes, *, cut: bool) -> None:
        at = 0
        for end in sorted(cuts) if cut else ():
            if at < end < len(data):
                far.send(data[at:end])
                rig.settle(2)
                at = end
        far.send(data[at:])

    app = None
    for request, answer, end in zip(requests, answers, ends, strict=True):
        pieces(client, request, cut=not of_app)
        if app is None:
            app = rig.accept()
        got = rig.expect(app, end)
        assert got.partition(b"\r\n\r\n")[2] == request.partition(b"\r\n\r\n")[2]
        pieces(app, answer, cut=of_app)
        final = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert rig.expect(client, final[-7:]) == final
    client.close()
    app.close()
    rig.settle()


@pytest.mark.parametrize("of_app", [False, True])
def test_byte_by_byte(rig, of_app):
    conversation(rig, list(range(200)), of_app=of_app)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(cuts=st.lists(st.integers(1, 160), max_size=6, unique=True), of_app=st.booleans())
def test_random_splits(rig, cuts, of_app):
    conversation(rig, cuts, of_app=of_app)


HEAD = b"GET / HTTP/1.1\r\n" + HOST
CHUNKED = b"Transfer-Encoding: chunked\r\n"
BAD = [
    (HEAD + b"Content-Length: 1\r\n" + CHUNKED + b"\r\n", 400),
    (HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
    (HEAD + CHUNKED + CHUNKED + b"\r\n", 400),
    (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    (b"POST / HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n0\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (HEAD + HOST + b"\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: ../x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\nHost: a.test\n\n\r\n\r\n", 400),
    (b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    (b"CONNECT a.test:1 HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    (HEAD + b"X: a\rb\r\n\r\n", 400),
]


@pytest.mark.parametrize(("request_", "status"), BAD)
def test_row_11_and_others_a_head_that_is_refused(rig, request_, status):
    client = rig.client()
    client.send(request_)
    got, head, _ = rig.page(client)
    assert got == status
    assert b"Connection: close\r\n" in head
    rig.until(lambda: client.ended)
    assert rig.no_connection()
    assert rig.lines()[-1]["status"] == status


def test_row_4_head_over_the_limit(rig):
    """4 MiB of a header value, in pieces of 1,460 bytes."""
    client = rig.client()
    client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\nX: ")
    for _ in range(4 * 1024 * 1024 // 1460):
        client.send(b"x" * 1460)
        rig.turn()
        if client.got:
            break
    assert rig.page(client)[0] == 431
    rig.until(lambda: client.over)


def test_row_5_target_too_long(rig):
    client = rig.client()
    client.send(b"GET /" + b"x" * 65536 + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert rig.page(client)[0] == 414


def test_row_5_row_4_exactly_at_the_limit(make):
    rig = make(MAX_HEAD_SIZE=200)
    client = rig.client()
    start = b"GET / HTTP/1.1\r\n" + HOST + b"X: "
    whole = start + b"x" * (200 - len(start)) + b"\r\n\r\n"
    client.send(whole)
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")
    client.send(whole.replace(b"X: ", b"X: x"))
    assert rig.page(client)[0] == 431


@pytest.mark.parametrize(
    "body",
    [b"1" + b";x" * 3000, b"0\r\n" + b"X: y\r\n" * 20000, b"1_0\r\n", b"+5\r\n", b"1\r\nab\r\n"],
)
def test_row_6_malformed_chunks(rig, body):
    client, app = rig.asked(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    client.send(body)
    assert rig.page(client)[0] == 400
    rig.until(lambda: app.over)


def test_row_6_malformed_chunk_after_the_answer_has_begun(rig):
    """No second answer may come to stand in the middle of the first."""
    client, app = rig.asked(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    app.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
    rig.expect(client, b"some")
    client.send(b"xyz\r\n")
    rig.until(lambda: client.reset)
    assert client.got == b""


def test_empty_line_before_a_request(rig):
    client, app = rig.asked(b"\r\n" + GET)
    app.send(OK)
    rig.expect(client, b"ok")


def test_row_54_the_absolute_target_wins(rig):
    client = rig.client()
    client.send(b"GET http://a.test/p?q HTTP/1.1\r\nHost: b.test\r\n\r\n")
    app = rig.accept()
    head = rig.head(app)
    assert head.startswith(b"GET /p?q HTTP/1.1\r\nHost: a.test\r\n")
    app.send(OK)
    rig.expect(client, b"ok")


@pytest.mark.parametrize("path", [b"/?secret=1", b'/%00\x80"?secret'[:4] + b"?secret=2"])
def test_row_62_the_access_line_without_query(rig, path):
    client, app = rig.asked(b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    app.send(OK)
    rig.expect(client, b"ok")
    line = rig.lines()[-1]
    assert "secret" not in json.dumps(line)
    assert (line["method"], line["site"], line["status"]) == ("GET", "a.test", 200)
    assert line["in"] == len(b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert line["out"] == len(OK)
    assert line["start"] == "warm"
