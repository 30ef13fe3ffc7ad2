"""Invariant 9: no input of one client holds the reactor; and what does is told."""

import contextlib
import re
import selectors
import signal
import socket

import pytest

from tests.harness import client, invariants

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
    "a thousand lines": GET + HOST + b"accept_a_b: c\r\n" * 990 + b"\r\n",
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
    "target, to be escaped": b"GET /" + b"\\" * 32000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
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
    with sock, selectors.DefaultSelector() as selector:
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
        view = memoryview(data)
        while True:
            for _, events in selector.select(20):
                if events & selectors.EVENT_READ and not sock.recv(1 << 18):
                    return
                if view and events & selectors.EVENT_WRITE:
                    view = view[sock.send(view[:65536]) :]
                    if not view:
                        sock.shutdown(socket.SHUT_WR)
                        selector.modify(sock, selectors.EVENT_READ)


@pytest.mark.parametrize("cold", [True, False])
def test_invariant_9_the_worst_of_inputs(serve, cold):
    """One after the other; the check of the harness objects to what holds the reactor."""
    server = serve(origin={"*": {"boot_delay": 0.2}})
    if not cold:
        server.warm("a.localhost")
    for name, data in WORST.items():
        with contextlib.suppress(ConnectionError):
            attack(server, data)
        assert server.request(host="b.localhost").status == 200, name


def test_invariant_9_many_of_the_worst_at_once(serve):
    """All of them wait when Luisito next looks: none holds the others up for the rest."""
    server = serve()
    server.warm("a.localhost")
    server.send_signal(signal.SIGSTOP)
    clients = []
    for _ in range(12):
        for name in ("lines", "a thousand lines", "forwarded for", "target, to be escaped"):
            clients.append(server.client())
            clients[-1].send(WORST[name])
    server.send_signal(signal.SIGCONT)
    for each in clients:
        assert each.response().status in (200, 404, 431)


BUSY = """
def ALLOWED_HOSTS(host):
    import time

    end = time.thread_time() + float(host[1:4]) if host[:1] == "t" else 0
    while time.thread_time() < end:
        pass
    return True
"""


def allow_busy(folder):
    with open(folder / "settings.py", "a") as file:
        file.write(BUSY)


@pytest.mark.parametrize("reactor", ["epoll", "select", "asyncio"])
def test_what_holds_the_reactor_is_told(serve, reactor):
    """By its stack; once in ten seconds, whereas all are counted. Less than 50 ms is none."""
    server = serve(prepare=allow_busy, options=[f"--reactor={reactor}"])
    server.unchecked.add("stalls")
    server.expect(
        r"t0\.2\.localhost: nobody else was served for \d+ ms of CPU time or more, because of .*"
        r" > \.\.\. > Directory\.judge > Directory\.explain > Routes\.explain > Routes\.allows"
        r" > Routes\._asked > ALLOWED_HOSTS \(.*settings\.py:\d+\) \(1 such since"
    )
    for host in ("t0.2.localhost", "t0.3.localhost", "t.02.localhost", "a.localhost"):
        assert server.request(host=host).status == 200
    server.stop()
    assert invariants.conservation(server) == []
    assert server.counters["stalls"] == 2
    assert len(re.findall("nobody else was served", server.log())) == 1
    held = int(re.search(r"served for (\d+) ms", server.log())[1])
    assert 50 <= held <= 200


def test_what_waits_holds_nothing(serve):
    """A machine that stops Luisito for a while makes no stall of what runs then."""
    server = serve()
    for _ in range(3):
        with server.client() as connection:
            connection.send(WORST["lines"])
            server.send_signal(signal.SIGSTOP)
            connection.quiet(0.2)
            server.send_signal(signal.SIGCONT)
            assert connection.response().status == 431
