"""The output of app servers: flood, rate, tail, ends."""

import os

import pytest
from twisted.internet.task import Clock

from luisito.net.output import Output

RATE = 1 << 20


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def got():
    return bytearray()


@pytest.fixture
def pipe(turns, clock, got):
    """(output, writing end)."""
    reader, writer = os.pipe2(os.O_NONBLOCK)
    output = Output(turns.board, clock, reader, RATE, got.extend)
    output.start()
    yield output, writer
    output.close()
    try:
        os.close(writer)
    except OSError:
        pass


def flood(writer):
    """As much as the pipe takes."""
    count = 0
    try:
        while True:
            count += os.write(writer, b"y\n" * 2048)
    except BlockingIOError:
        return count


def test_tail(turns, pipe):
    output, writer = pipe
    os.write(writer, b"x" * 10_000 + b"last w\xf6rds\x1b[2J\n")
    turns.settle(3)
    assert output.tail.endswith("last w\ufffdrds\\x1b[2J")
    assert len(output.tail) < 4100


def test_the_tail_is_that_of_all_that_was_written(turns, pipe):
    output, writer = pipe
    for number in range(2000):
        os.write(writer, b"%d\n" % number)
        if number % 100 == 0:
            turns.turn()
    turns.settle(3)
    assert output.tail.endswith("\n1998\n1999")
    assert len(output.tail) > 4000


def test_who_lets_go_takes_nothing_away(turns, clock, pipe, got):
    output, writer = pipe
    os.write(writer, b"first\n")
    turns.settle(3)
    reader = os.dup(output._fd)
    os.write(writer, b"second\n")
    output.let_go()
    output.let_go()
    assert (got, output.tail) == (b"first\n", "first")
    later = Output(turns.board, clock, reader, RATE, got.extend, output.heard)
    assert later.tail == "first"
    later.start()
    turns.settle(3)
    later.close()
    assert (got, later.tail) == (b"first\nsecond\n", "first\nsecond")


@pytest.mark.parametrize("rate", [1 << 20, 1 << 16, 2000])
def test_row_31_a_flood_is_read_no_faster_than_the_rate(turns, clock, rate):
    got = []
    reader, writer = os.pipe2(os.O_NONBLOCK)
    output = Output(turns.board, clock, reader, rate, got.append)
    output.start()
    for _ in range(100):
        for _ in range(40):
            flood(writer)
            turns.turn()
        clock.advance(0.1)
    count = sum(map(len, got))
    # ten seconds and the burst of one, and a last read of a whole pipe
    assert 9 * rate <= count <= 11 * rate + 65536
    os.close(writer)
    output.close()
    assert clock.getDelayedCalls() == []


def test_row_31_a_quiet_time_makes_up_for_one_second_only(turns, clock, pipe, got):
    _, writer = pipe
    clock.advance(1000)
    for _ in range(100):
        flood(writer)
        turns.turn()
    assert RATE <= len(got) <= RATE + 65536


def test_nothing_is_read_before_the_start(turns, clock, got):
    reader, writer = os.pipe2(os.O_NONBLOCK)
    output = Output(turns.board, clock, reader, RATE, got.extend)
    os.write(writer, b"early\n")
    turns.settle(3)
    assert got == b""
    output.start()
    turns.settle(3)
    assert got == b"early\n"
    os.close(writer)
    turns.settle(3)
    output.start()
    assert output._fd == -1


def test_what_was_never_started_gives_its_last_words(turns, clock, got):
    reader, writer = os.pipe2(os.O_NONBLOCK)
    output = Output(turns.board, clock, reader, RATE, got.extend)
    os.write(writer, b"cannot\n")
    os.close(writer)
    output.close()
    assert output.tail == "cannot"
    assert got == b"cannot\n"


def test_row_31_a_closed_pipe(turns, pipe):
    output, writer = pipe
    os.write(writer, b"bye")
    os.close(writer)
    turns.settle(3)
    assert output.tail == "bye"
    assert output._fd == -1
    output.close()


def test_close_takes_what_is_in_the_pipe(pipe, got):
    output, writer = pipe
    os.write(writer, b"x" * 30_000 + b"end")
    output.close()
    assert output.tail.endswith("end")
    assert len(got) == 30_003


def test_close_while_paused(turns, clock, pipe, got):
    output, writer = pipe
    while output._resume is None:
        flood(writer)
        turns.turn()
    before = len(got)
    flood(writer)
    output.close()
    assert len(got) > before
    assert clock.getDelayedCalls() == []


def test_nobody_wants_it(turns, clock):
    reader, writer = os.pipe2(os.O_NONBLOCK)
    output = Output(turns.board, clock, reader, RATE, None)
    output.start()
    os.write(writer, b"only the tail\n")
    turns.settle(3)
    assert output.tail == "only the tail"
    os.close(writer)
    output.close()


def test_an_error_of_ours(pipe):
    output, _ = pipe
    output.failed()
    assert output._fd == -1
