"""Who listens on a port, or is at the other end of a connection, as the kernel says it."""

import contextlib
import os
import socket

import pytest

from luisito.readiness.diag import _NLM_F_DUMP, Diag, DiagError, Listener
from tests.readiness.sockets import OTHER_UID, free_port, inode


def listen(address: str, *, v6only: bool = True) -> tuple[socket.socket, int]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    sock.bind((address, 0))
    sock.listen()
    return sock, sock.getsockname()[1]


@pytest.mark.parametrize(
    ("address", "v6only", "over"),
    [
        ("127.0.0.1", True, ["127.0.0.1"]),
        ("0.0.0.0", True, ["127.0.0.1"]),
        ("::1", True, ["::1"]),
        ("::", True, ["::1"]),
        ("::", False, ["127.0.0.1", "::1"]),
        ("127.0.0.2", True, []),
    ],
)
def test_owner_is_who_would_get_a_connection(diag, address, v6only, over):
    sock, port = listen(address, v6only=v6only)
    with sock:
        it = Listener(os.getuid(), inode(sock), address)
        found = {loop: diag.owner(loop, port) for loop in ("127.0.0.1", "::1")}
        assert found == {loop: it if loop in over else None for loop in found}
        assert diag.listeners()[port] == [it]
    assert diag.owner("127.0.0.1", port) is None
    assert port not in diag.listeners()


def test_bound_to_the_loopback_device_is_found_too(diag):
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        assert diag.owner("127.0.0.1", sock.getsockname()[1]) is not None


def test_bound_or_connected_is_not_listening(diag):
    server, port = listen("127.0.0.1")
    with server, socket.create_connection(("127.0.0.1", port)) as client, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert diag.owner("127.0.0.1", client.getsockname()[1]) is None
        assert diag.owner("127.0.0.1", bound.getsockname()[1]) is None
        assert diag.owner("127.0.0.1", port).inode == inode(server)


def test_the_uid_of_another_user(diag, as_other):
    port = free_port()
    as_other(lambda: socket.create_server(("127.0.0.1", port)))
    assert diag.owner("127.0.0.1", port).uid == OTHER_UID


def test_many_listeners_come_in_parts(diag):
    socks = [listen("127.0.0.1") for _ in range(400)]
    try:
        found = diag.listeners()
        assert [found[port][0].inode for _, port in socks] == [inode(sock) for sock, _ in socks]
        # A query that is given up half way leaves parts behind: they are not taken for the next.
        next(diag._ask(socket.AF_INET, _NLM_F_DUMP, 0, bytes(16)))
        sock, port = socks[0]
        assert diag.owner("127.0.0.1", port).inode == inode(sock)
        assert diag.listeners().keys() >= {port for _, port in socks}
    finally:
        for sock, _ in socks:
            sock.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_whose_the_other_end_of_a_connection_is(diag, address):
    server, port = listen(address)
    with server, socket.create_connection((address, port)) as client:
        theirs = client.getsockname()[:2]
        assert diag.user((address, port), theirs) == os.getuid()
        accepted, _ = server.accept()
        with accepted:
            assert diag.user((address, port), theirs) == os.getuid()
            assert diag.user(theirs, (address, port)) == os.getuid()
            assert diag.user((address, 1), theirs) is None
            client.shutdown(socket.SHUT_WR)
            assert diag.user((address, port), theirs) == os.getuid()


def test_a_socket_of_ipv6_that_speaks_to_ipv4_is_known_too(diag):
    server, port = listen("127.0.0.1")
    with server, socket.socket(socket.AF_INET6) as client:
        client.connect(("::ffff:127.0.0.1", port))
        assert diag.user(("127.0.0.1", port), ("127.0.0.1", client.getsockname()[1])) == os.getuid()


def test_whose_a_connection_of_another_user_is(diag, as_other):
    server, port = listen("127.0.0.1")
    with server:
        as_other(lambda: socket.create_connection(("127.0.0.1", port)))
        accepted, theirs = server.accept()
        with accepted:
            assert diag.user(("127.0.0.1", port), theirs) == OTHER_UID


@pytest.mark.parametrize("accepted", [False, True])
def test_a_connection_that_was_closed_is_nobodys(diag, accepted):
    """The kernel before Linux 6.17 says that it is root's."""
    server, port = listen("127.0.0.1")
    with server, contextlib.ExitStack() as stack:
        client = socket.create_connection(("127.0.0.1", port))
        theirs = client.getsockname()
        if accepted:
            stack.enter_context(server.accept()[0])
        client.close()
        assert diag.user(("127.0.0.1", port), theirs) is None


def test_a_listener_where_a_connection_was_is_not_taken_for_it(diag):
    server, port = listen("127.0.0.1")
    other, theirs = listen("127.0.0.1")
    with server, other:
        assert diag.owner("127.0.0.1", theirs).uid == os.getuid()
        assert diag.user(("127.0.0.1", port), ("127.0.0.1", theirs)) is None


def test_an_error_of_the_kernel_is_an_oserror(diag):
    with pytest.raises(OSError, match="Invalid argument"):
        list(diag._ask(99, _NLM_F_DUMP, 0, bytes(16)))
    assert diag.owner("127.0.0.1", 1) is None


def test_says_so_when_there_is_no_sock_diag(monkeypatch):
    monkeypatch.setattr("luisito.readiness.diag._NETLINK_SOCK_DIAG", 30)  # a family nobody has
    with pytest.raises(DiagError, match="load the modules inet_diag and tcp_diag"):
        Diag()
