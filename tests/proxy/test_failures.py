"""What goes wrong on either side, the retry rule, deadlines, and who is told what."""

import errno
import json
import select
import socket

import pytest

from luisito.pool import Refused
from tests.proxy.rig import GET, HOST, OK

POST = b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello"


# -- clients


def test_row_1_slow_head(rig):
    """A header a second: 408 at an absolute deadline."""
    client = rig.client()
    client.send(b"GET / HTTP/1.1\r\n")
    for number in range(14):
        client.send(b"X-%d: y\r\n" % number)
        rig.after(1)
    client.send(b"X: y\r\n")
    rig.after(2)
    status, head, _ = rig.page(client)
    assert status == 408
    assert b"Connection: close" in head
    rig.until(lambda: client.ended)
    assert rig.lines()[-1]["status"] == 408


def test_row_1_slow_head_on_a_kept_connection(rig):
    client, _app, _ = rig.opened()
    rig.after(50)
    client.send(b"GET")
    rig.after(13)
    assert client.got == b""
    rig.after(4)
    assert rig.page(client)[0] == 408


def test_idle_client_is_closed_without_a_word(rig):
    silent, idle = rig.client(), rig.client()
    idle.send(GET)
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(idle, b"ok")
    rig.after(17)
    assert silent.ended
    assert silent.got == b""
    assert not idle.over
    rig.after(61)
    assert idle.ended
    assert idle.got == b""
    assert rig.counters.heads == 1


@pytest.mark.parametrize("body", [0, 5, 200_000])
def test_row_7_client_leaves_while_its_server_starts(rig, body):
    if rig.kind == "transport" and body > 65536:
        body = 60_000  # Twisted does not watch a transport that is paused
    rig.pool.awake = False
    client = rig.client()
    client.send(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % body + b"x" * body)
    rig.until(lambda: rig.pool.waiters)
    rig.settle()
    client.abort()
    rig.until(lambda: not rig.pool.waiters)
    assert rig.lines()[-1]["end"] == "the client went away"
    assert rig.lines()[-1]["start"] == "cold"
    rig.pool.grant()
    assert rig.no_connection()


def test_client_leaves_while_it_is_answered(rig):
    client, app = rig.asked()
    client.abort()
    rig.until(lambda: app.over)
    assert rig.counters.aborts == 1
    assert rig.pool.leases == 0


@pytest.mark.parametrize("framing", [b"Content-Length: 100000000", b"Transfer-Encoding: chunked"])
def test_client_leaves_in_the_middle_of_a_download(rig, framing):
    client = rig.client()
    client.reading = False
    client.send(GET)
    app = rig.accept()
    rig.head(app)
    app.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
    app.send((b"5F5E100\r\n" if b"chunked" in framing else b"") + b"x" * (1 << 25))
    rig.settle(50)
    client.abort()
    rig.until(lambda: rig.gateway.busy == 0)
    assert rig.lines()[-1]["end"] == "the client went away"
    assert rig.lines()[-1]["status"] == 200


@pytest.mark.parametrize("sent", [10, 1 << 24])
def test_client_leaves_in_the_middle_of_an_upload(rig, sent):
    client, app = rig.asked(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 100000000\r\n\r\n")
    app.reading = False
    client.send(b"x" * sent)
    rig.settle(50)
    client.abort()
    rig.settle()
    app.reading = True  # Twisted does not watch a transport that is paused
    rig.until(lambda: app.over)
    rig.until(lambda: rig.gateway.busy == 0)
    assert rig.lines()[-1]["end"].startswith("the client ")


# -- app servers


@pytest.mark.parametrize(
    ("framing", "part"),
    [
        (b"Content-Length: 10", b"some"),
        (b"Content-Length: 10000000", b"some" * 100_000),
        (b"Transfer-Encoding: chunked", b"a\r\nsome"),
        (b"Transfer-Encoding: chunked", b"4\r\nsome\r\n"),
        (b"Transfer-Encoding: chunked", b"4\r\nsome\r\n0\r\nX: y\r\n"),
    ],
)
@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_row_15_truncated_body(make, framing, part, how, version):
    """The client sees an abort, never a clean end."""
    rig = make("tcp")
    client, app = rig.asked(GET.replace(b"1.1", version))
    app.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + part)
    rig.head(client)
    rig.until(lambda: app.sent)
    getattr(app, how)()
    rig.until(lambda: client.over)
    assert client.reset
    assert rig.lines()[-1]["end"] == "the app server broke off in the middle of its answer"
    assert rig.counters.aborts == 1


def test_row_15_truncated_by_reset_of_a_body_without_length(make):
    rig = make("tcp")
    client, app = rig.asked()
    app.send(b"HTTP/1.1 200 OK\r\n\r\nsome")
    rig.expect(client, b"some")
    app.abort()
    rig.until(lambda: client.over)
    assert client.reset


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 600 OK\r\n\r\n",
        b"HTTP/1.1 200 O\x01K\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ],
)
def test_rows_16_20_answer_that_cannot_be_passed_on(rig, log, answer):
    """502, the reason in the log; a 101 that nobody asked for too."""
    client, app = rig.asked()
    app.send(answer)
    status, _, body = rig.page(client)
    assert status == 502
    assert b"cannot be passed on" in body
    rig.until(lambda: app.over)
    assert "cannot be passed on" in [event for event in log if "detail" in event][-1]["detail"]
    client.send(GET)
    again = rig.accept()
    rig.head(again)
    again.send(OK)
    rig.expect(client, b"ok")


def test_row_16_malformed_chunks_abort(rig):
    client, app = rig.asked()
    app.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
    rig.expect(client, b"1\r\na\r\n")
    app.send(b"zzz\r\n")
    rig.until(lambda: client.reset)
    rig.until(lambda: app.over)


@pytest.mark.parametrize(
    "answer",
    [OK, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"],
)
@pytest.mark.parametrize("apart", [False, True])
def test_row_17_extra_bytes_end_the_connection(rig, answer, apart):
    client, app = rig.asked()
    if apart:
        app.send(answer)
        rig.expect(client, answer[-7:])
        app.send(b"HTTP/1.1 200 OK\r\n")
    else:
        app.send(answer + b"HTTP/1.1 200 OK\r\n\r\n")
        assert rig.expect(client, answer[-7:]) == answer
    rig.until(lambda: app.over)
    client.send(GET)
    again = rig.accept()
    rig.head(again)
    again.send(OK)
    assert rig.expect(client, b"ok") == OK


def test_row_17_extra_bytes_after_the_rest_of_a_body(rig):
    client, app = rig.asked()
    app.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nso")
    rig.expect(client, b"so")
    app.send(b"meEXTRA")
    rig.expect(client, b"me")
    rig.until(lambda: app.over)
    rig.settle()
    assert client.got == b""


def test_row_18_no_answer(rig):
    client, app = rig.asked()
    rig.after(59)
    assert client.got == b""
    rig.after(2)
    assert rig.page(client)[0] == 504
    rig.until(lambda: app.over)
    client.send(GET)
    again = rig.accept()
    rig.head(again)
    again.send(OK)
    rig.expect(client, b"ok")


def test_row_18_silence_in_the_middle_of_an_answer(rig):
    client, app = rig.asked()
    app.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    rig.head(client)
    for _ in range(4):
        rig.after(50)
        app.send(b"x")
    rig.expect(client, b"xxxx")
    rig.after(62)
    rig.until(lambda: client.over)
    assert client.reset
    assert "silent" in rig.lines()[-1]["end"]


# -- connections to the app server, and the retry rule (invariant 4)


def one_exchange(rig):
    client, app, _ = rig.opened()
    return client, app


def test_row_19_reset_on_a_reused_connection_get(make):
    rig = make("tcp")
    client, app = one_exchange(rig)
    client.send(GET)
    rig.head(app)
    app.abort()
    rig.after(0.1)
    again = rig.accept()
    assert rig.head(again).startswith(b"GET / ")
    again.send(OK)
    rig.expect(client, b"ok")
    assert rig.counters.retries == 1


def test_row_19_written_idempotent_once_only(make):
    rig = make("tcp")
    client, app = one_exchange(rig)
    client.send(GET)
    rig.head(app)
    app.abort()
    rig.after(0.1)
    again = rig.accept()
    rig.head(again)
    again.abort()
    assert rig.page(client)[0] == 502
    assert rig.no_connection()


@pytest.mark.parametrize("method", [b"POST", b"PATCH"])
@pytest.mark.parametrize("body", [False, True])
def test_row_19_written_post_never_twice(make, method, body):
    rig = make("tcp")
    client, app = one_exchange(rig)
    client.send(POST.replace(b"POST", method) if body else GET.replace(b"GET", method))
    rig.head(app)
    app.abort()
    assert rig.page(client)[0] == 502
    assert rig.no_connection()
    assert rig.counters.retries == 0


def test_row_19_unwritten_post_goes_to_a_new_connection(rig):
    """The app server had ended the idle connection, and we had not seen it yet."""
    client, app = one_exchange(rig)
    app.close()
    upstream = rig.backend.idle[-1].stream
    rig.board._epoll.unregister(upstream.fd)
    client.send(POST)
    rig.until(lambda: rig.counters.heads == 2)
    rig.board._epoll.register(upstream.fd, select.EPOLLIN)
    rig.after(0.1)
    again = rig.accept()
    assert rig.expect(again, b"hello").startswith(b"POST /x ")
    again.send(OK)
    rig.expect(client, b"ok")
    assert rig.counters.retries == 1


def test_row_19_no_retry_once_an_interim_answer_came(make):
    rig = make("tcp")
    client, app = one_exchange(rig)
    client.send(GET)
    rig.head(app)
    app.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    rig.head(client)
    app.abort()
    assert rig.page(client)[0] == 502
    assert rig.no_connection()


def test_row_19_no_retry_once_part_of_a_head_came(make):
    rig = make("tcp")
    client, app = one_exchange(rig)
    client.send(GET)
    rig.head(app)
    app.send(b"HTTP/1.1 200")
    rig.settle()
    app.close()
    assert rig.page(client)[0] == 502
    assert rig.no_connection()


def test_row_19_post_takes_only_a_fresh_connection(rig):
    """One that was idle for a second may be ended by the app server any moment."""
    client, app = one_exchange(rig)
    client.send(POST)
    rig.expect(app, b"hello")
    app.send(OK)
    rig.expect(client, b"ok")
    rig.after(1)
    client.send(POST)
    again = rig.accept()
    rig.expect(again, b"hello")
    again.send(OK)
    rig.expect(client, b"ok")
    rig.after(1)
    client.send(GET)
    rig.head(again)
    again.send(OK)
    rig.expect(client, b"ok")


def test_idle_connections_end_in_time(rig):
    _, app = one_exchange(rig)
    rig.after(3)
    assert not app.over
    rig.after(3)
    assert app.over
    assert rig.backend.idle == []


def test_idle_connection_that_the_app_ends_is_forgotten(rig):
    _, app = one_exchange(rig)
    app.close()
    rig.until(lambda: rig.backend.idle == [])


def test_connections_of_a_retired_server_are_not_kept(rig):
    client, app = one_exchange(rig)
    client.send(GET)
    rig.head(app)
    rig.backend.retire()
    app.send(OK)
    rig.expect(client, b"ok")
    rig.until(lambda: app.over)


def test_the_last_used_connection_is_used_first(rig):
    clients = [rig.client() for _ in range(3)]
    apps = []
    for client in clients:
        client.send(GET)
        apps.append(rig.accept())
        rig.head(apps[-1])
    for index in (0, 2, 1):
        apps[index].send(OK)
        rig.expect(clients[index], b"ok")
    clients[0].send(GET)
    rig.head(apps[1])
    apps[1].send(OK)
    rig.expect(clients[0], b"ok")


@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_connection_refused_asks_the_pool_again(make, way):
    rig = make(way)
    address = rig.listener.getsockname()
    rig.listener.close()
    client = rig.client()
    client.send(POST)
    rig.until(lambda: rig.counters.heads)
    rig.settle()
    assert rig.pool.leases == 0
    rig.pool.awake = False
    rig.after(0.1)
    assert len(rig.pool.waiters) == 1
    if way == "unix":
        rig.listener = socket.socket(socket.AF_UNIX)
        rig.backend.address = f"{rig.folder.name}/again"
        rig.listener.bind(rig.backend.address)
        rig.listener.listen()
    else:
        rig.listener = socket.create_server(address)
    rig.listener.setblocking(False)
    rig.pool.grant()
    app = rig.accept()
    rig.expect(app, b"hello")
    app.send(OK)
    rig.expect(client, b"ok")
    assert rig.lines()[-1]["start"] == "cold"


def test_connection_refused_for_good(make):
    rig = make("tcp")
    rig.listener.close()
    client = rig.client()
    client.send(GET)
    for _ in range(20):
        rig.after(0.2)
    assert rig.page(client)[0] == 502


def test_row_34b_full_backlog_waits(rig):
    rig.listener.listen(0)
    first = socket.socket(socket.AF_UNIX)
    first.connect(rig.listener.getsockname())
    client = rig.client()
    client.send(POST)
    rig.until(lambda: rig.counters.heads)
    rig.after(10)
    assert client.got == b""
    assert rig.pool.leases == 1
    rig.listener.accept()[0].close()
    first.close()
    rig.after(0.2)
    app = rig.accept()
    rig.expect(app, b"hello")
    app.send(OK)
    rig.expect(client, b"ok")


def test_row_34b_backlog_stays_full(rig):
    rig.listener.listen(0)
    with socket.socket(socket.AF_UNIX) as first:
        first.connect(rig.listener.getsockname())
        client = rig.client()
        client.send(GET)
        rig.until(lambda: rig.counters.heads)
        rig.after(46)
    status, head, _ = rig.page(client)
    assert status == 503
    assert b"Retry-After: " in head


def test_row_7_client_leaves_while_the_backlog_is_full(rig):
    rig.listener.listen(0)
    with socket.socket(socket.AF_UNIX) as first:
        first.connect(rig.listener.getsockname())
        client = rig.client()
        client.send(GET)
        rig.until(lambda: rig.counters.heads)
        client.abort()
        rig.until(lambda: rig.pool.leases == 0)
    rig.after(1)
    assert rig.counters.aborts == 1


def test_row_37_no_port_or_descriptor_is_left(rig, monkeypatch):
    """503, and no busy loop."""

    def connect():
        raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

    monkeypatch.setattr(type(rig.backend), "connect", lambda self: connect())
    client = rig.client()
    client.send(GET)
    status, head, _ = rig.page(client)
    assert status == 503
    assert b"Retry-After: 1\r\n" in head


def test_a_server_that_was_granted_early_is_withdrawn(rig):
    client, app = rig.asked()
    exchange = next(iter(rig.gateway._clients)).exchange
    exchange.withdrawn(rig.pool.server, Refused(502, "it exited"))
    assert rig.page(client)[0] == 502
    rig.until(lambda: app.over)


# -- our own pages


@pytest.mark.parametrize("status", [502, 503, 504])
def test_refusals_of_the_pool(rig, status):
    rig.pool.awake = False
    client = rig.client()
    client.send(GET)
    rig.until(lambda: rig.pool.waiters)
    rig.clock.advance(2)
    rig.pool.refuse(status, "<why>", 2.3)
    got, head, body = rig.page(client)
    assert got == status
    assert b"Retry-After: 3\r\n" in head
    assert b"text/html" in head
    assert b"&lt;why&gt;" in body
    line = rig.lines()[-1]
    assert (line["queued"], line["starting"]) == ((2, 0) if status == 503 else (0, 2))
    rig.pool.awake = True
    client.send(GET)
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")


def test_pages_in_json(rig):
    rig.pool.awake = False
    client = rig.client()
    client.send(GET[:-2] + b"Accept: application/json\r\n\r\n")
    rig.until(lambda: rig.pool.waiters)
    rig.pool.refuse(504, "why")
    _, head, body = rig.page(client)
    assert b"application/json" in head
    assert json.loads(body)["detail"] == "why"


def test_pages_in_answer_to_head(rig):
    client = rig.client()
    client.send(b"HEAD / HTTP/1.1\r\nHost: b.test\r\n\r\n" * 2)
    for _ in range(2):
        head = rig.head(client)
        assert head.startswith(b"HTTP/1.1 404 ")
        assert b"Content-Length: " in head
    rig.settle()
    assert client.got == b""


@pytest.mark.parametrize(
    ("peer", "extra", "told"),
    [
        (b"127.0.0.1", b"", True),
        (b"127.0.0.1", b"X-Forwarded-For: 192.0.2.1\r\n", False),
        (b"192.0.2.1", b"", False),
        (b"", b"", False),
    ],
)
def test_only_operators_are_told_why(rig, peer, extra, told):
    client = rig.client(peer)
    for _ in range(2):
        client.send(b"GET / HTTP/1.1\r\nHost: b.test\r\n" + extra + b"\r\n")
        status, _, body = rig.page(client)
        assert status == 404
        assert (b"ALLOWED_HOSTS" in body) == told


def test_row_48_flood_of_unknown_hosts_pipelined(rig):
    """404 each, no spawn, and others are served in between."""
    client, other = rig.client(), rig.client()
    other.send(GET)
    app = rig.accept()
    rig.head(app)
    client.keeps = False
    client.send(b"GET / HTTP/1.1\r\nHost: b.test\r\n\r\n" * 5000)
    rig.turn()
    rig.turn()
    app.send(OK)
    rig.expect(other, b"ok")
    assert rig.counters.heads < 4000
    rig.until(lambda: rig.counters.heads == 5001)
    assert rig.pool.waiters == []


def test_row_48_half_close_behind_a_flood(rig):
    client = rig.client()
    client.send(b"GET / HTTP/1.1\r\nHost: b.test\r\n\r\n" * 50)
    client.end()
    rig.until(lambda: client.ended)
    assert client.got.count(b"HTTP/1.1 404 ") == 50


def test_404_for_a_site_without_a_folder(make, tmp_path):
    rig = make(PROJECT_PATH=str(tmp_path / "%HOST"))
    rig.pool.awake = False
    rig.pool.folders["a.test"] = False
    client = rig.client()
    client.send(GET)
    assert rig.page(client)[0] == 404
    rig.pool.folders["a.test"] = True
    client.send(GET)
    assert rig.page(client)[0] == 404  # remembered for a while
    rig.after(11)
    client.send(GET)
    rig.until(lambda: rig.pool.waiters)
    rig.pool.refuse(503, "")
    assert rig.page(client)[0] == 503


# -- forwarded fields


def forwarded(head: bytes) -> dict[bytes, bytes]:
    lines = dict(line.split(b": ", 1) for line in head.strip().split(b"\r\n")[1:])
    return {
        name: value for name, value in lines.items() if b"orward" in name or name == b"X-Real-Ip"
    }


SENT = (
    b"X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b.test\r\n"
    b"Forwarded: for=198.51.100.7\r\nX-Real-IP: 198.51.100.7\r\n"
)


def test_row_58_forwarded_fields_of_a_stranger_are_replaced(rig):
    client = rig.client(b"192.0.2.9", 80)
    client.send(GET[:-2] + SENT + b"\r\n")
    app = rig.accept()
    assert forwarded(rig.head(app)) == {
        b"X-Forwarded-For": b"192.0.2.9",
        b"X-Forwarded-Proto": b"http",
        b"X-Forwarded-Host": b"a.test",
        b"X-Forwarded-Port": b"80",
        b"Forwarded": b"for=192.0.2.9;host=a.test;proto=http",
    }
    app.send(OK)
    rig.expect(client, b"ok")
    assert rig.lines()[-1]["client"] == "192.0.2.9"


@pytest.mark.parametrize("peer", [b"127.0.0.1", b""])
def test_row_58_forwarded_fields_of_a_trusted_proxy_are_extended(rig, peer):
    client = rig.client(peer)
    client.send(GET[:-2] + SENT + b"\r\n")
    app = rig.accept()
    fields = forwarded(rig.head(app))
    assert fields[b"X-Forwarded-For"].startswith(b"198.51.100.7")
    assert fields[b"X-Forwarded-Proto"] == b"https"
    assert fields[b"X-Forwarded-Host"] == b"b.test"
    assert fields[b"Forwarded"].startswith(b"for=198.51.100.7, for=")
    app.send(OK)
    rig.expect(client, b"ok")
    assert rig.lines()[-1]["client"] == "198.51.100.7"


def test_the_last_line_of_several_tells_the_client(rig):
    """One that the client wrote comes before that of the proxy, which adds a line of its own."""
    client = rig.client(b"127.0.0.1")
    forged = b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.7\r\n"
    client.send(GET[:-2] + forged + b"\r\n")
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")
    assert rig.lines()[-1]["client"] == "192.0.2.7"


@pytest.mark.parametrize(("more", "client"), [(98, "192.0.2.7"), (99, "::1"), (7000, "::1")])
def test_the_client_is_looked_for_behind_a_hundred_proxies(rig, more, client):
    """However many addresses are in a line: all of them are ours, but the first."""
    far = rig.client(b"127.0.0.1")
    line = b"X-Forwarded-For: " + b",".join([b"192.0.2.7", *[b"::1"] * more])
    far.send(GET[:-2] + line + b"\r\n\r\n")
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(far, b"ok")
    assert rig.lines()[-1]["client"] == client


def test_row_60_connection_cannot_remove_ours(rig):
    client = rig.client(b"192.0.2.9")
    client.send(GET[:-2] + b"Connection: X-Forwarded-For, Host, X-Mine\r\nX-Mine: 1\r\n\r\n")
    app = rig.accept()
    head = rig.head(app)
    assert b"Host: a.test\r\n" in head
    assert b"X-Forwarded-For: 192.0.2.9\r\n" in head
    assert b"X-Mine" not in head
    app.send(OK)
    rig.expect(client, b"ok")


def test_clients_behind_one_proxy_connection_are_told_apart(rig):
    """The access line of a refused request names its own client."""
    client = rig.client()
    first = GET[:-2] + b"X-Forwarded-For: 192.0.2.1\r\n\r\n"
    client.send(first)
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")
    client.send(first.replace(b"2.1", b"2.2").replace(b"a.test", b"b.test"))
    assert rig.page(client)[0] == 404
    rig.pool.awake = False
    client.send(first.replace(b"2.1", b"2.3"))
    rig.until(lambda: rig.pool.waiters)
    client.abort()
    rig.until(lambda: not rig.pool.waiters)
    assert [line["client"] for line in rig.lines()] == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    assert [line["site"] for line in rig.lines()] == ["a.test", "b.test", "a.test"]


# -- the end


def test_row_42_drain(rig):
    """Idle connections end, those in use after their answer."""
    idle, busy, tunnel = rig.client(), rig.client(), rig.client()
    busy.send(GET)
    app = rig.accept()
    rig.head(app)
    tunnel.send(GET[:-2] + b"Connection: upgrade\r\nUpgrade: x\r\n\r\n")
    far = rig.accept()
    rig.head(far)
    far.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    rig.head(tunnel)
    rig.gateway.close_idle()
    rig.until(lambda: idle.ended)
    app.send(OK)
    assert b"Connection: close\r\n" in rig.expect(busy, b"ok")
    rig.until(lambda: busy.ended)
    assert rig.gateway.busy == 1
    rig.gateway.close_all()
    rig.until(lambda: tunnel.over and far.over)
    assert rig.gateway.busy == 0


def test_invariant_9_an_error_of_ours_ends_one_connection_only(make, log, monkeypatch):
    rig = make()
    rig.kind = "socket"  # Twisted's own transports are not on the Switchboard
    client, other = rig.client(), rig.client()
    other.send(GET)
    app = rig.accept()
    rig.head(app)

    def fail(*_args):
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(rig.gateway, "line", fail)
        client.send(GET)
        rig.until(lambda: client.over)
    app.send(OK)
    rig.expect(other, b"ok")
    failures = [event for event in log if "log_failure" in event]
    assert len(failures) == 1
    for event in failures:
        log.remove(event)
