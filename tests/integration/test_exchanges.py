"""Requests and answers of every kind, through the whole server."""

import json
import re

import pytest

from tests.harness import processes


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


def test_9_pipelined_requests(serve):
    """FAULTS 9: in order, one at a time."""
    server = serve()
    with server.client() as connection:
        nonces = [connection.ask(target) for target in ("/sleep/0.3", "/echo", "/echo")]
        assert [connection.response().get("x-nonce") for _ in nonces] == nonces


def test_8_half_close(serve):
    """FAULTS 8: the answer still comes."""
    server = serve()
    with server.client() as connection:
        connection.ask("/sleep/0.2")
        connection.sock.shutdown(1)
        assert connection.response().status == 200
        assert connection.at_end() == b""


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
