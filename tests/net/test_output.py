"""The output of app servers: flood, rate, tail, log file."""

import os

import pytest
from twisted.internet.task import Clock

from luisito.net.output import Output


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pipe(turns, clock):
    """(output, writing end)."""
    reader, writer = os.pipe2(os.O_NONBLOCK)
    output = Output(turns.board, clock, reader)
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
    os.write(writer, b"x" * 10_000 + b"last w\xf6rds\n")
    turns.settle(3)
    assert output.tail.endswith("last w\ufffdrds")
    assert len(output.tail) < 4100


def test_row_31_a_flood_is_read_no_faster_than_the_rate(turns, clock, pipe):
    output, writer = pipe
    count = 0
    for _ in range(100):
        for _ in range(40):
            count += flood(writer)
            turns.turn()
        clock.advance(0.1)
    assert 5 << 20 < count < 13 << 20
    os.close(writer)
    for _ in range(20):
        clock.advance(0.1)
        turns.turn()
    assert output._fd == -1


def test_row_31_a_closed_pipe(turns, pipe):
    output, writer = pipe
    os.write(writer, b"bye")
    os.close(writer)
    turns.settle(3)
    assert output.tail == "bye"
    assert output._fd == -1
    output.close()


def test_close_takes_what_is_in_the_pipe(pipe):
    output, writer = pipe
    os.write(writer, b"x" * 30_000 + b"end")
    output.close()
    assert output.tail.endswith("end")


def test_close_while_paused(turns, clock, pipe):
    output, writer = pipe
    while output._resume is None:
        flood(writer)
        turns.turn()
    output.close()
    assert clock.getDelayedCalls() == []


def test_to_a_file_with_what_came_before(turns, pipe, tmp_path):
    output, writer = pipe
    os.write(writer, b"one\n")
    turns.settle(3)
    path = tmp_path / "log"
    output.to_file(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    os.write(writer, b"two\n")
    turns.settle(3)
    assert path.read_bytes() == b"one\ntwo\n"


def test_to_a_file_that_comes_after_the_end(turns, pipe, tmp_path):
    output, writer = pipe
    os.write(writer, b"one\n")
    os.close(writer)
    turns.settle(3)
    path = tmp_path / "log"
    output.to_file(os.open(path, os.O_WRONLY | os.O_CREAT))
    assert path.read_bytes() == b"one\n"


def test_row_39_full_disk_costs_nothing_but_lines(turns, pipe):
    output, writer = pipe
    output.to_file(os.open("/dev/full", os.O_WRONLY))
    os.write(writer, b"one\n")
    turns.settle(3)
    assert output.tail == "one"


def test_an_error_of_ours(pipe):
    output, _ = pipe
    output.failed()
    assert output._fd == -1
