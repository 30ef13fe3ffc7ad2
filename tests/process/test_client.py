"""The network process's side, with a real spawner, real servers and a real reactor."""

import os
import resource
import socket
import time

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs

from luisito.core import wire
from luisito.errors import SettingsError, SpawnerLost, WireError
from luisito.process.client import Spawner, sizes_of
from luisito.process.handshake import how_started
from luisito.process.launch import Launched, launch
from luisito.spawner import channel
from tests.core.heads import calls
from tests.harness.orders import configure
from tests.harness.processes import removed

CONFIGURE = configure(max_servers=300, command=["sh", "-c", "echo on; exec sleep 1000"])


class Notes:
    """A listener that notes what it is told."""

    def __init__(self, reactor):
        self.reactor = reactor
        self.facts = []
        self.descriptors = []
        self.fault = None

    def spawner_started(self, server, pid, output, notify):
        self.descriptors += (output, notify)
        self.note("started", server)
        if self.fault is not None:
            raise self.fault

    def spawner_running(self, running):
        self.note("running", *running)

    def spawner_failed(self, server, message, overloaded):
        self.note("failed", server, message, overloaded)

    def spawner_touched(self, touched):
        self.facts.append(touched)

    def spawner_exited(self, exited):
        self.note("exited", *exited)

    def spawner_weighed(self, sizes):
        self.note("weighed", sizes)

    def spawner_lost(self, reason):
        self.note("lost", reason)

    def note(self, *fact):
        self.facts.append(fact)

    def names(self):
        return [fact[0] for fact in self.facts]


class World:
    def __init__(self, recipe=None, **changes):
        self.reactor = EPollReactor()
        self.notes = Notes(self.reactor)
        self.launched = launch(CONFIGURE._replace(**changes), recipe)
        self.spawner = Spawner(self.reactor, self.launched, self.notes)
        self.spawner.serve()
        self.listener = socket.create_server(("127.0.0.1", 0))

    def until(self, true, within=8.0):
        deadline = time.monotonic() + within
        while not true():
            assert time.monotonic() < deadline, self.notes.facts
            self.reactor.iterate(0.01)

    def result(self, deferred):
        results = []
        deferred.addBoth(results.append)
        self.until(lambda: results)
        return results[0]

    def close(self):
        code = self.result(self.spawner.stop())
        self.listener.close()
        for descriptor in self.notes.descriptors:
            os.close(descriptor)
        for reader in self.reactor.removeAll():
            reader.connectionLost(None)
        self.reactor._poller.close()
        return code


@pytest.fixture
def world():
    made = []

    def make(**changes):
        made.append(World(**changes))
        return made[0]

    yield make
    for one in made:
        one.close()


def test_site_files(world, tmp_path):
    """Asked for and read; a look that cannot be is an error that says why."""
    folder = tmp_path / "sites"
    folder.mkdir(mode=0o755)
    settings = tmp_path / "settings.py"
    settings.write_text(f"SITES_DIR = {str(folder)!r}\n")
    (folder / "a.example.toml").write_text('command = ["sleep", "1000"]\n')
    (folder / "b.example.toml").write_text("x = 1\n")
    recipe = how_started(["python"], "/", foreground=True)
    changes = {"command": None, "sites_dir": str(folder), "settings_file": str(settings)}
    one = world(recipe=recipe, **changes)
    told = one.result(one.spawner.sites())
    assert [record["site"] for record in told["sites"]] == ["a.example"]
    assert told["gone"] == []
    ((path, message),) = told["broken"]
    assert path == str(folder / "b.example.toml")
    assert message.startswith(f"{path}:1: x = 1: ")
    one.spawner.start(1, "a.example", None, one.listener.fileno())
    one.until(lambda: one.notes.names() == ["started", "running"])
    settings.unlink()
    failure = one.result(one.spawner.sites())
    assert failure.check(SettingsError)
    assert "settings.py" in failure.getErrorMessage()


def test_a_life(world):
    one = world()
    assert one.spawner.hello.way == "fd"
    one.spawner.start(1, "a.example", None, one.listener.fileno())
    one.until(lambda: len(one.notes.facts) == 2)
    assert one.notes.names() == ["started", "running"]
    output = one.notes.descriptors[0]
    one.until(lambda: readable(output))
    assert os.read(output, 10) == b"on\n"
    one.spawner.signal(1, "TERM")
    one.until(lambda: len(one.notes.facts) == 3)
    assert one.notes.facts[2] == ("exited", 1, None, 15, None, False, "MEMORY_MAX")
    os.fstat(one.listener.fileno())  # is still ours


def test_what_servers_take(world):
    one = world(max_memory=1 << 30)
    one.spawner.start(1, "a.example", None, one.listener.fileno())
    one.until(lambda: "weighed" in one.notes.names(), 20.0)
    (sizes,) = one.notes.facts[-1][1:]
    assert list(sizes) == [1]
    assert 10_000 < sizes[1] < 10 << 20


@pytest.mark.parametrize("row", [{}, {"server": 1}, {"server": 1, "memory": "x"}])
def test_a_row_of_no_servers_memory_is_refused(row):
    with pytest.raises(WireError, match="names no server and its bytes"):
        sizes_of(wire.Memory([row]))


def readable(descriptor):
    import select

    return select.select([descriptor], [], [], 0)[0]


def test_a_failure(world):
    one = world(command=["no-such-program"])
    one.spawner.start(1, "a.example", None, one.listener.fileno())
    one.until(lambda: len(one.notes.facts) == 2)
    kind, server, message, overloaded = one.notes.facts[1]
    assert (kind, server, overloaded) == ("failed", 1, False)
    assert "no such program" in message


def test_questions(world, tmp_path):
    one = world(output_log_dir=str(tmp_path))
    folder = one.result(one.spawner.folder("a.example"))
    assert (folder.exists, folder.message) == (False, "PROJECT_PATH is not set")
    assert one.result(one.spawner.owns(1, 1)) is False
    assert one.result(one.spawner.servers()) == []
    log = one.result(one.spawner.log("a.example"))
    os.write(log, b"x")
    os.close(log)
    assert (tmp_path / "a.example.log").read_text() == "x"
    failure = one.result(one.spawner.log(None))
    assert "no such log" in str(failure.check(OSError) and failure.value)
    assert one.result(one.spawner.adopt(1)).check(LookupError)
    one.spawner.start(1, "a.example", None, one.listener.fileno())
    one.until(lambda: len(one.notes.facts) == 2)
    descriptors = one.result(one.spawner.adopt(1))
    assert len(descriptors) == 3
    one.notes.descriptors += descriptors
    assert [row["server"] for row in one.result(one.spawner.servers())] == [1]


def test_the_spawner_is_killed_30b(world):
    one = world()
    one.spawner.start(1, "a.example", None, one.listener.fileno())
    one.until(lambda: len(one.notes.facts) == 2)
    asked = one.spawner.owns(1, 1)
    os.kill(one.launched.process.pid, 9)
    one.until(lambda: "lost" in one.notes.names())
    assert one.notes.names().count("lost") == 1
    answer = one.result(asked)
    assert answer is False or answer.check(SpawnerLost)
    one.spawner.start(2, "b.example", None, None)
    one.spawner.signal(1, "TERM")
    assert one.result(one.spawner.servers()).check(SpawnerLost)


def test_stop_waits_for_the_end_and_is_no_loss(world):
    one = world()
    one.spawner.start(1, "a.example", None, one.listener.fileno())
    one.until(lambda: len(one.notes.facts) == 2)
    folder = os.open(one.spawner.hello.runtime_dir, os.O_PATH)
    one.notes.descriptors.append(folder)
    assert one.result(one.spawner.stop()) == 0
    assert one.launched.process.returncode == 0
    assert "lost" not in one.notes.names()
    assert removed(folder)


def test_a_fault_of_the_listener_costs_nothing_else(world):
    one = world()
    one.notes.fault = ValueError("a bug")
    logged = []
    from twisted.logger import globalLogPublisher

    globalLogPublisher.addObserver(logged.append)
    try:
        one.spawner.start(1, "a.example", None, one.listener.fileno())
        one.until(lambda: "running" in one.notes.names())
    finally:
        globalLogPublisher.removeObserver(logged.append)
    assert any(event.get("log_failure") for event in logged)


def test_no_room_for_the_descriptors_of_a_server_35(world):
    one = world()
    in_use = max(map(int, os.listdir("/proc/self/fd")))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = [os.open("/dev/null", os.O_RDONLY)]
    while spare[-1] <= in_use:
        spare.append(os.open("/dev/null", os.O_RDONLY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare[-1] + 1, hard))
    try:
        one.spawner.start(1, "a.example", None, one.listener.fileno())
        one.until(lambda: one.notes.facts)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in spare:
            os.close(descriptor)
    ((kind, server, message, overloaded),) = one.notes.facts
    assert (kind, server, overloaded) == ("failed", 1, True)
    assert "open files" in message
    assert one.result(one.spawner.servers()) == []


class Office:
    """Notes with how many of those before it takes over."""

    taken = None

    def told_to_take(self, last, words, pairs):
        self.taken = len(pairs)


def test_no_room_for_the_descriptors_of_who_served_before_35():
    """It comes with none of them, and that is said."""
    reactor, office, (ours, theirs) = EPollReactor(), Office(), linked()
    spawner = Spawner(reactor, Launched(ours, None, None), Notes(reactor), office)
    with capturedLogs() as logs:
        channel.send(theirs, wire.encode(wire.Take(1, "", 2)))
        spawner.doRead()
    assert office.taken == 0
    assert [log["count"] for log in logs if "no room for the desc" in log["log_format"]] == [2]
    spawner.leave()
    ours.close()
    theirs.close()
    for reader in reactor.removeAll():
        reader.connectionLost(None)
    reactor._poller.close()


def test_one_that_waits_for_a_number_that_was_ordered_already_is_not_kept():
    """It is told too late, and its socket would be ours until the next start."""
    reactor, (ours, theirs) = EPollReactor(), linked()
    spawner = Spawner(reactor, Launched(ours, None, None), Notes(reactor))
    spawner.start(2, "a.example", None, None)
    waiting = [linked() for _ in range(3)]
    for number, (mine, _) in enumerate(waiting, 1):
        channel.send(theirs, wire.encode(wire.Spare(number)), (mine.fileno(),))
        mine.close()
    spawner.doRead()
    assert [is_held(other) for _, other in waiting] == [False, False, True]
    spawner.leave()
    assert not is_held(waiting[2][1])
    for sock in (ours, theirs, *(other for _, other in waiting)):
        sock.close()
    for reader in reactor.removeAll():
        reader.connectionLost(None)
    reactor._poller.close()


def linked():
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for sock in pair:
        sock.setblocking(False)
    return pair


def is_held(sock):
    """Whether anybody has the other end of a pair."""
    try:
        return sock.recv(1) != b""
    except BlockingIOError:
        return True


def test_orders_wait_while_the_spawner_does_not_read(world):
    one = world()
    one.result(one.spawner.servers())
    os.kill(one.launched.process.pid, 19)
    asked = [one.spawner.servers() for _ in range(2000)]
    one.spawner.start(1, "a.example", None, one.listener.fileno())
    one.result(deferLater(one.reactor, 0.05))
    os.kill(one.launched.process.pid, 18)
    assert [one.result(deferred) for deferred in asked] == [[]] * 2000
    one.until(lambda: one.notes.names() == ["started", "running"])


def test_a_spawn_holds_the_reactor_for_one_message(world):
    """What it costs in time is a figure of the bench."""
    one = world(command=["true"])
    one.spawner.start(1, "a.example", None, one.listener.fileno())
    called = calls(one.spawner.start, 2, "b.example", None, one.listener.fileno())
    assert 0 < called < 40
    one.until(lambda: one.notes.names().count("exited") == 2)
