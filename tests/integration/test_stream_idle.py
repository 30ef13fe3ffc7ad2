"""FAULTS 46: how long event streams and WebSockets of a real server (uvicorn) hold their place."""

import json
import os
import re
import time
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from tests.harness.client import connect as connect_tcp
from tests.harness.server import BIN

UVICORN = [f"{BIN}/uvicorn", "--fd=%FD", "--timeout-graceful-shutdown=1", "asgi:app"]
FOR_EVER = "/events?3600"


@pytest.fixture
def uvicorn(serve):
    """Starts a Luisito whose sites are uvicorns; as ourselves, who may read where it is."""

    def start(**settings):
        whom = {"RUN_AS": "root"} if os.getuid() == 0 else {}
        server = serve({"CMD_TPL": UVICORN, **whom, **settings}, files=("asgi.py",))
        server.allow("RUN_AS = 'root'")
        return server

    return start


@contextmanager
def websocket(server, host="a.localhost"):
    with connect_tcp(server.address, 10) as sock, connect(f"ws://{host}/", sock=sock) as opened:
        yield opened


@contextmanager
def events(server, target=FOR_EVER, host="a.localhost"):
    with server.client() as client:
        client.ask(target, host)
        got = b""
        while b"data: x\n\n" not in got:
            got += client.sock.recv(65536)
        assert b"text/event-stream" in got
        yield client


def speak(opened):
    opened.send("still there")
    assert opened.recv(5) == "still there"


def access_lines(server):
    server.stop()
    return [json.loads(line) for line in server.access_path.read_text().splitlines()]


def ended(server):
    return re.findall(
        r"(\S+): a stream silent for (\d+) s was ended: room was needed for (\S+)", server.log()
    )


def test_46_a_silent_event_stream_yields(uvicorn):
    """FAULTS 46, invariant 3: whoever waits gets a 200, and the client never sees a clean end."""
    server = uvicorn(MAX_SERVERS=1, STREAM_IDLE=1, QUEUE_TIMEOUT=15)
    with events(server) as stream:
        assert server.request(host="b.localhost").status == 200
        assert b"0\r\n" not in stream.at_end()
    assert [(site, other) for site, _, other in ended(server)] == [("a.localhost", "b.localhost")]
    assert re.search(
        r"a\.localhost: stopping pid \d+: room was needed for b\.localhost", server.log()
    )
    first, last = access_lines(server)
    assert re.fullmatch(r"silent for \d+ s; room was needed for b.localhost", first["end"])
    assert first["total"] >= 1
    assert last["queued"] > 0
    assert last["end"] == ""


def test_46_a_silent_websocket_yields(uvicorn):
    """FAULTS 46: its frames are not ours to write, so its connection just ends."""
    server = uvicorn(MAX_SERVERS=1, STREAM_IDLE=1, QUEUE_TIMEOUT=15)
    with websocket(server) as opened:
        speak(opened)
        assert server.request(host="b.localhost").status == 200
        with pytest.raises(ConnectionClosedError):
            opened.recv(5)
    assert [(site, other) for site, _, other in ended(server)] == [("a.localhost", "b.localhost")]
    first, _ = access_lines(server)
    assert first["status"] == 101
    assert re.fullmatch(r"silent for \d+ s; room was needed for b.localhost", first["end"])


def test_46_an_active_event_stream_does_not(uvicorn):
    """FAULTS 46, 44: the queue has its timeout."""
    server = uvicorn(MAX_SERVERS=1, STREAM_IDLE=1, QUEUE_TIMEOUT=3)
    server.expect("503 for GET")
    with events(server, "/events?0.2") as stream:
        assert server.request(host="b.localhost").status == 503
        assert not stream.quiet(5)
    assert not ended(server)


@pytest.mark.parametrize("answered", [False, True])
def test_46_an_active_websocket_does_not(uvicorn, answered):
    """FAULTS 46: bytes of one direction count, though the other one is silent."""
    server = uvicorn(MAX_SERVERS=1, STREAM_IDLE=1, QUEUE_TIMEOUT=3)
    server.expect("503 for GET")
    with websocket(server) as opened, server.client() as waiting:
        waiting.ask(host="b.localhost")
        while waiting.quiet(0.2):
            if answered:
                speak(opened)
            else:
                opened.pong()
        assert waiting.response().status == 503
        speak(opened)
    assert not ended(server)


def test_46_all_streams_of_a_server_must_be_silent(uvicorn):
    """FAULTS 46: one that speaks keeps its server, and so the others; when it ends, they do."""
    server = uvicorn(MAX_SERVERS=1, STREAM_IDLE=1, QUEUE_TIMEOUT=30)
    with websocket(server) as silent, server.client() as waiting:
        with events(server, "/events?0.2") as active:
            waiting.ask(host="b.localhost")
            assert waiting.quiet(3)
            active.reset()
        assert waiting.response().status == 200
        with pytest.raises(ConnectionClosedError):
            silent.recv(5)
    assert len(ended(server)) == 1


def test_46_a_request_in_flight_keeps_the_silent_streams(uvicorn):
    """FAULTS 46, 44: nothing in flight is killed; once it is over, room is made."""
    server = uvicorn(MAX_SERVERS=1, STREAM_IDLE=1, QUEUE_TIMEOUT=30)
    with events(server), server.client() as upload, server.client() as waiting:
        upload.send(
            b"POST / HTTP/1.1\r\nHost: a.localhost\r\nContent-Length: 2\r\n\r\nx",
        )
        waiting.ask(host="b.localhost")
        assert waiting.quiet(3)
        upload.send(b"y")
        assert upload.response("POST").body == b"xy"
        assert waiting.response().status == 200
    assert len(ended(server)) == 1


def test_46_the_least_recently_active_yields(uvicorn):
    """FAULTS 46, invariant 8: and only one, where one place is enough."""
    server = uvicorn(MAX_SERVERS=2, STREAM_IDLE=1, QUEUE_TIMEOUT=30)
    with websocket(server, "a.localhost") as one, websocket(server, "b.localhost") as other:
        speak(other)
        speak(one)
        assert server.request(host="c.localhost").status == 200
        with pytest.raises(ConnectionClosedError):
            other.recv(5)
        speak(one)
    assert [site for site, _, _ in ended(server)] == ["b.localhost"]


def test_46_with_room_nobody_ends(uvicorn):
    """FAULTS 46: silence alone is no fault, and an idle server goes first."""
    server = uvicorn(MAX_SERVERS=2, STREAM_IDLE=0.5)
    with websocket(server) as opened, events(server) as stream:
        began = time.monotonic()
        assert server.request(host="b.localhost").status == 200
        assert stream.quiet(3)
        assert server.request(host="c.localhost").status == 200
        assert stream.quiet(0.1)
        speak(opened)
        assert time.monotonic() - began > 3
    assert not ended(server)
    assert re.search(r"b\.localhost: stopping pid \d+: room was needed for", server.log())


def test_46_never(uvicorn):
    """STREAM_IDLE = None."""
    server = uvicorn(MAX_SERVERS=1, STREAM_IDLE=None, QUEUE_TIMEOUT=3)
    server.expect("503 for GET")
    with websocket(server) as opened:
        assert server.request(host="b.localhost").status == 503
        speak(opened)


def test_a_site_closes_silent_websockets(serve):
    """Although nobody needs the room; an event stream of the same site goes on."""
    keys = "websocket_timeout = 1\n" + ('user = "root"\n' if os.getuid() == 0 else "")
    command = f"command = {json.dumps(UVICORN)}\n"

    def prepare(folder):
        (folder / "sites").mkdir()
        site = f'{command}folder = "{folder}"\n{keys}'
        (folder / "sites" / "a.example.toml").write_text(site)

    names = {"CMD_TPL": None, "SITES_DIR": "<folder>/sites"}
    server = serve(names, files=("asgi.py",), prepare=prepare)
    with events(server, host="a.example") as stream, websocket(server, "a.example") as opened:
        speak(opened)
        with pytest.raises(ConnectionClosedError):
            opened.recv(20)
        stream.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            stream.sock.recv(1)
    (line,) = (one for one in access_lines(server) if one["status"] == 101)
    assert line["end"] == "silent for websocket_timeout"
