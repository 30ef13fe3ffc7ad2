"""NOTIFY_SOCKET: what is believed, and from whom."""

import os
import shutil
import socket
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from luisito.readiness.credentials import sender_uid
from luisito.readiness.notify import _BURST, NotifyReader, parse


@pytest.fixture
def path(folder):
    return f"{folder}/notify"


@pytest.fixture
def sock(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        sock.bind(path)
        os.chmod(path, 0o666)
        yield sock


@pytest.fixture
def states():
    return []


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def reader(driver, sock, states, clock):
    reader = NotifyReader(clock, driver.board, sock, states.append)
    yield reader
    reader.close()
    reader.close()  # a second time does nothing
    assert clock.getDelayedCalls() == []


def send(path, *messages):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        for message in messages:
            sender.sendto(message, path)


@pytest.mark.parametrize(
    ("message", "state"),
    [
        (b"READY=1", {"READY": "1"}),
        (b"READY=1\nSTATUS=a=b \xc3\xa9\n", {"READY": "1", "STATUS": "a=b é"}),
        (b"STATUS=", {"STATUS": ""}),
        (b"", None),
        (b"\n\n", None),
        (b"READY", None),
        (b"=1", None),
        (b"READY=1\nrubbish", None),
        (b"READY=\xff", None),
    ],
)
def test_parse(message, state):
    assert parse(message) == state


@given(st.binary() | st.text("A=1\n").map(str.encode))
def test_parse_takes_anything(message):
    state = parse(message)
    assert state is None or (state and all(state))


def test_messages_wait_until_the_user_is_known(driver, path, reader, states):
    send(path, b"READY=1")
    driver.turn()
    assert states == []
    reader.start(os.getuid())
    driver.until(lambda: states)
    assert states == [{"READY": "1"}]


def test_garbage_is_ignored(driver, path, reader, states):
    reader.start(os.getuid())
    send(path, b"", b"rubbish", b"\xff=1", b"A=" + b"x" * 5000, b"READY=1")
    driver.until(lambda: states)
    assert states == [{"READY": "1"}]


def test_another_user_is_ignored(driver, path, reader, states, as_other):
    reader.start(os.getuid())
    as_other(lambda: send(path, b"READY=1\nSTATUS=not me"))
    send(path, b"READY=1\nSTATUS=me")
    driver.until(lambda: states)
    assert states == [{"READY": "1", "STATUS": "me"}]


def test_a_datagram_without_a_sender_is_nobodys():
    assert sender_uid([]) is None
    assert sender_uid([(socket.SOL_SOCKET, socket.SCM_RIGHTS, bytes(4))]) is None


def test_only_the_expected_user_is_believed(driver, path, reader, states):
    reader.start(os.getuid() + 1)
    send(path, b"READY=1")
    driver.turn()
    assert states == []


def test_descriptors_sent_along_are_dropped(driver, path, reader, states):
    reader.start(os.getuid())
    reading, writing = os.pipe()
    before = set(os.listdir("/proc/self/fd"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(path)
        socket.send_fds(sender, [b"BARRIER=1"], [writing])
    os.close(writing)
    driver.until(lambda: states)
    assert os.read(reading, 1) == b""  # what systemd-notify waits for
    os.close(reading)
    assert set(os.listdir("/proc/self/fd")) <= before


@pytest.mark.skipif(not shutil.which("systemd-notify"), reason="systemd-notify is not installed")
def test_systemd_notify(driver, path, reader, states):
    reader.start(os.getuid())
    with subprocess.Popen(
        ["systemd-notify", "--ready", "--status=up"], env={**os.environ, "NOTIFY_SOCKET": path}
    ) as process:
        driver.until(lambda: process.poll() is not None)
    assert process.returncode == 0
    driver.until(lambda: {"READY": "1", "STATUS": "up"} in states)


def test_a_flood_makes_its_sender_wait(driver, path, reader, states, clock):
    reader.start(os.getuid())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)

        def pump():
            for _ in range(1000):
                try:
                    sender.sendto(b"A=1", path)
                except BlockingIOError:
                    driver.reactor.iterate(0)

        pump()
        assert len(states) == _BURST
        reader.start(os.getuid())  # no way round the pause
        pump()
        assert len(states) == _BURST
        clock.advance(1)
        pump()
        assert len(states) == 2 * _BURST


def test_closing_within_a_message_ends_it(driver, path, sock, clock):
    seen = []

    def on_state(state):
        seen.append(state)
        reader.close()

    reader = NotifyReader(clock, driver.board, sock, on_state)
    reader.start(os.getuid())
    send(path, b"A=1", b"B=1")
    driver.until(lambda: seen)
    driver.turn()
    assert seen == [{"A": "1"}]
    reader.start(os.getuid())  # too late: nothing happens


def test_an_error_in_the_callback_costs_only_this_reader(driver, path, sock, clock):
    def on_state(state):
        raise ValueError

    reader = NotifyReader(clock, driver.board, sock, on_state)
    reader.start(os.getuid())
    send(path, b"A=1")
    driver.until(lambda: sock.fileno() == -1)
