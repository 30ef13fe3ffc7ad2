"""One network process after the other, at the spawner's end: links, listening sockets, trust."""

import contextlib
import os
import select
import signal
import socket

import pytest

from luisito.core import wire
from luisito.process import handshake
from luisito.process.handshake import how_started
from luisito.spawner import channel
from luisito.spawner.containment import Containment
from luisito.spawner.helpers import Helpers

from .conftest import PYTHON, SOON, configure, wait_until

# A successor that hands its link to the test and lives until the test hangs up.
SUCCESSOR = """
import array, os, resource, socket, sys
told = os.environ.pop("LUISITO_SUCCEEDS").split(":")
text = os.pread(int(told[1]), 65536, 0) if told[1:] else b"-"
link = socket.socket(fileno=int(told[0]))
caps = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines())
inode = os.stat("/proc/self/ns/pid").st_ino
files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
open_now = sorted(map(int, os.listdir("/proc/self/fd")))[:-1]
say = [os.getpid(), caps["CapEff"], caps["CapBnd"], inode, files, os.getcwd(), open_now]
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(sys.argv[1])
    rights = array.array("i", [link.fileno()])
    sock.sendmsg([repr(say).encode() + b"\\n" + text], [(1, 1, rights)])
    sock.recv(1)
"""


class Successor:
    """A network process that the spawner has started, whose link the test holds."""

    def __init__(self, door):
        assert select.select([door], [], [], SOON)[0], "no successor was started"
        self.door, _ = door.accept()
        data, (link,) = channel.receive(self.door)
        said, _, self.text = data.partition(b"\n")
        self.pid, self.effective, self.bounding, self.namespace, self.files, self.cwd, self.open = (
            eval(said)
        )
        self.sock = socket.socket(fileno=link)
        self.sock.setblocking(False)

    def order(self, order, *descriptors):
        channel.send(self.sock, wire.encode(order), descriptors)

    def fact(self):
        assert select.select([self.sock], [], [], SOON)[0], "no fact came"
        data, descriptors = channel.receive(self.sock)
        return wire.decode_fact(data) if data else None, descriptors

    def wait(self, kind):
        while True:
            fact, descriptors = self.fact()
            assert fact is not None
            if isinstance(fact, kind):
                return fact, descriptors
            channel.close(descriptors)

    def told_to_yield(self):
        _, (pair,) = self.wait(wire.Yield)
        self.order(wire.Yielded())
        return pair

    def configure(self, **changes):
        text = changes.pop("text", None)
        return handshake.configure(self.sock, configure(**changes), text)

    def close(self):
        self.sock.close()
        self.door.close()


def joined(one, other):
    """Both are the ends of one pair, and closed."""
    with socket.socket(fileno=one) as ours, socket.socket(fileno=other) as theirs:
        ours.send(b"word")
        assert theirs.recv(9) == b"word"


class Dynasty:
    """The first network process, and the door by which its successors come in."""

    def __init__(self, network, folder, *, foreground=False):
        os.chmod(folder, 0o777)
        self.network = network
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(f"{folder}/door")
        os.chmod(f"{folder}/door", 0o666)
        self.door.listen()
        argv = [*PYTHON, SUCCESSOR, f"{folder}/door"]
        self.recipe = how_started(argv, "/", foreground=foreground)
        self.found = []

    def launch(self, **changes):
        self.changes = {"network_gid": self.network.uid or 0, **changes}
        self.network.launch(recipe=self.recipe, **self.changes)
        return self

    def next(self, *, asked="HUP"):
        if asked:
            self.network.order(wire.Relay(asked))
        self.found.append(Successor(self.door))
        return self.found[-1]

    def serve(self, successor, **changes):
        """Let a successor take over; returns its Take and both ends of the pair."""
        env = {"TEST_MARK": self.network.mark}
        successor.configure(**{"env": env, **self.changes, **changes})
        successor.order(wire.Serve())
        before = self.found[-2] if len(self.found) > 1 else self
        old = before.told_to_yield()
        fact, (new,) = successor.wait(wire.Take)
        return fact, old, new

    def told_to_yield(self):
        fact, (pair,) = self.network.fact()
        assert fact == wire.Yield()
        self.network.order(wire.Yielded())
        return pair

    def close(self):
        if self.network.process.poll() is None:
            os.kill(self.network.spawner, signal.SIGKILL)  # or it would replace them
        for each in self.found:
            each.close()
        self.door.close()


@pytest.fixture
def dynasty(network, folder):
    made = Dynasty(network, folder)
    yield made
    made.close()


@pytest.fixture
def of_root(as_root, folder):
    made = Dynasty(as_root, folder)
    yield made
    made.close()


def test_a_successor_takes_over_the_servers(dynasty):
    network = dynasty.launch().network
    started, output = network.run()
    network.wait(wire.Running)
    successor = dynasty.next()
    fact, old, new = dynasty.serve(successor)
    assert fact.words == ""
    assert fact.last >= 1
    with socket.socket(fileno=old) as ours, socket.socket(fileno=new) as theirs:
        network.descriptors.remove(old)
        ours.send(b"hello")
        assert theirs.recv(10) == b"hello"
    successor.order(wire.AskList(1))
    (row,) = successor.wait(wire.Servers)[0].servers
    assert (row["server"], row["pid"], row["current"]) == (1, started.pid, 1)
    successor.order(wire.Adopt(2, 1))
    _, descriptors = successor.wait(wire.Adopted)
    assert os.fstat(descriptors[0]).st_ino == os.fstat(output).st_ino
    channel.close(descriptors)
    assert successor.wait(wire.Running)[0].server == 1
    # whoever has yielded gives no orders, and is told of nothing
    for order in (wire.Signal(1, "KILL"), wire.AskList(9), wire.Stopping(), wire.IsReady(1, True)):
        network.order(order)
        assert "not any more" in network.wait(wire.Refused).message
    network.order(wire.Quit())
    assert "not any more" in network.wait(wire.Refused).message
    successor.order(wire.Signal(1, "KILL"))
    assert successor.wait(wire.Exited)[0].server == 1
    network.order(wire.AskLog(5, None))
    assert network.fact()[0] == wire.Log(5, "no such log is configured")
    successor.order(wire.Start(fact.last + 1, "b.example", None), network.listener.fileno())
    channel.close(successor.wait(wire.Started)[1])


def test_it_was_started_as_the_first_was(dynasty):
    here = os.stat("/proc/self/ns/pid").st_ino
    successor = dynasty.launch().next()
    assert successor.namespace == here
    assert successor.cwd == "/"
    assert successor.open[:3] == [0, 1, 2]
    assert len(successor.open) == 4
    assert not successor.text.strip(b"-")
    if dynasty.network.uid == 0:
        assert int(successor.bounding, 16) != 0


@pytest.mark.root
def test_a_successor_of_roots_has_its_capabilities_and_no_server_has(of_root):
    with open("/proc/self/status") as file:
        ours = next(line.split()[1] for line in file if line.startswith("CapEff"))
    successor = of_root.launch(command=["cat", "/proc/self/status"]).next()
    assert successor.effective == ours
    of_root.serve(successor)
    successor.order(wire.Start(7, "a.example", None), of_root.network.listener.fileno())
    _, (output, notify) = successor.wait(wire.Started)
    successor.wait(wire.Exited)
    with open(output) as file:
        status = dict(line.split(":", 1) for line in file.read().splitlines())
    os.close(notify)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"].strip() == "1"


def test_listening_sockets_are_handed_on(dynasty):
    network = dynasty.network
    dynasty.launch()
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(6)]
        network.order(wire.Keep("late"), socks[0].fileno())
        assert "no site file" in network.wait(wire.Refused).message  # it serves, and is not trusted
        successor = dynasty.next()
        assert handshake.ask_listeners(successor.sock) == {}
        named = {f"tcp:{number}": sock.fileno() for number, sock in enumerate(socks)}
        handshake.keep(successor.sock, named)
        dynasty.serve(successor)
        third = dynasty.next()
        kept = handshake.ask_listeners(third.sock)
        assert list(kept) == list(named)
        for name, descriptor in kept.items():
            assert os.fstat(descriptor).st_ino == os.fstat(named[name]).st_ino
        handshake.keep(third.sock, {"tcp:1": kept["tcp:1"]})
        channel.close(list(kept.values()))
        dynasty.serve(third)
        address = socks[0].getsockname()
        for sock in socks:
            sock.close()
    # whatever nobody keeps any more is closed
    assert wait_until(lambda: refused(address))


def refused(address):
    try:
        socket.create_connection(address, 1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_what_differs_is_said_server_by_server(dynasty):
    network = dynasty.launch().network
    network.run()
    network.wait(wire.Running)
    successor = dynasty.next()
    dynasty.serve(successor, command=["sleep", "999"], max_servers=3)
    successor.order(wire.AskList(1))
    (row,) = successor.wait(wire.Servers)[0].servers
    assert row["current"] == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 99}, "wire version 99"),
        ({"runtime_dir": "/run/elsewhere"}, "RUNTIME_DIR = '/run/elsewhere': it is None as long"),
        ({"network_uid": 12}, r"\(uid 12, gid .*stop and start Luisito"),
        ({"command": []}, "names no program"),
        ({"max_servers": 2**31}, "open files"),
    ],
)
def test_one_that_is_refused_changes_nothing(dynasty, changes, words):
    network = dynasty.launch().network
    successor = dynasty.next()
    with pytest.raises(Exception, match=words) as refused:
        successor.configure(**{**dynasty.changes, **changes})
    successor.order(wire.CannotServe(str(refused.value)))
    successor.close()
    assert network.fact()[0] == wire.NotReplaced(str(refused.value))
    network.start(1)
    assert isinstance(network.fact()[0], wire.Started)


def test_one_that_ends_without_a_word(dynasty):
    network = dynasty.launch().network
    successor = dynasty.next()
    os.kill(successor.pid, signal.SIGKILL)
    successor.close()
    assert network.fact()[0].message == f"pid {successor.pid} was killed by signal 9"


def test_one_that_cannot_be_started(dynasty):
    network = dynasty.network
    dynasty.recipe = how_started(["/no/such/python"], "/", foreground=False)
    dynasty.launch()
    network.order(wire.Relay("HUP"))
    assert "No such file" in network.fact()[0].message


def test_before_it_could_serve_it_orders_nothing(dynasty):
    dynasty.launch()
    successor = dynasty.next()
    orders = (wire.Start(1, "a.example", None), wire.Serve(), wire.AskList(1), wire.Quit())
    for order in orders:
        successor.order(order)
        assert "first order must be configure" in successor.wait(wire.Refused)[0].message
    successor.configure(**dynasty.changes)
    for order in (*orders[2:], wire.Remember(), wire.Yielded()):
        if not isinstance(order, wire.Yielded):
            successor.order(order)
            assert isinstance(successor.wait(wire.Refused)[0], wire.Refused)
    with pytest.raises(Exception, match="configured already"):
        successor.configure(**dynasty.changes)


@pytest.mark.parametrize("name", ["TERM", "USR1"])
def test_signals_are_relayed_to_whoever_serves(dynasty, name):
    network = dynasty.launch().network
    main = network.process.pid  # the guardian passes it on
    os.kill(main, getattr(signal, f"SIG{name}"))
    assert network.fact()[0] == wire.Signalled(name)
    successor = dynasty.next()
    dynasty.serve(successor)
    os.kill(main, getattr(signal, f"SIG{name}"))
    assert successor.wait(wire.Signalled)[0] == wire.Signalled(name)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_100_wishes_are_one(dynasty, number):
    network = dynasty.launch().network
    for _ in range(100):
        os.kill(network.process.pid, number)
    first = dynasty.next(asked=None)
    # one that comes while it starts leads to one more
    os.kill(network.process.pid, number)
    dynasty.serve(first)
    second = dynasty.next(asked=None)
    dynasty.serve(second)
    assert not select.select([dynasty.door], [], [], 1.5)[0]


def test_30_a_crash_is_replaced_by_the_settings_last_in_force(dynasty):
    network = dynasty.launch().network
    first = dynasty.next()
    first.configure(**dynasty.changes, text=b"MAX_SERVERS = 7")
    first.order(wire.Serve())
    os.close(dynasty.told_to_yield())
    network.descriptors.pop()
    fact, pair = first.wait(wire.Take)
    channel.close(pair)
    first.order(wire.Start(fact.last + 1, "a.example", None), network.listener.fileno())
    started, descriptors = first.wait(wire.Started)
    channel.close(descriptors)
    os.kill(first.pid, signal.SIGKILL)
    first.close()
    second = dynasty.next(asked=None)
    assert second.text == b"MAX_SERVERS = 7"
    second.configure(**dynasty.changes, text=second.text)
    second.order(wire.Serve())
    fact, (new,) = second.wait(wire.Take)
    # the one before the first may still have something in flight
    joined(dynasty.told_to_yield(), new)
    network.descriptors.pop()
    assert f"pid {first.pid} was killed by signal 9" in fact.words
    second.order(wire.AskList(1))
    (row,) = second.wait(wire.Servers)[0].servers
    assert row["pid"] == started.pid


def test_30_what_ends_while_nobody_serves_is_told_to_whoever_takes_it_over(dynasty):
    network = dynasty.launch().network
    first = dynasty.next()
    fact, old, new = dynasty.serve(first)
    network.descriptors.remove(old)
    channel.close([old, new])
    numbers = range(fact.last + 1, fact.last + 3)
    pids = {}
    for number in numbers:
        first.order(wire.Start(number, f"{number}.example", None), network.listener.fileno())
        started, descriptors = first.wait(wire.Started)
        channel.close(descriptors)
        first.wait(wire.Running)
        pids[number] = started.pid
    ended, lives = numbers
    first.order(wire.IsReady(ended, False))
    first.order(wire.AskList(1))
    first.wait(wire.Servers)
    os.kill(first.pid, signal.SIGKILL)
    first.close()
    second = dynasty.next(asked=None)  # so the end of the first one is known
    os.kill(pids[ended], signal.SIGKILL)
    assert wait_until(lambda: not os.path.exists(f"/proc/{pids[ended]}"))
    second.configure(**dynasty.changes)
    second.order(wire.Serve())
    _, pairs = second.wait(wire.Take)
    channel.close([*pairs, dynasty.told_to_yield()])
    network.descriptors.pop()
    second.order(wire.AskList(1))
    rows = second.wait(wire.Servers)[0].servers
    assert [(row["server"], row["pid"], row["ready"]) for row in rows] == [
        (lives, pids[lives], 0),
        (ended, pids[ended], 1),
    ]
    told = [wire.Exited(ended, None, signal.SIGKILL, None, False)]
    for ask in (2, 3):
        second.order(wire.Adopt(ask, ended))
        told.append(wire.Adopted(ask, ended, "no such server"))
    assert [second.wait((wire.Exited, wire.Adopted))[0] for _ in told] == told
    second.order(wire.AskList(4))
    assert [row["server"] for row in second.wait(wire.Servers)[0].servers] == [lives]


def test_42_told_to_stop_while_a_crash_is_replaced(dynasty):
    """Who has made way has something in flight, for which another one is to wait."""
    network = dynasty.launch().network
    first = dynasty.next()
    new = dynasty.serve(first)[2]
    os.close(new)
    os.kill(first.pid, signal.SIGKILL)
    first.close()
    second = dynasty.next(asked=None)
    os.kill(network.process.pid, signal.SIGTERM)
    second.configure(**dynasty.changes)
    second.order(wire.Serve())
    channel.close(second.wait(wire.Take)[1])
    assert second.wait(wire.Signalled)[0] == wire.Signalled("TERM")
    second.order(wire.Stopping())
    second.order(wire.Quit())
    while second.fact()[0] is not None:
        pass
    second.close()
    while network.fact()[0] is not None:
        pass
    network.sock.close()
    assert network.process.wait(10) == 0


def test_no_helper_holds_what_is_between_two_of_them():
    """Its end tells one that the other has crashed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    containment = Containment.__new__(Containment)
    containment.parent = os.getpid()
    helpers = Helpers(containment, lambda: [theirs.fileno()])
    helpers.run(signal.pause, lambda _: None)
    (pid,) = helpers.pids()
    with ours:
        theirs.close()
        try:
            assert select.select([ours], [], [], SOON)[0], "it is still open"
            assert ours.recv(1) == b""
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_five_crashes_in_a_minute_are_the_end(dynasty, capfd):
    network = dynasty.launch().network
    network.sock.close()
    network.sock = None
    for _ in range(4):
        successor = dynasty.next(asked=None)
        os.kill(successor.pid, signal.SIGKILL)
        successor.close()
    assert network.process.wait(5) == 1
    assert "5 network processes have crashed within 60 s" in capfd.readouterr().err


def test_stop_on_a_crash(network, folder):
    made = Dynasty(network, folder)
    made.launch(on_crash="stop")
    network.run()
    network.sock.close()
    network.sock = None
    assert network.process.wait(5) == 1
    assert network.gone()
    made.close()


def test_an_end_that_was_asked_for_waits_for_the_network_process(dynasty):
    """It is the last to go where the pidfile names it."""
    network = dynasty.launch().network
    successor = dynasty.next()
    new = dynasty.serve(successor)[2]
    os.close(new)
    successor.order(wire.Stopping())
    successor.order(wire.Quit())
    while successor.fact()[0] is not None:
        pass
    assert network.process.poll() is None
    network.sock.close()
    assert network.process.poll() is None
    successor.close()
    assert network.process.wait(5) == 0
