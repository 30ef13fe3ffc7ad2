"""How the Django helper speaks HTTP and ends, seen from a raw socket."""

import json
import signal
import socket
import threading

import pytest

from tests.harness import processes
from tests.harness.http import BrokenOff


def test_answers(start):
    helper = start()
    response = helper.request("/echo")
    assert (response.status, response.body, response.get("connection")) == (200, b"hello", "close")
    body = b"x" * 1_000_000
    assert helper.request("/echo", "POST", body=body).body == body
    assert helper.said() == ""


def test_head_has_the_fields_of_get_and_no_body(start):
    helper = start()
    for target in ("/echo", "/stream?whole"):
        with helper.client() as connection:
            response = connection.request(target, "a.localhost", "HEAD")
            assert (response.status, response.get("content-length")) == (200, None)
            assert connection.at_end() == b""


def test_requests_have_a_thread_each(start):
    helper = start()
    with helper.client() as one, helper.client() as other:
        for connection in (one, other):
            connection.ask("/together", "a.localhost")
        assert [one.response().body, other.response().body] == [b"together"] * 2


def test_a_body_that_nobody_reads_costs_no_answer(start):
    """The rest of it may come when the answer is out, and finds no closed door."""
    with start().client() as connection:
        connection.send(b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n")
        connection.sock.recv(1, socket.MSG_PEEK)
        for _ in range(30):
            connection.send(b"x" * 100_000)
        assert connection.response().body == b"unread"


def test_what_follows_a_request_is_no_request(start):
    """Neither a second one nor what an application left of a body."""
    with start().client() as connection:
        connection.send(b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        connection.send(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.response().body == b"unread"
        assert connection.at_end() == b""


def test_a_body_of_unknown_length_is_refused(start):
    helper = start()
    assert helper.request("/echo", "POST", body=b"x" * 300_000, chunked=True).status == 411


@pytest.mark.parametrize("length", [b"x", b"-1", b"+1", b"1_0", "٣".encode()])
def test_a_bad_length_is_refused(start, length):
    with start().client() as connection:
        connection.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %s\r\n\r\n" % length)
        assert connection.response().status == 400


def test_a_line_that_is_too_long_is_refused(start):
    with start().client() as connection:
        connection.send(b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * 70_000))
        assert connection.response().status == 414


def test_expectations_are_met(start):
    with start().client() as connection:
        head = (
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
        connection.send(head)
        assert connection.sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(b"abc")
        assert connection.response().body == b"abc"


def test_names_with_underscores_are_left_out(start):
    fields = [("X_Forwarded_For", "192.0.2.7"), ("X-Forwarded-For", "127.0.0.1")]
    found = json.loads(start().request("/headers", fields=fields).body)
    assert found["X-Forwarded-For"] == "127.0.0.1"


def test_an_answer_that_breaks_off_does_not_end_cleanly(start):
    helper = start()
    assert helper.request("/stream?whole").body == b"some more"
    with helper.client() as connection:
        connection.ask("/stream", "a.localhost")
        assert connection.was_reset()
    assert "broken off on purpose" in helper.said()


def test_whoever_goes_leaves_no_traceback(start):
    helper = start()
    for _ in range(5):
        connection = helper.client()
        connection.ask("/stream?whole", "a.localhost")
        connection.reset()
        helper.client().close()
    assert helper.request("/echo").status == 200
    assert helper.terminate() == 0
    assert helper.said() == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_ends(start, tmp_path, number):
    helper = start()
    with helper.client() as busy, helper.client() as idle:
        busy.ask(f"/until_file?name={tmp_path}/go", "a.localhost")
        processes.until((tmp_path / "go.began").exists, 10, "the request")
        helper.process.send_signal(number)
        assert idle.at_end() == b""
        assert helper.process.poll() is None
        processes.until(lambda: not helper.listens(), 10, "the end of listening")
        (tmp_path / "go").touch()
        assert (busy.response().status, busy.at_end()) == (200, b"")
    assert helper.process.wait(10) == 0
    assert helper.said() == ""


def test_whoever_has_connected_before_the_signal_is_answered(start):
    helper = start()
    helper.process.send_signal(signal.SIGSTOP)
    connections = [helper.client() for _ in range(3)]
    for connection in connections:
        connection.ask("/echo", "a.localhost")
    helper.process.send_signal(signal.SIGTERM)
    helper.process.send_signal(signal.SIGCONT)
    for connection in connections:
        assert connection.response().body == b"hello"
        connection.close()
    assert helper.process.wait(10) == 0


def test_a_second_signal_ends_it_at_once(start, tmp_path):
    helper = start()
    with helper.client() as busy:
        busy.ask(f"/until_file?name={tmp_path}/go", "a.localhost")
        processes.until((tmp_path / "go.began").exists, 10, "the request")
        helper.process.send_signal(signal.SIGTERM)
        processes.until(lambda: not helper.listens(), 10, "the end of listening")
        assert helper.terminate() == -signal.SIGTERM
        with pytest.raises(BrokenOff):
            busy.response()


def test_a_process_that_the_application_forks_is_ended_alone(start):
    helper = start()
    assert helper.request("/fork").body == b"%d" % -signal.SIGTERM
    assert helper.request("/echo").body == b"hello"


def test_nothing_is_left_open(start):
    helper = start()
    pid = helper.process.pid

    def settled():
        processes.until(lambda: processes.status(pid)["Threads"] == "1", 10, "its peace")
        return sorted(processes.descriptors(pid))

    helper.request("/echo")
    before = settled()
    threads = [threading.Thread(target=helper.request, args=("/echo",)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert settled() == before
