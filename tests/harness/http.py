"""A strict reader of HTTP/1.1 responses, as a generator that is sent bytes."""

import re

_status_line = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)\r\n").match
_field = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*\r\n"
).match
_size = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[^\r\n]*)?\r\n").fullmatch
_MAX_LINE = 1 << 20


class BadResponse(AssertionError):
    """What came is no strict HTTP/1.1."""


class BrokenOff(Exception):
    """The connection ended before the response was whole.

    Attributes:
        head: the response as far as it came; None where its head was not whole.
        body: what had come of the body.
    """

    def __init__(self, what, head=None, body=b""):
        super().__init__(what)
        self.head, self.body = head, bytes(body)


class Response:
    """A response that is whole.

    Attributes:
        framing: "length", "chunked", "eof" or "none".
        interim: the 1xx responses before it.
        left: what came behind it.
        nonce_sent: of the request, where that had one.
    """

    def __init__(self, minor, status, reason, fields):
        self.minor, self.status, self.reason, self.fields = minor, status, reason, fields
        self.framing, self.body, self.trailers = "none", b"", []
        self.interim, self.left = [], b""
        self.nonce_sent = None

    def all(self, name):
        return [value for key, value in self.fields if key == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return ", ".join(values) if values else default

    @property
    def closes(self):
        said = (self.get("connection") or "").lower()
        return "close" in said or (self.minor == 0 and "keep-alive" not in said)

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.framing} {self.body[:300]!r}>"


def _head(raw):
    line = _status_line(raw)
    if line is None:
        raise BadResponse(f"status line: {raw[:200]!r}")
    fields, at = [], line.end()
    while raw[at : at + 2] != b"\r\n":
        field = _field(raw, at)
        if field is None:
            raise BadResponse(f"field: {raw[at : at + 200]!r}")
        fields.append((field[1].decode().lower(), field[2].decode("latin-1")))
        at = field.end()
    return Response(int(line[1]), int(line[2]), line[3].decode("latin-1"), fields)


def reader(method="GET"):
    """Reads one response: yields for more bytes (b"" is the end), returns the Response.

    A 101 is final, and what came behind its head is `left`.
    """
    buffer = bytearray()
    interim = []
    while True:
        while (end := buffer.find(b"\r\n\r\n")) < 0:
            if len(buffer) > _MAX_LINE:
                raise BadResponse("the head is too long")
            data = yield
            if not data:
                raise BrokenOff(f"before the head was whole: {bytes(buffer)!r}")
            buffer += data
        response = _head(bytes(buffer[: end + 4]))
        del buffer[: end + 4]
        if response.status >= 200 or response.status == 101:
            break
        if response.get("content-length") or response.get("transfer-encoding"):
            raise BadResponse(f"{response.status} has a body")
        interim.append(response)
    response.interim = interim
    try:
        yield from _body(response, buffer, method)
    except BrokenOff as error:
        error.head = response
        raise
    response.left = bytes(buffer)
    return response


def _body(response, buffer, method):
    lengths, codings = response.all("content-length"), response.all("transfer-encoding")
    if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
        raise BadResponse(f"framing is told twice: {response.fields}")
    if response.status in {101, 204} and (lengths or codings):
        raise BadResponse(f"{response.status} with framing: {response.fields}")
    if method == "HEAD" or response.status in {101, 204, 304}:
        return
    if codings:
        if codings != ["chunked"] or not response.minor:
            raise BadResponse(f"transfer coding: {response.fields}")
        response.framing = "chunked"
        yield from _chunks(response, buffer)
    elif lengths:
        if not lengths[0].isascii() or not lengths[0].isdigit():
            raise BadResponse(f"content length {lengths[0]!r}")
        response.framing = "length"
        size = int(lengths[0])
        while len(buffer) < size:
            data = yield
            if not data:
                raise BrokenOff(f"after {len(buffer)} of {size} bytes", body=buffer)
            buffer += data
        response.body = bytes(buffer[:size])
        del buffer[:size]
    else:
        response.framing = "eof"
        while data := (yield):
            buffer += data
        response.body = bytes(buffer)
        buffer.clear()


def _line(buffer, body):
    while (end := buffer.find(b"\r\n")) < 0:
        if len(buffer) > _MAX_LINE:
            raise BadResponse("a line of the chunked body is too long")
        data = yield
        if not data:
            raise BrokenOff("in the middle of chunks", body=body)
        buffer += data
    line = bytes(buffer[: end + 2])
    del buffer[: end + 2]
    return line


def _chunks(response, buffer):
    body = bytearray()
    while True:
        line = yield from _line(buffer, body)
        size = _size(line)
        if size is None:
            raise BadResponse(f"chunk size: {line!r}")
        count = int(size[1], 16)
        if not count:
            break
        while len(buffer) < count + 2:
            data = yield
            if not data:
                raise BrokenOff("in the middle of a chunk", body=body + buffer[:count])
            buffer += data
        if buffer[count : count + 2] != b"\r\n":
            raise BadResponse("end of chunk")
        body += buffer[:count]
        del buffer[: count + 2]
    while (line := (yield from _line(buffer, body))) != b"\r\n":
        field = _field(line)
        if field is None:
            raise BadResponse(f"trailer: {line!r}")
        response.trailers.append((field[1].decode().lower(), field[2].decode("latin-1")))
    response.body = bytes(body)
