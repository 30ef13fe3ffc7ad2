"""Splice: long bodies from socket to socket."""

import hashlib
import socket
import time

import pytest

from luisito.net import splice
from luisito.net.sockets import SocketStream
from luisito.net.splice import Splice
from tests.net.test_streams import Receiver
from tests.net.turns import descriptors, tcp_pair, unix_pair

MIB = 1 << 20
BODY = bytes(range(256)) * (8 * MIB // 256)


class Mover:
    def __init__(self):
        self.count = 0
        self.calls = []
        self.waits = 0
        self.waiting = False

    def moved(self, count):
        self.count += count

    def held(self):
        assert not self.waiting
        self.waiting = True
        self.waits += 1

    def resumed(self):
        self.waiting = False

    def complete(self):
        self.calls.append("complete")

    def sink_failed(self):
        self.calls.append("sink failed")


class Line:
    """Two streams, their far ends and a splice between them."""

    def __init__(self, turns, pair, count, buffer=None):
        ours, far = pair()
        self.from_, self.to = Receiver(reads_on=True), Receiver()
        self.source = SocketStream(turns.board, ours, self.from_)
        self.source_far = turns.far(far)
        ours, far = pair(buffer)
        self.sink = SocketStream(turns.board, ours, self.to)
        self.sink_far = turns.far(far)
        self.mover = Mover()
        self.splice = Splice(self.source, self.sink, count, self.mover)

    def close(self):
        self.source.abort()
        self.sink.abort()


@pytest.fixture(params=[tcp_pair, unix_pair])
def line(turns, request):
    lines = []

    def make(count, buffer=None):
        lines.append(Line(turns, request.param, count, buffer))
        return lines[-1]

    yield make
    for line in lines:
        line.close()


@pytest.mark.parametrize("count", [1, 70_000, len(BODY)])
def test_moves_so_many_bytes_and_no_more(turns, line, count):
    it = line(count)
    it.source_far.send(BODY[:count] + b"next")
    turns.until(lambda: it.mover.calls == ["complete"], 20)
    turns.until(lambda: len(it.sink_far.got) == count)
    assert hashlib.sha1(it.sink_far.got).digest() == hashlib.sha1(BODY[:count]).digest()
    assert it.mover.count == count
    turns.until(lambda: it.from_.data == b"next")
    it.sink.send(b"more")
    turns.until(lambda: it.sink_far.got[-4:] == b"more")
    assert it.source.pulled_by is it.sink.pushed_by is None
    assert len(splice._pipes) == 1


def test_rows_3_21_blocked_sink_holds_the_source(turns, line):
    it = line(len(BODY), 8192)
    it.sink_far.reading = False
    it.source_far.send(BODY)
    turns.settle(100)
    assert it.mover.count <= splice.PIPE_SIZE + MIB
    assert it.sink.backed_up
    assert it.mover.waiting
    # what else happens on the sink does not make it forget that the splice waits
    it.sink.pause()
    it.sink.resume()
    assert it.sink.backed_up
    turns.settle(20)
    it.sink_far.reading = True
    turns.until(lambda: it.mover.calls == ["complete"], 20)
    turns.until(lambda: it.sink_far.got == BODY)
    assert not it.sink.backed_up
    assert it.mover.waits > 1


def test_source_hangs_up_while_the_sink_is_blocked(turns, line):
    it = line(len(BODY), 8192)
    it.sink_far.reading = False
    it.source_far.send(BODY)
    turns.settle(50)
    it.sink_far.reading = True
    turns.until(lambda: it.source_far.sent)
    it.sink_far.reading = False
    turns.settle(20)
    it.source_far.close()
    turns.settle(20)
    it.sink_far.reading = True
    turns.until(lambda: it.mover.calls == ["complete"], 20)
    turns.until(lambda: it.sink_far.got == BODY)


def test_row_15_source_ends_early(turns, line):
    it = line(len(BODY))
    it.source_far.send(BODY[:100_000])
    it.source_far.end()
    turns.until(lambda: it.from_.calls)
    assert it.from_.calls == ["ended"]
    assert it.mover.calls == []
    assert it.source.pulled_by is it.sink.pushed_by is None


def test_source_is_reset(turns):
    it = Line(turns, tcp_pair, len(BODY))
    it.source_far.send(BODY[:100_000])
    turns.settle()
    it.source_far.abort()
    turns.until(lambda: it.from_.calls)
    assert it.from_.calls == ["lost"]
    it.close()


def test_sink_dies(turns, line):
    it = line(len(BODY))
    it.source_far.send(BODY[: 2 * MIB])
    turns.settle(20)
    it.sink_far.abort()
    it.source_far.send(BODY[: 2 * MIB])
    turns.until(lambda: it.mover.calls or it.to.calls)
    turns.settle()
    assert "complete" not in it.mover.calls
    it.source_far.send(b"x")
    turns.settle()


@pytest.mark.parametrize("which", ["source", "sink"])
def test_dropped_with_either_stream(turns, line, which):
    """A pipe with bytes in it is closed, an empty one is kept."""
    it = line(len(BODY), 8192)
    it.sink_far.reading = False
    it.source_far.send(BODY)
    turns.settle(50)
    getattr(it, which).abort()
    assert it.source.pulled_by is it.sink.pushed_by is None
    assert splice._pipes == []
    it.splice.drop()
    assert it.mover.calls == []


def test_pipes_are_used_again_and_no_descriptor_leaks(turns):
    lines = [Line(turns, unix_pair, 100_000) for _ in range(20)]
    for it in lines:
        it.source_far.send(BODY[:100_000])
    turns.until(lambda: all(it.mover.calls == ["complete"] for it in lines))
    assert len(splice._pipes) == splice._KEPT
    before = len(descriptors())
    again = lines[0]
    again.mover.calls.clear()
    Splice(again.source, again.sink, 70_000, again.mover)
    assert len(splice._pipes) == splice._KEPT - 1
    assert len(descriptors()) == before
    again.source_far.send(BODY[:70_000])
    turns.until(lambda: again.mover.calls == ["complete"])
    assert len(splice._pipes) == splice._KEPT
    for it in lines:
        it.close()


@pytest.mark.parametrize("crumb", [1, 1000, 300_000])
def test_a_source_that_rests_after_a_steady_flow_is_not_kept_waiting(turns, line, crumb):
    """While it flows more is gathered; what it said before it rested goes on all the same."""
    it = line(len(BODY))
    flow = 3 * MIB
    it.source_far.send(BODY[:flow])
    turns.until(lambda: len(it.sink_far.got) == flow, 20)
    for rest in (1, 2):
        end = flow + rest * crumb
        it.source_far.send(BODY[end - crumb : end])
        turns.until(lambda end=end: len(it.sink_far.got) == end, 2)
    it.source_far.send(BODY[flow + 2 * crumb :])
    turns.until(lambda: it.mover.calls == ["complete"], 20)
    turns.until(lambda: it.sink_far.got == BODY)
    # the next message on the connection is read at once
    it.source_far.send(b"x")
    turns.settle(3)
    assert it.from_.data == b"x"


def test_a_blocked_sink_while_more_is_gathered(turns, line):
    it = line(len(BODY), 8192)
    it.source_far.send(BODY)
    turns.until(lambda: it.mover.count >= 2 * MIB, 20)
    it.sink_far.reading = False
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        turns.turn(0.01)
    assert it.mover.calls == []
    it.sink_far.reading = True
    turns.until(lambda: it.mover.calls == ["complete"], 20)
    turns.until(lambda: it.sink_far.got == BODY)


@pytest.mark.parametrize("end", ["end", "abort", "close"])
def test_it_ends_while_more_is_gathered(turns, line, end):
    it = line(len(BODY))
    it.source_far.send(BODY[: 3 * MIB])
    turns.until(lambda: it.mover.count == 3 * MIB, 20)
    getattr(it.source_far, end)()
    turns.until(lambda: it.from_.calls)
    assert it.from_.calls in (["ended"], ["lost"])
    assert it.mover.calls == []
    assert it.source.pulled_by is None


def test_the_last_of_a_body_is_not_waited_for_after_the_sink_was_blocked(turns, line):
    """What is gathered is never more than what is still to come."""
    it = line(1 << 30)
    it.source_far.send(BODY[: 3 * MIB])
    turns.until(lambda: len(it.sink_far.got) == 3 * MIB, 20)
    assert it.splice._look is not None
    it.splice.in_pipe = 0
    it.splice._count = 1000
    it.splice.push()
    size = it.source.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)
    assert size == 1000
