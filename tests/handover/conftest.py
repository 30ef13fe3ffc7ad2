"""Network processes that follow one another, all in this one, with one real spawner."""

import os
import select
import shutil
import socket
import sys
import tempfile
import time

import pytest
from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred
from twisted.logger import formatEvent, globalLogPublisher

from luisito.core.directory import Directory
from luisito.core.lifecycle import State
from luisito.core.orders import Limits
from luisito.core.routing import Routes
from luisito.handover.passing import make_way, take_over
from luisito.handover.predecessor import Predecessor
from luisito.net.sockets import SocketStream
from luisito.net.switchboard import Switchboard
from luisito.pool import Pool
from luisito.process.client import Spawner
from luisito.process.launch import launch
from luisito.process.ports import Ports
from luisito.process.start import Ways
from luisito.proxy.gateway import Gateway
from luisito.readiness.diag import Diag
from luisito.readiness.watch import Readiness
from luisito.settings import from_mapping
from luisito.settings.terms import terms
from luisito.spawner import channel
from tests.harness.orders import configure
from tests.net.turns import Turns, descriptors, tcp_pair

# Waits for FOLDER/SITE before it listens or accepts, if the site's name begins with "slow"; for
# FOLDER/NAME before it answers GET /NAME, if that begins with "hold". It answers with its number.
APP = """
import os, socket, sys, threading, time
site, folder, way = sys.argv[1:4]
number = os.environ["NOTIFY_SOCKET"].split("/")[-2].encode()
def wait(name):
    while not os.path.exists(folder + "/" + name):
        time.sleep(0.005)
def serve(sock):
    file = sock.makefile("rb")
    while line := file.readline():
        name = line.split()[1].decode().strip("/")
        while file.readline() not in (b"\\r\\n", b""):
            pass
        print("asked for", name, flush=True)
        if name.startswith("hold"):
            wait(name)
        head = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(number)
        sock.sendall(head + number)
print("here is", site, flush=True)
if site.startswith("slow"):
    wait(site)
if way == "3":
    listener = socket.socket(fileno=3)
elif way.isdigit():
    listener = socket.create_server(("127.0.0.1", int(way)))
else:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(way)
    listener.listen(64)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
PYTHON = [os.path.realpath(sys.executable), "-I", "-S", "-c", APP]
WAYS = {"fd": "%FD", "port": "%PORT", "socket": "%SOCKET"}


class Asker:
    """Waits for a lease, and notes what it is answered."""

    def __init__(self):
        self.waiting = True
        self.server = self.why = self.taken_back = None

    def granted(self, server):
        self.waiting = False
        self.server = server

    def refused(self, refused):
        self.waiting = False
        self.why = refused

    def withdrawn(self, server, refused):
        assert server is self.server
        self.taken_back = refused


class Net:
    """One network process."""

    def __init__(self, world, limits, hosts):
        spawner = world.spawner
        self.world = world
        self.board = board = Switchboard(world.reactor, turn=0)
        self.diag = Diag()
        self.readiness = Readiness(board, board, self.diag, spawner.owns)
        self.ways = Ways(
            board,
            board,
            self.readiness,
            self.diag,
            Ports(),
            way=spawner.hello.way,
            tcp=world.tcp,
            listen_dir=world.listen_dir,
            runtime_dir=spawner.hello.runtime_dir,
            logs=None,
            log_rate=1 << 20,
        )
        self.pool = Pool(board, Limits(**limits), self.ways)
        self.pool.attach(spawner)
        settings = from_mapping({"CMD_TPL": "x", **world.names})
        directory = Directory(Routes(hosts), terms(settings))
        self.gateway = Gateway(board, board, settings, directory, self.pool)
        self.yielded = self.predecessor = self.done = None
        self.others = []

    @property
    def policy(self):
        return self.pool.policy

    def server(self, site):
        return self.policy.server(site)

    def states(self):
        return {server.site: server.state for server in self.policy.servers.values()}

    def number(self, site):
        return self.pool.start_of(self.server(site)).number

    def pid(self, site):
        return self.pool.start_of(self.server(site)).pid

    def ask(self, site):
        """Ask for a lease as an exchange does."""
        asker = Asker()
        asker.server = self.gateway.take(site)
        if asker.server is None:
            self.gateway.request(site, asker)
        else:
            asker.waiting = False
        return asker

    def early(self, site):
        """A lease on a server that is not ready."""
        asker = self.ask(site)
        self.world.until(lambda: not asker.waiting)
        assert asker.server.state is State.STARTING
        return asker

    def wake(self, *sites):
        for site in sites:
            self.world.body(self.get(site))

    def lease(self, site):
        self.wake(site)
        asker = self.ask(site)
        assert asker.server.state is State.READY
        return asker

    def release(self, asker):
        orders = self.gateway.release(asker.server, self.board.seconds())
        if orders:
            self.gateway.released(asker.server, orders)

    def client(self):
        ours, far = tcp_pair(None)
        receiver = self.gateway.accept(b"127.0.0.1", 8080)
        self.gateway.connected(receiver, SocketStream(self.board, ours, receiver))
        return self.world.far(far)

    def get(self, site, path="/"):
        far = self.client()
        far.send(f"GET {path} HTTP/1.1\r\nHost: {site}\r\n\r\n".encode())
        return far

    def end(self):
        self.gateway.close_all()
        self.gateway.access.close()
        if self.yielded is not None:
            self.yielded.close()
        for each in (self.predecessor, *self.others):
            if each is not None:
                each.close()

    def close(self):
        self.end()
        self.pool.close()
        self.diag.close()
        self.board.close()


class Logged:
    """What is logged inside a `with`."""

    def __init__(self):
        self.events = []

    def __enter__(self):
        globalLogPublisher.addObserver(self.events.append)
        return self

    def __exit__(self, *_):
        globalLogPublisher.removeObserver(self.events.append)

    @property
    def texts(self):
        return [formatEvent(event) for event in self.events]


class Nobody:
    """Who is given all that a pool has, and does nothing with it (see Heir)."""

    def hold(self, start, early):
        pass

    def failed(self, failure):
        pass

    def took(self, sizes):
        pass

    def waits(self, site, waiter, since):
        pass


class World(Turns):
    """The spawner, and who serves.

    Args:
        way: in to the servers.
        limits: of the pools.
    """

    def __init__(self, way="fd", *, tcp=False, **limits):
        super().__init__()
        self.reactor.seconds = time.monotonic  # as Luisito's is
        self.folder = tempfile.mkdtemp(prefix="luisito-test-")
        os.chmod(self.folder, 0o755)
        self.listen_dir = f"{self.folder}/listen"
        os.mkdir(self.listen_dir)
        self.tcp, self.limits = tcp, limits
        order = configure(
            max_servers=50, overlap=10, command=[*PYTHON, "%HOST", self.folder, WAYS[way]]
        )
        self.spawner = Spawner(self.reactor, launch(order), self)
        self.spawner.serve()
        self.names = {}  # settings of the gateways
        self.runs = ""  # what servers run
        self.nets = []
        self.serving = None
        self.lost = []
        self.told = []

    def __getattr__(self, name):
        """Facts go to who serves."""
        if not name.startswith("spawner_"):
            raise AttributeError(name)
        return getattr(self.serving.pool, name)

    def spawner_lost(self, reason):
        self.lost.append(reason)

    def until(self, condition, seconds=20):  # servers start, on a machine that may be busy
        super().until(condition, seconds)

    def net(self, hosts=("*.test",), **limits):
        self.nets.append(Net(self, {**self.limits, **limits}, hosts))
        self.serving = self.serving or self.nets[-1]
        return self.nets[-1]

    def body(self, far):
        """The number of the server that has answered."""
        self.until(lambda: b"\r\n\r\n" in far.got or far.over)
        head, _, data = far.take().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        return int(data)

    def touch(self, name):
        with open(f"{self.folder}/{name}", "w"):
            pass

    def forget(self, name):
        os.unlink(f"{self.folder}/{name}")

    def make_way(self, old):
        """What is done at Yield; returns the successor's end."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        theirs.setblocking(False)
        before = [] if old.predecessor is None else [old.predecessor]
        old.yielded, done = make_way(
            old.board, ours, old.diag, old.pool, old.gateway, before, self.runs
        )
        old.done = []
        done.addCallback(old.done.append)
        return theirs

    def take(self, new, *socks):
        """What is done at Take; the predecessors beside the first are of no use later."""
        self.serving = new
        predecessors = [
            Predecessor(
                new.board,
                sock,
                new.pool,
                new.gateway.request,
                new.gateway.refusal,
                new.gateway.take_over,
                self.runs,
            )
            for sock in socks
            if sock is not None
        ]
        new.predecessor, new.others = (*predecessors[:1], None)[0], predecessors[1:]
        last = max((start for net in self.nets for start in [net.pool._last]), default=0)
        done = []
        taking = take_over(new.board, self.spawner, new.pool, last, predecessors)
        taking.addBoth(done.append)
        return done

    def succeed(self, old, **limits):
        """One process takes over from another; returns the new one."""
        new = self.net(**limits)
        done = self.take(new, self.make_way(old))
        self.until(lambda: done)
        assert done == [None]
        return new

    def hold_adoptions(self, keep=None):
        """Calls that ask the spawner for each server, which is not done yet.

        Args:
            keep: that many of its descriptors are handed over; as where its process has gone.
        """
        asked, ask = [], self.spawner.adopt

        def some(descriptors):
            channel.close(list(descriptors[len(descriptors) if keep is None else keep :]))
            return descriptors[:keep]

        def adopt(number):
            answered = Deferred()
            asked.append(lambda: ask(number).addCallback(some).chainDeferred(answered))
            return answered

        self.spawner.adopt = adopt
        return asked

    def crash(self, net):
        """What the others see of it."""
        for each in (net.predecessor, *net.others):
            each._leases.clear()
            each._waiters.clear()
            each.close()
        net.pool.yield_to(Nobody())
        net.gateway.close_all()

    def rejoin(self, old):
        """What is done at another Yield; returns the successor's end."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        theirs.setblocking(False)
        old.yielded.rejoin(ours)
        return theirs

    def replace(self, crashed, *left):
        """One process takes over from one that crashes; returns the new one."""
        self.crash(crashed)
        new = self.net()
        done = self.take(new, *[self.rejoin(old) for old in left])
        self.until(lambda: done)
        assert done == [None]
        return new

    def close(self):
        done = []
        self.spawner.stop().addBoth(done.append)
        self.until(lambda: done)
        for net in self.nets:
            net.close()
        for far in self.fars:
            far.close()
        self.settle()
        left = [call for call in self.reactor.getDelayedCalls() if call.active()]
        super().close()
        shutil.rmtree(self.folder)
        assert left == []


def waits(world):
    """Whether a connection waits on the listening socket."""
    adopted = []
    world.spawner.adopt(1).addCallback(adopted.append)
    world.until(lambda: adopted)
    output, notify, listener = adopted[0]
    with socket.socket(fileno=listener) as sock:
        os.close(output)
        os.close(notify)
        return bool(select.select([sock], [], [], 0)[0])


@pytest.fixture
def world():
    DelayedCall.debug = True
    before = descriptors()
    made = []

    def make(*args, **how):
        made.append(World(*args, **how))
        return made[-1]

    yield make
    for one in made:
        one.close()
    assert descriptors() == before
