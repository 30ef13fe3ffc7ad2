"""Streams, of both kinds: a socket on the Switchboard, and one of Twisted's transports."""

import errno
import socket

import pytest
from twisted.internet.protocol import Factory
from twisted.internet.testing import StringTransport

from luisito.net.sockets import SocketStream
from luisito.net.transport import TransportStream
from tests.net.turns import Turns, tcp_pair, unix_pair

MIB = 1 << 20


class Receiver:
    def __init__(self, *, reads_on=False):
        self.data = bytearray()
        self.calls = []
        self.reads_on = reads_on

    def received(self, data):
        assert data
        self.data += data

    def ended(self):
        self.calls.append("ended")

    def full(self):
        self.calls.append("full")

    def drained(self):
        self.calls.append("drained")

    def lost(self, error):
        self.calls.append("lost")
        self.error = error


@pytest.fixture(params=["socket", "transport", "unix"])
def kind(request):
    return request.param


@pytest.fixture
def joined(turns: Turns, kind):
    """Makes (stream, receiver, far end)."""

    def make(buffer=None, **names):
        receiver = Receiver(**names)
        ours, far = unix_pair(buffer) if kind == "unix" else tcp_pair(buffer)
        if kind != "transport":
            return SocketStream(turns.board, ours, receiver), receiver, turns.far(far)
        made = []
        factory = Factory.forProtocol(lambda: TransportStream(receiver, made.append))
        turns.reactor.adoptStreamConnection(ours.fileno(), socket.AF_INET, factory)
        ours.close()
        return made[0], receiver, turns.far(far)

    return make


def test_bytes_both_ways(turns, joined):
    stream, receiver, far = joined()
    stream.send(b"hello")
    turns.until(lambda: far.got == b"hello")
    far.send(b"world")
    turns.until(lambda: receiver.data == b"world")
    assert not stream.pending
    assert receiver.calls == []
    stream.close()
    turns.until(lambda: far.ended)
    turns.settle()
    assert receiver.calls == []


def test_more_than_the_kernel_takes(turns, joined):
    stream, receiver, far = joined(8192)
    far.reading = False
    stream.send(b"x" * MIB)
    assert receiver.calls == ["full"]
    assert stream.pending
    assert stream.backed_up
    stream.send(b"y" * MIB)
    assert receiver.calls == ["full", "full"]
    turns.settle()
    before = stream.progress()
    assert stream.progress() == before
    far.reading = True
    far.poll(70_000)
    far.reading = False
    turns.until(lambda: stream.progress() != before)
    far.reading = True
    turns.until(lambda: len(far.got) == 2 * MIB, 20)
    assert far.got == b"x" * MIB + b"y" * MIB
    turns.until(lambda: not stream.pending)
    assert receiver.calls == ["full", "full", "drained"]
    assert not stream.backed_up
    stream.send(b"z")
    turns.until(lambda: far.got[-1:] == b"z")
    stream.abort()


def test_pause_and_resume(turns, joined):
    stream, receiver, far = joined()
    stream.pause()
    stream.pause()
    far.send(b"x" * (16 * MIB))
    turns.settle(50)
    assert len(receiver.data) <= 65536  # one read may be under way
    assert not far.sent
    stream.resume()
    stream.resume()
    turns.until(lambda: len(receiver.data) == 16 * MIB, 20)
    stream.close()


def test_half_close_by_the_far_end(turns, joined):
    stream, receiver, far = joined()
    far.send(b"x")
    far.end()
    turns.until(lambda: receiver.calls == ["ended"])
    assert receiver.data == b"x"
    stream.send(b"answer")
    turns.until(lambda: far.got == b"answer")
    turns.settle()
    assert receiver.calls == ["ended"]
    stream.close()
    turns.until(lambda: far.ended)


def test_half_close_by_us(turns, joined):
    stream, receiver, far = joined(8192)
    far.reading = False
    stream.send(b"x" * MIB)
    stream.end()
    turns.settle()
    assert not far.ended
    far.reading = True
    turns.until(lambda: far.ended, 20)
    assert len(far.got) == MIB
    far.send(b"answer")
    turns.until(lambda: receiver.data == b"answer")
    stream.close()


def test_close_sends_all_first(turns, joined):
    stream, receiver, far = joined(8192)
    far.reading = False
    stream.send(b"x" * MIB)
    stream.close()
    turns.settle()
    far.reading = True
    turns.until(lambda: far.over, 20)
    assert far.ended
    assert len(far.got) == MIB
    assert receiver.calls == ["full"]


def test_abort_is_seen_as_one(turns, joined, kind):
    stream, receiver, far = joined()
    stream.send(b"x")
    turns.until(lambda: far.got)
    stream.abort()
    stream.abort()
    stream.send(b"y")
    turns.until(lambda: far.over)
    assert far.reset == (kind != "unix")
    turns.settle()
    assert receiver.calls == []


def test_the_far_end_aborts(turns, joined, kind):
    stream, receiver, far = joined()
    far.abort()
    turns.until(lambda: receiver.calls)
    assert receiver.calls == (["ended"] if kind == "unix" else ["lost"])
    if kind != "unix":
        assert receiver.error.errno == errno.ECONNRESET
    stream.close()


def test_another_receiver(turns, joined):
    stream, receiver, far = joined()
    other = Receiver()
    stream.watch(other)
    far.send(b"x")
    turns.until(lambda: other.data == b"x")
    assert receiver.data == b""
    stream.close()


# -- in memory


def test_in_memory():
    made = []
    receiver, transport = Receiver(), StringTransport()
    stream = TransportStream(receiver, made.append)
    stream.makeConnection(transport)
    assert made == [stream]
    stream.send(b"hello")
    assert transport.value() == b"hello"
    stream.dataReceived(b"world")
    assert receiver.data == b"world"
    stream.pauseProducing()
    stream.pauseProducing()
    assert stream.pending
    stream.send(b"more")
    assert receiver.calls == ["full", "full"]
    assert stream.progress() == 0
    stream.end()
    assert not transport.disconnecting
    stream.resumeProducing()
    assert transport.disconnecting
    assert receiver.calls == ["full", "full", "drained"]
    stream.connectionLost()
    assert receiver.calls[-1] == "lost"
    stream.close()
    stream.abort()


def test_in_memory_closed():
    receiver, transport = Receiver(), StringTransport()
    stream = TransportStream(receiver, lambda _: None)
    stream.makeConnection(transport)
    stream.pause()
    assert transport.producerState == "paused"
    stream.resume()
    stream.close()
    assert transport.disconnecting
    stream.dataReceived(b"late")
    stream.connectionLost()
    assert receiver.calls == []
    assert receiver.data == b""


# -- what sockets alone do


@pytest.mark.parametrize("pair", [unix_pair, tcp_pair])
def test_last_words_of_a_peer_that_has_gone(turns, pair):
    """What cannot be sent any more does not hide what is still to be read."""
    receiver = Receiver(reads_on=True)
    ours, far = pair()
    stream = SocketStream(turns.board, ours, receiver)
    far.send(b"last words")
    far.close()
    stream.send(b"x")
    stream.send(b"y")
    turns.until(lambda: receiver.calls)
    assert receiver.data == b"last words"
    stream.close()


@pytest.mark.parametrize("reads_on", [False, True])
def test_hang_up_while_paused(turns, reads_on):
    receiver = Receiver(reads_on=reads_on)
    ours, far = unix_pair()
    stream = SocketStream(turns.board, ours, receiver)
    stream.pause()
    far.send(b"last words")
    far.close()
    turns.settle()
    if reads_on:
        assert receiver.calls == []
        assert ours.fileno() not in turns.board._handlers  # it would fire for ever
        stream.resume()
        turns.until(lambda: receiver.calls == ["ended"])
        assert receiver.data == b"last words"
    else:
        assert receiver.calls == ["lost"]
    stream.close()


def test_hung_up_then_closed(turns):
    receiver = Receiver(reads_on=True)
    ours, far = unix_pair()
    stream = SocketStream(turns.board, ours, receiver)
    stream.pause()
    far.close()
    turns.settle()
    stream.close()
    assert stream.fd == -1


def connecting(turns, address):
    receiver = Receiver()
    sock = socket.socket()
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        sock.connect(address)
    return SocketStream(turns.board, sock, receiver, connecting=True), receiver


def test_connecting(turns):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream, receiver = connecting(turns, listener.getsockname())
        stream.send(b"hello")
        assert stream.pending
        assert not stream.wrote
        far = turns.far(listener.accept()[0])
        turns.until(lambda: far.got == b"hello")
    assert stream.wrote
    assert receiver.calls == ["drained"]
    stream.close()


def test_connect_refused(turns):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    stream, receiver = connecting(turns, address)
    stream.send(b"hello")
    turns.until(lambda: receiver.calls)
    assert receiver.calls == ["lost"]
    assert receiver.error.errno == errno.ECONNREFUSED
    assert not stream.wrote


def test_an_error_of_ours(turns):
    receiver = Receiver()
    ours, far = unix_pair()
    stream = SocketStream(turns.board, ours, receiver)
    stream.failed()
    assert receiver.calls == ["lost"]
    assert stream.fd == -1
    far.close()
