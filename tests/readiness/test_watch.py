"""When an app server counts as ready, with real sockets and real processes."""

import os
import select
import socket
import subprocess
import sys

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from luisito.errors import SpawnerLost
from luisito.readiness.watch import Readiness
from tests.readiness.sockets import OTHER_UID, free_port, has_inode, inode

ME = os.getuid()


class Owners:
    """Answers whether a server owns a socket, when and as the test says."""

    def __init__(self):
        self.asked = []
        self.answer = lambda server, inode: succeed(True)

    def __call__(self, server, number):
        self.asked.append((server, number))
        return self.answer(server, number)


@pytest.fixture
def owners():
    return Owners()


@pytest.fixture
def clock():
    clock = Clock()
    yield clock
    assert clock.getDelayedCalls() == []


@pytest.fixture
def ready(clock, driver, diag, owners):
    readiness = Readiness(clock, driver.board, diag, owners)
    yield readiness
    for server in list(readiness._servers):
        readiness.forget(server)


@pytest.fixture
def seen():
    return []


def tick(clock, times=1):
    for _ in range(times):
        clock.advance(0.002)


def slow_tick(clock, times=1):
    for _ in range(times):
        clock.advance(0.010)


# Told


def test_what_has_to_be_told_is_not_looked_for_before(ready, clock, owners, seen, tmp_path):
    path = str(tmp_path / "s")
    with (
        socket.create_server(("127.0.0.1", 0)) as port,
        socket.socket(socket.AF_UNIX) as unix,
        socket.create_server(("127.0.0.1", 0)) as handed,
    ):
        unix.bind(path)
        unix.listen()
        number = port.getsockname()[1]
        ready.watch_port(1, number, ME, lambda _: seen.append(1), pytest.fail, told=True)
        ready.watch_socket(2, path, ME, lambda sock: seen.append(2) or sock.close(), told=True)
        ready.watch_listener(3, handed, lambda: seen.append(3), told=True)
        socket.create_connection(handed.getsockname()).close()
        ready.connected(3)
        handed.accept()[0].close()
        for server in (1, 2, 3):
            said = 'it never sent READY=1 to $NOTIFY_SOCKET, which ready = "notify" waits for'
            assert ready.describe(server) == said
        tick(clock, 20)
        assert (seen, owners.asked) == ([], [])
        for server in (1, 2, 3):
            ready._notified(server, lambda _: None, {"READY": "0", "STATUS": "soon"})
        slow_tick(clock, 20)
        assert seen == []
        for server in (1, 2, 3):
            ready._notified(server, lambda _: None, {"READY": "1"})
        slow_tick(clock, 20)
        assert seen == [1, 2, 3]


def test_one_that_was_told_is_waited_for_where_it_is_to_listen(ready, clock, seen):
    port = free_port()
    ready.watch_port(1, port, ME, seen.append, pytest.fail, told=True)
    ready._notified(1, lambda _: None, {"READY": "1"})
    assert f"nothing listens on port {port}" in ready.describe(1)
    with socket.create_server(("127.0.0.1", port)) as sock:
        slow_tick(clock, 20)
        assert seen == [sock.getsockname()]


def test_what_another_one_was_told_counts(ready, clock, seen):
    port = free_port()
    ready.told(1)  # nobody looks at it as yet
    ready.watch_port(1, port, ME, seen.append, pytest.fail, told=True)
    ready.told(1)
    assert f"nothing listens on port {port}" in ready.describe(1)
    with socket.create_server(("127.0.0.1", port)) as sock:
        slow_tick(clock, 20)
        assert seen == [sock.getsockname()]


# %PORT


@pytest.mark.parametrize("bind", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_port_of_a_real_server(driver, diag, bind, seen):
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", bind]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        readiness = Readiness(
            driver.reactor,
            driver.board,
            diag,
            lambda server, number: succeed(has_inode(process.pid, number)),
        )
        readiness.watch_port(7, port, None, seen.append, pytest.fail)
        driver.reactor.callLater(0.01, readiness.set_uid, 7, ME)
        driver.until(lambda: seen)
        assert seen == [("::1" if bind == "::1" else "127.0.0.1", port)]
        socket.create_connection(seen[0]).close()
        readiness.forget(7)
        process.kill()


def test_port_is_not_ready_until_the_user_is_known(ready, clock, owners, seen):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        ready.watch_port(1, sock.getsockname()[1], None, seen.append, pytest.fail)
        tick(clock, 3)
        assert (seen, owners.asked) == ([], [])
        ready.set_uid(1, ME)
        tick(clock)
        assert seen == [sock.getsockname()]
        assert owners.asked == [(1, inode(sock))]
        tick(clock, 3)
        assert len(seen) == 1


def test_port_is_not_ready_until_the_owner_is_known(ready, clock, owners, seen):
    answer = Deferred()
    owners.answer = lambda server, number: answer
    with socket.create_server(("127.0.0.1", 0)) as sock:
        ready.watch_port(1, sock.getsockname()[1], ME, seen.append, pytest.fail)
        tick(clock, 3)
        assert (len(owners.asked), seen) == (1, [])
        answer.callback(True)
        assert seen == [sock.getsockname()]


def test_33_a_foreign_listener_of_another_user(ready, clock, owners, seen, as_other):
    """FAULTS 33."""
    port = free_port()
    ready.watch_port(1, port, ME, pytest.fail, seen.append)
    tick(clock)
    as_other(lambda: socket.create_server(("127.0.0.1", port)))
    tick(clock)
    assert seen == [f"a process of uid {OTHER_UID}, not {ME} listens on port {port} of 127.0.0.1"]
    assert owners.asked == []
    tick(clock, 3)
    assert len(seen) == 1


def test_33_a_foreign_listener_of_the_same_user_then_another_port(ready, clock, owners, seen):
    """FAULTS 33: the next port may be watched from within the callback."""
    with (
        socket.create_server(("127.0.0.1", 0)) as theirs,
        socket.create_server(("127.0.0.1", 0)) as ours,
    ):
        owners.answer = lambda server, number: succeed(number == inode(ours))

        def on_foreign(words):
            seen.append(words)
            ready.watch_port(1, ours.getsockname()[1], ME, seen.append, pytest.fail)

        port = theirs.getsockname()[1]
        ready.watch_port(1, port, ME, pytest.fail, on_foreign)
        tick(clock, 3)
        assert seen == [
            f"another process of uid {ME} listens on port {port} of 127.0.0.1",
            ours.getsockname(),
        ]


def test_a_listener_that_has_gone_when_its_owner_is_known_counts_for_nothing(
    ready, clock, owners, seen
):
    answers = [Deferred(), Deferred()]
    owners.answer = lambda server, number: answers[len(owners.asked) - 1]
    sock = socket.create_server(("127.0.0.1", 0))
    address = sock.getsockname()
    ready.watch_port(1, address[1], ME, seen.append, pytest.fail)
    tick(clock)
    sock.close()
    answers[0].callback(False)
    tick(clock)
    assert seen == []
    with socket.create_server(address) as sock:
        tick(clock)
        assert owners.asked[1] == (1, inode(sock))
        answers[1].callback(True)
        assert seen == [address]


def test_an_answer_after_forgetting_is_ignored(ready, clock, owners):
    answer = Deferred()
    owners.answer = lambda server, number: answer
    with socket.create_server(("127.0.0.1", 0)) as sock:
        ready.watch_port(1, sock.getsockname()[1], ME, pytest.fail, pytest.fail)
        tick(clock)
        ready.forget(1)
        answer.callback(True)


def test_an_owner_that_cannot_be_found_is_asked_for_once_and_described(ready, clock, owners):
    owners.answer = lambda server, number: fail(SpawnerLost("the spawner has gone"))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        ready.watch_port(1, sock.getsockname()[1], ME, pytest.fail, pytest.fail)
        tick(clock, 5)
        assert len(owners.asked) == 1
        assert "(the spawner has gone)" in ready.describe(1)


def test_a_mistake_in_asking_for_the_owner_is_logged(ready, clock, owners):
    owners.answer = lambda server, number: fail(ZeroDivisionError("ouch"))
    with capturedLogs() as events, socket.create_server(("127.0.0.1", 0)) as sock:
        ready.watch_port(1, sock.getsockname()[1], ME, pytest.fail, pytest.fail)
        tick(clock, 2)
    assert [event["log_level"] for event in events] == [LogLevel.critical]


def test_port_listened_on_elsewhere_is_waited_for_and_described(ready, clock):
    with socket.create_server(("127.0.0.2", 0)) as sock:
        port = sock.getsockname()[1]
        ready.watch_port(1, port, ME, pytest.fail, pytest.fail)
        tick(clock, 3)
        assert f"port {port} is listened on at 127.0.0.2: let the" in ready.describe(1)


def test_port_that_nobody_listens_on_is_described(ready):
    port = free_port()
    ready.watch_port(1, port, ME, pytest.fail, pytest.fail)
    assert ready.describe(1) == f"nothing listens on port {port}: does the command use %PORT?"
    with pytest.raises(KeyError):
        ready.describe(2)


def test_a_kernel_that_does_not_answer_is_waited_for_and_described(ready, clock, diag):
    diag.close()
    ready.watch_port(1, 20000, ME, pytest.fail, pytest.fail)
    assert "nothing listens" in ready.describe(1)
    tick(clock, 2)
    assert "the kernel did not say who listens (Bad file descriptor)" in ready.describe(1)


# %SOCKET


@pytest.fixture
def path(folder):
    return f"{folder}/app.sock"


def test_socket_of_a_real_server(driver, diag, owners, path, seen):
    program = (
        "import socketserver, sys\n"
        "class H(socketserver.StreamRequestHandler):\n"
        "    def handle(self): self.wfile.write(self.rfile.readline().upper())\n"
        "socketserver.UnixStreamServer(sys.argv[1], H).handle_request()\n"
    )
    readiness = Readiness(driver.reactor, driver.board, diag, owners)
    readiness.watch_socket(1, path, ME, seen.append)
    with subprocess.Popen([sys.executable, "-c", program, path]):
        driver.until(lambda: seen)
        with seen[0] as sock:
            assert not sock.getblocking()
            sock.setblocking(True)  # the connection is the one for the first request
            sock.sendall(b"hello\n")
            assert sock.recv(9) == b"HELLO\n"
    readiness.forget(1)


def test_34_stale_sockets_and_full_backlogs_are_waited_for(ready, clock, path, seen):
    """FAULTS 34, 34b."""
    ready.watch_socket(1, path, ME, seen.append)
    assert "not tried yet" in ready.describe(1)
    tick(clock)
    assert f"{path}: No such file or directory; does the command use %SOCKET?" in ready.describe(1)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    tick(clock)
    assert "Connection refused" in ready.describe(1)
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as sock, socket.socket(socket.AF_UNIX) as filling:
        sock.bind(path)
        sock.listen(0)
        filling.connect(path)
        tick(clock)
        assert "Resource temporarily unavailable" in ready.describe(1)
        assert seen == []
        sock.accept()[0].close()
        tick(clock)
        with sock.accept()[0] as accepted, seen[0] as ours:
            ours.send(b"x")
            assert accepted.recv(1) == b"x"
    tick(clock, 3)
    assert len(seen) == 1


def test_socket_is_not_tried_until_the_user_is_known(ready, clock, path, seen):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()
        ready.watch_socket(1, path, None, seen.append)
        tick(clock, 3)
        assert select.select([sock], [], [], 0)[0] == []
        ready.set_uid(1, ME)
        tick(clock)
        seen.pop().close()


def test_34_a_foreign_listener_on_the_path_is_never_used(ready, clock, path, as_other):
    """FAULTS 34."""

    def serve():
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(path)
        sock.listen(100)
        os.chmod(path, 0o777)
        return sock

    ready.watch_socket(1, path, ME, pytest.fail)
    as_other(serve)
    tick(clock, 3)
    assert f"uid {OTHER_UID} listens there, not of uid {ME}" in ready.describe(1)


def test_a_path_that_is_too_long_is_described(ready, clock, path):
    ready.watch_socket(1, path * 10, ME, pytest.fail)
    tick(clock)
    assert "AF_UNIX path too long" in ready.describe(1)


# %FD


@pytest.fixture(params=[socket.AF_UNIX, socket.AF_INET])
def listener(request, path):
    with socket.socket(request.param) as sock:
        sock.bind(path if request.param == socket.AF_UNIX else ("127.0.0.1", 0))
        sock.listen()
        yield sock


def connect(listener):
    client = socket.socket(listener.family)
    client.connect(listener.getsockname())
    return client


def test_what_was_accepted_since_the_last_check_is_not_complained_of(ready, listener, seen):
    ready.watch_listener(1, listener, lambda: seen.append("accepted"))
    with connect(listener):
        assert "never accepted" in ready.describe(1)
        listener.accept()[0].close()
        assert ready.describe(1) == ""


def test_listener_accepted_after_it_was_seen_to_wait(ready, clock, listener, seen):
    ready.watch_listener(1, listener, lambda: seen.append("accepted"))
    slow_tick(clock, 3)
    assert "nothing has connected" in ready.describe(1)
    with connect(listener):
        slow_tick(clock, 3)
        assert "never accepted on descriptor 3: does the command exec?" in ready.describe(1)
        assert seen == []
        listener.accept()[0].close()
        slow_tick(clock, 3)
        assert seen == ["accepted"]


def test_listener_accepted_between_two_ticks(ready, clock, listener, seen):
    ready.watch_listener(1, listener, lambda: seen.append("accepted"))
    with connect(listener):
        ready.connected(1)
        listener.accept()[0].close()
        slow_tick(clock)
        assert seen == ["accepted"]
    ready.connected(1)
    ready.connected(2)


def test_listener_of_a_real_process_is_seen_through_our_copy(driver, diag, owners, listener, seen):
    readiness = Readiness(driver.reactor, driver.board, diag, owners)
    program = (
        "import socket, sys; s = socket.socket(fileno=int(sys.argv[1]));"
        "c, _ = s.accept(); c.sendall(b'x')"
    )
    fd = listener.fileno()
    with connect(listener) as client:
        readiness.watch_listener(1, listener, lambda: seen.append("accepted"))
        readiness.connected(1)
        driver.turn()
        assert seen == []
        with subprocess.Popen([sys.executable, "-c", program, str(fd)], pass_fds=[fd]):
            driver.until(lambda: seen)
            assert client.recv(1) == b"x"
    readiness.forget(1)


# NOTIFY_SOCKET


@pytest.fixture
def notify(tmp_path):
    """Sends to a NOTIFY_SOCKET, which the watch is given as `notify.sock`."""

    def send(message):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(message, str(tmp_path / "n"))

    send.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)  # the watch will close it
    send.sock.bind(str(tmp_path / "n"))
    return send


def test_ready_1_makes_a_handed_over_socket_ready(ready, driver, clock, listener, notify, seen):
    ready.notify(1, notify.sock, ME, seen.append)
    ready.watch_listener(1, listener, lambda: seen.append("ready"))
    notify(b"STATUS=soon")
    driver.until(lambda: len(seen) == 1)
    notify(b"READY=1")
    driver.until(lambda: len(seen) == 3)
    assert seen == [{"STATUS": "soon"}, {"READY": "1"}, "ready"]
    notify(b"READY=1")  # again, when it is long since known
    driver.until(lambda: len(seen) == 4)
    ready.forget(1)
    assert notify.sock.fileno() == -1


def test_ready_1_makes_an_immediate_check_of_a_port(ready, driver, clock, notify, seen):
    port = free_port()
    ready.watch_port(1, port, None, seen.append, pytest.fail)
    ready.notify(1, notify.sock, None, seen.append)
    notify(b"READY=1")
    driver.turn()
    assert seen == []
    ready.set_uid(1, ME)
    driver.until(lambda: seen)
    assert seen == [{"READY": "1"}]  # its word alone is not enough
    with socket.create_server(("127.0.0.1", port)) as sock:
        notify(b"READY=1")
        driver.until(lambda: len(seen) == 3)
        assert seen[2] == sock.getsockname()


def test_ready_1_connects_to_a_socket_at_once(ready, driver, notify, path, seen):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()
        ready.watch_socket(1, path, ME, seen.append)
        ready.notify(1, notify.sock, None, lambda state: None)
        notify(b"READY=1")
        driver.until(lambda: seen)
        seen[0].close()


def test_forgetting_within_a_message(ready, driver, listener, notify, seen):
    def on_notify(state):
        seen.append(state)
        ready.forget(1)

    ready.watch_listener(1, listener, pytest.fail)
    ready.notify(1, notify.sock, ME, on_notify)
    notify(b"READY=1")
    driver.until(lambda: seen)
    ready.forget(1)
    ready.set_uid(1, ME)


# The loop


def test_one_loop_that_slows_down_with_the_youngest_start(ready, clock, diag):
    def next_tick():
        (call,) = clock.getDelayedCalls()
        return round(call.getTime() - clock.seconds(), 4)

    def age(seconds):
        end = clock.seconds() + seconds
        while clock.seconds() < end - 1e-9:
            clock.advance(max(next_tick(), 0.001))

    ready.watch_port(1, free_port(), ME, pytest.fail, pytest.fail)
    assert next_tick() == 0.002
    age(1.9)
    assert next_tick() == 0.002
    age(0.2)
    assert next_tick() == 0.010
    age(8)
    assert next_tick() == 0.050
    ready.watch_port(2, free_port(), ME, pytest.fail, pytest.fail)
    assert next_tick() == 0.004
    clock.advance(0.001)
    ready.watch_port(3, free_port(), ME, pytest.fail, pytest.fail)
    assert next_tick() == 0.003  # many starts in a row do not put the tick off
    ready.forget(2)
    ready.forget(3)
    age(0.1)
    assert next_tick() == 0.050
    ready.forget(1)
    assert clock.getDelayedCalls() == []


def test_a_callback_that_raises_does_not_end_the_loop(ready, clock, seen):
    def on_ready(address):
        raise ZeroDivisionError

    with socket.create_server(("127.0.0.1", 0)) as sock:
        ready.watch_port(1, sock.getsockname()[1], ME, on_ready, pytest.fail)
        ready.watch_port(2, sock.getsockname()[1], ME, seen.append, pytest.fail)
        tick(clock, 3)
        assert seen == [sock.getsockname()]


def test_a_tick_asks_the_kernel_once_for_each_address(ready, clock, diag, monkeypatch):
    asked = []
    owner = diag.owner
    monkeypatch.setattr(diag, "owner", lambda *address: asked.append(address) or owner(*address))
    for server in range(50):
        ready.watch_port(server, free_port(), ME, pytest.fail, pytest.fail)
    tick(clock)
    assert 50 <= len(asked) <= 2 * 50
    tick(clock)
    assert len(asked) <= 4 * 50


def test_a_handed_over_socket_is_looked_at_seldom(ready, clock, listener):
    ready.watch_listener(1, listener, pytest.fail)
    (call,) = clock.getDelayedCalls()
    assert round(call.getTime() - clock.seconds(), 4) == 0.010
    ready.forget(1)


def test_a_crowd_is_looked_at_less_often(ready, clock):
    for server in range(1, 7):
        ready.watch_port(server, free_port(), ME, pytest.fail, pytest.fail)
    tick(clock)
    (call,) = clock.getDelayedCalls()
    assert round(call.getTime() - clock.seconds(), 4) == 0.012
