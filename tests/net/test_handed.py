"""A connection taken apart for a message, and put together again in another process."""

import fcntl
import os
import resource
import socket

import pytest

from luisito.errors import WireError
from luisito.net.handed import MAX_UNREAD, Handed, pack, unpack
from luisito.net.listening import peer_of
from luisito.spawner.channel import close, receive, send
from tests.net.turns import descriptors, tcp_pair, unix_pair


@pytest.fixture(autouse=True)
def none_left():
    before = descriptors()
    yield
    assert descriptors() == before


@pytest.fixture(params=["tcp", "unix"])
def pair(request):
    ours, far = tcp_pair() if request.param == "tcp" else unix_pair()
    with far:
        yield ours, far


def passed(port, sent):
    """By way of another socket, as between processes."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        send(one, b"x", tuple(sent))
        close(sent)
        _data, came = receive(other)
        return unpack(port, came)


@pytest.mark.parametrize("unread", [b"", b"GET", bytes(range(256)) * 4096])
def test_there_and_back(pair, unread):
    ours, far = pair
    far.send(b"before")
    family = ours.family
    port, sent = pack(Handed(ours, 8080, unread))
    assert len(sent) == 1 + bool(unread)
    assert ours.fileno() == -1
    handed = passed(port, sent)
    assert handed[1:] == (8080, unread, None)
    with handed.sock as sock:
        assert (sock.family, sock.type) == (family, socket.SOCK_STREAM)
        assert not sock.getblocking()
        assert fcntl.fcntl(sock, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        assert sock.recv(100) == b"before"
        sock.send(b"after")
        assert far.recv(100) == b"after"
        if family == socket.AF_INET:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert peer_of(sock) == b"127.0.0.1"
        else:
            assert peer_of(sock) == b""
        far.shutdown(socket.SHUT_WR)
        port, sent = pack(Handed(sock, port, unread))
    with passed(port, sent).sock as sock:
        assert sock.recv(100) == b""  # the end goes along as often as it is handed on


def test_a_client_of_ipv4_at_a_socket_for_both():
    if not socket.has_dualstack_ipv6():
        pytest.skip("this kernel has no IPv6")
    address = ("", 0)
    with socket.create_server(address, family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        far = socket.create_connection(("127.0.0.1", listener.getsockname()[1]))
        with far, listener.accept()[0] as ours:
            assert peer_of(ours) == b"127.0.0.1"


def test_a_client_that_has_gone():
    ours, far = tcp_pair()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    far.close()
    with passed(*pack(Handed(ours, 80, b""))).sock as sock, pytest.raises(OSError, match="107"):
        peer_of(sock)


def datagram():
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach()


def listening():
    return socket.create_server(("127.0.0.1", 0)).detach()


def netlink():
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).detach()


def null():
    return os.open(os.devnull, os.O_RDWR)


def stream():
    return socket.socket().detach()


def large():
    memory = os.memfd_create("large")
    os.truncate(memory, MAX_UNREAD + 1)
    return memory


@pytest.mark.parametrize(
    ("port", "made", "words"),
    [
        (80, [], "0 descriptors came with it, not 1 or 2"),
        (80, [stream, stream, stream], "3 descriptors came"),
        (-1, [stream], "-1 is no port"),
        (65536, [stream], "65536 is no port"),
        (80, [null], "non-socket"),
        (80, [datagram], "its socket is none of a client"),
        (80, [listening], "its socket is none of a client"),
        (80, [netlink], "its socket is none of a client"),
        (80, [stream, null], "no file of at most 16777216 bytes"),
        (80, [stream, stream], "no file of at most"),
        (80, [stream, large], "no file of at most"),
    ],
)
def test_what_is_no_client(port, made, words):
    """It is refused by words, and closed."""
    with pytest.raises(WireError, match=f"a client cannot be taken over: .*{words}"):
        unpack(port, [make() for make in made])


def test_no_room_for_the_unread_bytes(pair):
    ours, far = pair
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            pack(Handed(ours, 80, b"unread"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert ours.fileno() == -1
    assert far.recv(10) == b""
