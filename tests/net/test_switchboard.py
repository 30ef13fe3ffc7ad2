"""The Switchboard: stale events, reused numbers, exceptions, hang-ups."""

import os
import socket
import threading
import time

import pytest
from twisted.logger import capturedLogs

from luisito.net.switchboard import IN, OUT, Switchboard


class Handler:
    def __init__(self, name, calls, then=None):
        self.name, self.calls, self.then = name, calls, then

    def _called(self, what):
        self.calls.append((self.name, what))
        if self.then is not None:
            self.then(what)

    def readable(self):
        self._called("readable")

    def writable(self):
        self._called("writable")

    def gone(self):
        self._called("gone")

    def failed(self):
        self._called("failed")


@pytest.fixture
def board(turns):
    return turns.board


@pytest.fixture
def pairs():
    """Three socket pairs."""
    made = [socket.socketpair() for _ in range(3)]
    yield made
    for pair in made:
        for sock in pair:
            sock.close()


def test_events_reach_their_handlers(board, pairs):
    calls = []
    (a, far_a), (b, _), (c, far_c) = pairs
    for name, sock, events in (("a", a, IN), ("b", b, OUT), ("c", c, IN | OUT)):
        board.register(sock.fileno(), Handler(name, calls), events)
    far_a.send(b"x")
    far_c.send(b"x")
    board.doRead()
    assert sorted(calls) == [
        ("a", "readable"),
        ("b", "writable"),
        ("c", "readable"),
        ("c", "writable"),
    ]
    calls.clear()
    board.modify(b.fileno(), 0)
    board.modify(c.fileno(), 0)
    far_c.close()
    board.doRead()
    assert sorted(calls) == [("a", "readable"), ("c", "gone")]
    for sock in (a, b, c):
        board.unregister(sock.fileno())
    calls.clear()
    board.doRead()
    assert calls == []


def test_stale_event_of_one_closed_in_the_same_batch(board, pairs):
    calls = []
    socks = [pair[0] for pair in pairs]

    def close_the_others(_what):
        for sock in socks:
            if sock.fileno() >= 0 and board._handlers[sock.fileno()].name != calls[0][0]:
                board.unregister(sock.fileno())
                sock.close()

    for index, (ours, far) in enumerate(pairs):
        board.register(ours.fileno(), Handler(index, calls, close_the_others), IN)
        far.send(b"x")
    board.doRead()
    assert len(calls) == 1
    for sock in socks:
        if sock.fileno() >= 0:
            board.unregister(sock.fileno())


def test_stale_event_for_a_number_that_was_given_anew(board, pairs):
    calls = []
    (a, far_a), (b, far_b), (fresh, _) = pairs
    numbers = {a.fileno(), b.fileno()}

    def replace(_what):
        """Whoever is first replaces the other one, under its number."""
        first = a if board._handlers[a.fileno()].name == calls[0][0] else b
        other = b if first is a else a
        board.unregister(other.fileno())
        os.dup2(fresh.fileno(), other.fileno())
        board.register(other.fileno(), Handler("fresh", calls), IN)

    board.register(a.fileno(), Handler("a", calls, replace), IN)
    board.register(b.fileno(), Handler("b", calls, replace), IN)
    far_a.send(b"x")
    far_b.send(b"x")
    board.doRead()
    assert len(calls) == 1
    for number in numbers:
        board.unregister(number)


def test_an_exception_ends_its_own_connection_only(board, pairs):
    calls = []

    def fail(what):
        if what == "readable":
            raise ZeroDivisionError

    (a, far_a), (b, far_b), _ = pairs
    board.register(a.fileno(), Handler("a", calls, fail), IN)
    board.register(b.fileno(), Handler("b", calls), IN)
    far_a.send(b"x")
    far_b.send(b"x")
    with capturedLogs() as logs:
        board.doRead()
    assert sorted(calls) == [("a", "failed"), ("a", "readable"), ("b", "readable")]
    assert len(logs) == 1
    board.unregister(a.fileno())
    board.unregister(b.fileno())


def test_one_that_fails_to_fail_is_thrown_out(board, pairs):
    calls = []

    def fail(_what):
        raise ZeroDivisionError

    (a, far_a), _, _ = pairs
    board.register(a.fileno(), Handler("a", calls, fail), IN)
    far_a.send(b"x")
    with capturedLogs() as logs:
        board.doRead()
        board.doRead()
    assert calls == [("a", "readable"), ("a", "failed")]
    assert len(logs) == 2


def test_a_turn_ends_although_there_is_always_more(turns):
    """The reactor's other work is never kept waiting long."""
    calls = []
    times = iter(range(100))
    board = Switchboard(turns.reactor, turn=0.004, clock=lambda: next(times) / 1000)
    made = [socket.socketpair() for _ in range(70)]
    for index, (ours, far) in enumerate(made):
        board.register(ours.fileno(), Handler(index, calls), IN)
        far.send(b"x")
    board.doRead()
    assert len(calls) == 4 * 70
    for pair in made:
        board.unregister(pair[0].fileno())
        for sock in pair:
            sock.close()
    board.close()


class Reader:
    """What the reactor reads by itself."""

    def __init__(self, sock):
        self.sock = sock
        self.reads = 0

    def fileno(self):
        return self.sock.fileno()

    def doRead(self):
        self.sock.recv(99)
        self.reads += 1


@pytest.fixture
def patient(turns):
    """A Switchboard whose turns would last for a minute."""
    turns.board.close()
    turns.board = Switchboard(turns.reactor, turn=60)
    return turns.board


def test_it_waits_for_the_next_event(patient, pairs):
    (a, far_a), _, _ = pairs
    calls = []

    def then(_what):
        a.recv(99)
        if len(calls) < 3:
            threading.Timer(0.01, far_a.send, [b"x"]).start()
        else:
            patient.modify(a.fileno(), IN | OUT)
            patient._elsewhere.called = True

    patient.register(a.fileno(), Handler("a", calls, then), IN)
    far_a.send(b"x")
    patient.doRead()
    assert calls == [("a", "readable")] * 3
    patient.unregister(a.fileno())


def test_what_the_reactor_reads_ends_the_wait(turns, patient, pairs):
    """Also where it has taken the place, and the number, of another one."""
    (a, far_a), (b, far_b), (c, far_c) = pairs
    patient.register(a.fileno(), Handler("a", [], lambda _: a.recv(99)), IN)
    reader = Reader(b)
    turns.reactor.addReader(reader)
    for number in (1, 2):
        far_a.send(b"x")
        timer = threading.Timer(0.01, far_b.send, [b"x"])
        timer.start()
        turns.turn()
        turns.turn()
        assert reader.reads == number
        timer.join()
    turns.reactor.removeReader(reader)
    number = b.fileno()
    b.close()
    assert os.dup2(c.fileno(), number) == number
    other = Reader(socket.socket(fileno=number))
    turns.reactor.addReader(other)
    far_a.send(b"x")
    threading.Timer(0.01, far_c.send, [b"x"]).start()
    turns.turn()
    turns.turn()
    assert other.reads == 1
    turns.reactor.removeReader(other)
    other.sock.close()
    far_a.send(b"x")
    threading.Timer(0.01, far_a.send, [b"x"]).start()
    turns.reactor.callLater(0.03, lambda: None)
    turns.turn()
    patient.unregister(a.fileno())
    turns.turn()


def test_a_number_that_the_reactor_read_may_become_a_handlers(turns, patient, pairs):
    (a, far_a), (b, _), (c, far_c) = pairs
    calls = []
    patient.register(a.fileno(), Handler("a", [], lambda _: a.recv(99)), IN)
    reader = Reader(b)
    turns.reactor.addReader(reader)
    turns.reactor.callLater(0.02, lambda: None)
    far_a.send(b"x")
    turns.turn()
    turns.reactor.removeReader(reader)
    number = b.fileno()
    b.close()
    os.dup2(c.fileno(), number)
    patient.register(number, Handler("new", calls, lambda _: c.recv(99)), IN)
    for _ in range(2):
        far_c.send(b"x")
        turns.reactor.callLater(0.02, lambda: None)
        turns.turn()
    assert calls == [("new", "readable")] * 2
    patient.unregister(number)
    os.close(number)
    patient.unregister(a.fileno())


def test_a_timer_ends_the_wait(turns, patient, pairs):
    (a, far_a), _, _ = pairs
    calls = []
    patient.register(a.fileno(), Handler("a", [], lambda _: a.recv(99)), IN)
    far_a.send(b"x")
    turns.reactor.callLater(0.01, calls.append, "timer")
    turns.turn()
    turns.turn(0.1)
    assert calls == ["timer"]
    patient.unregister(a.fileno())


def test_a_timer_that_a_handler_sets_ends_the_wait(turns, patient, pairs):
    (a, far_a), _, _ = pairs
    calls = []

    def then(_what):
        a.recv(99)
        patient.callLater(0.01, calls.append, "timer")

    patient.register(a.fileno(), Handler("a", [], then), IN)
    far_a.send(b"x")
    turns.turn()
    turns.turn(0.1)
    assert calls == ["timer"]
    assert patient.getDelayedCalls() == []
    assert patient.seconds() == pytest.approx(turns.reactor.seconds(), abs=5)
    patient.unregister(a.fileno())


def test_a_reader_that_a_handler_adds_ends_the_wait(turns, patient, pairs):
    (a, far_a), (b, far_b), _ = pairs
    reader = Reader(b)

    def then(_what):
        a.recv(99)
        patient.addReader(reader)

    patient.register(a.fileno(), Handler("a", [], then), IN)
    far_a.send(b"x")
    far_b.send(b"x")
    turns.turn()
    turns.turn()
    assert reader.reads == 1
    patient.removeReader(reader)
    patient.unregister(a.fileno())


@pytest.mark.parametrize("how", ["paused", "closed", "behind our back"])
def test_a_reader_that_left_does_not_call_for_ever(turns, patient, pairs, how):
    """Not even where a copy of its descriptor lives in another process."""
    (a, far_a), (b, far_b), _ = pairs
    reader = Reader(b)
    patient.register(a.fileno(), Handler("a", [], lambda _: a.recv(99)), IN)
    patient.addReader(reader)
    patient.callLater(0.01, lambda: None)
    far_a.send(b"x")
    turns.turn()
    turns.turn(0.02)
    copy = os.dup(b.fileno())
    if how == "behind our back":
        turns.reactor.removeReader(reader)
    else:
        patient.removeReader(reader)
    if how == "closed":
        b.close()
    far_b.send(b"WATCHDOG=1")
    count, end = 0, time.monotonic() + 0.2
    while time.monotonic() < end:
        turns.turn(0.05)
        count += 1
    assert count < 20
    patient.unregister(a.fileno())
    os.close(copy)


def test_a_writer_that_a_handler_adds_ends_the_wait(turns, patient, pairs):
    (a, far_a), (b, _), _ = pairs
    calls = []

    class Writer(Reader):
        def doWrite(self):
            calls.append("written")
            patient.removeWriter(self)

    writer = Writer(b)

    def then(_what):
        a.recv(99)
        calls.append("read")
        if len(calls) == 2:
            patient.addWriter(writer)
        else:
            threading.Timer(0.01, far_a.send, [b"x"]).start()

    patient.register(a.fileno(), Handler("a", [], then), IN)
    far_a.send(b"x")
    turns.turn()
    turns.turn()
    assert calls == ["read", "read", "written"]
    assert patient.getWriters() == []
    assert patient in patient.getReaders()
    patient.unregister(a.fileno())


def test_it_does_not_wait_while_the_reactor_writes(turns, patient, pairs):
    (a, far_a), (b, _), _ = pairs

    class Writer(Reader):
        def doWrite(self):
            self.reads += 1

    writer = Writer(b)
    patient.register(a.fileno(), Handler("a", [], lambda _: a.recv(99)), IN)
    turns.reactor.addWriter(writer)
    far_a.send(b"x")
    turns.turn()
    assert writer.reads == 1
    turns.reactor.removeWriter(writer)
    patient.unregister(a.fileno())


def test_it_is_a_reader_of_the_reactor(turns, pairs):
    calls = []
    ours, far = pairs[0]
    turns.board.register(ours.fileno(), Handler("a", calls), IN)
    far.send(b"x")
    turns.turn()
    assert calls == [("a", "readable")]
    turns.board.unregister(ours.fileno())
    assert turns.board.logPrefix() == "switchboard"
