"""The whole proxy: what clients and an app server say to each other through it.

An input is a conversation (conversation.ACTIONS).
"""

import re
from collections.abc import Callable, Iterator

from tests.fuzz.conversation import Conversation
from tests.fuzz.cuts import MARK, joined, pieces
from tests.fuzz.readers import REQUESTS, Message, Reading, h11_response
from tests.fuzz.world import Client, Peer, World
from tests.harness.http import BrokenOff, Response, reader

WORDS = (
    b"\x1e\n|>|<|(|)|[|]|+|*|t1|t3|p|q|x9000|x90000|y9000|y90000|g|r|d|GET / HTTP/1.1\r\n|"
    b"HEAD / HTTP/1.1\r\n|POST / HTTP/1.1\r\n|HTTP/1.0\r\n|Host: a.test\r\n|Host: b\r\n|\r\n|"
    b"\r\n\r\n|"
    b"Content-Length: 3\r\n|Content-Length: 90000\r\n|Transfer-Encoding: chunked\r\n|3\r\nabc\r\n|"
    b"0\r\n\r\n|Connection: close\r\n|Connection: keep-alive\r\n|Expect: 100-continue\r\n|"
    b"Connection: Upgrade\r\nUpgrade: x\r\n|HTTP/1.1 200 OK\r\n|HTTP/1.1 101 Go\r\n|"
    b"HTTP/1.1 100 Continue\r\n\r\n|HTTP/1.1 304 No\r\n|HTTP/1.1 204 No\r\n|HTTP/1.0 200 OK\r\n|"
    b"Content-Type: text/event-stream\r\n|http://a.test/|abc"
).split(b"|")  # fmt: skip

_MOST = 40  # pieces that are acted on
_PAGE = "no-store"

_request_line = re.compile(rb"(?m)^[A-Z-]+ [^ \r\n]* HTTP/1\.[01]\r$")
_absolute = re.compile(rb"(?i)https?://[^/?]*")
_not_ascii = re.compile(rb"[\x80-\xff]")


def run(data: bytes) -> None:
    world = World()
    try:
        Conversation(world).act(pieces(data)[:_MOST])
        world.finish()
        world.check()
        lines = world.lines()
        passed = [_passed(app) for app in world.apps]
        for client in world.clients:
            own = [line for line in lines if line["client"] == client.address]
            _check_requests(world, client, passed)
            _check_answers(client, own, world.apps, passed)
    finally:
        world.close()


def from_message(kind: str, raw: bytes) -> bytes | None:
    if MARK in raw:
        return None
    if kind == "request":
        named = raw if b"host:" in raw.lower() else raw.replace(b"\r\n", b"\r\nHost: a.test\r\n", 1)
        return joined(b">" + named, b"<HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    return joined(b">GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", b"<" + raw)


# -- requests


def _ascii(data: bytes) -> bytes:
    """With an x for each byte of a target that is not ASCII, which we pass on and others refuse."""
    if data.isascii():
        return data
    return _request_line.sub(lambda line: _not_ascii.sub(b"x", line[0]), data)


def _passed(app: Peer) -> list[Message]:
    """The requests that came to the app server on one connection, as all readers see them."""
    data = _ascii(bytes(app.got))
    switched = b"HTTP/1.1 101" in app.said or b"HTTP/1.0 101" in app.said
    readings = [_requests(read, data, switched=switched) for read in REQUESTS.values()]
    accepted = [messages for messages, refused in readings if not refused]
    assert accepted, f"all refuse what was passed on: {readings}, {data!r}"
    keys = [_key(message) for message in accepted[0]]
    for messages, refused in readings:
        # of what one refuses, it has read the beginning as the others do
        found = [_key(message) for message in messages if message.whole or not refused]
        assert found == keys[: len(found)], f"{readings}, {data!r}"
        assert refused or len(found) == len(keys), f"{readings}, {data!r}"
    return accepted[0]


def _requests(
    read: Callable[[bytes], Reading], data: bytes, *, switched: bool
) -> tuple[list[Message], str]:
    """What one reader sees, up to an upgrade if that was agreed to, and why it refuses the rest."""
    messages: list[Message] = []
    while data:
        reading = read(data)
        for message in reading.messages:
            messages.append(message)
            if switched and message.all(b"upgrade"):
                return messages, ""
        if reading.refused:
            return messages, reading.refused
        data = reading.left
    return messages, ""


def _key(message: Message) -> tuple[object, ...]:
    method, target = message.first
    target = _absolute.sub(b"", target, count=1) if target[:1] != b"/" else target
    if target[:1] not in {b"/", b"*"}:
        target = b"*" if method == b"OPTIONS" and not target else b"/" + target
    return method, target, message.body, message.whole


def _check_requests(world: World, client: Client, passed: list[list[Message]]) -> None:
    """What was passed on of a client is what it has sent, as others read that."""
    ours = [
        message
        for messages in passed
        for message in messages
        if message.all(b"x-forwarded-for") == [client.address.encode()]
    ]
    said = _ascii(client.said)
    readings = {name: read(said) for name, read in REQUESTS.items()}
    for message in ours:
        known = False
        for name, reading in readings.items():
            if any(_is_of(message, other) for other in reading.messages):
                known = True
            else:
                # it reads no further behind an upgrade, or what it refuses
                assert reading.refused or reading.left, f"{name} sees no {message} in {said!r}"
        assert known, f"nobody sees {message} in {said!r}: {readings}"
    for name, reading in readings.items():
        if not reading.refused and not reading.left:
            most = len(reading.messages) + world.counters.retries
            assert len(ours) <= most, f"{name} sees {len(reading.messages)} requests, not {ours}"


def _is_of(message: Message, other: Message) -> bool:
    """Whether a request that was passed on, perhaps not to its end, is another."""
    method, target, body, whole = _key(message)
    return _key(other)[:2] == (method, target) and (
        (other.whole and other.body == body) if whole else other.body.startswith(body)
    )


# -- answers


def _check_answers(
    client: Client,
    lines: list[dict[str, object]],
    apps: list[Peer],
    passed: list[list[Message]],
) -> None:
    """What a client got: the app server's answers, each whole or seen to be broken off."""
    got = bytes(client.got)
    for line in lines:
        try:
            answer = _read(got, str(line["method"] or "GET"))
        except BrokenOff:
            answer = None
        whole = answer is not None and (answer.framing != "eof" or not client.stream.aborted)
        # of a head that cannot be read, `end` says why, and the answer is whole all the same
        broken = line["end"] and line["method"]
        if broken or client.closed or client.stream.aborted:
            if not whole:
                return
            assert not broken or line["status"] == 101, f"looks whole: {line}, {got!r}"
        assert answer is not None, f"was not whole: {line}, {got!r}"
        assert answer.status == line["status"], f"{answer} for {line}"
        if answer.status == 101:
            raw = b"".join(app.said for app in apps)
            assert answer.left in raw, f"{answer.left!r} is not of the tunnel"
            return
        if not answer.interim:
            assert len(got) - len(answer.left) == line["out"], f"{line}, {got!r}"
        if answer.get("cache-control") != _PAGE:
            _check_source(client, answer, apps, passed)
        got = answer.left
    assert not got, f"{got!r} answers nothing: {lines}"


def _read(data: bytes, method: str) -> Response:
    reading = reader(method)
    next(reading)
    try:
        if data:
            reading.send(data)
        reading.send(b"")
    except StopIteration as done:
        return done.value
    raise AssertionError("the reader reads on behind the end")


def _check_source(
    client: Client, answer: Response, apps: list[Peer], passed: list[list[Message]]
) -> None:
    """The app server has said it, whole, to a request of this client."""
    address = [client.address.encode()]
    known = [
        (found.first[0], found.body)
        for app, messages in zip(apps, passed, strict=True)
        for message, found in zip(messages, _answers(app, messages), strict=False)
        if message.all(b"x-forwarded-for") == address and found.whole
    ]
    assert (answer.status, answer.body) in known, f"{answer} is none of {known}"


def _answers(app: Peer, messages: list[Message]) -> Iterator[Message]:
    """The final answers on a connection, as h11 reads them."""
    data = app.said
    for message in messages:
        reading = h11_response(data, message.first[0], ended=True)
        if not reading.messages or reading.messages[-1].first[0] < 200:
            return
        yield reading.messages[-1]
        data = reading.left
