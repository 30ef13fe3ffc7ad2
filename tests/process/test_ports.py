"""Ports for %PORT: two starts never get the same one, nor one that somebody listens on."""

import os
import resource
import socket

import pytest

from luisito.process.ports import Ports, PortsExhaustedError


def listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((address, port))
    sock.listen()
    return sock


@pytest.fixture
def pair() -> tuple[int, int]:
    """Two neighbouring ports that are free."""
    ports = Ports()
    last = ports.choose()
    while True:
        port = ports.choose()
        if port == last + 1:
            return last, port
        last = port


def test_all_of_a_range_once_each_then_an_error_then_again(pair):
    low, high = pair
    ports = Ports(low, high)
    assert {ports.choose(), ports.choose()} == {low, high}
    with pytest.raises(PortsExhaustedError, match=rf"{low}-{high}: 2 are held .* widen the range"):
        ports.choose()
    ports.free(high)
    assert ports.choose() == high


def test_a_port_that_another_process_chose_is_held(pair):
    low, high = pair
    ports = Ports(low, high)
    ports.hold(low)
    assert ports.choose() == high
    ports.free(low)
    assert ports.choose() == low


def test_round_robin_a_freed_port_is_used_last(pair):
    ports = Ports(*pair)
    first = ports.choose()
    ports.free(first)
    assert ports.choose() != first


def test_starts_somewhere_in_the_default_range():
    firsts = {Ports().choose() for _ in range(20)}
    assert len(firsts) > 1
    assert all(20000 <= port <= 29999 for port in firsts)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "127.0.0.2", "::1", "::"])
def test_33_a_port_that_somebody_listens_on_is_passed_over(pair, address):
    """FAULTS 33."""
    with listen(address, pair[0]):
        assert Ports(*pair).choose() == pair[1]
        with pytest.raises(PortsExhaustedError, match="0 are held by servers, 1 more were tried"):
            Ports(pair[0], pair[0]).choose()
    assert Ports(pair[0], pair[0]).choose() == pair[0]


def test_connections_in_time_wait_do_not_matter(pair):
    with listen("127.0.0.1", pair[0]) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        accepted.close()  # the first to close is the one in TIME_WAIT
        assert client.recv(1) == b""
        client.close()
    assert Ports(pair[0], pair[0]).choose() == pair[0]


def listen_on_all(ports):
    """Listens on all of some ports; [] where one is in use."""
    taken = []
    for port in ports:
        try:
            taken.append(socket.create_server(("127.0.0.1", port)))
        except OSError:
            for sock in taken:
                sock.close()
            return []
    return taken


def test_a_choice_gives_up_after_some_tests():
    # below the ports of outgoing connections, which come and go
    for low in range(12_000, 19_000, 500):
        taken = listen_on_all(range(low, low + 64))
        if taken:
            break
    ports = Ports(low, low + 499)
    ports._next = 0
    try:
        with pytest.raises(PortsExhaustedError, match="64 more were tried"):
            ports.choose()
    finally:
        for sock in taken:
            sock.close()


def test_35_out_of_descriptors_is_said(pair):
    """FAULTS 35."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        with pytest.raises(PortsExhaustedError, match=r"Too many open files; .* LimitNOFILE"):
            Ports(*pair).choose()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_freeing_what_is_not_held_is_a_mistake(pair):
    with pytest.raises(KeyError):
        Ports(*pair).free(pair[0])
