"""Clients are handed from one gateway to the next, by way of SCM_RIGHTS, and notice nothing."""

import contextlib
import json
import random
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from twisted.logger import LogLevel

from luisito.net.handed import pack
from luisito.pool import Refused
from luisito.spawner.channel import close, send
from tests.integration.test_conformance import completed, messages, sentinel
from tests.proxy.rig import GET, HOST, OK
from tests.proxy.test_silence import CHUNKED, EVENT, events
from tests.proxy.test_tunnels import tunnel

sockets = pytest.mark.parametrize("kind", ["socket"])
transports = pytest.mark.parametrize("kind", ["transport"])
ORIGIN = Path(__file__).parents[1] / "apps" / "origin.py"
MIB = 1 << 20
NEXT = GET.replace(b"/ ", b"/next ")


def another(rig, app):
    """Another client, whose first exchange went on the same connection to the app server."""
    client = rig.client()
    rig.exchange(client, app)
    return client


def answers(rig, client, path=b"/next", app=None):
    """The successor's next exchange; the first is on a new connection to the app server.

    Returns the app server's end of it, and the head of the request.
    """
    app = app or rig.accept()
    head = rig.head(app)
    assert head.startswith(b"GET %s HTTP/1.1\r\nHost: a.test\r\n" % path)
    app.send(OK)
    assert rig.expect(client, b"ok") == OK
    return app, head


def serves(rig, client):
    """A whole exchange with the successor."""
    client.send(NEXT)
    return answers(rig, client)


@sockets
def test_an_idle_client_is_served_by_the_successor(rig):
    client, _app, _ = rig.opened()
    old = rig.succeed()
    assert old.board._handlers.keys().isdisjoint([down.stream.fd for down in old._clients])
    assert old.empty
    serves(rig, client)
    assert rig.over == [[None]]
    assert old.counters.as_dict() | {"given": 1, "open": 0, "connections": 1} == (
        old.counters.as_dict()
    )
    assert rig.counters.as_dict() | {"taken": 1, "open": 1, "connections": 1} == (
        rig.counters.as_dict()
    )
    assert (old.counters.heads, rig.counters.heads) == (1, 1)


@sockets
def test_one_that_has_sent_nothing_yet(rig):
    client = rig.client()
    rig.succeed()
    serves(rig, client)


@sockets
@pytest.mark.parametrize("where", [1, 2, 10, len(GET) - 3, len(GET) - 1])
def test_part_of_a_head_goes_along(rig, where):
    client, _app, _ = rig.opened()
    client.send(NEXT[:where])
    rig.settle()
    rig.succeed()
    client.send(NEXT[where:])
    answers(rig, client)
    assert rig.counters.heads == 1


@sockets
def test_what_the_kernel_keeps_stays_there(rig):
    client, _app, _ = rig.opened()
    client.send(NEXT)  # nobody has looked
    old = rig.succeed()
    answers(rig, client)
    assert (old.counters.heads, rig.counters.heads) == (1, 1)


@sockets
def test_an_exchange_in_flight_ends_where_it_is(rig):
    """The answer has no Connection: close, and the client stays connected."""
    client, app, _ = rig.opened()
    client.send(GET)
    rig.head(app)
    old = rig.succeed()
    rig.settle()
    assert (old.counters.open, rig.counters.open) == (1, 0)
    assert rig.over == [[]]
    app.send(OK)
    assert rig.expect(client, b"ok") == OK
    rig.settle()
    assert rig.over == [[None]]
    assert (old.counters.open, rig.counters.open) == (0, 1)
    serves(rig, client)


@sockets
@pytest.mark.parametrize("size", [100, 300_000])
def test_what_comes_while_an_answer_is_awaited_is_not_lost(rig, size):
    """Whole requests, and part of one; more than is held at a time, too."""
    client, app, _ = rig.opened()
    post = b"POST /next HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % size + b"x" * size
    client.send(GET + NEXT + post + GET[:9])
    rig.head(app)
    rig.settle()
    rig.succeed()
    rig.settle()
    app.send(OK)
    rig.expect(client, b"ok")
    other, _ = answers(rig, client)
    assert rig.head(other).startswith(b"POST /next ")
    rig.until(lambda: len(other.got) == size)
    other.take()
    other.send(OK)
    rig.expect(client, b"ok")
    client.send(GET[9:])
    answers(rig, client, b"/", other)
    assert rig.counters.heads == 3


@sockets
@pytest.mark.parametrize("size", [30_000, 60_000, MIB, 4 * MIB])
@pytest.mark.parametrize("when", ["before", "after"])
def test_the_last_bytes_of_an_answer_go_out_first(make, size, when):
    """They are kept here, or are in the pipe of a splice; the client reads slowly."""
    rig = make("tcp")
    client = rig.client(buffer=4096)
    client.reading = False
    client.send(GET + NEXT)
    app = rig.accept()
    rig.head(app)
    old = rig.succeed() if when == "before" else None
    app.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"y" * size)
    rig.settle(50)
    old = old or rig.succeed()
    rig.settle()
    assert (old.counters.open, rig.counters.open) == (1, 0)
    # the shortest has been answered, as far as the app server is concerned
    assert old.counters.answers == (size == 30_000)
    client.reading = True
    rig.until(lambda: client.got.endswith(b"y" * size), 20)
    client.take()
    answers(rig, client)


@sockets
def test_an_upload_ends_where_it_is(make):
    rig = make("tcp")
    client, app, _ = rig.opened()
    client.send(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % (8 * MIB))
    rig.head(app)
    client.send(b"x" * (4 * MIB))
    rig.settle(20)
    rig.succeed()
    client.send(b"x" * (4 * MIB) + NEXT)
    rig.until(lambda: len(app.got) == 8 * MIB, 20)
    app.send(OK)
    rig.expect(client, b"ok")
    other, _ = answers(rig, client)
    # nobody waits for more than is there (SO_RCVLOWAT)
    rig.exchange(client, other)


@sockets
def test_a_request_that_waits_for_its_server(rig):
    pool = rig.pool
    pool.awake = False
    client = rig.client()
    client.send(GET + NEXT[:20])
    rig.until(lambda: pool.waiters)
    old = rig.succeed()
    client.send(NEXT[20:])
    rig.settle()
    assert len(pool.waiters) == old.counters.open == 1
    pool.grant()
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")
    answers(rig, client)


@sockets
def test_a_pipelined_request_behind_one_that_is_refused(rig):
    """Whoever pipelines what we refuse is served a turn later (Downstream.later)."""
    client = rig.client()
    seen = []

    def request(site, waiter):
        waiter.refused(Refused(503, "no room", 1.0))
        seen.append(rig.succeed())

    rig.pool.awake, rig.pool.request = False, request
    client.send(GET + NEXT)
    assert rig.page(client)[0] == 503
    answers(rig, client)


@sockets
def test_a_client_that_has_ended_its_direction(rig):
    client = rig.client()
    client.send(GET + NEXT + GET)
    client.end()
    app = rig.accept()
    rig.head(app)
    rig.settle()
    rig.succeed()
    app.send(OK)
    rig.expect(client, b"ok")
    other, _ = answers(rig, client)
    answers(rig, client, b"/", other)
    rig.until(lambda: client.ended)
    assert rig.counters.heads == 2


@sockets
@pytest.mark.parametrize("pipelined", [b"", GET[:9]])
def test_a_client_that_has_ended_in_the_middle_or_between(rig, pipelined):
    client, app, _ = rig.opened()
    client.send(GET + pipelined)
    client.end()
    rig.head(app)
    rig.settle()
    rig.succeed()
    app.send(OK)
    rig.expect(client, b"ok")
    if pipelined:
        assert rig.page(client)[0] == 400
    rig.until(lambda: client.ended)
    assert rig.counters.heads == bool(pipelined)


@sockets
def test_an_answer_that_ends_the_connection_ends_it(rig):
    client, app, _ = rig.opened()
    client.send(GET[:-2] + b"Connection: close\r\n\r\n")
    rig.head(app)
    old = rig.succeed()
    app.send(OK)
    assert b"Connection: close" in rig.expect(client, b"ok")
    rig.until(lambda: client.ended)
    rig.settle()
    assert (old.counters.given, rig.counters.taken) == (0, 0)
    assert rig.over == [[None]]


@sockets
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("ends", [True, False])
def test_who_lingers_stays(rig, before, ends):
    """FAULTS 12: an answer in the middle of an upload, and its client still reads."""
    client, app = rig.asked(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 10000\r\n\r\n")
    old = None if before else rig.succeed()
    app.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
    assert rig.head(client).startswith(b"HTTP/1.1 413 ")
    rig.settle()
    old = old or rig.succeed()
    rig.settle()
    assert not old.empty
    assert rig.over == [[]]
    if ends:
        client.end()
        rig.until(lambda: rig.over == [[None]])
    else:
        rig.after(6)
        assert rig.over == [[None]]
    assert old.counters.given == 0


@sockets
def test_a_tunnel_stays_to_its_end(rig):
    client, app = tunnel(rig)
    old = rig.succeed()
    rig.after(1000)
    client.send(b"ping")
    rig.expect(app, b"ping")
    app.send(b"pong")
    rig.expect(client, b"pong")
    assert rig.over == [[]]
    client.end()
    app.end()
    rig.until(lambda: client.ended)
    rig.settle()
    assert rig.over == [[None]]
    assert (old.counters.given, rig.counters.taken) == (0, 0)


@sockets
def test_an_event_stream_stays_and_its_client_goes_on_after_it(rig):
    client, app = events(rig, CHUNKED)
    old = rig.succeed()
    rig.after(1000)
    app.send(EVENT)
    rig.expect(client, EVENT)
    assert rig.over == [[]]
    app.send(b"0\r\n\r\n")
    rig.expect(client, b"0\r\n\r\n")
    rig.until(lambda: rig.over == [[None]])
    assert len(rig.lines(old)) == 1
    serves(rig, client)


@sockets
def test_times_begin_anew(make):
    rig = make("unix", KEEPALIVE_TIMEOUT=20, HEAD_TIMEOUT=10)
    idle, _app, _ = rig.opened()
    slow = rig.client()
    slow.send(GET[:9])
    rig.after(8)
    old = rig.succeed()
    rig.after(8)
    assert not idle.over
    assert not slow.got
    rig.after(4)
    assert rig.page(slow)[0] == 408
    rig.after(4)
    assert not idle.over
    rig.after(8)
    assert idle.ended
    assert (len(rig.lines(old)), len(rig.lines())) == (1, 1)


@sockets
@pytest.mark.parametrize("unix", [False, True])
@pytest.mark.parametrize("trusted", [False, True])
def test_who_a_client_is_stays_known(make, unix, trusted):
    """What the app server is told, and the access log, does not change."""
    peer = b"" if unix else b"127.0.0.1"
    names = {"TRUSTED_PROXIES": ["unix" if unix else "127.0.0.1"] if trusted else []}
    rig = make("unix", **names)
    client = rig.client(peer, 0 if unix else 8080, unix=unix)
    request = NEXT[:-2] + b"X-Forwarded-For: 192.0.2.1\r\n\r\n"
    client.send(request)
    app = rig.accept()
    before = rig.head(app)
    app.send(OK)
    rig.expect(client, b"ok")
    old = rig.succeed()
    client.send(request)
    app = rig.accept()
    assert rig.head(app) == before
    app.send(OK)
    rig.expect(client, b"ok")
    (one,), (other,) = rig.lines(old), rig.lines()
    assert (
        one["client"]
        == other["client"]
        == ("192.0.2.1" if trusted else "unix" if unix else "127.0.0.1")
    )


@sockets
def test_a_client_that_goes_on_its_way(rig):
    """It resets the connection before the successor has it."""
    client, app, _ = rig.opened()
    other = another(rig, app)
    rig.succeed()
    client.abort()
    serves(rig, other)
    assert (rig.counters.connections, rig.counters.open) == (1, 1)


@sockets
def test_one_successor_after_another(rig):
    """What the first one has to the end goes straight to the last."""
    busy, app, _ = rig.opened()
    idle = another(rig, app)
    busy.send(GET + NEXT)
    rig.head(app)
    rig.settle()
    rig.succeed()
    rig.settle()
    rig.succeed()
    rig.settle()
    assert rig.over == [[], [None]]
    app.send(OK)
    rig.expect(busy, b"ok")
    other, _ = answers(rig, busy)
    rig.exchange(idle, other)
    assert [each.counters.heads for each in rig.gateways] == [3, 0, 2]
    assert [each.counters.taken for each in rig.gateways] == [0, 1, 2]


@sockets
def test_numbers_of_descriptors_are_used_again_in_the_same_turn(rig):
    """An event for a client that was handed over is nobody else's."""
    first, second = rig.client(), rig.client()
    seen, pool = [], rig.pool

    def request(site, waiter):
        """While the events of both are dealt with."""
        if not seen:
            seen.append(rig.succeed())
            rig.deliver()  # on descriptors whose numbers have just become free
        pool.waiters.append(waiter)

    pool.awake, pool.request = False, request
    first.send(GET)
    second.send(NEXT)
    rig.until(lambda: rig.counters.heads)
    assert (seen[0].counters.heads, rig.counters.heads) == (1, 1)
    pool.grant()
    for _ in range(2):
        app = rig.accept()
        rig.head(app)
        app.send(OK)
    rig.expect(first, b"ok")
    rig.expect(second, b"ok")


@sockets
def test_who_comes_too_late_is_served_and_then_handed_over(rig):
    """The listener had taken it from the kernel."""
    old = rig.succeed()
    rig.gateway, new = old, rig.gateway
    client = rig.client()
    rig.gateway = new
    client.send(GET)
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    assert rig.expect(client, b"ok") == OK
    serves(rig, client)
    assert (old.counters.heads, new.counters.heads) == (1, 1)


@sockets
def test_what_is_left_at_the_end_of_its_time_is_ended(rig):
    other, app, _ = rig.opened()
    other.send(GET)
    rig.head(app)
    client, _app = tunnel(rig)
    lingers = rig.client()
    lingers.send(b"no request\r\n\r\n")
    assert rig.page(lingers)[0] == 400
    old = rig.succeed()
    rig.settle()
    assert rig.over == [[]]
    old.close_all()
    rig.until(lambda: client.reset and other.reset and lingers.over)
    rig.settle()
    assert rig.over == [[None]]


@sockets
def test_with_no_client_there_is_nothing_left_at_once(rig):
    rig.succeed()
    assert rig.over == [[]]
    rig.turn()
    assert rig.over == [[None]]


@sockets
def test_no_room_to_hand_over(rig, log):
    """FAULTS 35: no descriptor for what was read; the others are handed over, and nobody hangs."""
    idle, app, _ = rig.opened()
    begun = another(rig, app)
    begun.send(GET[:9])
    rig.settle()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    given = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        rig.gateway.hand_over(lambda handed: given.append(pack(handed)))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len(given) == 1
    close(given[0][1])
    rig.until(lambda: idle.over and begun.over)
    assert rig.gateway.empty
    (event,) = (event for event in log if event["log_level"] is LogLevel.warn)
    assert "Too many open files" in str(event["error"])


@transports
def test_a_transport_is_closed_when_it_is_idle(rig):
    idle, app, _ = rig.opened()
    busy = another(rig, app)
    busy.send(GET)
    rig.head(app)
    begun = rig.client()
    begun.send(GET[:9])
    rig.settle()
    old = rig.succeed()
    rig.until(lambda: idle.ended)
    assert rig.over == [[]]
    app.send(OK)
    assert b"\r\nConnection: close\r\n" in rig.expect(busy, b"ok")
    rig.until(lambda: busy.ended)
    begun.send(GET[9:])
    app = rig.accept()
    rig.head(app)
    app.send(OK)
    rig.expect(begun, b"ok")
    rig.until(lambda: begun.ended)
    rig.settle()
    assert rig.over == [[None]]
    assert old.counters.given == rig.counters.taken == 0


# -- in another process

SUCCESSOR = """
import json, socket, sys
from luisito.net.backend import Backend
from luisito.net.handed import unpack
from luisito.spawner.channel import receive, send
from tests.proxy.rig import Rig

rig = Rig("socket", "unix", {})
rig.backend = rig.pool.server.data = Backend(sys.argv[2])
pair = socket.socket(fileno=int(sys.argv[1]))
pair.setblocking(False)
send(pair, b"ready")
serving = True
while serving or not rig.gateway.empty:
    try:
        data, descriptors = receive(pair)
        serving = bool(data)
        if data:
            rig.gateway.take_over(unpack(int(data), descriptors))
    except BlockingIOError:
        pass
    except ConnectionResetError:
        serving = False
    rig.turn(0.005)
rig.check()
print(json.dumps(rig.counters.as_dict()))
rig.close()
"""


@sockets
def test_another_process_goes_on(rig):
    """The old one closes all that it has, and even its Switchboard."""
    idle, app, _ = rig.opened()
    begun, busy = another(rig, app), another(rig, app)
    begun.send(GET[:9])
    busy.send(GET + NEXT)
    rig.head(app)
    rig.settle()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [sys.executable, "-c", SUCCESSOR, str(theirs.fileno()), rig.listener.getsockname()],
        pass_fds=[theirs.fileno()],
        stdout=subprocess.PIPE,
        text=True,
    )
    with contextlib.ExitStack() as ends:
        ends.enter_context(process)
        ends.callback(process.kill)
        ends.enter_context(ours)
        theirs.close()
        ours.settimeout(60)
        assert ours.recv(100) == b"ready"

        def give(handed):
            port, descriptors = pack(handed)
            send(ours, b"%d" % port, tuple(descriptors))
            close(descriptors)

        over = []
        rig.gateway.hand_over(give).addCallback(over.append)
        rig.settle()
        assert over == []
        app.send(OK)
        assert rig.expect(busy, b"ok") == OK
        rig.until(lambda: over)
        rig.backend.retire()
        rig.settle()
        assert rig.board._handlers == {}
        ours.close()
        # from now on, everything is answered by the other process
        begun.send(GET[9:])
        idle.send(NEXT)
        firsts = []
        for each in [rig.accept() for _ in range(3)]:
            firsts.append(rig.head(each).partition(b" HTTP/")[0])
            each.send(OK)
        assert sorted(firsts) == [b"GET /", b"GET /next", b"GET /next"]
        for client in (idle, begun, busy):
            assert rig.expect(client, b"ok") == OK
            client.close()
        rig.until(lambda: process.poll() is not None, 20)
        counters = json.loads(process.stdout.read())
        assert process.returncode == 0
    assert {name: counters[name] for name in ("taken", "open", "heads", "answers")} == {
        "taken": 3, "open": 0, "heads": 3, "answers": 3
    }  # fmt: skip
    assert rig.counters.given == 3


# -- wherever it happens


@pytest.fixture
def origin(make, tmp_path):
    """Starts a strict app server for rigs of any site."""
    processes = []

    def start():
        rig = make("unix", ALLOWED_HOSTS=["*"])
        rig.listener.listen(1000)  # who waits for room, waits by a clock that stands still
        listener = rig.listener.fileno()
        command = [sys.executable, "-I", "-S", ORIGIN, "--fd", str(listener)]
        command += ["--log", tmp_path / "log"]
        processes.append(subprocess.Popen(command, pass_fds=[listener]))
        return rig

    yield start
    for process in processes:
        process.kill()
        process.wait()


def replay(rig, todo, turns=None):
    """Sends the first parts and then the others, and all that is answered comes back.

    Args:
        rig: with an app server that answers.
        todo: [(first, rest)], each of a client, which ends its direction behind it.
        turns: how many there are before all are handed over; None leaves them where they are.
    """
    clients = []
    for first, _rest in todo:
        clients.append(rig.client())
        clients[-1].send(first)
    if turns is not None:
        rig.settle(turns)
        rig.succeed()
    for client, (_first, rest) in zip(clients, todo, strict=True):
        client.send(rest)
        client.end()
    rig.until(lambda: all(client.over for client in clients), 60)
    return [bytes(client.got) for client in clients]


@sockets
@pytest.mark.parametrize("turns", [0, 1, 2, 20])
def test_at_every_byte(origin, turns):
    """Four requests, whose answers do not hang on where their connection was handed over."""
    rig = origin()
    post = b"POST /echo HTTP/1.1\r\n" + HOST
    raw = (
        GET
        + post + b"Content-Length: 5\r\n\r\nhello"
        + post + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Y: z\r\n\r\n"
        + GET.replace(b"/ ", b"/echo ")[:-2] + b"Connection: close\r\n\r\n"
    )  # fmt: skip
    todo = [(raw[:at], raw[at:]) for at in range(len(raw) + 1)]
    (expected,) = set(replay(rig, todo))
    assert expected.count(b"HTTP/1.1 200 OK\r\n") == 4
    assert set(replay(rig, todo, turns)) == {expected}
    old, new = rig.gateways
    assert old.counters.heads + new.counters.heads == 2 * 4 * len(todo)
    assert old.counters.given == new.counters.taken > 0
    assert new.counters.heads > len(todo)


@sockets
def test_messages_of_others(origin):
    """FAULTS 11, 57, as in test_conformance: whatever they are answered, it stays the same."""
    rig = origin()
    chance = random.Random(9112)
    todo = []
    for number, (_name, raw) in enumerate(messages("request")):
        for data in dict.fromkeys((raw, completed(raw))):
            whole = data + sentinel(number)
            cuts = chance.choices(range(len(whole)), k=3)
            todo += [(whole[:at], whole[at:]) for at in cuts]
    answered = 0
    for start in range(0, len(todo), 200):
        batch = todo[start : start + 200]
        expected = replay(rig, batch)
        found = replay(rig, batch, chance.randrange(8))
        different = [
            (first, rest, one, other)
            for (first, rest), one, other in zip(batch, expected, found, strict=True)
            if one != other
        ]
        assert not different
        answered += sum(each.count(b"\r\nX-Pid: ") for each in expected)
    assert answered > 400
    assert sum(gateway.counters.taken for gateway in rig.gateways) > len(todo) / 2
