"""FAULTS F: the pool when it is full, flooded, or asked for everything at once."""

import os
import pwd
import random
import re
import socket
import time
from collections import OrderedDict

import pytest

from luisito.core.events import RECENT
from tests.harness import client, processes
from tests.harness.http import BrokenOff

STOPPED_FOR = r"(\S+): stopping pid \d+: room was needed for (\S+)"


def test_44_all_busy_then_503(serve, as_whom):
    """FAULTS 44: nothing in flight is killed; who waits too long is told to come back."""
    settings = {"MAX_SERVERS": 1, "OVERLAP": 0, "QUEUE_TIMEOUT": 1}
    server = serve(settings, ordinary=as_whom)
    server.expect("503 for GET")
    server.warm("a.localhost")
    with server.client() as busy:
        busy.ask("/sleep/2.5")
        began = time.monotonic()
        refused = server.request(host="b.localhost")
        assert refused.status == 503
        assert int(refused.get("retry-after")) >= 1
        assert time.monotonic() - began >= 0.9
        assert busy.response().status == 200
    assert server.request(host="b.localhost").status == 200


def test_44_the_queue_is_bounded(serve):
    """FAULTS 44: first come first served, within QUEUE_LIMIT for each site."""
    server = serve({"MAX_SERVERS": 1, "OVERLAP": 0, "QUEUE_LIMIT": 2})
    server.expect("503 for GET")
    server.warm("a.localhost")
    with server.client() as busy:
        busy.ask("/sleep/1")
        processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        results = server.load(client.gets(["b.localhost"] * 5), 5)
        assert client.statuses(results) == {200: 2, 503: 3}
        served, refused = (
            [result.seconds for result in results if result.status == status]
            for status in (200, 503)
        )
        assert max(refused) < min(served)  # at once
        assert busy.response().status == 200


def test_45_two_sites_in_turn_for_one_place(serve, as_whom):
    """FAULTS 45: a request that comes while its server is being evicted is answered."""
    server = serve({"MAX_SERVERS": 1}, ordinary=as_whom)
    hosts = ["a.localhost", "b.localhost"] * 10
    with server.client() as one, server.client() as two:
        for host in hosts:
            one.ask(host=host)
            two.ask(host=host)
            assert (one.response().status, two.response().status) == (200, 200)


@pytest.mark.needs("perl")
def test_45_under_load(serve):
    """FAULTS 45: many at once, for twice as many sites as there are places."""
    settings = {"CMD_TPL": ["perl", "fast.pl", "%HOST"], "MAX_SERVERS": 2, "QUEUE_TIMEOUT": 60}
    server = serve(settings, files=("fast.pl",))
    hosts = [f"{name}.localhost" for name in "abcd"] * 100
    results = server.load(client.gets(hosts), 8, timeout=90)
    assert client.statuses(results) == {200: 400}


@pytest.mark.parametrize("kind", ["events", "tunnel"])
def test_46_streams_count_as_in_flight(serve, kind):
    """FAULTS 46: the server of an event stream or a tunnel is not evicted."""
    server = serve({"MAX_SERVERS": 1, "QUEUE_TIMEOUT": 1, "RESPONSE_TIMEOUT": 1})
    server.expect("503 for GET")
    with server.client() as stream:
        if kind == "events":
            stream.ask("/sse/0.3")
            assert b"text/event-stream" in stream.sock.recv(65536)
        else:
            fields = [("Connection", "Upgrade"), ("Upgrade", "echo")]
            assert stream.request("/upgrade", fields=fields).status == 101
        assert server.request(host="b.localhost").status == 503
        assert not stream.quiet(1) if kind == "events" else stream.quiet(0.1)
        if kind == "tunnel":
            stream.send(b"still there")
            assert stream.sock.recv(100) == b"still there"
    assert server.request(host="b.localhost").status == 200


@pytest.mark.parametrize("way", ["fd", "port", "socket"])
def test_47_five_hundred_at_once_to_a_cold_site(serve, way, as_whom):
    """FAULTS 47: exactly one spawn."""
    options = {"a.localhost": {"boot_delay": 0.3}}
    server = serve({"QUEUE_LIMIT": 500}, way=way, ordinary=as_whom, origin=options)
    results = server.load(client.gets(["a.localhost"] * 500), 500)
    assert client.statuses(results) == {200: 500}
    assert len(server.seen("boot")) == 1


def test_48_flood_of_unknown_hosts(serve):
    """FAULTS 48: no spawn, no eviction."""
    server = serve({"MAX_SERVERS": 1})
    pid = server.warm("a.localhost")
    hosts = [f"site-{number}.example" for number in range(300)]
    assert client.statuses(server.load(client.gets(hosts))) == {404: 300}
    assert server.warm("a.localhost") == pid
    assert len(server.seen("boot")) == 1


def test_48_flood_of_hosts_without_a_folder(serve):
    """FAULTS 48: where the folders are the sites."""

    def prepare(folder):
        site = folder / "sites" / "a.localhost"
        site.mkdir(parents=True)
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(site, nobody.pw_uid, nobody.pw_gid)

    settings = {"MAX_SERVERS": 1, "PROJECT_PATH": "<folder>/sites/%HOST"}
    server = serve(settings, prepare=prepare)
    server.warm("a.localhost")
    hosts = [f"site-{number}.example" for number in range(200)]
    assert client.statuses(server.load(client.gets(hosts))) == {404: 200}
    server.warm("a.localhost")
    assert [boot["cwd"] for boot in server.seen("boot")] == [f"{server.folder}/sites/a.localhost"]


@pytest.mark.needs("perl")
@pytest.mark.parametrize("places", [1, 3])
def test_invariant_8_eviction_is_lru(serve, places):
    """Invariant 8: every victim, in order, as an obviously right LRU chooses them."""
    settings = {"CMD_TPL": ["perl", "fast.pl", "%HOST"], "MAX_SERVERS": places}
    server = serve(settings, files=("fast.pl",))
    hosts = random.Random(places).choices([f"{name}.localhost" for name in "abcdefg"], k=150)
    awake, stops = OrderedDict(), []
    with server.client() as connection:
        for host in hosts:
            assert connection.request(host=host).status == 200
            if host not in awake and len(awake) == places:
                stops.append((awake.popitem(last=False)[0], host))
            awake[host] = None
            awake.move_to_end(host)
    assert re.findall(STOPPED_FOR, server.log()) == stops


def test_invariant_8_a_victim_has_nothing_in_flight(serve):
    """Invariant 8: the least recently used one is busy, so the next one goes."""
    server = serve({"MAX_SERVERS": 2})
    server.warm("a.localhost", "b.localhost")
    with server.client() as busy:
        busy.ask("/sleep/1", host="a.localhost")
        processes.until(lambda: len(server.seen("head")) == 3, 5, "the request")
        assert server.request(host="b.localhost").status == 200
        assert server.request(host="c.localhost").status == 200
        assert busy.response().status == 200
    assert re.findall(STOPPED_FOR, server.log()) == [("b.localhost", "c.localhost")]


def test_overlap_with_slow_deaths(serve):
    """A cold start does not wait for one slow death; for the second one it does."""
    options = {"a.localhost": {"term_delay": 2}, "b.localhost": {"term_delay": 2}}
    server = serve({"MAX_SERVERS": 2, "STOP_TIMEOUT": 10}, origin=options)
    server.warm("a.localhost", "b.localhost")
    began = time.monotonic()
    server.warm("c.localhost")
    assert time.monotonic() - began < 1.5
    assert len(server.servers()) == 3
    with server.client() as waiting:
        waiting.ask(host="d.localhost")
        while waiting.quiet(0.05):
            assert len(server.servers()) <= 3
        assert waiting.response().status == 200
    assert time.monotonic() - began > 1.9
    assert server.log().index("a.localhost: pid") < server.log().index("d.localhost: started")


def test_overlap_of_none(serve):
    """OVERLAP = 0: never more processes than MAX_SERVERS."""
    server = serve({"MAX_SERVERS": 1, "OVERLAP": 0}, origin={"*": {"term_delay": 0.5}})
    server.warm("a.localhost")
    with server.client() as waiting:
        waiting.ask(host="b.localhost")
        while waiting.quiet(0.02):
            assert len(server.servers()) <= 1
        assert waiting.response().status == 200


@pytest.mark.parametrize("way", ["fd", "port", "socket"])
def test_7_a_client_leaves_while_its_server_starts(serve, way):
    """FAULTS 7: its request is dropped, the start goes on for the others."""
    server = serve(way=way, origin={"*": {"boot_delay": 0.6}})
    with server.client() as one, server.client() as other:
        nonce = one.ask()
        other.ask()
        server.wait_for_log("started as pid")
        one.reset()
        assert other.response().status == 200
    if way != "fd":  # there it was in the socket already that the server was given
        assert nonce not in {line["nonce"] for line in server.seen("head")}
    assert len(server.seen("boot")) == 1


def test_7_all_clients_leave_while_their_server_starts(serve):
    """FAULTS 7: the start ends once nobody waits."""
    server = serve(origin={"*": {"boot_delay": 60}})
    with server.client() as connection:
        connection.ask()
        server.wait_for_log("started as pid")
        connection.reset()
    processes.until(lambda: not server.servers(), 10, "the end of the start")


def test_idle_timeout(serve):
    server = serve({"IDLE_TIMEOUT": 0.5})
    server.warm("a.localhost")
    processes.until(lambda: not server.servers(), 4, "its end")
    server.warm("a.localhost")


def test_truncated_answers_are_seen_as_such(serve):
    """Invariant 3: never a clean end."""
    server = serve()
    for target in ("/truncate-length", "/truncate-chunked"):
        with server.client() as connection:
            connection.ask(target)
            with pytest.raises(BrokenOff):
                connection.response()


def test_45_a_kept_connection_whose_server_went_between_two_requests(serve):
    """FAULTS 45, invariants 2 and 4: each answer is that of its own request, sent once.

    By plain sockets: the harness's client marks its requests, and these are to differ in their
    first line alone.
    """
    server = serve({"MAX_SERVERS": 1})
    lines = b"Host: a.localhost\r\nContent-Length: 0\r\n\r\n"
    with socket.create_connection(server.address, 10) as kept:
        for number in range(40):
            method = [b"GET", b"DELETE", b"POST"][number // 4 % 3]
            if number % 4 == 3:
                assert server.request(host="b.localhost").status == 200
            kept.sendall(method + b" /?%02d HTTP/1.1\r\n" % number + lines)
            got = b""
            while not (size := re.search(rb"Content-Length: (\d+)\r\n\r\n", got)) or (
                len(got) < size.end() + int(size[1])
            ):
                got += kept.recv(65536)
            assert got.startswith(b"HTTP/1.1 200 ")
    asked = [line["target"] for line in server.seen("head", "a.localhost")]
    assert asked == [f"/?{number:02}" for number in range(40)]


@pytest.mark.needs("perl")
def test_invariant_12_memory_is_flat(serve):
    """Invariant 12: once all kinds of requests have come, more of them need no more memory."""
    settings = {"CMD_TPL": ["perl", "fast.pl", "%HOST"], "MAX_SERVERS": 2}
    server = serve(settings, files=("fast.pl",))
    pids = server.process.pid, *server.spawner()

    def memory(times):
        """After so many requests, warm, cold, with bodies, refused and to unknown hosts."""
        one = [{"method": "GET", "target": "/", "host": "a.localhost"}] * 20
        one += [{**one[0], "host": f"{name}.localhost"} for name in "bcd"]
        one += [{**one[0], "method": "POST", "body": bytes(50_000), "chunked": True}]
        one += [{**one[0], "fields": [("X-A", "b" * 40_000)]}, {**one[0], "host": "../x"}]
        for number in range(times):
            unknown = {**one[0], "host": f"unknown-{number}.example"}
            server.load([*one, unknown], 10)
        return [processes.memory(pid) for pid in pids]

    # As many events as are remembered: nearly four of each of three cold starts.
    memory(RECENT // 11)
    before = memory(5)
    after = memory(40)
    grown = [later - sooner for sooner, later in zip(before, after, strict=True)]
    assert max(grown) < 1_000_000, (before, after)
