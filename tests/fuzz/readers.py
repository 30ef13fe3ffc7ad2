"""Two readers of HTTP/1 that others have written: h11, and llhttp by way of httptools.

Both say what they made of some bytes in the same words, so that they can be compared.
"""

from collections.abc import Iterable
from typing import NamedTuple

import h11
import httptools

_LARGE = 1 << 20  # bytes of a head; the limit is ours to set


class Message(NamedTuple):
    """What a reader made of a request or a response.

    Attributes:
        first: (method, target) of a request, or (status,) of a response.
        fields: (lower-case name, value), in their order.
        whole: the end of the body was seen.
    """

    first: tuple[object, ...]
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    whole: bool

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key == name]


class Reading(NamedTuple):
    """What a reader made of a stream of bytes.

    Attributes:
        messages: those whose head was whole, in their order.
        refused: why it reads no further; "" where it is content.
        left: bytes behind the last message that it leaves to another protocol.
    """

    messages: list[Message]
    refused: str
    left: bytes = b""

    @property
    def whole(self) -> list[Message]:
        return [message for message in self.messages if message.whole]


class _Messages:
    """Collects what a reader says."""

    def __init__(self) -> None:
        self._done: list[Message] = []
        self._first: tuple[object, ...] | None = None
        self._fields: tuple[tuple[bytes, bytes], ...] = ()
        self._body = bytearray()

    def head(self, first: tuple[object, ...], fields: Iterable[tuple[bytes, bytes]]) -> None:
        self._first = first
        self._fields = tuple((name.lower(), value.strip(b" \t")) for name, value in fields)
        self._body = bytearray()

    def data(self, data: bytes) -> None:
        self._body += data

    def end(self) -> None:
        self._done += self._now(whole=True)
        self._first = None

    def _now(self, *, whole: bool) -> list[Message]:
        if self._first is None:
            return []
        return [Message(self._first, self._fields, bytes(self._body), whole)]

    def reading(self, refused: str = "", left: bytes = b"") -> Reading:
        return Reading(self._done + self._now(whole=False), refused, left)


# ------------------------------------------------------------------------------------------- h11


def h11_requests(data: bytes) -> Reading:
    """Reads requests as an app server would."""
    found = _Messages()
    while data:
        # one connection each: h11 takes no second request before the first was answered
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_LARGE)
        connection.receive_data(data)
        try:
            if not _h11_message(connection, found):
                break
        except h11.RemoteProtocolError as error:
            return found.reading(str(error))
        data = connection.trailing_data[0]
    return found.reading()


def h11_response(data: bytes, method: bytes, *, ended: bool) -> Reading:
    """Reads a response, and the interim ones before it, as a client that offers an upgrade.

    Args:
        data: what came.
        method: of the request.
        ended: the connection has ended behind that.
    """
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LARGE)
    offered = [("Host", "a"), ("Connection", "Upgrade"), ("Upgrade", "x")]
    connection.send(h11.Request(method=method, target="/", headers=offered))
    connection.send(h11.EndOfMessage())
    found = _Messages()
    try:
        connection.receive_data(data)
        if ended:
            connection.receive_data(b"")
        _h11_message(connection, found)
    except h11.RemoteProtocolError as error:
        return found.reading(str(error))
    return found.reading(left=connection.trailing_data[0])


def _h11_message(connection: h11.Connection, found: _Messages) -> bool:
    """Reads one message, and the interim responses before it; whether it is whole."""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            found.head((event.method, event.target), event.headers)
        elif isinstance(event, h11.InformationalResponse | h11.Response):
            found.head((event.status_code,), event.headers)
            if event.status_code < 200:
                found.end()
        elif isinstance(event, h11.Data):
            found.data(event.data)
        elif isinstance(event, h11.EndOfMessage):
            found.end()
            return True
        else:  # NEED_DATA, PAUSED or ConnectionClosed
            return False


# ---------------------------------------------------------------------------------------- llhttp


class _Callbacks:
    """What httptools calls; of a head it tells the fields before it tells that it is whole."""

    parser: httptools.HttpRequestParser | httptools.HttpResponseParser

    def __init__(self) -> None:
        self.found = _Messages()
        self._url = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._in_head = True

    def on_message_begin(self) -> None:
        self._url, self._fields, self._in_head = b"", [], True

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # or it is a trailer
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        parser = self.parser
        if isinstance(parser, httptools.HttpRequestParser):
            self.found.head((parser.get_method(), self._url), self._fields)
        else:
            self.found.head((parser.get_status_code(),), self._fields)

    def on_body(self, body: bytes) -> None:
        self.found.data(body)

    def on_message_complete(self) -> None:
        self.found.end()


def llhttp_requests(data: bytes) -> Reading:
    """Reads requests as an app server would, strictly."""
    callbacks = _Callbacks()
    callbacks.parser = httptools.HttpRequestParser(callbacks)
    return _fed(callbacks, data)


def llhttp_response(data: bytes) -> Reading:
    """Reads responses to anything but HEAD.

    A body that ends with its connection is never whole here: httptools cannot be told of that end.
    """
    callbacks = _Callbacks()
    callbacks.parser = httptools.HttpResponseParser(callbacks)
    return _fed(callbacks, data)


def _fed(callbacks: _Callbacks, data: bytes) -> Reading:
    try:
        callbacks.parser.feed_data(data)
    except httptools.HttpParserUpgrade as upgrade:
        return callbacks.found.reading(left=data[upgrade.args[0] :])
    except httptools.HttpParserError as error:
        return callbacks.found.reading(str(error) or type(error).__name__)
    return callbacks.found.reading()


REQUESTS = {"h11": h11_requests, "llhttp": llhttp_requests}
