"""A client on a raw socket, and many at once; both keep account of their nonces."""

import itertools
import os
import selectors
import socket
import time

from tests.harness.http import BadResponse, BrokenOff, reader

_numbers = itertools.count(1)
RST = b"\1\0\0\0\0\0\0\0"  # struct linger: on, for 0 seconds


class Ledger:
    """What clients have sent and got.

    Attributes:
        sent: requests whose head was sent whole.
        finals: final responses that came whole.
        faults: what went wrong with the nonces.
    """

    def __init__(self):
        self.sent = self.finals = 0
        self.faults = []
        self._back = set()

    def answered(self, response, nonce):
        self.finals += 1
        back = response.all("x-nonce")
        # an answer of the origin has an X-Site, and always the nonce that it was asked with
        theirs = response.all("x-site")
        if nonce and back != [nonce] and (back or theirs):
            self.faults.append(f"nonce {nonce} was answered with {back}: {response!r}")
        if nonce and back and nonce in self._back:
            self.faults.append(f"nonce {nonce} was answered twice: {response!r}")
        self._back.update(back)
        if response.status == 503 and not (theirs or response.all("retry-after")):
            self.faults.append(f"503 without Retry-After: {response!r}")


def new_nonce():
    """Unique among all processes of a test run."""
    return f"{os.getpid()}.{next(_numbers)}"


def compose(method, target, host, fields=(), body=None, nonce=None, *, chunked=False, minor=1):
    """The bytes of a request.

    Args:
        method: of the request.
        target: path and query.
        host: value of Host; None for none.
        fields: more fields, as (name, value).
        body: bytes, or None.
        nonce: for X-Nonce; None for none.
        chunked: the body goes as chunks.
        minor: HTTP/1.minor.
    """
    lines = [f"{method} {target} HTTP/1.{minor}"]
    if host is not None:
        lines.append(f"Host: {host}")
    if nonce is not None:
        lines.append(f"X-Nonce: {nonce}")
    lines += [f"{name}: {value}" for name, value in fields]
    if body is not None:
        lines.append("Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    if body is None:
        return head
    if not chunked:
        return head + body
    pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
    return head + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


def connect(address, timeout=10.0):
    """A socket to (host, port), or to the path of a unix socket."""
    sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    sock.settimeout(timeout)
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


class Client:
    """One connection.

    Args:
        address: as of `connect`; or a socket that is connected, and closed with the client.
        ledger: keeps account.
        timeout: seconds for each wait.

    Attributes:
        sock: blocking, with a timeout.
        buffer: what came and was not asked for yet.
    """

    def __init__(self, address, ledger=None, timeout=10.0):
        given = isinstance(address, socket.socket)
        self.sock = address if given else connect(address, timeout)
        self.ledger = ledger or Ledger()
        self.buffer = b""
        self._nonces = []

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Ends the connection by RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def ask(self, target="/echo", host="a.localhost", method="GET", **how):
        """Sends a request with a nonce; returns the nonce."""
        nonce = how.pop("nonce", None) or new_nonce()
        self.ledger.sent += 1
        self._nonces.append((method, nonce))
        self.send(compose(method, target, host, nonce=nonce, **how))
        return nonce

    def response(self, method=None):
        """Reads one whole response strictly.

        Raises:
            BadResponse: it is no strict HTTP.
            BrokenOff: the connection ended, or was reset, before it was whole.
        """
        asked, nonce = self._nonces.pop(0) if self._nonces else ("GET", None)
        reading = reader(method or asked)
        next(reading)
        data, self.buffer = self.buffer, b""
        try:
            while True:
                reading.send(data or self._recv())
                data = b""
        except StopIteration as done:
            response = done.value
        self.buffer, response.left = response.left, b""
        response.nonce_sent = nonce
        self.ledger.answered(response, nonce)
        return response

    def request(self, target="/echo", host="a.localhost", method="GET", **how):
        """Sends a request, and returns the response to it."""
        self.ask(target, host, method, **how)
        return self.response()

    def _recv(self):
        try:
            return self.sock.recv(1 << 18)
        except ConnectionResetError:
            return b""

    def at_end(self, seconds=5.0):
        """What still comes until the server ends the connection; a reset counts as an end.

        Raises:
            TimeoutError: it does not end.
        """
        rest = self.buffer
        self.buffer = b""
        self.sock.settimeout(seconds)
        while data := self._recv():
            rest += data
        return rest

    def was_reset(self, seconds=5.0):
        """Whether the connection ends by RST; reads what comes before."""
        self.sock.settimeout(seconds)
        try:
            while self.sock.recv(1 << 18):
                pass
        except ConnectionResetError:
            return True
        return False

    def quiet(self, seconds=0.2):
        """Whether nothing comes, and the connection stays open, for so long."""
        if self.buffer:
            return False
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(10)
        self.buffer = data
        return False


class _Job:
    """A connection of `load`, with the requests that are still to be made on it."""

    def __init__(self, sock, first):
        self.sock, self.current = sock, first
        self.out = memoryview(b"")
        self.reading = None
        self.nonce = None
        self.began = 0.0


def load(address, requests, connections=50, ledger=None, timeout=30.0, keep=True):
    """Makes many requests on several connections at once, in one thread.

    Args:
        address: as of `connect`.
        requests: dicts with the arguments of `compose`; a nonce is added.
        connections: at most so many at a time.
        ledger: keeps account.
        timeout: seconds for all together.
        keep: a connection carries one request after the other.

    Returns:
        For each request, in order: the Response (with `seconds`), or the exception.
    """
    ledger = ledger or Ledger()
    requests = list(requests)
    results = [None] * len(requests)
    todo = iter(enumerate(requests))
    end = time.monotonic() + timeout

    with selectors.DefaultSelector() as selector:
        open_now = 0

        def begin(sock=None):
            nonlocal open_now
            job = next(todo, None)
            if job is None:
                if sock is not None:
                    sock.close()
                return
            number, how = job
            if sock is None:
                sock = connect(address)
                sock.setblocking(False)
            work = _Job(sock, number)
            work.nonce = new_nonce()
            work.out = memoryview(compose(**{**how, "nonce": work.nonce}))
            work.reading = reader(how["method"])
            next(work.reading)
            work.began = time.monotonic()
            ledger.sent += 1
            selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE, work)
            open_now += 1

        def finish(work, result):
            nonlocal open_now
            selector.unregister(work.sock)
            open_now -= 1
            results[work.current] = result
            if isinstance(result, Exception) or not keep or result.closes or result.left:
                work.sock.close()
                begin()
            else:
                begin(work.sock)

        def turn(work, mask):
            if mask & selectors.EVENT_WRITE and work.out:
                try:
                    work.out = work.out[work.sock.send(work.out) :]
                except BlockingIOError:
                    pass
                except OSError:
                    work.out = work.out[:0]  # an early answer may still be read
                if not work.out:
                    selector.modify(work.sock, selectors.EVENT_READ, work)
            if mask & selectors.EVENT_READ:
                try:
                    data = work.sock.recv(1 << 18)
                except BlockingIOError:
                    return
                except OSError:
                    data = b""
                try:
                    work.reading.send(data)
                except StopIteration as done:
                    response = done.value
                    response.nonce_sent = work.nonce
                    response.seconds = time.monotonic() - work.began
                    ledger.answered(response, work.nonce)
                    if response.left:
                        ledger.faults.append(f"bytes behind the answer: {response.left[:200]!r}")
                    finish(work, response)
                except (BrokenOff, BadResponse) as error:
                    finish(work, error)

        for _ in range(min(connections, len(requests))):
            begin()
        while open_now:
            if time.monotonic() > end:
                for key in list(selector.get_map().values()):
                    key.fileobj.close()
                raise TimeoutError(f"{open_now} of {len(requests)} requests have no answer")
            for key, mask in selector.select(1.0):
                turn(key.data, mask)
    return results


def gets(hosts, target="/echo"):
    """A GET for each of the hosts, for `load`."""
    return [{"method": "GET", "target": target, "host": host} for host in hosts]


def statuses(results):
    """{status or name of exception: how often}."""
    found = {}
    for result in results:
        key = type(result).__name__ if isinstance(result, Exception) else result.status
        found[key] = found.get(key, 0) + 1
    return found
