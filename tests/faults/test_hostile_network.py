"""A network process that was taken over: what it can do to anybody else.

It is played by a child that has dropped its privileges as Luisito does, beside a real spawner that
root has started: it has the pair, the socket to the spare, and all descriptors of a server. It
tells what it has come to; the test judges.
"""

import contextlib
import ctypes
import errno
import fcntl
import itertools
import json
import os
import pwd
import select
import shutil
import signal
import socket
import tempfile
import threading
import time
import traceback

import pytest

from luisito.core import seccomp, wire
from luisito.process.folders import make_listen
from luisito.process.who import drop
from luisito.spawner import channel, tree
from tests.harness import descriptors
from tests.spawner.conftest import Network, wait_until

pytestmark = pytest.mark.root

OURS, GAMES, BACKUP = (pwd.getpwnam(name) for name in ("proxy", "games", "backup"))
A, B, OTHER = "a.example", "b.example", "other.example"
SECRET = "only its tenant reads this\n"
libc = ctypes.CDLL(None, use_errno=True)


class Machine(Network):
    """A spawner with two tenants' sites, the first of which has a server.

    Attributes:
        folder: everything is in it.
        victim: a file of root's that everybody may read.
    """

    def __init__(self, monkeypatch):
        super().__init__(monkeypatch, None)
        self.folder = tempfile.mkdtemp(prefix="luisito-hostile-")
        os.chmod(self.folder, 0o755)
        for site, user in ((A, GAMES), (B, BACKUP)):
            self.site(site, user)
        os.mkdir(f"{self.folder}/logs", 0o755)
        self.victim = f"{self.folder}/victim"
        with open(self.victim, "w") as file:
            file.write(SECRET)

    def site(self, site, user):
        path = f"{self.folder}/sites/{site}"
        os.makedirs(path)
        with open(f"{path}/secret", "w") as file:
            file.write(SECRET)
        for each in (f"{path}/secret", path):
            os.chown(each, user.pw_uid, user.pw_gid)
            os.chmod(each, 0o700)

    def launch(self, **changes):
        settings = {
            "project_path": f"{self.folder}/sites/%HOST",
            "output_log_dir": f"{self.folder}/logs",
            "access_log": f"{self.folder}/logs/access.log",
            "network_gid": OURS.pw_gid,
            **changes,
        }
        super().launch(**settings)
        make_listen(self.hello.runtime_dir, OURS.pw_uid, OURS.pw_gid)
        return self

    def folders(self):
        return [name for name in super().folders() if name != "0"]

    def close(self):
        super().close()
        shutil.rmtree(self.folder)

    def hostile(self, work):
        """Do what it would do; returns what `work` returned."""
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                drop(OURS.pw_uid, OURS.pw_gid)
                said = json.dumps(work())
            except BaseException:
                said = json.dumps({"raised": traceback.format_exc()})
            with open(write, "w") as file:
                file.write(said)
            os._exit(0)
        os.close(write)
        with open(read) as file:
            found = json.load(file)
        os.waitpid(pid, 0)
        assert not (isinstance(found, dict) and "raised" in found), found["raised"]
        return found

    def serves(self, server=50, site=B, user=BACKUP):
        """The spawner does its work: a server of some site runs as its tenant."""
        self.early.clear()
        self.start(server, site)
        while (running := self.wait(wire.Running)).server != server:
            pass
        assert running.uid == user.pw_uid
        self.order(wire.Signal(server, "KILL"))
        while self.wait(wire.Exited).server != server:
            pass
        return True

    def order_until_taken(self, order):
        """Gives an order, and reads what is in its way."""
        while attempt(self.order, order) == "EAGAIN":
            self.fact()

    def settle(self):
        """Wait until the next server's child waits; return how many descriptors are open."""
        expected = 2 + len(self.silent())  # the first of the pid namespace, the spare, the servers
        assert wait_until(lambda: len(tree.children(self.spawner)) == expected)
        self.silent()  # what it did to fork the last of them is over
        return self.open_descriptors()

    def open_descriptors(self):
        return len(os.listdir(f"/proc/{self.spawner}/fd"))


@pytest.fixture
def machine(monkeypatch):
    made = Machine(monkeypatch)
    yield made
    made.close()


def attempt(work, *arguments):
    """What an attempt has come to: the name of its error, or "done"."""
    try:
        work(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"


def reading(path):
    with open(path, "rb", buffering=0) as file:
        file.read(1)


# -- commands and users


def test_it_starts_the_templates_command_as_the_tenant_and_nothing_else(machine):
    """Whatever it orders besides, in its own words or to the child that waits."""
    machine.launch(command=["sleep", "1000"])

    def work():
        sock = machine.sock
        for more in (
            {"argv": ["id"]}, {"uid": 0}, {"run_as": "root"}, {"cwd": "/root"}, {"env": {"A": "b"}},
        ):  # fmt: skip
            order = {"op": "start", "server": 1, "site": A, "port": None, **more}
            channel.send(sock, json.dumps(order).encode(), (machine.listener.fileno(),))
        configure = {"op": "configure", "command": ["id"], "run_as": "root", "allow_root": True}
        channel.send(sock, json.dumps(configure).encode())
        for site in ("../root", "/root", f"{A}/../{B}", "%2e%2e", "a\0b", OTHER):
            machine.order(wire.Start(7, site, None), machine.listener.fileno())
        return attempt(os.execv, "/usr/bin/id", ["id"]), attempt(os.fork)

    assert machine.hostile(work) == ["EPERM", "EPERM"]
    facts = [machine.fact()[0] for _ in range(6 + 5)]
    assert [type(fact) for fact in facts[:6]] == [wire.Refused] * 6
    assert {type(fact) for fact in facts[6:]} == {wire.Failed}
    # the last is a well-formed host, which has no folder
    assert isinstance(machine.fact()[0], wire.Started)
    assert "No such file or directory at 'other.example'" in machine.wait(wire.Failed).message
    assert machine.silent() == []
    machine.start(8, A)
    running = machine.wait(wire.Running)
    assert (running.argv, running.uid) == (["sleep", "1000"], GAMES.pw_uid)


def test_the_child_that_waits_takes_one_order_that_fits_and_is_not_forgotten(machine):
    """It forks before it ends; what is left of it goes with the next order."""
    leaves = (
        "import os, time\n"
        "if os.fork(): time.sleep(1); os._exit(0)\n"  # so that the other one is seen
        "os.setsid(); os.execv('/bin/sleep', ['left', '1000'])"
    )
    command = ["/usr/bin/python3", "-I", "-S", "-c", leaves]
    machine.launch(command=command, project_path=None, run_as="games")
    assert wait_until(lambda: machine.silent() == [] and machine.spare is not None)

    def work():
        number, direct = machine.spare
        order = wire.encode_start(wire.Start(number, A, None))
        with socket.socket(fileno=direct) as spare:
            channel.send(spare, order, (machine.listener.fileno(),))
        return True

    assert machine.hostile(work)
    found = []

    def is_left():
        found[:] = [
            pid for pid in machine.left() if tree.read(f"/proc/{pid}/cmdline")[:4] == b"left"
        ]
        return found

    assert wait_until(is_left)
    assert tree.owner(found[0]) == GAMES.pw_uid
    assert wait_until(lambda: machine.left() == []), "nobody has ordered it, and it stays"


@pytest.mark.parametrize("data", [b"", b"x", b"1 0", b"2 0 a.example", b"1 0 ../root", b"\xff"])
def test_the_child_that_waits_refuses_all_else(machine, data):
    machine.launch(project_path=None, run_as="games")
    assert wait_until(lambda: machine.silent() == [] and machine.spare is not None)

    def work():
        with socket.socket(fileno=machine.spare[1]) as spare:
            channel.send(spare, data, (machine.listener.fileno(),))
        return True

    assert machine.hostile(work)
    assert machine.left() == []
    assert machine.serves(site=A, user=GAMES)


def test_it_becomes_nobody_else(machine):
    def work():
        own = f"{machine.hello.runtime_dir}/0/program"
        with open(own, "w"):
            pass
        return [
            *(attempt(os.setuid, uid) for uid in (0, GAMES.pw_uid, BACKUP.pw_uid)),
            *(attempt(os.setgid, gid) for gid in (0, GAMES.pw_gid)),
            attempt(os.setgroups, [0]),
            attempt(os.chown, own, 0, 0),
            attempt(os.chroot, "/"),
        ]

    machine.launch()
    assert machine.hostile(work) == ["EPERM"] * 8


# -- files and processes


def test_it_reads_no_file_of_a_site_or_of_roots(machine):
    machine.launch(command=["sleep", "1000"])
    machine.run(1, A)
    running = machine.wait(wire.Running)
    server = next(pid for pid in machine.left() if tree.owner(pid) == running.uid)
    os.chmod(machine.victim, 0o600)

    def work():
        places = {
            "site": f"{machine.folder}/sites/{A}/secret",
            "root's": machine.victim,
            "shadow": "/etc/shadow",
            "kernel's log": "/dev/kmsg",
        }
        for name, pid in (("server", server), ("spawner", machine.spawner)):
            for what in ("environ", "mem", "maps", "fd/1", "root/etc/passwd", "cwd/secret"):
                places[f"{name} {what}"] = f"/proc/{pid}/{what}"
        found = {name: attempt(reading, path) for name, path in places.items()}
        found["listing"] = attempt(os.listdir, f"{machine.folder}/sites/{A}")
        found["sockets"] = attempt(os.listdir, f"{machine.hello.runtime_dir}/1")
        for call in ("ptrace", "process_vm_readv", "pidfd_getfd", "open_by_handle_at", "keyctl"):
            column = list(seccomp.MACHINES).index(os.uname().machine)
            answer = libc.syscall(seccomp.REFUSED[call][column], 0, 0, 0, 0, 0, 0)
            found[call] = errno.errorcode[ctypes.get_errno()] if answer < 0 else "done"
        return found

    found = machine.hostile(work)
    # reading one's way through /proc says ESRCH where a process may not be looked at
    assert set(found.values()) <= {"EACCES", "EPERM", "ESRCH"}, found


def test_logs_can_be_written_and_not_read_69(machine):
    with open(f"{machine.folder}/logs/{A}.log", "w") as file:
        file.write(SECRET)
    os.chmod(f"{machine.folder}/logs/{A}.log", 0o640)
    machine.launch()

    def work():
        machine.order(wire.AskLog(1, A))
        _, (log,) = machine.fact()
        return [
            attempt(os.read, log, 1),
            attempt(reading, f"/proc/self/fd/{log}"),
            attempt(reading, f"{machine.folder}/logs/{A}.log"),
            bool(fcntl.fcntl(log, fcntl.F_GETFL) & os.O_APPEND),
        ]

    assert machine.hostile(work) == ["EBADF", "EACCES", "EACCES", True]


def test_it_signals_nobody(machine):
    machine.launch()
    machine.run(1, A)
    machine.wait(wire.Running)
    everybody = [1, os.getpid(), machine.spawner, *machine.left()]

    def work():
        for server in (0, 2, 99, os.getpid(), machine.spawner, 2**62):
            machine.order(wire.Signal(server, "KILL"))
        return [attempt(os.kill, pid, signal.SIGKILL) for pid in (*everybody, 0, -1)]

    assert set(machine.hostile(work)) == {"EPERM"}
    assert [row["server"] for row in machine.silent()] == [1]
    assert all(map(tree.status, everybody))


# -- a tenant who helps it


def swap(paths, over):
    """Exchanges what has two names, for as long as it goes on (renameat2(2))."""
    one, other = map(os.fsencode, paths)
    while not over.is_set():
        libc.renameat2(-100, one, -100, other, 2)


@contextlib.contextmanager
def racing(one, other):
    over = threading.Event()
    thread = threading.Thread(target=swap, args=((one, other), over))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("kind", ["symlink", "hard link", "folder's symlink"])
def test_no_order_for_a_log_reaches_a_file_of_roots_69(machine, kind):
    """Not in a folder of the tenant's, who puts others in the place of the log meanwhile."""
    place = f"{machine.folder}/logs"
    log = f"{place}/{A}.log"
    with open(log, "w") as file:
        file.write("x" * 100)
    trap = f"{place}/trap"
    swapped = (log, trap)
    if kind == "symlink":
        os.symlink(machine.victim, trap)
    elif kind == "hard link":
        os.link(machine.victim, trap)
    else:
        target = f"{machine.folder}/etc"
        os.mkdir(target)
        shutil.move(machine.victim, f"{target}/{A}.log")
        machine.victim = f"{target}/{A}.log"
        trap = f"{machine.folder}/trap"
        os.symlink(target, trap)
        os.lchown(trap, GAMES.pw_uid, GAMES.pw_gid)
        swapped = (place, trap)
    os.chown(place, GAMES.pw_uid, GAMES.pw_gid)
    before = os.stat(machine.victim)
    machine.launch(log_max_size=1, log_keep=1)

    def work():
        got = refused = 0
        for ask in range(150):
            machine.order(wire.AskLog(ask, A, rotate=bool(ask % 2)))
            fact, found = machine.fact()
            for each in found:
                os.write(each, b"root::0:0::/root:/bin/sh\n")
                os.close(each)
            got += bool(found)
            refused += fact.message != ""
        return got, refused

    with racing(*swapped):
        got, refused = machine.hostile(work)
    assert got, "the race has never been lost"
    assert refused or kind != "folder's symlink", "the race has never been won"
    after = os.stat(machine.victim)
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert os.listdir(os.path.dirname(machine.victim)).count(os.path.basename(machine.victim)) == 1


def test_no_order_to_start_reaches_another_tenant_64_66(machine):
    """The operator's own link lies in a tenant's folder, who puts one to another's in its place."""
    tenant = f"{machine.folder}/tenant"
    for path in ("tenant", f"tenant/own/{A}"):
        os.makedirs(f"{machine.folder}/{path}")
    os.symlink("own", f"{tenant}/sites")  # root's
    os.symlink("../theirs", f"{tenant}/trap")
    shutil.copytree(f"{machine.folder}/sites/{B}", f"{machine.folder}/theirs/{A}")
    os.chown(f"{machine.folder}/theirs/{A}", BACKUP.pw_uid, BACKUP.pw_gid)
    for path in ("", "/own", f"/own/{A}", "/trap"):
        os.lchown(f"{tenant}{path}", GAMES.pw_uid, GAMES.pw_gid)
    machine.launch(command=["true"], project_path=f"{tenant}/sites/%HOST")
    uids, refused = set(), 0
    with racing(f"{tenant}/sites", f"{tenant}/trap"):
        for server in range(1, 61):
            machine.start(server, A)
            fact = None
            while not isinstance(fact, wire.Exited | wire.Failed):
                fact, _ = machine.fact()
                if isinstance(fact, wire.Running):
                    uids.add(fact.uid)
            refused += isinstance(fact, wire.Failed)
    assert uids == {GAMES.pw_uid}
    assert refused, "the race has never been won"


# -- exhaustion


def drain(machine, until):
    """Reads facts until one fits; returns how many there were."""
    for count in itertools.count(1):
        fact, found = machine.fact()
        for each in found:
            os.close(each)
            machine.descriptors.remove(each)
        if until(fact):
            return count
    return None


def pour(machine, orders):
    """Sends orders until the spawner takes no more; returns how many it took."""
    deadline = time.monotonic() + 20
    for count, (data, found) in enumerate(orders):
        while True:
            try:
                channel.send(machine.sock, data, found)
            except BlockingIOError:
                if not select.select([], [machine.sock], [], 0.5)[1]:
                    return count
            else:
                break
        assert time.monotonic() < deadline, "it reads on for ever"
    return count


def test_answers_that_nobody_reads_take_no_descriptors(machine):
    machine.launch()
    machine.run(1, A)
    machine.wait(wire.Running)
    before = machine.settle()
    orders = ((wire.encode(wire.Adopt(ask, 1)), ()) for ask in itertools.count())
    assert machine.hostile(lambda: pour(machine, orders)) > 16
    assert machine.open_descriptors() - before < 32
    machine.order_until_taken(wire.AskList(10**6))
    drain(machine, lambda fact: isinstance(fact, wire.Servers))
    assert machine.settle() == before
    assert machine.serves()


def test_descriptors_of_all_kinds_do_not_pile_up(machine):
    """As many as a message can hold, beside orders that want none, one or two."""
    machine.launch()
    before = machine.settle()

    def work():
        many = [os.open("/dev/null", os.O_RDONLY) for _ in range(253)]
        few = many[:4]
        good = machine.listener.fileno()
        orders = itertools.cycle([
            (wire.encode(wire.AskList(1)), many),
            (b"?" * wire.MAX_MESSAGE, few),
            (b"?" * (wire.MAX_MESSAGE + 100), few),
            (wire.encode(wire.Start(1, A, None)), [good, good]),
            (wire.encode(wire.Start(1, A, None)), few[:1]),
            (wire.encode(wire.Start(1, OTHER, None)), [many[0]]),
        ])  # fmt: skip
        for data, found in itertools.islice(orders, 120):
            while attempt(channel.send, machine.sock, data, tuple(found)) == "EAGAIN":
                machine.fact()
        machine.order_until_taken(wire.AskList(10**6))
        while machine.fact()[0] != wire.Servers(10**6, [], False):
            pass
        return True

    assert machine.hostile(work)
    assert machine.settle() == before
    assert machine.serves()


def test_a_flood_of_questions_leaves_bounded_processes(machine):
    """About sites that are and are not, without reading the answers for a while."""
    machine.launch()
    most = 0

    def asks():
        for ask in range(600):
            site = (A, B, f"x{ask}.example")[ask % 3]
            order = wire.AskFolder(ask, site) if ask % 2 else wire.AskLog(ask, site)
            yield wire.encode(order), ()

    over = threading.Event()

    def watch():
        nonlocal most
        while not over.is_set():
            most = max(most, len(tree.children(machine.spawner)))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        taken = machine.hostile(lambda: pour(machine, asks()))
    finally:
        over.set()
        thread.join()
    assert most <= 64 + 8
    drain(machine, lambda fact: fact.ask == 500 if taken > 500 else True)
    assert machine.serves()


def test_a_flood_of_starts_is_bounded(machine):
    machine.launch(max_servers=2, overlap=1)

    def work():
        good = (machine.listener.fileno(),)
        pour(machine, ((wire.encode(wire.Start(n, A, None)), good) for n in range(1, 101)))
        return True

    assert machine.hostile(work)
    machine.last = 100
    failed = 0
    while failed < 100 - (2 + 1 + 16):
        failed += isinstance(machine.fact()[0], wire.Failed)
    machine.order(wire.AskList(99))  # what became of the others may be told before the answer
    assert len(machine.wait(wire.Servers).servers) == 2 + 1 + 16


def test_numbers_at_the_edge(machine):
    machine.launch()
    for number in (2**31 - 1, 2**31 - 2):
        assert machine.serves(number)
    assert machine.serves(3)


# -- hanging


@pytest.mark.parametrize("count", [1, 4, 20])
def test_connections_that_linger_hold_it_up_no_longer_than_a_moment(machine, count):
    """Whether it takes them from the message, or finds no room for them there."""
    machine.launch()
    machine.silent()
    data = wire.encode(wire.Start(1, A, None))
    connections, peers = descriptors.lingering(count)
    os.kill(machine.spawner, signal.SIGSTOP)  # until the copies in the message are the last
    descriptors.pass_on(machine.sock, data, connections)
    os.kill(machine.spawner, signal.SIGCONT)
    assert "descriptor" in machine.wait(wire.Failed).message
    assert machine.serves()
    for peer in peers:
        peer.close()


def test_a_queue_of_what_lingers_holds_it_up_no_longer_than_a_moment(machine):
    """In the listening socket of a server that ends, whose last copy is the spawner's."""
    machine.launch()
    listener = socket.socket(socket.AF_UNIX)
    path = f"{machine.folder}/listener"
    listener.bind(path)
    listener.listen()
    machine.order(wire.Start(1, A, None), listener.fileno())
    machine.wait(wire.Running)
    clients, kept = [], []
    for _ in range(3):
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        connections, peers = descriptors.lingering()
        descriptors.pass_on(client, b"x", connections)
        clients.append(client)
        kept += peers
    listener.close()
    for client in clients:
        client.close()
    machine.order(wire.Signal(1, "KILL"))
    machine.wait(wire.Exited)
    assert machine.serves()
    for peer in kept:
        peer.close()


def test_a_file_system_that_never_answers_costs_its_own_site_alone_43(machine):
    """Not even kill -9 frees who asks it (FUSE), and each question is answered all the same."""
    with descriptors.Hanging() as hanging:
        machine.launch(project_path=f"{hanging.path}/%HOST")
        hanging.hang = True
        for ask in range(12):
            machine.order(wire.AskFolder(ask, A))
        told = {}
        while len(told) < 12:
            fact = machine.wait(wire.Folder)
            told[fact.ask] = fact
        assert {fact.exists for fact in told.values()} == {None}
        words = sorted({fact.message[:9] for fact in told.values()})
        assert words == ["8 of the ", "no answer"]
        machine.order(wire.AskLog(99, B))
        assert machine.wait(wire.Log).message == ""
        # A start hangs in the child that would become the server.
        machine.start(1, A)
        assert isinstance(machine.fact()[0], wire.Started)
        assert [row["server"] for row in machine.silent()] == [1]
        machine.order(wire.Signal(1, "KILL"))
        assert [row["server"] for row in machine.silent()] == [1]
    machine.wait(wire.Exited)


# -- the end


def test_an_empty_message_ends_everything_in_order(machine):
    """It is what the end of the network process looks like, which it may have at any time."""
    machine.launch()
    machine.run(1, A)
    machine.wait(wire.Running)

    def work():
        machine.sock.send(b"")
        return True

    assert machine.hostile(work)
    assert machine.process.wait(10) == 1
    assert machine.gone()
