"""ADMIN_LISTEN in the test's own process, and those who speak to it."""

import json
import os
import socket
import time

from twisted.internet.epollreactor import EPollReactor
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from luisito.control.answers import answer
from luisito.control.front.front import Front, bind
from luisito.control.roles import Roles
from luisito.net.switchboard import Switchboard
from luisito.readiness.diag import Diag
from luisito.settings import from_mapping

TOKEN = "a-token-of-many-letters"
OTHER = 4242  # a user who is nobody's


class Api(Resource):
    """Tells whose rights a request has."""

    isLeaf = True

    def render(self, request):
        answer(request, 200, {"uid": request.uid})
        return NOT_DONE_YET


class Shown:
    """What streams tell of."""

    def __init__(self):
        self.sites, self.whole, self.asked = {}, {}, 0

    def all(self, uid):
        return iter([row for row in self.sites.values() if uid in (0, row["uid"])])

    def busy(self, uid, before):
        return self.all(uid)

    def drawing(self):
        return {"words": "enough"}

    def status(self):
        self.asked += 1
        return self.whole


class Rig:
    """Serves at a free port of loopback, or at a path."""

    def __init__(self, token=TOKEN, at="tcp:0:interface=127.0.0.1", api=None, **roles):
        self.reactor = EPollReactor()
        self._wakers = set(self.reactor._internalReaders)
        self.board = Switchboard(self.reactor)
        self.diag, self.shown = Diag(), Shown()
        self.roles = Roles(**{"started_by": 0, "serves_as": 105, "servers_as": None, **roles})
        settings = from_mapping({"CMD_TPL": "x %FD", "ADMIN_TOKEN": token})
        object.__setattr__(settings, "admin_listen", at)
        (listener,) = bind(self.board, settings, {}).values()
        self.family, self.address = listener.socket.family, listener.socket.getsockname()
        self.front = Front(
            self.reactor, self.board, listener, token,
            api=api or Api(), roles=self.roles, diag=self.diag, shown=self.shown,
        )  # fmt: skip
        self.front.open()
        self.socks = []

    def close(self):
        self.front.close()
        for sock in self.socks:
            sock.close()
        self.until(lambda: not self.front.streams._streams)
        self.turn(0.05)
        self.board.close()
        self.reactor.removeAll()
        for call in self.reactor.getDelayedCalls():
            call.cancel()
        self.reactor._poller.close()
        for waker in self._wakers:
            waker.connectionLost(None)
        self.diag.close()

    def turn(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.reactor.iterate(0.01)

    def until(self, condition, seconds=20):
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, "it did not happen in time"
            self.reactor.iterate(0.01)
        return found

    # -- clients

    def connect(self, source=None):
        sock = socket.socket(self.family)
        if source is not None:
            sock.bind((source, 0))
        sock.connect(self.address)
        self.socks.append(sock)
        return sock

    def connect_as(self, uid, source=None):
        """A connection that another user has made; a child of that user's holds it, too."""
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            try:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                socket.send_fds(theirs, [b"x"], [self.connect(source).fileno()])
            finally:
                os._exit(0)
        with ours, theirs:
            _, (descriptor,), _, _ = socket.recv_fds(ours, 1, 1)
        os.waitpid(pid, 0)
        sock = socket.socket(fileno=descriptor)
        self.socks.append(sock)
        return sock

    def ask(self, target="/servers", method="GET", *, sock=None, version="1.1", **fields):
        """The status, the header and the body of an answer; the Host is right by default."""
        sock = sock or self.connect()
        fields = {"host": "localhost", **fields}
        head = "".join(
            f"{name.replace('_', '-')}: {value}\r\n"
            for name, value in fields.items()
            if value is not None
        )
        sock.sendall(f"{method} {target} HTTP/{version}\r\n{head}\r\n".encode())
        sock.setblocking(False)
        received = []

        def ended():
            try:
                received.append(sock.recv(65536))
            except BlockingIOError:
                return False
            except ConnectionResetError:
                return True
            return received[-1] == b""

        self.until(ended)
        head, _, body = b"".join(received).partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        found = dict(line.lower().split(": ", 1) for line in lines)
        assert "content-security-policy" in found or b"too many" in body
        return int(first.split()[1]), found, body

    def who(self, **how):
        """Whose rights a request has; a status where it is refused."""
        status, _, body = self.ask(**how)
        return json.loads(body)["uid"] if status == 200 else -status
