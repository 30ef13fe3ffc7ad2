"""The clients of a soak: one thread each, popular sites more often, and not all of them polite."""

import bisect
import itertools
import random
import socket
import threading
import time

from tests.harness.client import Client, Ledger, new_nonce
from tests.harness.http import BadResponse, BrokenOff
from tests.soak.world import SITES, is_strict, site

_TIMEOUT = 90.0  # seconds; more than any request may take by the settings
_PAUSE = 0.15  # seconds between two requests of a client, in the mean
_REQUESTS = 20  # of one connection, at most
_RETRY_AFTER = {503}
_TUNNEL = 101
# How often each is done, among all.
_POLITE = {"echo": 60, "post": 14, "pipelined": 4, "abort": 4}
_STRICT = {
    **_POLITE, "big": 4, "chunked": 4, "sleep": 4, "slow_reader": 1, "truncated": 2, "events": 1,
    "tunnel": 1, "upload": 2, "die": 0.2, "exit": 0.2,
}  # fmt: skip


class Zipf:
    """Sites of a soak: the one of rank r comes in proportion to 1/r.

    Args:
        random: the source of chance.
    """

    def __init__(self, random):
        self._random = random
        self._sums = list(itertools.accumulate(1 / rank for rank in range(1, SITES + 1)))

    def choose(self):
        """One of them: its host, and whether its app is the origin."""
        number = bisect.bisect(self._sums, self._random.random() * self._sums[-1])
        return site(number), is_strict(number)


class Traffic(threading.Thread):
    """One client: does one thing after the other until it is told to end.

    Args:
        address: of Luisito.
        verdict: who is told.
        seed: of chance.
        sites: given the source of chance, makes what chooses sites as Zipf does.
    """

    def __init__(self, address, verdict, seed, sites=Zipf):
        super().__init__(daemon=True)
        self._address, self._verdict = address, verdict
        self._random = random.Random(seed)
        self._sites = sites(self._random)
        self._ledger = Ledger()
        self._connection, self._left, self._used = None, 0, 0.0
        self._site = ""
        self._ending = threading.Event()

    def end(self):
        """Has it end after what it does now."""
        self._ending.set()

    def run(self):
        """See Thread."""
        while not self._ending.wait(self._random.expovariate(1 / _PAUSE)):
            self._site, strict = self._sites.choose()
            chances = _STRICT if strict else _POLITE
            (what,) = self._random.choices(list(chances), list(chances.values()))
            self._do(what)
        self._close()

    def _do(self, what):
        # A connection may have ended with a network process, or, where that was to go on with it,
        # with the answer that another one still gave: its next request notices.
        now = time.monotonic()
        began = now if self._connection is None else self._used
        self._used = now
        try:
            self._connect()
            getattr(self, f"_{what}")()
        except BrokenOff as error:
            self._failed(what, "a connection that broke off", error, began)
        except TimeoutError as error:
            self._close()
            self._verdict.violation(f"{self._site} {what}: no answer in {_TIMEOUT:g} s: {error!r}")
        except OSError as error:
            self._failed(what, type(error).__name__, error, began)
        except BadResponse as error:
            self._close()
            self._verdict.violation(f"{self._site} {what}: no strict HTTP: {error}")
        for fault in self._ledger.faults:
            self._verdict.violation(f"{self._site} {what}: {fault}")
        self._ledger.faults.clear()

    # -- connections

    def _connect(self):
        if self._left <= 0:
            self._close()
        if self._connection is None:
            self._connection = Client(self._address, self._ledger, _TIMEOUT)
            self._left = self._random.randint(1, _REQUESTS)
        self._left -= 1

    def _close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _failed(self, what, words, error, began):
        self._close()
        now = time.monotonic()
        network = self._verdict.excused("network", "", began, now)
        if not network and not self._verdict.excused("app", self._site, began, now):
            when = self._verdict.when(began, now)
            self._verdict.violation(
                f"{self._site} {what}: {words} with no reason: {error!r}; {when}"
            )
        cause = "network process" if network else "app"
        self._verdict.outcome(f"cut off, as the {cause} was killed")

    # -- one answer

    def _got(self, response, nonce, began, body=None):
        """Counts and checks an answer; whether it is the one that was asked for."""
        verdict, status, now = self._verdict, response.status, time.monotonic()
        if status != _TUNNEL:  # whose line is written at its end
            verdict.whole(nonce, began)
        verdict.outcome(str(status))
        if response.closes:
            self._close()
        if status < 400:
            if body is not None and response.body != body:
                found = f"{len(response.body)} bytes, {response.body[:60]!r}"
                verdict.violation(f"{self._site}: the body is not what was sent: {found}")
            return True
        if status in _RETRY_AFTER:
            if response.get("retry-after") is None:
                verdict.violation(f"{self._site}: {status} without Retry-After: {response!r}")
        elif not verdict.excused("app", self._site, began, now):
            verdict.violation(f"{self._site}: {status} with no reason: {response!r}")
        return False

    def _ask(self, path, method="GET", body=None, expected=None, **how):
        began, nonce = time.monotonic(), new_nonce()
        target = f"{path}/n={nonce}"
        connection = self._connection
        connection.ask(target, self._site, method, body=body, nonce=nonce, **how)
        response = connection.response()
        self._got(response, nonce, began, expected)
        return response

    def _begins_well(self):
        """Whether the answer is the one asked for: any other one is short, and no more comes."""
        connection = self._connection
        connection.buffer += connection.sock.recv(4096)
        return connection.buffer.startswith(b"HTTP/1.1 200 ")

    # -- what they do

    def _echo(self):
        self._ask("/echo")

    def _post(self):
        body = self._random.randbytes(self._random.choice((10, 1000, 60_000)))
        self._ask("/echo", "POST", body, body, chunked=self._random.random() < 0.3)

    def _upload(self):
        size = self._random.choice((300_000, 2_000_000))
        self._ask("/sink", "POST", bytes(size), b"%d" % size)

    def _big(self):
        size = self._random.choice((100_000, 1_000_000))
        response = self._ask(f"/bytes/{size}")
        if response.status == 200 and len(response.body) != size:
            self._verdict.violation(f"{self._site}: {len(response.body)} of {size} bytes")

    def _chunked(self):
        self._ask("/chunked/20")

    def _sleep(self):
        self._ask(f"/sleep/{self._random.uniform(0.1, 2):.2f}")

    def _pipelined(self):
        connection, began = self._connection, time.monotonic()
        nonces = [new_nonce() for _ in range(3)]
        for nonce in nonces:
            connection.ask(f"/echo/n={nonce}", self._site, nonce=nonce)
        for nonce in nonces:
            response = connection.response()
            self._got(response, nonce, began)
            if self._connection is None:
                return

    def _slow_reader(self):
        connection, nonce, began = self._connection, new_nonce(), time.monotonic()
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        connection.ask(f"/bytes/400000/n={nonce}", self._site, nonce=nonce)
        for _ in range(self._random.randint(10, 60) if self._begins_well() else 0):
            connection.buffer += connection.sock.recv(4096)
            time.sleep(0.05)
        self._got(connection.response(), nonce, began)
        self._close()

    def _truncated(self):
        """An answer that the app breaks off must not look whole."""
        nonce, began = new_nonce(), time.monotonic()
        kind = self._random.choice(("length", "chunked"))
        self._connection.ask(f"/truncate-{kind}/n={nonce}", self._site, nonce=nonce)
        try:
            response = self._connection.response()
        except BrokenOff:
            self._close()
            self._verdict.outcome("cut off, as the app had cut it off")
            return
        if self._got(response, nonce, began):
            self._verdict.violation(f"{self._site}: a truncated answer ends as a whole one")

    def _abort(self):
        """Leaves without a word, at some moment."""
        nonce = new_nonce()
        self._connection.ask(f"/echo/n={nonce}", self._site, "GET", nonce=nonce)
        time.sleep(self._random.choice((0, 0.001, 0.01, 0.1)))
        if self._random.random() < 0.5:
            self._connection.reset()
            self._connection = None
        self._close()
        self._verdict.outcome("left by the client")

    def _events(self):
        nonce, began = new_nonce(), time.monotonic()
        connection = self._connection
        connection.ask(f"/sse/0.1/n={nonce}", self._site, nonce=nonce)
        if not self._begins_well():
            self._got(connection.response(), nonce, began)
            return
        end = time.monotonic() + self._random.uniform(1, 6)
        while time.monotonic() < end:
            if not connection.sock.recv(65536):
                raise BrokenOff("in the middle of events")
        self._close()
        self._verdict.outcome("event stream")

    def _tunnel(self):
        connection, began, nonce = self._connection, time.monotonic(), new_nonce()
        fields = (("Connection", "Upgrade"), ("Upgrade", "soak"))
        connection.ask(f"/upgrade/n={nonce}", self._site, nonce=nonce, fields=fields)
        response = connection.response()
        self._got(response, nonce, began)
        if response.status != 101:
            return
        end = time.monotonic() + self._random.uniform(1, 6)
        while time.monotonic() < end:
            sent = self._random.randbytes(500)
            connection.sock.sendall(sent)
            got = b""
            while len(got) < len(sent):
                if not (data := connection.sock.recv(65536)):
                    raise BrokenOff("in a tunnel")
                got += data
            if got != sent:
                self._verdict.violation(f"{self._site}: a tunnel gave back something else")
            time.sleep(0.2)
        self._close()
        self._verdict.whole(nonce, began)
        self._verdict.outcome("tunnel")

    def _die(self):
        self._end_of_app("/die", "app killed in the middle of an answer")

    def _exit(self):
        self._end_of_app("/exit/0", "app that exits instead of an answer")

    def _end_of_app(self, path, words):
        self._verdict.fault("app", words, self._site)
        nonce, began = new_nonce(), time.monotonic()
        self._connection.ask(f"{path}/n={nonce}", self._site, nonce=nonce)
        try:
            self._got(self._connection.response(), nonce, began)
        except BrokenOff:
            self._close()
            self._verdict.outcome("cut off, as the app was killed")
        self._verdict.fault("app", words, self._site)
        self._verdict.faults[words] -= 1
