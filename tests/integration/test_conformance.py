"""Messages of other projects' test data (see CONFORMANCE), replayed at the whole server.

Each connection comes from a loopback address of its own, by which X-Forwarded-For tells at the
origin whose request it is: no byte of a message needs to be changed.
"""

import concurrent.futures
import functools
import itertools
import json
import random
import re
import selectors
import socket
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.harness import client, processes
from tests.harness.http import BadResponse, BrokenOff, reader
from tests.harness.server import PYTHON
from tests.integration.test_sites import Sites

CONFORMANCE = Path(__file__).parents[3] / "shared" / "conformance"
FILES = ("llhttp", "gunicorn", "smuggler-default")
SEED = 9112
BYTEWISE = 1000  # bytes: longer messages do not go byte by byte
# Connections: fewer, for the messages of a round that some of the ways took longer than
# HEAD_TIMEOUT, so that it was told on a busy machine by the clock and not by the message.
AT_ONCE = (700, 100, 20)
PATIENCE = 60  # seconds until a connection hangs
SETTINGS = {
    "ALLOWED_HOSTS": ["*"],
    "MAX_SERVERS": 30,
    "TRUSTED_PROXIES": [],
    "QUEUE_LIMIT": 1000,
    "HEAD_TIMEOUT": 4,
    "BODY_TIMEOUT": 2,
    "KEEPALIVE_TIMEOUT": 2,
    "RESPONSE_TIMEOUT": 2,
}


def messages(kind):
    """[(id, raw)] of all files."""
    found = []
    for file in FILES:
        path = CONFORMANCE / f"{file}.json"
        if not path.exists():
            pytest.skip(f"{path} is not here: it lies beside the project, and is no part of it")
        found += [
            (f"{file} {message['id']}", message["raw"].encode("latin-1"))
            for message in json.loads(path.read_text())
            if message["kind"] == kind
        ]
    return found


_line = re.compile(rb"(?m)^[^\r\n ]+ [^\r\n ]+ HTTP/1\.[01]\r\n")


def completed(raw):
    """The message with a Host where a head has none, and the empty line where it was cut off."""
    if b"\r\n\r\n" not in raw:
        raw += b"\r\n"

    def name(line):
        head = raw[line.end() :].partition(b"\r\n\r\n")[0]
        return line[0] + (b"" if re.search(rb"(?im)^host\s*:", head) else b"Host: a\r\n")

    return _line.sub(name, raw)


class Replay:
    """A message on its way, and what came back.

    Attributes:
        name: of the message.
        variant: of it.
        raw: the message, as long as nothing follows it.
        way: how its bytes are cut.
        source: the address it comes from.
        answer: all bytes that came back.
        ended: whether the server ended the connection.
    """

    def __init__(self, name, variant, raw, way, pieces, number):
        self.name, self.variant, self.raw = name, variant, raw
        self.way, self.pieces, self.number = way, pieces, number
        self.source = f"127.{1 + number // 40000}.{number // 200 % 200}.{1 + number % 200}"
        self.answer, self.ended = b"", False

    def again(self, number):
        """The same message, from another address."""
        *pieces, last = self.pieces
        pieces.append(last.replace(sentinel(self.number), sentinel(number)))
        return Replay(self.name, self.variant, self.raw, self.way, pieces, number)

    @property
    def message(self):
        return self.name, self.variant, self.raw

    def __repr__(self):
        raw = b"".join(self.pieces)[:2000]
        return f"{self.name} ({self.variant}, {self.way}): {raw!r} -> {self.answer[:2000]!r}"


def sentinel(number):
    """A request that may follow on any message, and whose answer nobody else's can be taken for."""
    return f"GET /after HTTP/1.1\r\nHost: a.localhost\r\nX-Nonce: after-{number}\r\n\r\n".encode()


def replays():
    """Of all requests: whole, at random cuts and byte by byte; and so with a sentinel behind."""
    chance = random.Random(SEED)
    found = []
    for name, raw in messages("request"):
        variants = {"as it is": raw, "completed": completed(raw)}
        if variants["as it is"] == variants["completed"]:
            del variants["completed"]
        for (variant, data), followed in itertools.product(variants.items(), (False, True)):
            cuts = [0, *sorted(chance.choices(range(len(data)), k=chance.randint(1, 6))), len(data)]
            ways = {"whole": [0, len(data)], "in pieces": cuts, "by bytes": range(len(data) + 1)}
            if len(data) > BYTEWISE:
                del ways["by bytes"]
            for way, at in ways.items():
                pieces = [data[a:b] for a, b in itertools.pairwise(at) if a < b]
                if followed:
                    pieces[-1] += sentinel(len(found))
                variant_ = f"{variant}, with a sentinel" if followed else variant
                found.append(Replay(name, variant_, data, way, pieces, len(found)))
    return found


def play(address, todo):
    """Sends all, a piece of each in turn, until the server has ended every connection."""
    end = time.monotonic() + PATIENCE
    with selectors.DefaultSelector() as selector:
        sending = []
        for each in todo:
            sock = socket.socket()
            sock.bind((each.source, 0))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_READ, each)
            sending.append((sock, iter(each.pieces)))
        while selector.get_map() and time.monotonic() < end:
            still = []
            for sock, pieces in sending:
                piece = next(pieces, None)
                if piece is None or sock.fileno() < 0:
                    continue
                try:
                    assert sock.send(piece) == len(piece)
                    still.append((sock, pieces))
                except OSError:
                    pass  # refused already: what it says is still to be read
            sending = still
            # long enough for the server to read the pieces one by one
            for key, _mask in selector.select(0.002 if sending else 0.5):
                try:
                    data = key.fileobj.recv(1 << 18)
                except ConnectionResetError:
                    data = b""
                key.data.answer += data
                if not data:
                    key.data.ended = True
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
        for key in list(selector.get_map().values()):
            key.fileobj.close()


def read(data, methods):
    """Reads all answers strictly.

    Args:
        data: as it came.
        methods: of the requests that the origin saw.

    Returns:
        [(status, whether it came from the origin, its nonce)], and what is wrong.
    """
    found, methods = [], iter(methods)
    while data:
        final = re.match(rb"(?:HTTP/1\.1 1(?!01).*?\r\n\r\n)*(.*?\r\n\r\n)", data, re.DOTALL)
        from_origin = final is not None and b"\r\nX-Pid: " in final[1]
        reading = reader(next(methods, "none is left") if from_origin else "GET")
        next(reading)
        try:
            reading.send(data)
            reading.send(b"")
        except StopIteration as done:
            response = done.value
            data = response.left
            found.append((response.status, from_origin, response.get("x-nonce")))
        except BrokenOff as error:
            return found, f"an answer is broken off: {error}"
        except BadResponse as error:
            return found, f"an answer is malformed: {error}"
    return found, None


def by_client(server):
    """{address: [heads]} that the origins saw, in order."""
    found = defaultdict(list)
    for head in server.seen("head"):
        source = re.findall(r"(?im)^x-forwarded-for: (.*)\r$", head["head"])
        assert len(source) == 1, head
        found[source[0]].append(head)
    return found


def twice_framed(head):
    return all(re.search(rf"(?im)^{name}\s*:", head) for name in ("content-length", "transfer-enc"))


def nonce_of(head):
    """That of a request's head, as the origin sends it back; None where it has none."""
    found = re.search(r"(?im)^x-nonce: *([^\r]*)", head)
    return found and found[1]


def has_8bit_target(line):
    """Whether nothing but bytes above 0x7f in the target is wrong: they are passed on as they are.

    The origin is stricter there than Luisito, which test_request.py of core states.
    """
    target, rest = line["head"].split(" ", 2)[1:]
    return (
        line["reason"] == "request line"
        and re.fullmatch(r"/[!-~\x80-\xff]*[\x80-\xff][!-~\x80-\xff]*", target)
        and rest.startswith(("HTTP/1.1\r\n", "HTTP/1.0\r\n"))
    )


def check(each, heads):
    """Returns the statuses, how many requests went unanswered, and the faults of one replay."""
    faults = []
    answers, wrong = read(each.answer, [head["method"] for head in heads])
    if wrong:
        faults.append(wrong)
    if not each.ended:
        faults.append("it hangs")
    if any(twice_framed(head["head"]) for head in heads):
        faults.append("Content-Length and Transfer-Encoding both reached the origin")
    nonces = [nonce for _status, from_origin, nonce in answers if from_origin]
    asked = [nonce_of(head["head"]) for head in heads]
    if nonces != asked[: len(nonces)]:
        faults.append(f"answers to {nonces} for requests {asked}")
    got = len(nonces)
    # One whose body broke off on its way is seen, and never answered by the origin: at most the
    # last one, for which the client is told so.
    missing = len(heads) - got
    told = bool(answers) and not answers[-1][1] and answers[-1][0] in {400, 408}
    if missing not in {0, 1} or (missing == 1 and not told):
        faults.append(f"the origin saw {len(heads)} requests, the client got {got} answers of it")
    return [status for status, _from_origin, _nonce in answers], missing, faults


def test_requests(serve):
    """FAULTS 11, 57: nothing malformed and no other number of requests reaches an origin."""
    replayed(serve(SETTINGS))


def test_requests_to_a_site_with_mounts(serve):
    """The same where the path decides whose each request on a connection is."""
    mount = '[[mount]]\npath = "/after"\nstrip = false\n[[mount]]\npath = "/a"\nstrip = false\n'
    site = f"default = true\n{mount}"
    settings = {name: value for name, value in SETTINGS.items() if name != "ALLOWED_HOSTS"}
    server = Sites(serve, {"a.localhost": site}, settings).server
    replayed(server)
    assert "a.localhost/after: started" in server.log()


def replayed(server):
    """Replays all requests at a server; everything is checked."""
    server.unchecked.add("malformed")  # judged below, with one exception
    todo = replays()
    faults, missing, sent, known = [], 0, 0, set()
    for at_once in AT_ONCE:
        sent += len(todo)
        # those of many pieces together, since each piece is a round
        todo.sort(key=lambda each: len(each.pieces))
        for at in range(0, len(todo), at_once):
            play(server.address, todo[at : at + at_once])
        heads = {who: seen for who, seen in by_client(server).items() if who not in known}
        known |= heads.keys()
        verdicts = defaultdict(set)
        for each in todo:
            statuses, lost, wrong = check(each, heads.pop(each.source, []))
            missing += lost
            verdicts[each.message].add(tuple(statuses))
            faults += [f"{what}: {each!r}" for what in wrong]
        differ = {message: found for message, found in verdicts.items() if len(found) > 1}
        if (
            faults
            or heads
            or not all(any(408 in one for one in found) for found in differ.values())
        ):
            break
        todo = [each for each in todo if each.message in differ]
        todo = [each.again(sent + number) for number, each in enumerate(todo)]
        if not todo:
            break
    faults += [
        f"the answers hang on the cuts: {name}, {variant}, {raw!r}: {found}"
        for (name, variant, raw), found in differ.items()
    ]
    faults += [f"nobody sent this: {heads}"] if heads else []
    faults += [
        f"malformed at the origin: {line}"
        for line in server.seen("malformed")
        if not has_8bit_target(line)
    ]
    # Only requests whose bodies broke off may have gone unanswered.
    whole = sum(line["complete"] for line in server.seen("body"))
    seen = len(server.seen("head"))
    if whole != seen - missing:
        faults.append(f"{seen} requests, {missing} unanswered, but {whole} came whole")
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults)
    assert seen > 200  # enough of them were passed on for this to mean something
    assert server.request().status == 200


class Client(client.Client):
    """One that tells a reset from an end, which matters where the end delimits the answer."""

    def _recv(self):
        try:
            return self.sock.recv(1 << 18)
        except ConnectionResetError:
            raise BrokenOff("the connection was reset") from None


def ask(server, way, number):
    """Asks for an answer, then for a good one on the same connection where that goes on.

    Returns:
        The status or "aborted", and what is wrong.
    """
    with Client(server.address, server.ledger, timeout=15) as connection:
        try:
            response = connection.request(f"/{way}/{number}")
        except BrokenOff:
            return "aborted", None
        except (BadResponse, TimeoutError) as error:
            return None, repr(error)
        if connection.buffer:
            return None, f"bytes follow: {connection.buffer!r}"
        # What trickles in behind an answer may always come to the next request on the same
        # connection to the app: no proxy can tell.
        if not response.closes and way != "bytes":
            after = connection.request("/ok")
            if (after.status, after.body) != (200, b"fine") or not after.get("x-nonce"):
                return None, f"the next answer is another one's: {after!r}"
        return response.status, None


def test_responses(serve):
    """FAULTS 15 to 17: each is answered well framed, refused or broken off; nothing hangs."""
    stored = messages("response")

    def prepare(folder):
        path = folder / "answers.json"
        path.write_text(json.dumps([raw.decode("latin-1") for _name, raw in stored]))
        path.chmod(0o644)

    command = [PYTHON, "-I", "-S", "<folder>/replay.py", "<folder>/answers.json"]
    server = serve({**SETTINGS, "CMD_TPL": command}, files=("replay.py",), prepare=prepare)
    server.expect("502 for GET /close/", "504 for GET /open/")
    # /ok: at the end, while something of "bytes" still trickles in
    server.allow(r"50[24] for GET /(close|open|bytes)/\d", "502 for GET /ok: ")
    assert server.request("/ok").body == b"fine"
    cases, results = [], []
    for way in ("close", "open", "bytes"):
        numbers = range(len(stored))
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            results += pool.map(functools.partial(ask, server, way), numbers)
        cases += [(way, at) for at in numbers]
    outcomes = Counter(outcome for outcome, _fault in results)
    faults = [
        f"{fault}: {way}, {stored[at][0]}: {stored[at][1]!r}"
        for (way, at), (_outcome, fault) in zip(cases, results, strict=True)
        if fault
    ]
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults)
    assert outcomes[200] > len(stored) / 4
    assert outcomes[502]
    processes.until(lambda: server.request("/ok").body == b"fine", 5, "a good answer at the end")
