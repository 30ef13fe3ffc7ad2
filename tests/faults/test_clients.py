"""FAULTS A: what clients do wrong, slowly, too long, or all at once."""

import json
import re
import resource
import socket
import struct
import threading
import time

import pytest

from tests.harness import client, processes
from tests.harness.http import BrokenOff

HOST = "Host: a.localhost\r\n"


def drip(connection, piece, pause=0.1, seconds=15.0):
    """Sends `piece` again and again until something comes back; returns how long that took."""
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        connection.send(piece)
        if not connection.quiet(pause):
            return time.monotonic() - began
    raise AssertionError(f"nothing came back in {seconds} s")


def memory(pid):
    """Bytes of memory that a process has of its own."""
    return int(re.match(r"\d+", processes.status(pid)["RssAnon"])[0]) * 1024


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param("", id="request-line"),
        pytest.param("GET / HTTP/1.1\r\n", id="name"),
        pytest.param("GET / HTTP/1.1\r\n" + HOST + "X: ", id="value"),
    ],
)
def test_1_a_slow_head(serve, begun):
    """FAULTS 1: the deadline is absolute; what drips in does not move it."""
    server = serve({"HEAD_TIMEOUT": 2})
    with server.client() as connection:
        connection.send(begun.encode())
        assert drip(connection, b"x") >= 2
        assert connection.response().status == 408
        assert connection.at_end() == b""
    assert server.seen("boot") == []


@pytest.mark.parametrize(
    ("framing", "piece"),
    [("Content-Length: 100000", b"x"), ("Transfer-Encoding: chunked", b"1\r\nx\r\n")],
)
def test_2_a_slow_body(serve, framing, piece):
    """FAULTS 2: and then its server's place is free for whoever waits for it."""
    server = serve({"BODY_TIMEOUT": 2, "MAX_SERVERS": 1, "OVERLAP": 0})
    server.warm("a.localhost")
    with server.client() as connection, server.client() as waiting:
        connection.send(f"POST /sink HTTP/1.1\r\n{HOST}{framing}\r\n\r\n".encode())
        processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        waiting.ask(host="b.localhost")
        assert drip(connection, piece) >= 2
        assert connection.response().status == 408
        assert waiting.response().status == 200


def slow_reader(server, target):
    """A client with little room, which has asked for much and has read a little of it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(10)
    sock.connect(server.address)
    sock.sendall(f"GET {target} HTTP/1.1\r\n{HOST}\r\n".encode())
    assert sock.recv(100)
    return sock


def taken(server, readers, target):
    """Ends readers; returns how many bytes were taken from the app server for them."""
    for reader in readers:
        reader.close()

    def lines():
        read = map(json.loads, server.access_path.read_text().splitlines())
        found = [line["out"] for line in read if line["target"] == target]
        return found if len(found) >= len(readers) else None

    return sum(processes.until(lines, 10, "access lines")[-len(readers) :])


def test_3_slow_readers(serve):
    """FAULTS 3, 21: an app server is read no faster than its client reads.

    Ten clients read 100 MB at 1 kB a second each; Luisito keeps less than half a megabyte for each,
    and goes on with them, though that takes longer than RESPONSE_TIMEOUT.
    """
    server = serve({"RESPONSE_TIMEOUT": 4})
    for target in ("/bytes/3000000", "/chunked/1000"):
        assert server.request(target).status == 200
    before, targets = memory(server.process.pid), ("/bytes/100000000", "/endless")
    readers = {target: [slow_reader(server, target) for _ in range(5)] for target in targets}
    began = time.monotonic()
    while time.monotonic() < began + 7:
        assert all(reader.recv(1000) for each in readers.values() for reader in each)
        time.sleep(1)
    grown = memory(server.process.pid) - before
    assert grown < 10 * 512 * 1024, f"{grown} bytes"
    for target, each in readers.items():
        # what the kernel keeps: 4 MB in the socket, 1 MB in a pipe, and no more
        assert taken(server, each, target) < 5 * 6_000_000
    assert server.request().status == 200


def test_3_the_kernel_keeps_little_for_each_of_many(serve):
    """FAULTS 3: where more than 64 strangers are connected; else it would be 4 MB for each."""
    server = serve({"TRUSTED_PROXIES": ["unix"]})
    server.warm("a.localhost")
    kept = []
    for target in ("/bytes/20000000", "/bytes/20000001"):
        readers = [slow_reader(server, target) for _ in range(10)]
        time.sleep(1)  # nothing tells that no more comes
        kept.append(taken(server, readers, target))
        others = [server.client() for _ in range(64)]
        assert others[-1].request().status == 200
    assert kept[1] < kept[0] / 2, kept


def test_3_a_reader_that_stops(serve):
    """FAULTS 3: RESPONSE_TIMEOUT after the last byte that it took, its server is free again."""
    server = serve({"RESPONSE_TIMEOUT": 1, "MAX_SERVERS": 1, "OVERLAP": 0})
    server.warm("a.localhost")
    with server.client() as connection:
        connection.ask("/bytes/100000000")
        processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        assert server.request(host="b.localhost").status == 200
        with pytest.raises(BrokenOff):
            connection.response()


def test_4_a_head_over_the_limit(serve):
    """FAULTS 4: 431, when no more than the limit has come."""
    server = serve()
    with server.client() as connection:
        connection.send(f"GET / HTTP/1.1\r\n{HOST}X: ".encode())
        for _ in range((4 << 20) // 1460):
            connection.send(b"x" * 1460)
            if not connection.quiet(0.0001):
                break
        assert connection.response().status == 431
    assert server.seen("boot") == []


@pytest.mark.parametrize("count", [990, 1100])
def test_4_a_head_of_too_many_lines(serve, count):
    """FAULTS 4: whatever their size."""
    server = serve({"MAX_HEAD_SIZE": 1 << 20})
    response = server.request(fields=[("A", "b")] * count)
    assert response.status == (200 if count < 1000 else 431)


@pytest.mark.parametrize("whole", [True, False])
def test_5_a_target_too_long(serve, whole):
    """FAULTS 5: 414, also before its end has come."""
    server = serve()
    with server.client() as connection:
        connection.send(b"GET /" + b"x" * 65536)
        if whole:
            connection.send(f" HTTP/1.1\r\n{HOST}\r\n".encode())
        assert connection.response().status == 414
        assert connection.at_end() == b""
    assert server.seen("boot") == []


@pytest.mark.parametrize(
    ("begun", "piece"),
    [
        pytest.param(b"1;", b"x" * 1000, id="one-extension"),
        pytest.param(b"", b"1;" + b"x" * 1000 + b"\r\nx\r\n", id="extensions"),
        pytest.param(b"0\r\n", b"x: " + b"y" * 1000 + b"\r\n", id="trailers"),
        pytest.param(b"0\r\n", b"a:\r\n" * 250, id="a-hundred-thousand-trailers"),
        pytest.param(b"0\r\nx: ", b"y" * 1000, id="one-trailer"),
    ],
)
def test_6_endless_extensions_and_trailers(serve, begun, piece):
    """FAULTS 6: 400."""
    server = serve()
    with server.client() as connection:
        head = f"POST /sink HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n"
        connection.send(head.encode() + begun)
        for _ in range((3 << 20) // len(piece)):
            connection.send(piece)
            if not connection.quiet(0.0001):
                break
        assert connection.response().status == 400
    assert server.request().status == 200


def test_7_8_9_of_one_client_after_the_other(serve):
    """FAULTS 7, 8, 9: half-closed behind pipelined requests, while their server starts."""
    server = serve(origin={"*": {"boot_delay": 0.5}})
    with server.client() as leaving, server.client() as staying:
        leaving.ask("/echo")
        nonces = [staying.ask(target) for target in ("/sleep/0.3", "/echo", "/head")]
        staying.sock.shutdown(socket.SHUT_WR)
        server.wait_for_log("started as pid")
        leaving.reset()
        responses = [staying.response() for _ in nonces]
        assert [each.get("x-nonce") for each in responses] == nonces
        assert staying.at_end() == b""


@pytest.mark.parametrize(
    ("target", "interim", "status"),
    [("/echo", [100], 200), ("/continue", [100], 200), ("/417", [], 417)],
)
def test_10_a_client_that_waits_to_be_asked_for_its_body(serve, target, interim, status):
    """FAULTS 10: relayed, or answered once where the app server does not; never a deadlock."""
    server = serve()
    with server.client() as connection:
        fields = f"{HOST}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        connection.send(f"POST {target} HTTP/1.1\r\n{fields}".encode())
        if interim:
            assert connection.sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.send(b"hello")
        response = connection.response()
        assert (response.status, response.interim) == (status, [])
        if interim:
            assert response.body == b"hello"
            assert connection.request().status == 200


def test_10_a_body_that_is_never_sent(serve):
    """FAULTS 10: nor is its server kept for it."""
    server = serve({"BODY_TIMEOUT": 1})
    with server.client() as connection:
        fields = f"{HOST}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        connection.send(f"POST /echo HTTP/1.1\r\n{fields}".encode())
        response = connection.response()
        assert (response.status, [each.status for each in response.interim]) == (408, [100])


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 5",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
    ],
)
def test_11_framing_told_twice(serve, framing):
    """FAULTS 11: 400, the connection is closed, and what comes behind is no request."""
    server = serve()
    with server.client() as connection:
        smuggled = f"GET /smuggled HTTP/1.1\r\n{HOST}\r\n"
        head = f"POST /echo HTTP/1.1\r\n{HOST}{framing}\r\n\r\n"
        connection.send(f"{head}0\r\n\r\n{smuggled}".encode())
        assert connection.response().status == 400
        assert connection.at_end() == b""
    assert server.seen("boot") == []


def open_files(pid):
    """The soft and the hard limit of a process."""
    with open(f"/proc/{pid}/limits") as file:
        return tuple(map(int, re.search(r"Max open files +(\d+) +(\d+)", file.read()).groups()))


def test_35_descriptors_run_out(serve):
    """FAULTS 35: accepting pauses, whoever is connected is served, and then it recovers."""
    server = serve()
    server.warm("a.localhost")
    pid = server.process.pid
    limit, _ = open_files(pid)
    with server.client() as kept:
        kept.ask("/sleep/1")
        processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        highest = max(processes.descriptors(pid))
        processes.limit(pid, "nofile", highest + 3)
        waiting = [server.client() for _ in range(30)]
        for connection in waiting:
            connection.ask()
        server.wait_for_log("Cannot accept a connection.* Too many open files")
        server.expect("Cannot accept a connection")
        server.allow("503 for GET")  # of one for whose app server no descriptor is left
        assert kept.response().status == 200
        processes.limit(pid, "nofile", limit)
        assert {connection.response().status for connection in waiting} <= {200, 503}
    assert server.request().status == 200


TEN_PORTS = 'ip link set lo up; echo "40000 40009" > /proc/sys/net/ipv4/ip_local_port_range; '


@pytest.mark.root
def test_37_ephemeral_ports_run_out(serve):
    """FAULTS 37: 503 with Retry-After, no busy loop; and it recovers."""
    server = serve(
        {"LISTEN": "unix:<folder>/http.sock"},
        way="port",
        within=["unshare", "-n", "sh", "-ec", TEN_PORTS + 'exec "$@"', "sh"],
        wait=False,
    )
    server.address = f"{server.folder}/http.sock"
    processes.until(server._listens, 20, "a start of Luisito")
    server.expect("503 for GET .* no connection to the app server can be made")
    server.warm("a.localhost")
    busy = [server.client() for _ in range(15)]
    for connection in busy:
        connection.ask("/sleep/2")
    statuses = []
    for connection in busy:
        response = connection.response()
        statuses.append(response.status)
        assert response.status == 200 or int(response.get("retry-after")) >= 1
    assert statuses.count(200) <= 10
    assert statuses.count(503) >= 5
    processes.until(lambda: server.request().status == 200, 10, "a free port")


# -- limits on connections


def from_address(server, address):
    """A connection from another address of the loopback network."""
    sock = socket.create_connection(server.address, 10, source_address=(address, 0))
    return client.Client(sock, server.ledger)


def test_one_address_cannot_have_all_connections(serve):
    """Its others are refused at once; who comes from elsewhere is served."""
    server = serve(
        {"TRUSTED_PROXIES": ["unix", "127.0.0.3"], "MAX_CLIENTS_PER_ADDRESS": 20, "HEAD_TIMEOUT": 9}
    )
    server.expect("connections were refused, the last one from 127.0.0.1, which has")
    slow = [server.client() for _ in range(20)]
    for connection in slow:
        connection.send(b"GET / HTTP/1.1\r\n")
    refused = [server.client() for _ in range(50)]
    for connection in refused:
        response = connection.response()
        assert response.status == 503
        assert response.get("connection") == "close"
        assert int(response.get("retry-after")) >= 1
        server.ledger.finals -= 1  # of a connection that does not count
    for address in ("127.0.0.2", "127.0.0.3"):
        with from_address(server, address) as other:
            assert other.request().status == 200
    proxy = [from_address(server, "127.0.0.3") for _ in range(30)]
    assert [each.request().status for each in proxy] == [200] * 30
    for each in proxy:
        each.close()
    slow.pop().close()
    processes.until(lambda: answers(server, b"GET"), 5, "a place for another one")
    server.stop()
    assert server.log().count("connections were refused") == 1
    counted = json.loads(re.search(r"counters: (\{.*\})", server.log())[1])
    assert counted["refused"] >= 50


def answers(server, method):
    """Whether a connection is not refused."""
    with socket.create_connection(server.address, 10) as sock:
        sock.sendall(method + b" /echo HTTP/1.1\r\nHost: a.localhost\r\nConnection: close\r\n\r\n")
        try:
            return sock.recv(12) == b"HTTP/1.1 200"
        except ConnectionResetError:
            return False


def test_idle_connections_make_room(serve):
    """Where there are MAX_CLIENTS, those that have been idle longest are closed."""
    server = serve({"MAX_CLIENTS": 40})
    with server.client() as busy:
        busy.ask("/sleep/2")
        idle = []
        for _ in range(39):
            idle.append(server.client())
            assert idle[-1].request().status == 200
        assert server.request().status == 200
        assert idle[0].at_end() == b""
        assert idle[-1].request().status == 200
        assert busy.response().status == 200
    server.stop()
    assert '"closed_for_room": 32' in server.log()


def test_where_nobody_is_idle_new_clients_wait(serve):
    """Until one of the others ends; those who have a request in flight are never ended."""
    server = serve({"MAX_CLIENTS": 5})
    server.expect("All 5 client connections that there may be are in use")
    server.warm("a.localhost")
    busy = [server.client() for _ in range(5)]
    for connection in busy:
        connection.ask("/sleep/1.5")
    processes.until(lambda: len(server.seen("head")) == 6, 5, "the requests")
    with server.client() as waiting:
        waiting.ask()
        server.wait_for_log("All 5 client connections")
        assert waiting.quiet(0.3)
        assert [connection.response().status for connection in busy] == [200] * 5
        assert waiting.response().status == 200


def test_the_limit_on_open_files_is_raised_for_us_alone(serve):
    """And clients take no more of it than leaves enough for the servers."""
    server = serve({"MAX_CLIENTS": 5000}, rlimits={resource.RLIMIT_NOFILE: (256, 700)})
    server.expect("MAX_CLIENTS = 5000 needs 20288 open files, and 700 are allowed.* more than 103")
    server.warm("a.localhost")
    pid = server.pid()
    assert open_files(server.process.pid) == (700, 700)
    assert open_files(pid) == (256, 700)
    busy = [server.client() for _ in range(103)]
    for connection in busy:
        connection.ask("/sleep/2")
    assert [connection.response().status for connection in busy] == [200] * 103
    assert "Cannot accept" not in server.log()


# -- many slow ones at once


def _flood(server, stop):
    """Connects and resets as fast as it can."""
    while not stop.is_set():
        with socket.create_connection(server.address, 10) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_connections_that_are_reset_at_once(serve):
    """Nothing is left of them, and others are served."""
    server = serve()
    server.warm("a.localhost")
    stop = threading.Event()
    flood = threading.Thread(target=_flood, args=(server, stop))
    flood.start()
    try:
        for _ in range(100):
            assert server.request().status == 200
    finally:
        stop.set()
        flood.join()
