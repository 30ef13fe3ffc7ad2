"""FAULTS 46: when an event stream or a tunnel was last active, and how it is ended for room."""

import time

import pytest

from tests.proxy.rig import GET, OK
from tests.proxy.test_tunnels import tunnel

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = EVENTS + b"Transfer-Encoding: chunked\r\n\r\n"
TO_EOF = EVENTS + b"\r\n"
EVENT = b"9\r\ndata: 1\n\n\r\n"
MIB = 1 << 20


def events(rig, head=CHUNKED, buffer=None):
    client = rig.client(buffer=buffer)
    client.send(GET)
    app = rig.accept()
    rig.head(app)
    app.send(head)
    rig.head(client)
    return client, app


def silence(rig):
    """Seconds since a byte went by, as the only stream says."""
    (stream,) = rig.pool.streams
    return rig.clock.seconds() - stream.active_at(rig.clock.seconds())


def at_rest(rig):
    """Waits until no byte moves any more: the kernel may take some a moment later."""
    for _ in range(100):
        rig.settle()
        rig.after(1)
        time.sleep(0.1)
        rig.settle()
        if silence(rig) >= 1:
            return
    raise AssertionError("bytes still move")


def test_an_event_stream_is_active_with_each_event(rig):
    client, app = events(rig)
    assert silence(rig) < 1
    rig.after(100)
    assert silence(rig) >= 100
    app.send(EVENT)
    rig.expect(client, EVENT)
    assert silence(rig) < 1


def test_a_tunnel_is_active_with_bytes_of_either_side(rig):
    client, app = tunnel(rig)
    for one, other in ((client, app), (app, client)):
        rig.after(100)
        assert silence(rig) >= 100
        one.send(b"x")
        rig.expect(other, b"x")
        assert silence(rig) < 1


def test_an_upload_beside_its_event_stream_counts(rig):
    client, app = rig.asked(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 300000\r\n\r\n")
    app.send(CHUNKED)
    rig.head(client)
    rig.after(100)
    assert silence(rig) >= 100
    client.send(b"x" * 300_000)
    rig.until(lambda: len(app.got) == 300_000)
    assert silence(rig) < 1


@pytest.mark.parametrize("of", ["events", "tunnel"])
def test_what_a_slow_reader_takes_counts(rig, of):
    """Nothing comes in any more, but what came in is still on its way."""
    client, app = events(rig, buffer=8192) if of == "events" else tunnel(rig, buffer=8192)
    client.reading = False
    app.send(b"800000\r\n" + b"x" * (8 * MIB))
    rig.settle(200)
    assert not app.sent
    at_rest(rig)
    rig.after(50)
    assert silence(rig) >= 50
    client.reading = True
    client.poll(300_000)
    client.reading = False
    rig.settle()
    assert silence(rig) < 1
    at_rest(rig)
    rig.after(50)
    assert silence(rig) >= 50


@pytest.mark.parametrize("head", [CHUNKED, TO_EOF])
def test_invariant_3_an_event_stream_that_is_ended_has_no_clean_end(rig, head):
    client, app = events(rig, head)
    app.send(EVENT)
    rig.expect(client, EVENT)
    rig.after(70)
    rig.pool.streams[0].end_for_room("b.test")
    rig.until(lambda: client.over and app.over)
    assert client.reset
    assert client.got == b""
    assert rig.pool.leases == 0
    assert rig.counters.aborts == 1
    (line,) = rig.lines()
    assert line["status"] == 200
    assert line["end"].startswith("silent for 7")
    assert line["end"].endswith("s; room was needed for b.test")


def test_a_tunnel_that_is_ended_is_torn_at_both_ends(make, log):
    rig = make("tcp", UPSTREAM_MAX=1)
    client, app = tunnel(rig)
    client.send(b"x")
    rig.expect(app, b"x")
    rig.after(70)
    rig.pool.streams[0].end_for_room("b.test")
    rig.until(lambda: client.over and app.over)
    assert client.reset
    assert app.reset
    assert rig.pool.leases == 0
    assert not rig.backend.open
    assert rig.counters.answers == 1
    (line,) = rig.lines()
    assert line["status"] == 101
    assert line["end"].endswith("s; room was needed for b.test")
    (told,) = [event for event in log if "wanted_by" in event]
    assert "a stream silent for {seconds:.0f} s was ended" in told["log_format"]
    assert (told["site"], told["wanted_by"]) == ("a.test", "b.test")


@pytest.mark.parametrize("end", [b"0\r\n\r\n", None])
def test_a_stream_that_ends_by_itself_is_none_any_more(rig, end):
    client, app = events(rig)
    assert len(rig.pool.streams) == 1
    if end is None:
        client.abort()
    else:
        app.send(end)
    rig.until(lambda: rig.pool.leases == 0)
    assert rig.pool.streams == []


def test_a_tunnel_by_a_server_that_was_starting_makes_it_ready(rig):
    """Whoever switches has answered; else its tunnel would count for no stream."""
    rig.pool.awake = False
    client = rig.client()
    client.send(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: x\r\n\r\n")
    rig.until(lambda: rig.pool.waiters)
    rig.pool.grant()
    app = rig.accept()
    rig.head(app)
    app.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
    rig.head(client)
    assert rig.pool.answers == 1
    assert len(rig.pool.streams) == 1


def test_an_answer_that_is_whole_at_once_is_no_stream(rig):
    """However it calls itself."""
    client, app = rig.asked()
    app.send(OK.replace(b"Content-Length", b"Content-Type: text/event-stream\r\nContent-Length"))
    rig.expect(client, b"ok")
    assert rig.pool.streams == []
    rig.exchange(client, app)
