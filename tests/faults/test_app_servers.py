"""FAULTS B: app servers that answer wrongly, early, twice, in part or never."""

import pytest

from tests.harness import client, processes
from tests.harness.http import BrokenOff


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


def test_14_answers_without_a_body(serve):
    """FAULTS 14: no hang, no body."""
    server = serve()
    with server.client() as connection:
        assert connection.request("/bytes/100", method="HEAD").get("content-length") == "100"
        for status in (204, 304):
            assert connection.request(f"/status/{status}").status == status
        assert connection.request().status == 200


@pytest.mark.parametrize("target", ["/truncate-length", "/truncate-chunked", "/die"])
def test_15_truncated_bodies(serve, target):
    """FAULTS 15, invariant 3: the client sees an abort."""
    server = serve()
    server.warm("a.localhost")  # else the end of /die may be told before it is known to be ready
    with server.client() as connection:
        connection.ask(target)
        with pytest.raises(BrokenOff):
            connection.response()


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


def test_18_no_answer(serve):
    """FAULTS 18: 504 at RESPONSE_TIMEOUT; the server has done nothing else wrong, and stays."""
    server = serve({"RESPONSE_TIMEOUT": 1})
    server.expect("504 for GET")
    pids = server.warm("a.localhost")
    assert server.request("/never").status == 504
    assert server.warm("a.localhost") == pids


def test_21_an_answer_without_end(serve):
    """FAULTS 21: the app is held up, and memory does not grow."""
    server = serve()
    server.warm("a.localhost", "b.localhost")
    pids = server.process.pid, server.pid("a.localhost")

    def work():
        return [processes.ticks(pid) for pid in pids]

    before, memory = work(), processes.memory(server.process.pid)
    with server.client() as reader:
        reader.ask("/endless")
        while reader.quiet(1):
            pass
        at_rest = processes.steady(work)  # all buffers are full, and both wait
        assert at_rest[1] - before[1] < 100
        assert server.request(host="b.localhost").status == 200
        left = 50_000_000
        while left > 0:
            left -= len(reader.sock.recv(1 << 18))
        processes.steady(work)
        assert processes.memory(server.process.pid) - memory < 8_000_000
        reader.reset()
    assert server.request(host="a.localhost").status == 200
