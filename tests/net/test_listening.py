"""Listening sockets from endpoint strings."""

import os
import socket
import stat
import subprocess
import sys

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from luisito.errors import SettingsError
from luisito.net.listening import listen
from luisito.net.sockets import SocketStream
from tests.net.test_streams import Receiver


class Acceptor:
    refusal = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"

    def __init__(self):
        self.peers = []
        self.streams = []
        self.most, self.unwelcome, self.asked = 1000, (), 0

    def is_full(self):
        return len(self.streams) >= self.most

    def make_room(self):
        self.asked += 1
        return not self.is_full()

    def accept(self, peer, port):
        if peer in self.unwelcome:
            return None
        self.peers.append((peer, port))
        return Receiver()

    def connected(self, receiver, stream):
        assert isinstance(stream, SocketStream)
        self.streams.append(stream)


@pytest.fixture
def acceptor():
    acceptor = Acceptor()
    yield acceptor
    for stream in acceptor.streams:
        stream.abort()


@pytest.fixture
def start(turns, acceptor):
    listeners = []

    def start(description):
        listeners.append(listen(description, turns.board, Clock(), acceptor))
        listeners[-1].startListening()
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.stopListening()
        listener.stopListening()


def connect(turns, family, address):
    sock = socket.socket(family)
    sock.connect(address)
    return turns.far(sock)


def test_tcp(turns, start, acceptor):
    listener = start("tcp:0:interface=127.0.0.1")
    address = listener.socket.getsockname()
    assert listener.name == f"http://127.0.0.1:{address[1]}/"
    fars = [connect(turns, socket.AF_INET, address) for _ in range(3)]
    turns.until(lambda: len(acceptor.streams) == 3)
    assert acceptor.peers[0] == (b"127.0.0.1", address[1])
    acceptor.streams[0].send(b"hello")
    turns.until(lambda: any(far.got == b"hello" for far in fars))
    assert acceptor.streams[0].socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_tcp6_sees_both_families(turns, start, acceptor):
    try:
        listener = start("tcp6:0:interface=\\:\\:")
    except SettingsError:
        pytest.skip("this kernel has no IPv6")
    port = listener.socket.getsockname()[1]
    assert listener.name == f"http://[::]:{port}/"
    connect(turns, socket.AF_INET6, ("::1", port))
    turns.until(lambda: len(acceptor.streams) == 1)
    assert acceptor.peers == [(b"::1", port)]
    if not listener.socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        connect(turns, socket.AF_INET, ("127.0.0.1", port))
        turns.until(lambda: len(acceptor.streams) == 2)
        assert acceptor.peers[1] == (b"127.0.0.1", port)


def test_unix(turns, start, acceptor, tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    listener = start(f"unix:{path}:mode=660")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    assert listener.name == f"unix:{path}"
    connect(turns, socket.AF_UNIX, path)
    turns.until(lambda: acceptor.streams)
    assert acceptor.peers == [(b"", 0)]
    listener.stopListening()
    assert not os.path.exists(path)


SYSTEMD = """
import os, socket, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES="luisito", LISTEN_PID=str(os.getpid()))
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from luisito.net.listening import listen
from tests.net.test_listening import Acceptor
from tests.net.turns import Turns

turns, acceptor = Turns(), Acceptor()
listener = listen("systemd:domain=INET:index=0", turns.board, Clock(), acceptor)
listener.startListening()
far = turns.far(socket.create_connection(("127.0.0.1", int(sys.argv[2]))))
turns.until(lambda: acceptor.streams)
listener.stopListening()
"""


def test_systemd():
    """A socket that was inherited as descriptor 3."""
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        fd, port = inherited.fileno(), inherited.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-c", SYSTEMD, str(fd), str(port)],
            capture_output=True, text=True, timeout=30, check=False, pass_fds=[fd],
        )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("description", ["", "tcp", "tcp:x", "nonsense:1", "ssl:0"])
def test_strings_that_are_no_endpoint(turns, description):
    with pytest.raises(SettingsError, match="LISTEN"):
        listen(description, turns.board, Clock(), Acceptor())


def test_addresses_that_are_taken(turns, start, tmp_path):
    port = start("tcp:0:interface=127.0.0.1").socket.getsockname()[1]
    with pytest.raises(SettingsError, match="in use"):
        listen(f"tcp:{port}:interface=127.0.0.1", turns.board, Clock(), Acceptor())
    path = tmp_path / "s"
    start(f"unix:{path}")
    with pytest.raises(SettingsError, match="in use"):
        listen(f"unix:{path}", turns.board, Clock(), Acceptor())
    assert path.exists()


EMFILE = """
import resource, socket
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.logger import capturedLogs
from luisito.net.listening import listen
from tests.net.test_listening import Acceptor
from tests.net.turns import Turns

turns, clock, acceptor = Turns(), Clock(), Acceptor()
listener = listen("tcp:0:interface=127.0.0.1", turns.board, clock, acceptor)
listener.startListening()
clients = [socket.create_connection(listener.socket.getsockname()) for _ in range(8)]
limit = clients[-1].fileno() + 4
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
with capturedLogs() as logs:
    turns.settle()
    assert len(acceptor.streams) == 3, acceptor.streams
    for _ in range(5):
        turns.settle()
    assert len(logs) == 1, logs
    assert listener.socket.fileno() not in turns.board._handlers  # no busy loop
    clock.advance(0.2)
    turns.settle()
    assert len(acceptor.streams) == 3
    assert len(logs) == 2
while acceptor.streams:
    acceptor.streams.pop().abort()
clock.advance(0.2)
turns.settle()
assert len(acceptor.streams) == 3
resource.setrlimit(resource.RLIMIT_NOFILE, (limit + 20, hard))
clock.advance(0.2)
turns.settle()
assert len(acceptor.streams) == 5
assert clock.getDelayedCalls() == []
listener.stopListening()
"""


def test_row_35_out_of_descriptors():
    """Accepting pauses, without a busy loop, then recovers."""
    done = subprocess.run(
        [sys.executable, "-c", EMFILE], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr


def test_where_there_is_no_room_clients_wait(turns):
    """They are accepted once there is room, and no sooner."""
    clock, acceptor = Clock(), Acceptor()
    acceptor.most = 1
    listener = listen("tcp:0:interface=127.0.0.1", turns.board, clock, acceptor)
    listener.startListening()
    connect(turns, socket.AF_INET, listener.socket.getsockname())
    turns.settle()
    assert (len(acceptor.streams), acceptor.asked) == (1, 0)  # nobody waits
    for _ in range(2):
        connect(turns, socket.AF_INET, listener.socket.getsockname())
    for _ in range(2):
        clock.advance(0.2)
        turns.settle()
        assert len(acceptor.streams) == 1
        assert listener.socket.fileno() not in turns.board._handlers  # no busy loop
    acceptor.most = 2
    clock.advance(0.2)
    turns.settle()
    assert len(acceptor.streams) == 2
    listener.stopListening()
    for stream in acceptor.streams:
        stream.abort()


@pytest.mark.parametrize("request_", [b"", b"GET / HTTP/1.1\r\n\r\n"])
def test_who_is_turned_away_can_read_why(turns, start, acceptor, request_):
    """And sees an end, no reset, where the request was there."""
    acceptor.unwelcome = (b"127.0.0.1",)
    listener = start("tcp:0:interface=127.0.0.1")
    sock = socket.create_connection(listener.socket.getsockname())
    sock.sendall(request_)
    far = turns.far(sock)
    turns.until(lambda: far.over)
    assert far.got == acceptor.refusal
    assert far.ended
    assert not far.reset
    assert acceptor.streams == []


def test_clients_that_take_long_do_not_keep_the_others_waiting(turns):
    """One turn accepts no more once ten milliseconds are over."""
    clock = Clock()

    class Slow(Acceptor):
        def connected(self, receiver, stream):
            super().connected(receiver, stream)
            clock.advance(0.004)

    acceptor = Slow()
    listener = listen("tcp:0:interface=127.0.0.1", turns.board, clock, acceptor)
    listener.startListening()
    for _ in range(7):
        connect(turns, socket.AF_INET, listener.socket.getsockname())
    listener.readable()
    assert len(acceptor.streams) == 3
    turns.until(lambda: len(acceptor.streams) == 7)
    listener.stopListening()
    for stream in acceptor.streams:
        stream.abort()


def test_stopped_while_it_pauses(turns, acceptor):
    clock = Clock()
    listener = listen("tcp:0:interface=127.0.0.1", turns.board, clock, acceptor)
    listener.startListening()
    listener._pause()
    listener.stopListening()
    assert clock.getDelayedCalls() == []


def test_invariant_9_an_error_of_ours_at_the_first_bytes_ends_one_connection_only(turns):
    class Failing(Acceptor):
        def connected(self, receiver, stream):
            super().connected(receiver, stream)
            if len(self.streams) == 1:

                def received(_data):
                    raise ZeroDivisionError

                receiver.received = received

    acceptor = Failing()
    listener = listen("tcp:0:interface=127.0.0.1", turns.board, Clock(), acceptor)
    listener.startListening()
    fars = []
    for _ in range(2):
        client = socket.create_connection(listener.socket.getsockname())
        client.sendall(b"x")
        fars.append(turns.far(client))
    with capturedLogs() as logs:
        turns.until(lambda: fars[0].over)
    assert len(logs) == 1
    assert not fars[1].over
    listener.stopListening()
    acceptor.streams[1].abort()


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ("tcp:<taken>:interface=127.0.0.1", "Address already in use; see who listens there"),
        ("tcp:0:interface=192.0.2.1", "Cannot assign requested address; write an address that"),
        ("unix:<folder>/none/socket", "No such file or directory; make the folder of the socket"),
    ],
)
def test_what_cannot_be_listened_on_is_told_with_its_mend(tmp_path, start, description, words):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        place = description.replace("<taken>", port).replace("<folder>", str(tmp_path))
        with pytest.raises(SettingsError, match=words):
            start(place)


def test_a_folder_that_takes_a_right_is_told_with_its_mend(start):
    ours = os.geteuid()
    if ours == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(SettingsError, match=r"denied; .* a folder that whoever starts Luisito"):
            start("unix:/socket-of-a-test")
    finally:
        os.seteuid(ours)
