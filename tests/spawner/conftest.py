"""A real spawner with a test at the network end of its socket pair."""

import ctypes
import functools
import os
import pwd
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid

import pytest

from luisito.core import wire
from luisito.process import launch as launching
from luisito.process.handshake import how_started
from luisito.spawner import channel, starter, tree
from luisito.spawner.config import Config
from tests.harness import processes
from tests.harness.orders import configure

# Not the one of .venv, which another user may not be able to reach.
PYTHON = [os.path.realpath(sys.executable), "-I", "-S", "-c"]
CAP_SYS_PTRACE, CAP_SYS_ADMIN = 19, 21
SOON = 30.0  # seconds; what is measured has a limit of its own


class Network:
    """The network end: gives orders, waits for facts, knows what must be gone at the end."""

    def __init__(self, monkeypatch, user, *, confined=False):
        self.user = user
        self.confined = confined
        self.uid = os.getuid() if user is None else user.pw_uid
        self.mark = uuid.uuid4().hex
        self.descriptors = []
        self.early = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.sock = self.process = self.hello = None
        self.killer = -1
        self.last = 0
        self.called_off = []  # servers that children waited to become, and do no more
        self.spare = None  # the server that the waiting child has prepared for, its socket
        if user is not None:
            popen = functools.partial(
                subprocess.Popen, user=user.pw_uid, group=user.pw_gid, extra_groups=[]
            )
            monkeypatch.setattr(launching.subprocess, "Popen", popen)
        if confined:
            popen = functools.partial(subprocess.Popen, preexec_fn=confine)
            monkeypatch.setattr(launching.subprocess, "Popen", popen)

    def launch(self, **changes):
        awaited = changes.pop("awaited", True)
        env = {"TEST_MARK": self.mark, **changes.pop("env", {})}
        if self.user is not None:
            changes.setdefault("network_gid", self.user.pw_gid)
        recipe = changes.pop("recipe", how_started([sys.executable], "/", foreground=True))
        text = changes.pop("text", None)
        configured = configure(env=env, **changes)
        launched = launching.launch(configured, recipe, text)
        self.sock, self.process, self.hello, self.killer = launched
        self.order(wire.Serve())
        assert self.fact() == (wire.Take(0, ""), [])
        self.guarded = self.hello.containment == "guardian"
        self.spawner = tree.children(self.process.pid)[0] if self.guarded else self.process.pid
        alike = Config(configured, root=self.uid == 0).alike
        if awaited and alike and starter.is_built() and launching._CODE != FORKING:
            assert wait_until(lambda: self.starter is not None)
        return self

    @property
    def starter(self):
        """The process that has children ready; None where it is not used."""
        return next(filter(processes.is_starter, tree.children(self.spawner)), None)

    def children(self):
        """List the spawner's children, but for the starter."""
        return [pid for pid in tree.children(self.spawner) if not processes.is_starter(pid)]

    def waiting(self):
        """List those that wait for an order; that of the last number is the last."""
        pids = self.children()
        return (
            pids if self.starter is None else [pid for pid in pids if processes.is_of_starter(pid)]
        )

    def order(self, order, *descriptors):
        channel.send(self.sock, wire.encode(order), descriptors)

    def start(self, server, site="a.example", port=None):
        """Order a start that fits the way in; return nothing yet."""
        self.last = max(self.last, server)
        if self.hello.way == "port":
            self.order(wire.Start(server, site, port or 20000 + server))
        elif self.hello.way == "fd":
            self.order(wire.Start(server, site, None), self.listener.fileno())
        else:
            self.order(wire.Start(server, site, None))

    def fact(self):
        """Receive the next fact and its descriptors."""
        if self.early:
            return self.early.pop(0)
        assert select.select([self.sock], [], [], SOON)[0], "no fact came"
        data, descriptors = channel.receive(self.sock)
        fact = wire.decode_fact(data) if data else None
        if isinstance(fact, wire.Spare) and not descriptors:
            self.called_off.append(fact.server)
            return self.fact()
        if isinstance(fact, wire.Spare):  # comes at any time
            self.drop_spare()
            self.spare = (fact.server, *descriptors)
            return self.fact()
        self.descriptors += descriptors
        return fact, descriptors

    def drop_spare(self):
        if self.spare is not None:
            os.close(self.spare[1])
            self.spare = None

    def facts(self, count):
        return [self.fact()[0] for _ in range(count)]

    def wait(self, kind):
        """Receive until a fact of a kind comes."""
        while True:
            fact, _ = self.fact()
            assert fact is not None, f"the spawner has gone; {kind.__name__} was awaited"
            if isinstance(fact, kind):
                return fact

    def run(self, server=1, site="a.example"):
        """Start a server and return its Started fact and the read end of its output."""
        self.start(server, site)
        early = []
        fact = self.fact()
        while isinstance(fact[0], wire.Running) and fact[0].server != server:
            early.append(fact)  # of one that was started before; it is for whoever asks next
            fact = self.fact()
        self.early = early
        started, descriptors = fact
        assert isinstance(started, wire.Started), started
        return started, descriptors[0]

    def silent(self):
        """Tell that no fact is on its way: the answer to a question comes first."""
        self.order(wire.AskList(99))
        fact, _ = self.fact()
        assert isinstance(fact, wire.Servers), fact
        return fact.servers

    def folders(self):
        """Name the folders of the servers that were ordered; the spare has made the next one's."""
        return [f for f in os.listdir(self.hello.runtime_dir) if int(f) <= self.last]

    def left(self):
        """List the processes that inherited our mark."""
        wanted = f"TEST_MARK={self.mark}".encode()
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return tree.living([pid for pid in pids if wanted in tree.read(f"/proc/{pid}/environ")])

    def gone(self, within=2.0):
        """Wait until no marked process is left."""
        return wait_until(lambda: not self.left(), within)

    def close(self):
        if self.sock is not None:
            if self.killer >= 0:
                os.close(self.killer)
            self.sock.close()
            self.process.wait(10)
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.drop_spare()
        self.listener.close()
        assert self.gone(), "processes are left"


# The spawner as it is where the starter could not be built.
FORKING = (
    "import sys; sys.path.insert(0, {root!r}); "
    "from luisito.spawner import starter; starter.PROGRAM = '/nonexistent'; "
    "from luisito.spawner.main import main; main({descriptor})"
)


def confine():
    """Lack what root lacks in most containers, once exec has taken it."""
    for capability in (CAP_SYS_ADMIN, CAP_SYS_PTRACE):
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def has(capability):
    status = tree.read("/proc/self/status").decode()
    return bool(int(status.split("CapEff:")[1].split()[0], 16) >> capability & 1)


@functools.cache
def reachable_by(uid):
    """Tell whether a user can run the spawner from where it lies."""
    code = "import sys; sys.path.insert(0, {!r}); import luisito.spawner.main"
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    command = [sys.executable, "-I", "-S", "-c", code.format(root)]
    try:
        return subprocess.run(command, user=uid, check=False, capture_output=True).returncode == 0
    except PermissionError:
        return False


def wait_until(true, within=SOON):
    deadline = time.monotonic() + within
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def read_all(descriptor):
    os.set_blocking(descriptor, True)
    parts = []
    while part := os.read(descriptor, 65536):
        parts.append(part)
    return b"".join(parts).decode()


@pytest.fixture
def root():
    if os.geteuid() != 0:
        pytest.skip("needs root: it changes users")


@pytest.fixture
def folder():
    """A folder that every user can reach, unlike pytest's own."""
    path = tempfile.mkdtemp(prefix="luisito-test-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


def _network(monkeypatch, who):
    if who == "forking":
        if not starter.is_built():
            pytest.skip("the starter was not built: no spawner has it")
        monkeypatch.setattr(launching, "_CODE", FORKING)
        who = "root" if os.geteuid() == 0 else "user"
    if who != "user" and os.geteuid() != 0:
        pytest.skip("needs root: the spawner is started as root")
    if who == "root" and not has(CAP_SYS_ADMIN):
        pytest.skip("needs CAP_SYS_ADMIN: the servers live in a pid namespace")
    user = pwd.getpwnam("nobody") if who == "user" and os.geteuid() == 0 else None
    if user is not None and not reachable_by(user.pw_uid):
        pytest.skip("needs a checkout that the user nobody can read")
    return Network(monkeypatch, user, confined=who == "confined")


@pytest.fixture(params=["root", "confined", "user", "forking"])
def network(request, monkeypatch):
    """A real spawner of each kind.

    By root with a pid namespace, by root and by a user without; and without the starter.
    """
    made = _network(monkeypatch, request.param)
    yield made
    made.close()


@pytest.fixture(params=["user", "forking"])
def each_way(request, monkeypatch):
    """A spawner that has the starter, where that was built, and one that has not."""
    made = _network(monkeypatch, request.param)
    yield made
    made.close()


@pytest.fixture
def as_root(monkeypatch):
    made = _network(monkeypatch, "root")
    yield made
    made.close()


@pytest.fixture
def as_user(monkeypatch):
    made = _network(monkeypatch, "user")
    yield made
    made.close()
