"""Invariant 9: no input of one client holds the reactor; and what does is told."""

import contextlib
import socket

import pytest

from tests.harness import client

HOST = b"Host: a.localhost\r\n"
GET = b"GET / HTTP/1.1\r\n"
POST = b"POST /sink HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
SIZE = 32700  # of a head; MAX_HEAD_SIZE is 32768


def repeated(unit, first=GET, before=b"", behind=b""):
    """A head of the largest size."""
    room = SIZE - len(first) - len(HOST) - len(before) - len(behind)
    return first + HOST + before + unit * (room // len(unit)) + behind + b"\r\n"


def listed(name, item):
    """One line of the largest size: a list of as many items as it has room for."""
    return repeated(item + b",", before=name + b": ", behind=item + b"\r\n")


WORST = {
    "lines": repeated(b"a:\r\n"),
    "a thousand lines": GET + HOST + b"_" * 20 + b":\r\n" + b"a_b: c\r\n" * 990 + b"\r\n",
    "lines, absolute form": repeated(b"a:\r\n", first=b"GET http://a.localhost/ HTTP/1.1\r\n"),
    "hosts": b"GET http://a.localhost/ HTTP/1.1\r\n" + b"host:a\r\n" * 4000 + b"\r\n",
    "cookies": repeated(b"Cookie: a=b\r\n"),
    "connection": listed(b"Connection", b"a"),
    "connection, all different": GET + HOST + b"Connection: "
    + b",".join(b"%x" % number for number in range(6000)) + b"\r\n\r\n",
    "upgrade": listed(b"Connection: upgrade\r\nUpgrade", b"a"),
    "forwarded for": listed(b"X-Forwarded-For", b"::1"),
    "forwarded": listed(b"Forwarded", b"for=1"),
    "accept": listed(b"Accept", b"a"),
    "target": b"GET /" + b"\xff" * SIZE + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "target, to be escaped": repeated(b"\\" * 100, first=b"GET /", before=b"")[:0]
    + b"GET /" + b"\\" * 32000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "authority": b"GET http://" + b"a." * 16000 + b"/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "host": GET + b"Host: " + b"a." * 16000 + b"\r\n\r\n",
    "bad at the end": repeated(b"a:\r\n", behind=b"\0\r\n"),
    "pipelined": (GET + HOST + b"\r\n") * 20000,
    "pipelined for no site": (GET + b"Host: none.example\r\n\r\n") * 20000,
    "empty lines": b"\r\n" * 500000,
    "chunks of a byte": POST + b"1\r\na\r\n" * 170000 + b"0\r\n\r\n",
    "trailers": POST + b"0\r\n" + b"a:\r\n" * 100000,
    "extensions": POST + b"1;\r\na\r\n" * 100000,
}  # fmt: skip


def attack(server, data):
    """Sends it, and reads whatever comes back, until the end."""
    sock = client.connect(server.address, 20)
    with sock:
        sock.setblocking(False)
        view, sent = memoryview(data), 0
        ended = False
        while not ended:
            with contextlib.suppress(BlockingIOError):
                while True:
                    got = sock.recv(1 << 18)
                    if not got:
                        return
            if sent < len(view):
                with contextlib.suppress(BlockingIOError):
                    sent += sock.send(view[sent : sent + 65536])
                if sent == len(view):
                    sock.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("cold", [True, False])
def test_invariant_9_the_worst_of_inputs(serve, cold):
    """One after the other; the check of the harness objects to what holds the reactor."""
    server = serve(origin={"*": {"boot_delay": 0.2}})
    server.allow("503 for GET", "of a head")
    if not cold:
        server.warm("a.localhost")
    for name, data in WORST.items():
        with contextlib.suppress(ConnectionError):
            attack(server, data)
        assert server.request(host="b.localhost").status == 200, name
