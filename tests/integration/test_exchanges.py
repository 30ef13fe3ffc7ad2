"""Requests and answers of every kind, through the whole server."""

import json
import re

import pytest

from tests.harness import client, processes
from tests.harness.http import BrokenOff


def test_bodies_both_ways(serve, as_whom):
    server = serve(ordinary=as_whom)
    body = bytes(range(256)) * 4000
    with server.client() as connection:
        for chunked in (False, True):
            assert connection.request(method="POST", body=body, chunked=chunked).body == body
        assert connection.request("/bytes/5000000").body == bytes(range(256)) * 19531 + bytes(
            range(64)
        )
        chunked = connection.request("/chunked/5")
        assert chunked.body == b"".join(b"chunk %d\n" % number for number in range(5))
        assert connection.request("/sink", method="PUT", body=bytes(3_000_000)).body == b"3000000"


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/to-eof", b"until the end"),
        ("/close-after", b"hello"),
        ("/close-silently", b"hello"),
        ("/answer-and-exit", b"hello"),
        ("/drip/5/0.02", b"....."),
    ],
)
def test_every_end_of_an_answer(serve, target, body):
    server = serve()
    with server.client() as connection:
        if "eof" not in target:
            assert connection.request(target, method="POST", body=b"hello").body == body
            assert not connection.buffer
        else:
            assert connection.request(target).body == body
    if "exit" in target:
        server.wait_for_log("exited with code 0")
    assert server.request().status == 200


def test_14_answers_without_a_body(serve):
    """FAULTS 14: no hang, no body."""
    server = serve()
    with server.client() as connection:
        assert connection.request("/bytes/100", method="HEAD").get("content-length") == "100"
        for status in (204, 304):
            assert connection.request(f"/status/{status}").status == status
        assert connection.request().status == 200


def test_13_interim_answers(serve):
    """FAULTS 13, 10: relayed, and never taken for the final one."""
    server = serve()
    with server.client() as connection:
        hints = connection.request("/103")
        assert ([each.status for each in hints.interim], hints.status) == ([103], 200)
        expect = [("Expect", "100-continue")]
        connection.send(
            client.compose("POST", "/continue", "a.localhost", [*expect, ("Content-Length", "5")])
        )
        assert connection.sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(b"hello")
        assert connection.response().body == b"hello"
    with server.client() as connection:
        connection.send(
            client.compose("POST", "/417", "a.localhost", [*expect, ("Content-Length", "5")])
        )
        assert connection.response().status == 417


def test_9_pipelined_requests(serve):
    """FAULTS 9: in order, one at a time."""
    server = serve()
    with server.client() as connection:
        nonces = [connection.ask(target) for target in ("/sleep/0.3", "/echo", "/echo")]
        assert [connection.response().get("x-nonce") for _ in nonces] == nonces


def test_70_upgrade_is_a_tunnel(serve):
    """FAULTS 70, 71."""
    server = serve()
    fields = [("Connection", "Upgrade"), ("Upgrade", "echo")]
    with server.client() as connection:
        connection.send(client.compose("GET", "/upgrade", "a.localhost", fields) + b"early")
        response = connection.response()
        assert (response.status, response.get("upgrade")) == (101, "echo")
        data = connection.buffer
        while len(data) < 5:
            data += connection.sock.recv(100)
        assert data == b"early"
        connection.send(b"more")
        assert connection.sock.recv(100) == b"more"
    with server.client() as connection:
        assert connection.request("/echo", fields=fields).status == 200
        assert connection.request().status == 200


@pytest.mark.parametrize(
    "target", ["/garbage", "/both-framings", "/head-too-big", "/unasked-101", "/rst"]
)
def test_16_answers_that_cannot_be_passed_on(serve, target):
    """FAULTS 16, 20: 502, and the reason in the log."""
    server = serve()
    server.expect("502 for POST")
    response = server.request(target, method="POST", body=b"")
    assert response.status == 502
    assert server.request().status == 200


def test_17_bytes_behind_an_answer(serve):
    """FAULTS 17: nobody gets them."""
    server = serve()
    with server.client() as connection:
        for _ in range(5):
            assert connection.request("/extra-bytes").body == b"ok"
            assert connection.request("/echo").get("x-nonce") != "forged"
        assert connection.quiet(0.1)


def test_17_bytes_on_an_idle_connection(serve):
    """FAULTS 17: that connection is thrown away."""
    server = serve()
    with server.client() as connection:
        assert connection.request("/extra-bytes/0.05").status == 200
        assert connection.quiet(0.3)
        assert connection.request("/count").body == b"1"


def test_19_reset_on_a_reused_connection(serve):
    """FAULTS 19: a GET is sent again, once; a POST never is."""
    server = serve()
    server.expect("502 for POST")
    with server.client() as connection:
        assert connection.request("/rst-if-reused").status == 200
        assert connection.request("/rst-if-reused").status == 200
        response = connection.request("/rst-if-reused", method="POST", body=b"once")
        assert response.status == 502


def test_12_early_answer_to_an_upload(serve):
    """FAULTS 12: it can be read, though the upload goes on."""
    server = serve()
    with server.client() as connection:
        connection.send(
            client.compose("POST", "/early-413", "a.localhost", [("Content-Length", "50000000")])
        )
        block = bytes(100_000)
        sent = 0
        try:
            while sent < 3_000_000:
                connection.send(block)
                sent += len(block)
        except OSError:
            pass
        assert connection.response().status == 413


def test_8_half_close(serve):
    """FAULTS 8: the answer still comes."""
    server = serve()
    with server.client() as connection:
        connection.ask("/sleep/0.2")
        connection.sock.shutdown(1)
        assert connection.response().status == 200
        assert connection.at_end() == b""


@pytest.mark.parametrize("target", ["/truncate-length", "/truncate-chunked", "/die"])
def test_15_truncated_bodies(serve, target):
    """FAULTS 15, invariant 3: the client sees an abort."""
    server = serve()
    with server.client() as connection:
        connection.ask(target)
        with pytest.raises(BrokenOff):
            connection.response()


def test_58_forwarded_fields(serve):
    """FAULTS 58, 60, 61: a trusted peer's are extended; what must not go on does not."""
    server = serve()
    fields = [
        ("X-Forwarded-For", "192.0.2.1"),
        ("X_Forwarded_For", "192.0.2.2"),
        ("Proxy", "http://192.0.2.3"),
        ("Connection", "X-Secret"),
        ("X-Secret", "1"),
    ]
    seen = server.request("/head", fields=fields).body.lower()
    assert b"x-forwarded-for: 192.0.2.1, 127.0.0.1\r\n" in seen
    for absent in (b"192.0.2.2", b"192.0.2.3", b"x-secret"):
        assert absent not in seen


@pytest.mark.parametrize(
    "request_",
    [b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: ../etc\r\n\r\n", b"\0\r\n\r\n"],
)
def test_bad_requests(serve, request_):
    """FAULTS 49, 54: 400, and no spawn."""
    server = serve()
    with server.client() as connection:
        connection.send(request_)
        assert connection.response().status == 400
        assert connection.at_end() == b""
    assert server.seen("boot") == []


@pytest.mark.parametrize("way", ["fd", "port", "socket"])
def test_the_access_log_tells(serve, way):
    """Cold or warm, and what a request has waited for."""
    server = serve(way=way, origin={"*": {"boot_delay": 0.3}})
    server.request("/echo?token=secret")
    server.request("/echo")
    server.stop()
    cold, warm = (json.loads(line) for line in server.access_path.read_text().splitlines())
    for line in (cold, warm):
        assert (line["site"], line["target"], line["status"]) == ("a.localhost", "/echo", 200)
        assert line["in"] > 20
        assert line["out"] > 20
        assert line["queued"] + line["starting"] <= line["first_byte"] + 2e-6  # as rounded
        assert line["first_byte"] <= line["total"]
    assert (cold["start"], warm["start"]) == ("cold", "warm")
    assert cold["starting"] >= 0.3 > cold["queued"]
    assert (warm["queued"], warm["starting"]) == (0, 0)


def test_the_access_log_tells_of_the_queue(serve):
    server = serve({"MAX_SERVERS": 1, "OVERLAP": 0})
    server.warm("a.localhost")
    with server.client() as busy:
        busy.ask("/sleep/0.5")
        processes.until(lambda: len(server.seen("head")) == 2, 5, "the request")
        assert server.request(host="b.localhost").status == 200
        assert busy.response().status == 200
    server.stop()
    line = json.loads(server.access_path.read_text().splitlines()[-1])
    assert line["site"] == "b.localhost"
    assert line["queued"] > line["starting"] > 0


def test_the_access_log_as_apache_writes_it(serve):
    form = '{client} - - [{clf_time}] "{method} {target} {protocol}" {status} {out} "{agent}"'
    server = serve({"ACCESS_LOG_FORMAT": form})
    server.unchecked |= {"access lines"}  # which are counted and read as JSON
    server.request("/echo?token=secret", fields=[("User-Agent", 'a "b"')])
    server.stop()
    line = server.access_path.read_text()
    assert re.fullmatch(
        r"127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\]"
        r' "GET /echo HTTP/1\.1" 200 \d+ "a \\x22b\\x22"\n',
        line,
    ), line
