"""UPSTREAM_MAX with app servers that take few connections at a time."""

import json

import pytest

from tests.harness import client, processes


@pytest.mark.parametrize("way", ["fd", "port", "socket"])
def test_34b_one_at_a_time(serve, way):
    """FAULTS 34b: they wait here, where their RESPONSE_TIMEOUT has not begun, and in their order.

    In the app server's backlog the last one would wait for 3 s, and get a 504.
    """
    settings = {"UPSTREAM_MAX": 1, "RESPONSE_TIMEOUT": 1}
    server = serve(settings, way=way, origin={"*": {"serial": True}})
    server.warm("a.localhost")
    connections = []
    for _ in range(12):
        connections.append(server.client())
        nonce = connections[-1].ask("/sleep/0.25")
        if len(connections) == 1:
            processes.until(lambda nonce=nonce: saw(server, nonce), 5, "the first request")
    assert [connection.response().status for connection in connections] == [200] * 12
    lines = server.load(client.gets(["a.localhost"] * 12, "/sleep/0.05"), 12)
    assert client.statuses(lines) == {200: 12}


def saw(server, nonce):
    return any(line["nonce"] == nonce for line in server.seen("head"))


def test_34b_no_more_connections_than_allowed(serve):
    """FAULTS 34b: an app server that is asked by many at once is never asked on more than three."""
    server = serve({"UPSTREAM_MAX": 3, "QUEUE_LIMIT": 300})
    results = server.load(client.gets(["a.localhost"] * 300), 60)
    assert client.statuses(results) == {200: 300}
    server.stop()
    counters = server.log().rsplit("counters: ", 1)[1]
    assert '"upstream_connections": 3' in counters


def test_44_too_long_in_line(serve):
    """FAULTS 44: 503 with Retry-After after QUEUE_TIMEOUT, or at once beyond QUEUE_LIMIT."""
    server = serve({"UPSTREAM_MAX": 1, "QUEUE_TIMEOUT": 1, "QUEUE_LIMIT": 2})
    server.expect("503 for GET .*UPSTREAM_MAX", "503 for GET .*QUEUE_LIMIT")
    server.warm("a.localhost")
    with server.client() as busy:
        busy.ask("/sleep/3")
        processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        results = server.load(client.gets(["a.localhost"] * 5), 5)
        assert client.statuses(results) == {503: 5}
        assert all(int(result.get("retry-after")) >= 1 for result in results)
        assert busy.response().status == 200
    server.stop()
    lines = [json.loads(line) for line in server.access_path.read_text().splitlines()]
    queued = [line["queued"] for line in lines if line["status"] == 503]
    assert sum(seconds < 1 for seconds in queued) == 3  # of which none has waited
    assert sum(seconds >= 1 for seconds in queued) == 2


@pytest.mark.parametrize("kind", ["events", "tunnel"])
def test_46_streams_hold_their_connection(serve, kind):
    """FAULTS 46: as long as they last."""
    server = serve({"UPSTREAM_MAX": 2})
    with server.client() as stream, server.client() as waiting:
        if kind == "events":
            stream.ask("/sse/0.2")
            assert b"text/event-stream" in stream.sock.recv(65536)
        else:
            fields = [("Connection", "Upgrade"), ("Upgrade", "echo")]
            assert stream.request("/upgrade", fields=fields).status == 101
        assert server.request().status == 200
        with server.client() as busy:
            busy.ask("/sleep/1")
            waiting.ask()
            assert waiting.quiet(0.3)
            assert busy.response().status == 200
        assert waiting.response().status == 200
        stream.reset()
