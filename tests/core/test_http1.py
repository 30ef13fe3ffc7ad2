"""Heads of requests and responses: what is read out of them, refused, and passed on."""

import json
import re
import sys
from pathlib import Path

import h11
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from luisito.core import body, forwarded, http1
from luisito.core.body import ChunkScanner
from luisito.core.http1 import (
    CHUNKED,
    METHODS,
    TO_EOF,
    FieldsMemo,
    Response,
    request_fields,
    request_line,
    response,
    upgraded,
    with_host,
    without_coding,
)
from luisito.errors import BadMessage

CONFORMANCE = Path(__file__).parents[3] / "shared" / "conformance"


def block(*lines):
    return b"".join(b"\r\n" + line for line in lines) + b"\r\n"


def fields(*lines):
    return request_fields(block(b"Host: a", *lines))


def head(*lines):
    return b"\r\n".join(lines) + b"\r\n"


def passed(*lines):
    """The lines that go on, less Host."""
    return fields(*lines).lines.split(b"\r\n")[2:-1]


def answer(*lines, to_head=False):
    return response(head(*lines), to_head=to_head)


def refusal(call, *args, **kwargs):
    with pytest.raises(BadMessage) as caught:
        call(*args, **kwargs)
    return caught.value.status, str(caught.value)


# -------------------------------------------------------------------------- an independent reader

TCHAR = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def strict(message):
    """Reads a head byte by byte as RFC 9112 has it, and nothing else: (first line, fields)."""
    assert message.endswith(b"\r\n\r\n")
    first, *lines = message[:-4].split(b"\r\n")
    found = []
    for line in lines:
        name, colon, value = line.partition(b":")
        assert colon
        assert name
        assert all(byte in TCHAR for byte in name)
        found.append((name.lower(), value.strip(b" \t")))
    for line in [first, *lines]:
        assert all(byte == 9 or (byte >= 32 and byte != 127) for byte in line)
    return first, found


def strict_length(found):
    """The one length that fields give a body; there must be no second reading of them."""
    lengths = [value for name, value in found if name == b"content-length"]
    codings = [value for name, value in found if name == b"transfer-encoding"]
    assert len(lengths) + len(codings) <= 1
    if codings:
        assert codings[0].lower() == b"chunked"
        return CHUNKED
    if not lengths:
        return None
    assert all(byte in b"0123456789" for byte in lengths[0])
    assert str(int(lengths[0])).encode() == lengths[0]
    return int(lengths[0])


# ---------------------------------------------------------------------------------- request lines


@pytest.mark.parametrize(
    ("line", "method", "target", "minor", "authority"),
    [
        (b"GET / HTTP/1.1", b"GET", b"/", 1, None),
        (b"GET /a?b=c HTTP/1.0", b"GET", b"/a?b=c", 0, None),
        (b"M-SEARCH /a HTTP/1.1", b"M-SEARCH", b"/a", 1, None),
        (b"GET //a/../%00|{}^\\`\xc3\xa0 HTTP/1.1", b"GET", b"//a/../%00|{}^\\`\xc3\xa0", 1, None),
        (b"OPTIONS * HTTP/1.1", b"OPTIONS", b"*", 1, None),
        (b"GET http://a.example HTTP/1.1", b"GET", b"/", 1, b"a.example"),
        (b"GET http://a.example/x?y HTTP/1.1", b"GET", b"/x?y", 1, b"a.example"),
        (b"GET HTTPS://[::1]:8080?y HTTP/1.0", b"GET", b"/?y", 0, b"[::1]:8080"),
        (b"OPTIONS http://a.example HTTP/1.1", b"OPTIONS", b"*", 1, b"a.example"),
        (b"OPTIONS http://a.example/ HTTP/1.1", b"OPTIONS", b"/", 1, b"a.example"),
    ],
)
def test_request_lines(line, method, target, minor, authority):
    """FAULTS 54: an absolute-form target names the host that wins."""
    read = request_line(line + b"\r\nHost: b\r\n\r\n")
    assert read == (method, target, minor, len(line), authority)
    assert type(read) is http1.RequestLine


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"", 400),
        (b"GET /", 400),  # HTTP/0.9
        (b"GET  / HTTP/1.1", 400),  # two spaces
        (b"GET /  HTTP/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b"GET\t/ HTTP/1.1", 400),
        (b" GET / HTTP/1.1", 400),
        (b"\nGET / HTTP/1.1", 400),  # LF before the request line
        (b"\r\nGET / HTTP/1.1", 400),
        (b"GET / HTTP/1.1\nX: y", 400),
        (b"GET / HTTP/1.1\rX: y", 400),
        (b"GET / HTTP/11", 400),
        (b"GET / http/1.1", 400),
        (b"GET / RTSP/1.0", 400),
        (b"SOURCE / ICE/1.0", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET a HTTP/1.1", 400),
        (b"GET ?a HTTP/1.1", 400),
        (b'GET /" HTTP/1.1', 400),
        (b"GET /# HTTP/1.1", 400),
        (b"GET /< HTTP/1.1", 400),
        (b"GET /> HTTP/1.1", 400),
        (b"GET /\x00 HTTP/1.1", 400),
        (b"GET /\x1b HTTP/1.1", 400),
        (b"GET /\x7f HTTP/1.1", 400),
        (b"GET /\t HTTP/1.1", 400),
        (b"GET ftp://a/ HTTP/1.1", 400),
        (b"GET http:a HTTP/1.1", 400),
        (b"GET http:/a HTTP/1.1", 400),
        (b"GET http:// HTTP/1.1", 400),
        (b"GET http:///a HTTP/1.1", 400),
        (b"GET http://b@a/ HTTP/1.1", 400),
        (b"GET http://a\t/ HTTP/1.1", 400),
        (b"GET http://a\x00/ HTTP/1.1", 400),
        (b"GET http://a/# HTTP/1.1", 400),
        (b"GET http://a# HTTP/1.1", 400),
        (b"get / HTTP/1.1", 501),
        (b"FOO / HTTP/1.1", 501),
        (b"FOO-BAR / HTTP/1.1", 501),
        (b"PRI * HTTP/1.1", 501),
        (b"CONNECT a:443 HTTP/1.1", 501),
        (b"GET / HTTP/0.9", 505),
        (b"GET / HTTP/1.2", 505),
        (b"GET / HTTP/2.0", 505),
        (b"PRI * HTTP/2.0", 505),
    ],
)
def test_request_lines_that_are_refused(line, status):
    """FAULTS 57, and what llhttp lets pass."""
    assert refusal(request_line, line + b"\r\nHost: a\r\n\r\n")[0] == status


def test_a_connection_is_never_switched_to_a_tunnel_by_method():
    assert not METHODS & {b"CONNECT", b"PRI"}
    assert http1.IDEMPOTENT < METHODS
    assert not http1.IDEMPOTENT & {b"POST", b"PATCH", b"LOCK"}


# --------------------------------------------------------------------------- fields of a request


def test_fields_of_a_plain_request():
    read = request_fields(block(b"hOst:\tA.Example:80 ", b"Accept: */*", b"X_Y:z"))
    assert (read.host, read.site) == (b"A.Example:80", "a.example")
    assert read.lines == b"\r\nHost: A.Example:80\r\nAccept: */*\r\nX_Y:z\r\n"
    assert (read.length, read.close, read.upgrade) == (0, None, False)
    assert (read.expects_continue, read.json, read.forwarded) == (False, False, ())


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b"Accept: */*"],
        [b"Host: a", b"Host: a"],
        [b"Host: a", b"host: b"],
        [b"Host:"],
        [b"Host: a b"],
        [b"Host: a, b"],
        [b"Host: a,b"],
        [b"Host: u@a"],
        [b"Host: a:99999"],
        [b"Host: ../x"],
    ],
)
def test_a_host_is_missing_or_twice_or_none(lines):
    """FAULTS 49, 51, 54, and what llhttp lets pass."""
    assert refusal(request_fields, block(*lines))[0] == 400


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ([], 0),
        ([b"Content-Length: 0"], 0),
        ([b"content-LENGTH:\t7\t"], 7),
        ([b"Content-Length: 999999999999999999"], 10**18 - 1),
        ([b"Transfer-Encoding: chunked"], CHUNKED),
        ([b"transfer-encoding:\tChunked "], CHUNKED),
    ],
)
def test_the_length_of_a_request_is_written_in_one_way(lines, length):
    read = fields(*lines)
    assert read.length == length
    _, found = strict(b"GET / HTTP/1.1" + read.lines + b"\r\n")
    assert (strict_length(found) or 0) == length
    assert b"\t" not in read.lines


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([b"Content-Length: 1", b"Transfer-Encoding: chunked"], 400),  # 11
        ([b"Transfer-Encoding: chunked", b"Content-Length: 1"], 400),  # 11
        ([b"Content-Length: 1", b"Content-Length: 1"], 400),  # 11
        ([b"Content-Length: 1", b"content-length: 2"], 400),  # 11
        ([b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], 400),  # 11
        ([b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"], 400),  # 11
        ([b"Content-Length:"], 400),
        ([b"Content-Length: 1, 1"], 400),
        ([b"Content-Length: 007"], 400),
        ([b"Content-Length: +1"], 400),
        ([b"Content-Length: -1"], 400),
        ([b"Content-Length: 1_0"], 400),
        ([b"Content-Length: 0x5"], 400),
        ([b"Content-Length: 1 0"], 400),
        ([b"Content-Length: \xb2"], 400),
        ([b"Content-Length: 9223372036854775808"], 400),  # 2^63
        ([b"Content-Length: 1000000000000000000"], 400),
        ([b"Transfer-Encoding:"], 400),
        ([b"Transfer-Encoding: identity"], 400),
        ([b"Transfer-Encoding: xchunked"], 400),
        ([b"Transfer-Encoding: chunked, gzip"], 400),
        ([b"Transfer-Encoding: chunked, chunked"], 400),
        ([b"Transfer-Encoding: chunked;a=b"], 400),
        ([b'Transfer-Encoding: "chunked"'], 400),
        ([b"Transfer-Encoding: ,chunked"], 501),
        ([b"Transfer-Encoding: gzip, chunked"], 501),
        ([b"Connection: Upgrade", b"Upgrade: x", b"Transfer-Encoding: gzip, chunked"], 501),
        ([b"Connection: Upgrade", b"Upgrade: x", b"Transfer-Encoding: x"], 400),
        ([b"Content-Type: a/b", b"Content-Type: a/c"], 400),
    ],
)
def test_what_two_parsers_could_frame_differently_is_refused(lines, status):
    """FAULTS 11, and what llhttp lets pass."""
    assert refusal(fields, *lines)[0] == status


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"X",
        b": y",
        b" X: y",
        b"X : y",
        b"X\t: y",
        b"X: y\r\n folded",
        b"X: y\r\n\tfolded",
        b"X: y\rZ: z",
        b"X: y\nZ: z",
        b"X: y\n",
        b"X: \x00",
        b"X: \x0b",
        b"X: \x1b[0m",
        b"X: \x7f",
        b"X\x00: y",
        b"X(: y",
        b"\xc3\xa0: y",
        b"Transfer-Encoding: \x0bchunked",
        b"Transfer-Encoding : chunked",
    ],
)
def test_malformed_lines_are_refused(line):
    """FAULTS 57."""
    status, why = refusal(fields, line)
    assert (status, why[:26]) == (400, "a header line is malformed")
    status, why = refusal(answer, b"HTTP/1.1 200 OK", line, b"Content-Length: 0")
    assert (status, why[:31]) == (502, "a line of its head is malformed")


def test_a_malformed_line_is_shown():
    lines = [b"A: b", b"C d", b"E f"]
    assert refusal(fields, *lines)[1] == "a header line is malformed: b'C d'"
    assert refusal(answer, b"HTTP/1.1 200", *lines)[1] == "a line of its head is malformed: b'C d'"
    assert refusal(answer, b"HTTP/1.1 600", *lines)[1].startswith(
        "its status line is malformed: b'HT"
    )


def test_a_last_line_without_its_end_is_refused():
    # https://github.com/python/cpython/issues/106052 would let it pass
    assert refusal(request_fields, b"\r\nHost: a\r\nX: y")[0] == 400
    assert refusal(response, b"HTTP/1.1 200 OK\r\nX: y", to_head=False)[0] == 502


def test_llhttp_is_asked_too(monkeypatch):
    """What llhttp refuses is refused, even were a rule of ours to let it pass."""
    monkeypatch.setattr(http1, "_field_lines", lambda _: True)
    status, why = refusal(fields, b"X: \x00")
    assert (status, why[:26]) == (400, "a header line is malformed")


@pytest.mark.parametrize(
    "name",
    [
        b"Content_Length",
        b"Content-LENGTH".replace(b"-", b"_"),
        b"transfer_encoding",
        b"Content_Type",
        b"X_Forwarded_For",
        b"X-Forwarded_Host",
        b"x_real_ip",
        b"Proxy_Authorization",
        b"Keep_Alive",
    ],
)
def test_names_that_collide_for_wsgi_are_dropped(name):
    """FAULTS 59."""
    read = fields(name + b": 5", b"X_Harmless: 1")
    assert read.lines == b"\r\nHost: a\r\nX_Harmless: 1\r\n"
    assert (read.length, read.forwarded) == (0, ())


@pytest.mark.parametrize(
    "line",
    [
        b"Proxy: http://evil",  # 61
        b"PROXY:x",
        b"Proxy-Authorization: Basic x",
        b"Proxy-Connection: keep-alive",
        b"Keep-Alive: 300",
        b"TE: trailers",
        b"HTTP2-Settings: AAMAAABk",
        b"Upgrade: websocket",  # not named by Connection
        b"Connection: x",
    ],
)
def test_what_one_hop_keeps_to_itself(line):
    """FAULTS 60, 61."""
    assert passed(line, b"A: b") == [b"A: b"]


@pytest.mark.parametrize(
    ("lines", "close"),
    [
        ([], None),
        ([b"Connection: close"], True),
        ([b"Connection: Close, X-Foo"], True),
        ([b"Connection: keep-alive"], False),
        ([b"Connection: x", b"Connection:\tKEEP-ALIVE ,"], False),
        ([b"Connection: keep-alive", b"Connection: close"], True),
        ([b"Connection: closer"], None),
    ],
)
def test_whether_the_connection_goes_on(lines, close):
    read = fields(*lines)
    assert read.close is close
    assert read.lines == b"\r\nHost: a\r\n"


def test_what_connection_names_is_removed():
    """FAULTS 60."""
    lines = [b"X-Foo: 1", b"x-bar:2", b"Cookie: c", b"X-Baz: 3"]
    assert passed(b"Connection: close, X-Foo, ,X-BAR", *lines) == lines[2:]


def test_connection_cannot_remove_what_frames_or_routes():
    """FAULTS 60."""
    lines = [b"Content-Length: 5", b"Content-Type: a/b", b"Content-Encoding: gzip", b"Expect: x"]
    named = b"Connection: Host, Content-Length, Content-Type, Content-Encoding, Expect"
    read = fields(*lines, named)
    assert read.lines.split(b"\r\n")[1:-1] == [b"Host: a", *lines]
    assert read.length == 5
    read = fields(b"Connection: transfer-encoding", b"Transfer-Encoding: chunked")
    assert b"Transfer-Encoding: chunked" in read.lines


def test_connection_cannot_hide_that_the_client_came_through_a_proxy():
    """FAULTS 60: with these removed, a proxy on loopback would lend its address to its clients."""
    read = fields(b"Connection: X-Forwarded-For, Forwarded", b"X-Forwarded-For: 1.2.3.4")
    assert read.forwarded == ((b"x-forwarded-for", b"1.2.3.4"),)


def test_forwarded_fields_are_taken_out():
    """FAULTS 58."""
    read = fields(
        b"X-Forwarded-For: 1.1.1.1", b"FORWARDED:for=x", b"X-Real-IP: 2", b"x-forwarded-for: 3",
        b"X-Forwarded-Anything: 4", b"X-Forwarded: 5",
    )  # fmt: skip
    assert read.forwarded == (
        (b"x-forwarded-for", b"1.1.1.1"),
        (b"forwarded", b"for=x"),
        (b"x-real-ip", b"2"),
        (b"x-forwarded-for", b"3"),
        (b"x-forwarded-anything", b"4"),
    )
    assert read.lines == b"\r\nHost: a\r\nX-Forwarded: 5\r\n"


@pytest.mark.parametrize(
    ("lines", "protocols"),
    [
        ([b"Connection: Upgrade", b"Upgrade: websocket"], b"websocket"),
        ([b"Connection: keep-alive, upgrade", b"Upgrade: a/1 ,", b"upgrade:b"], b"a/1, b"),
        ([b"Connection: Upgrade", b"Upgrade: h2c, websocket"], b"websocket"),  # 72
        ([b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: H2C", b"HTTP2-Settings: A"], None),
        ([b"Connection: Upgrade", b"Upgrade: h2c-14"], None),  # 72
        ([b"Upgrade: websocket"], None),
        ([b"Connection: Upgrade"], None),
        ([b"Connection: Upgrade", b"Upgrade: a", b"Transfer-Encoding: chunked"], None),
        ([b"Connection: Upgrade", b"Upgrade: a", b"Content-Length: 1"], None),
        ([b"Connection: Upgrade", b"Upgrade: a", b"Content-Length: 0"], b"a"),
    ],
)
def test_upgrades(lines, protocols):
    """FAULTS 70, 72."""
    read = fields(*lines)
    assert read.upgrade is (protocols is not None)
    found = dict(strict(b"GET / HTTP/1.1" + read.lines + b"\r\n")[1])
    assert found.get(b"upgrade") == protocols
    assert found.get(b"connection") == (b"Upgrade" if protocols else None)


@pytest.mark.parametrize(
    ("lines", "expects"),
    [
        ([b"Expect: 100-Continue"], True),
        ([b"Expect: a, 100-continue"], True),
        ([b"Expect: 100-continue", b"Expect: a"], True),
        ([b"Expect: a"], False),
    ],
)
def test_expectations(lines, expects):
    """FAULTS 10."""
    assert fields(*lines).expects_continue is expects
    assert passed(*lines) == lines


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        (b"*/*", False),
        (b"text/html", False),
        (b"application/JSON", True),
        (b"text/html, application/json", False),
        (b"application/problem+json, text/html", True),
    ],
)
def test_whether_json_is_wanted(accept, json):
    assert fields(b"Accept: " + accept).json is json


def test_an_authority_takes_the_place_of_host():
    """FAULTS 54."""
    sent = block(b"X: y", b"HOST: b", b"Hostess: c")
    assert with_host(sent, b"a:1") == block(b"X: y", b"Host: a:1", b"Hostess: c")
    assert request_fields(with_host(sent, b"a:1")).host == b"a:1"
    assert refusal(request_fields, with_host(sent, b"a\x01"))[0] == 400


# ------------------------------------------------------------------------------- what is remembered


def test_the_memo_remembers_within_bounds():
    memo = FieldsMemo(size=2, longest=40)
    blocks = [block(b"Host: a%d" % number) for number in range(3)]
    first = memo.get(blocks[0])
    assert memo.get(bytes(bytearray(blocks[0]))) is first
    memo.get(blocks[1])
    memo.get(blocks[2])
    assert memo.get(blocks[0]) is not first
    long = block(b"Host: a", b"X: " + b"y" * 40)
    assert memo.get(long) is not memo.get(long)
    assert len(memo._seen) == 2
    for _ in range(2):
        assert refusal(memo.get, block(b"Host: a b"))[0] == 400


# --------------------------------------------------------------------------------------- responses


@pytest.mark.parametrize(
    ("lines", "status", "length", "keep"),
    [
        ([b"HTTP/1.1 200 OK", b"Content-Length: 5"], 200, 5, True),
        ([b"HTTP/1.1 200 ", b"content-length:5"], 200, 5, True),
        ([b"HTTP/1.1 200", b"Content-Length:\t5 "], 200, 5, True),
        ([b"HTTP/1.1 599 \xe9", b"Content-Length: 0"], 599, 0, True),
        ([b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked"], 200, CHUNKED, True),
        ([b"HTTP/1.1 200 OK", b"transfer-encoding: CHUNKED\t"], 200, CHUNKED, True),
        ([b"HTTP/1.1 200 OK"], 200, TO_EOF, False),
        ([b"HTTP/1.1 200 OK", b"Connection: keep-alive"], 200, TO_EOF, False),
        ([b"HTTP/1.1 200 OK", b"Connection: close", b"Content-Length: 5"], 200, 5, False),
        ([b"HTTP/1.1 200 OK", b"Content-Length: 5", b"connection:Close"], 200, 5, False),
        ([b"HTTP/1.1 200 OK", b"Connection: X, close", b"Content-Length: 5"], 200, 5, False),
        ([b"HTTP/1.1 200 OK", b"Connection: keep-alive", b"Content-Length: 5"], 200, 5, True),
        (
            [b"HTTP/1.1 200 OK", b"Connection: keep-alive", b"Content-Length: 5",
             b"Connection: close"], 200, 5, False,
        ),
        (
            [b"HTTP/1.1 200 OK", b"Connection: close", b"Transfer-Encoding: chunked"],
            200, CHUNKED, False,
        ),
        ([b"HTTP/1.0 200 OK", b"Content-Length: 5"], 200, 5, False),
        ([b"HTTP/1.0 200 OK", b"Connection: keep-alive", b"Content-Length: 5"], 200, 5, True),
        ([b"HTTP/1.0 200 OK", b"Connection: close, keep-alive", b"Content-Length: 5"],
         200, 5, False),
        ([b"HTTP/1.0 200 OK"], 200, TO_EOF, False),
        ([b"HTTP/1.1 204 No Content"], 204, 0, True),
        ([b"HTTP/1.1 304 Not Modified", b"Content-Length: 5"], 304, 0, True),
        ([b"HTTP/1.1 304 Not Modified", b"Transfer-Encoding: chunked"], 304, 0, True),
        ([b"HTTP/1.1 103 Early Hints", b"Link: </a>"], 103, 0, True),
        ([b"HTTP/1.1 101 Switching Protocols", b"Connection: Upgrade", b"Upgrade: x"],
         101, 0, True),
    ],
)  # fmt: skip
def test_responses(lines, status, length, keep):
    """FAULTS 13, 14."""
    read = answer(*lines)
    assert (read.status, read.length, read.keep, read.streams) == (status, length, keep, False)
    assert type(read) is Response
    first, found = strict(read.lines + b"\r\n")
    assert first.startswith(b"HTTP/1.1 %d " % status)
    assert not {b"connection", b"keep-alive", b"upgrade"} & dict(found).keys()
    if length == CHUNKED:
        assert strict_length(found) == CHUNKED
    elif status not in (204, 304) and status >= 200:
        assert strict_length(found) == (None if length == TO_EOF else length)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([b""], "malformed"),
        ([b"garbage"], "malformed"),  # 16
        ([b"HTTP/1.1 600 No", b"Content-Length: 0"], "malformed"),
        ([b"HTTP/1.1 099 No", b"Content-Length: 0"], "malformed"),
        ([b"HTTP/1.1 20 No", b"Content-Length: 0"], "malformed"),
        ([b"HTTP/1.1 2000 No", b"Content-Length: 0"], "malformed"),
        ([b"HTTP/1.1 200OK", b"Content-Length: 0"], "malformed"),
        ([b"HTTP/1.1  200 OK", b"Content-Length: 0"], "malformed"),
        ([b"HTTP/2.0 200 OK", b"Content-Length: 0"], "malformed"),
        ([b"HTTP/1.2 200 OK", b"Content-Length: 0"], "malformed"),
        ([b"HTTP/0.9 200 OK", b"Content-Length: 0"], "malformed"),
        ([b"RTSP/1.0 200 OK", b"Content-Length: 0"], "malformed"),
        ([b"ICY 200 OK", b"Content-Length: 0"], "malformed"),
        ([b"HTTP/1.1 200 O\x00K", b"Content-Length: 0"], "malformed"),
        ([b"HTTP/1.1 200 O\x1bK", b"Content-Length: 0"], "malformed"),
        ([b"HTTP/1.1 200 O\rK", b"Content-Length: 0"], "malformed"),
        ([b"HTTP/1.1 200 O\nK", b"Content-Length: 0"], "malformed"),
        ([b"HTTP/1.1 200 OK", b"Content-Length: 1", b"Transfer-Encoding: chunked"], "both"),  # 16
        ([b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", b"Content-Length: 1"], "both"),  # 16
        ([b"HTTP/1.1 200 OK", b"Content-Length: 1", b"Content-Length: 1"], "twice"),
        ([b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", b"transfer-encoding: x"], "twice"),
        ([b"HTTP/1.1 200 OK", b"Content-Length: 1, 1"], "b'1, 1'"),
        ([b"HTTP/1.1 200 OK", b"Content-Length: 007"], "b'007'"),
        ([b"HTTP/1.1 200 OK", b"Content-Length: -1"], "b'-1'"),
        ([b"HTTP/1.1 200 OK", b"Content-Length: 9223372036854775808"], "b'9223372036854775808'"),
        ([b"HTTP/1.1 200 OK", b"Content-Length:"], "b''"),
        ([b"HTTP/1.1 204 No", b"Content-Length: x"], "b'x'"),
        ([b"HTTP/1.1 200 OK", b"Transfer-Encoding: gzip, chunked"], "only chunked"),
        ([b"HTTP/1.1 200 OK", b"Transfer-Encoding: identity"], "only chunked"),
        ([b"HTTP/1.0 200 OK", b"Transfer-Encoding: chunked"], "HTTP/1.0"),
        ([b"HTTP/1.1 204 No", b"Transfer-Encoding: chunked"], "status 204"),
        ([b"HTTP/1.1 100 Go", b"Transfer-Encoding: chunked"], "status 100"),
        ([b"HTTP/1.1 101 Go", b"Transfer-Encoding: chunked"], "status 101"),
    ],
)
def test_responses_that_are_refused(lines, why):
    """FAULTS 16, 57, and what llhttp lets pass."""
    status, reason = refusal(answer, *lines)
    assert status == 502
    assert why in reason
    assert refusal(answer, *lines, to_head=True) == (status, reason)


@pytest.mark.parametrize("status", [100, 101, 103, 204])
def test_no_length_where_none_may_be(status):
    """FAULTS 14; RFC 9110 section 8.6."""
    read = answer(b"HTTP/1.1 %d x" % status, b"Content-Length: 5", b"A: b")
    assert (read.length, read.keep) == (0, True)
    assert read.lines == b"HTTP/1.1 %d x\r\nA: b\r\n" % status
    assert refusal(answer, b"HTTP/1.1 %d x" % status, b"Content-Length: 5", b"Content-Length: 5")


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ([b"HTTP/1.1 200 OK", b"Content-Length: 5"], b"Content-Length: 5\r\n"),
        ([b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked"], b""),
        ([b"HTTP/1.1 200 OK"], b""),
        ([b"HTTP/1.1 304 Not Modified", b"Content-Length: 5"], b"Content-Length: 5\r\n"),
    ],
)
def test_an_answer_to_head_has_no_body(lines, kept):
    """FAULTS 14, and what llhttp lets pass."""
    read = answer(*lines, to_head=True)
    assert (read.length, read.keep) == (0, True)
    assert read.lines == lines[0] + b"\r\n" + kept


@pytest.mark.parametrize("first", [b"X-Foo: 1", b"Content-Length: 5"])
def test_what_connection_names_is_removed_from_a_response(first):
    """FAULTS 60."""
    lines = [b"X-Foo: 1", b"Content-Type: a/b", b"Content-Length: 5", b"Keep-Alive: timeout=5"]
    lines.sort(key=lambda line: line != first)
    read = answer(
        b"HTTP/1.1 200 OK",
        b"Connection: x-foo, Keep-Alive, Content-Length, Content-Type, Transfer-Encoding",
        *lines,
        b"Upgrade: h2c",
        b"Proxy-Connection: x",
    )
    kept = sorted(read.lines.split(b"\r\n"))[1:]
    assert kept == [b"Content-Length: 5", b"Content-Type: a/b", b"HTTP/1.1 200 OK"]
    assert (read.length, read.keep) == (5, True)


@pytest.mark.parametrize(
    ("lines", "streams"),
    [
        ([b"Transfer-Encoding: chunked", b"content-type:text/Event-Stream;charset=utf-8"], True),
        ([b"Content-Type: text/event-stream", b"Transfer-Encoding: chunked"], True),
        ([b"Content-Type: text/event-stream"], True),
        ([b"Content-Type: text/event-stream", b"Content-Length: 5"], False),
        ([b"Content-Type: text/plain", b"Vary: text/event-stream"], False),
        ([b"Content-Type: text/plain", b"Transfer-Encoding: chunked"], False),
    ],
)
def test_event_streams(lines, streams):
    assert answer(b"HTTP/1.1 200 OK", *lines).streams is streams


def test_for_a_client_that_does_not_know_chunks():
    lines = answer(b"HTTP/1.1 200 OK", b"A: b", b"Transfer-Encoding: chunked", b"C: d").lines
    assert without_coding(lines) == b"HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n"


def test_a_101_keeps_its_upgrade():
    """FAULTS 70."""
    lines = [b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Accept: x"]
    raw = head(b"HTTP/1.0 101 Go", b"content-length:4", *lines, b"Keep-Alive: x")
    assert upgraded(raw) == head(b"HTTP/1.1 101 Go", *lines)


# ------------------------------------------------------------------------------------ any input

NAMES = [
    b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Upgrade", b"Keep-Alive",
    b"TE", b"Proxy", b"Expect", b"X-Foo", b"X_Forwarded_For", b"X-Forwarded-For", b"Forwarded",
    b"Content_Length", b"Content-Type", b"Proxy-Connection", b"Accept", b"Trailer", b"Cookie",
]  # fmt: skip
VALUES = [
    b"a", b"5", b"0", b"05", b"chunked", b"gzip, chunked", b"close", b"keep-alive", b"Upgrade",
    b"websocket", b"h2c", b"X-Foo, close", b"100-continue", b"text/event-stream", b"", b"a b",
    b"b.example:80", b"x\xff", b'"', b"Host, Content-Length, Transfer-Encoding, Content-Type",
]  # fmt: skip
LINE = st.one_of(
    st.builds(
        lambda name, colon, value, end: name + colon + value + end,
        st.sampled_from(NAMES).flatmap(lambda n: st.sampled_from([n, n.lower(), n.upper()])),
        st.sampled_from([b": ", b": ", b": ", b":", b":\t", b" :", b""]),
        st.sampled_from(VALUES),
        st.sampled_from([b"", b"", b"", b"", b" ", b"\t", b"\r", b"\n", b"\x00", b"\r\n "]),
    ),
    st.binary(max_size=20),
)
# Lines that are each valid, with few that contradict each other: most such heads are accepted.
FRAMING = st.sampled_from(
    [
        [], [], [b"Content-Length: 5"], [b"content-length:\t0"], [b"Transfer-Encoding: chunked"],
        [b"TRANSFER-ENCODING:Chunked "], [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
    ]
)  # fmt: skip
VALID_LINE = st.builds(
    lambda name, colon, value: name + colon + value,
    st.sampled_from(sorted({*NAMES} - {b"Host", b"Content-Length", b"Transfer-Encoding"})).flatmap(
        lambda name: st.sampled_from([name, name.lower(), name.upper()])
    ),
    st.sampled_from([b": ", b":", b":\t", b": \t"]),
    st.sampled_from(VALUES),
)


@st.composite
def valid_lines(draw, *always):
    others = draw(st.lists(VALID_LINE, max_size=6))
    return block(*draw(st.permutations([*always, *draw(FRAMING), *others])))


ANY_LINES = st.lists(LINE, max_size=6).map(lambda lines: block(*lines))
REQUEST_LINES = st.one_of(
    ANY_LINES, st.sampled_from([b"Host: b.example:80", b"HOST:\ta "]).flatmap(valid_lines)
)
REQUEST_LINE = st.one_of(
    st.sampled_from([b"GET / HTTP/1.1", b"POST /a?b HTTP/1.0", b"GET http://b:1?c HTTP/1.1"]),
    st.binary(max_size=40),
    st.builds(
        lambda method, target, version: method + b" " + target + b" " + version,
        st.sampled_from([*sorted(METHODS)[:5], b"OPTIONS", b"get", b"CONNECT", b"GET "]),
        st.one_of(
            st.binary(max_size=10).map(lambda rest: b"/" + rest),
            st.sampled_from(
                [b"*", b"/", b"http://b", b"http://b:1?c", b"HTTPS://u@b/", b"ftp://b/"]
            ),
            st.text('/?#*"<>:@htps[]ab.', max_size=12).map(str.encode),
        ),
        st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1 ", b""]),
    ),
)
STATUS_LINE = st.one_of(
    st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.0 404 No", b"HTTP/1.1 304 Same"]),
    st.binary(max_size=20),
    st.builds(
        lambda version, status, reason: b"%s %d%s" % (version, status, reason),
        st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2"]),
        st.sampled_from([100, 101, 103, 200, 204, 205, 304, 404, 502, 599, 600, 99]),
        st.sampled_from([b" OK", b"", b" ", b" \xff", b" a\tb", b" \x00", b"  "]),
    ),
)


@settings(max_examples=300, deadline=None)
@given(REQUEST_LINE, REQUEST_LINES, st.booleans())
def test_any_request_is_refused_or_goes_on_with_the_same_meaning(first, lines, memo):
    """FAULTS 57, 60; and no error but BadMessage, whatever comes in."""
    if b"\r\n\r\n" in lines:
        lines = lines[: lines.find(b"\r\n\r\n") + 2]
    data = first + lines + b"\r\n"
    assume(data.find(b"\r\n\r\n") == len(data) - 4)
    read_fields = FieldsMemo().get if memo else request_fields
    try:
        line = request_line(data)
        sent = data[line.end : -2]
        read = read_fields(sent)
        if line.authority is not None:
            read = read_fields(with_host(sent, line.authority))
    except BadMessage:
        return
    message = b"%s %s HTTP/1.1%s\r\n" % (line.method, line.target, read.lines)
    first_line, found = strict(message)
    assert first_line.split(b" ") == [line.method, line.target, b"HTTP/1.1"]
    names = [name for name, _ in found]
    assert [value for name, value in found if name == b"host"] == [line.authority or read.host]
    assert (strict_length(found) or 0) == read.length
    assert read.upgrade is (b"upgrade" in names) is (b"connection" in names)
    assert not {b"te", b"proxy", b"keep-alive", b"forwarded", b"x-forwarded-for"} & set(names)
    # nothing is added but an upgrade's two lines, and nothing is changed
    came = [(name, value) for name, value in strict(b"x" + sent + b"\r\n")[1] if name != b"host"]
    for name, value in found:
        assert (name, value) in came or name in (b"host", b"connection", b"upgrade")
    if line.target.isascii():
        server = h11.Connection(h11.SERVER)
        server.receive_data(message + b"5\r\nhello\r\n0\r\n\r\n" if read.length < 0 else message)
        event = server.next_event()
        assert isinstance(event, h11.Request)
        assert (event.method, event.target) == (line.method, line.target)
        assert list(event.headers) == [
            (name, value.lower() if name == b"transfer-encoding" else value)
            for name, value in found
        ]


@given(st.binary(), st.binary(), st.booleans())
def test_any_bytes_at_all(first, second, to_head):
    for call in (
        lambda: request_line(first + b"\r\n" + second),
        lambda: request_fields(first),
        lambda: request_fields(b"\r\nHost: a\r\n" + second + b"\r\n"),
        lambda: response(first, to_head=to_head),
        lambda: response(b"HTTP/1.1 200 OK\r\n" + second + b"\r\n", to_head=to_head),
    ):
        try:
            call()
        except BadMessage:
            pass


@settings(max_examples=300, deadline=None)
@given(STATUS_LINE, st.one_of(ANY_LINES, valid_lines()), st.booleans())
@example(b"HTTP/1.1 200 OK", block(b"Content-Length: 5", b"connection:close", b"X: y"), False)
@example(b"HTTP/1.1 200 OK", block(b"Keep-Alive: x", b"Content-Length: 5"), False)
@example(b"HTTP/1.1 200 OK", block(b"HTTP2-Settings: x", b"Content-Length: 5", b"Host: a"), False)
def test_any_response_is_refused_or_goes_on_with_the_same_meaning(first, lines, to_head):
    """FAULTS 14, 16, 57; and the quick way says what the thorough one says."""
    raw = first + lines
    try:
        thorough = http1._any_response(raw, to_head=to_head)
    except BadMessage:
        assert refusal(response, raw, to_head=to_head)[0] == 502
        return
    read = response(raw, to_head=to_head)
    assert read[:3] + read[4:] == thorough[:3] + thorough[4:]
    assert strict(read.lines + b"\r\n") == strict(thorough.lines + b"\r\n")
    _, found = strict(read.lines + b"\r\n")
    assert not {b"connection", b"keep-alive", b"upgrade", b"te"} & {name for name, _ in found}
    length = strict_length(found)
    if to_head or read.status in (204, 304) or read.status < 200:
        assert read.length == 0
        assert length != CHUNKED
    else:
        assert read.length == (TO_EOF if length is None else length)
    if read.status == 101:
        return
    client = h11.Connection(h11.CLIENT)
    client.send(
        h11.Request(method="HEAD" if to_head else "GET", target="/", headers=[("Host", "a")])
    )
    client.send(h11.EndOfMessage())
    content = {CHUNKED: b"5\r\nhello\r\n0\r\n\r\n", TO_EOF: b"hello"}
    client.receive_data(read.lines + b"\r\n" + content.get(read.length, b"h" * read.length))
    event = client.next_event()
    assert event.status_code == read.status
    assert len(event.headers) == len(found)
    if read.status < 200:
        return
    if read.length == TO_EOF:
        client.receive_data(b"")
    size = 0
    while not isinstance(event := client.next_event(), h11.EndOfMessage):
        size += len(event.data)
    assert size == (5 if read.length < 0 else read.length)
    assert client.trailing_data[0] == b""


# ---------------------------------------------------------------------------------- linear time


def patterns():
    for module in (http1, body, forwarded):
        for name, value in vars(module).items():
            pattern = getattr(value, "__self__", value)
            if isinstance(pattern, re.Pattern):
                yield f"{module.__name__}.{name}", pattern


@pytest.mark.parametrize("pattern", [pytest.param(p, id=name) for name, p in patterns()])
def test_no_pattern_can_take_quadratic_time(pattern):
    """An endless repeat gives nothing back, or repeats a group that can match in one way only."""
    parser = re._parser  # type: ignore[attr-defined]

    def unbounded(items, *, within):
        for operator, argument in items:
            name = str(operator)
            if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
                _, most, inner = argument
                endless = most == parser.MAXREPEAT
                single = len(inner) == 1 and str(inner[0][0]) in ("IN", "LITERAL", "NOT_LITERAL")
                if endless:
                    # characters possessively; groups greedily (gh-106052), and never in a group
                    assert (name == "POSSESSIVE_REPEAT") is single
                    assert single or not within
                unbounded(inner, within=within or (endless and not single))
            elif name == "SUBPATTERN":
                unbounded(argument[-1], within=within)
            elif name == "BRANCH":
                for branch in argument[1]:
                    unbounded(branch, within=within)
            elif name in ("ASSERT", "ASSERT_NOT"):
                unbounded(argument[1], within=within)

    unbounded(parser.parse(pattern.pattern, pattern.flags), within=False)


def calls(function, *args):
    """How many functions are called, ours and built-in ones."""
    count = 0

    def profile(_frame, event, _arg):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        function(*args)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    "line",
    [
        b"X: y",
        b"Connection: a, b, c",
        b"Upgrade: a, b",
        b"X-Forwarded-For: 1.1.1.1",
        b"Content_Length: 1",
        b"Expect: a",
        b"Accept: a",
    ],
)
def test_twice_the_lines_take_twice_the_steps(line):
    once, twice = (
        calls(request_fields, block(b"Host: a", b"Connection: upgrade", *[line] * count))
        for count in (200, 400)
    )
    assert twice <= 2 * once
    heads = [head(b"HTTP/1.1 200 OK", *[line] * count) for count in (200, 400)]
    once, twice = (calls(lambda raw=raw: response(raw, to_head=False)) for raw in heads)
    assert twice <= 2 * once


# ---------------------------------------------------------------- messages of other projects' tests


def with_hosts(raw):
    """Most of these messages lack a Host, which alone would be refused."""
    if b"host:" in raw.lower():
        return raw
    return re.sub(
        rb"^([^\r\n ]+ [^\r\n ]+ HTTP/1\.[01]\r\n)", rb"\1Host: a\r\n", raw, flags=re.MULTILINE
    )


def replay_requests(data):
    while data:
        data = data.removeprefix(b"\r\n")
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return "unfinished" if data else "valid"
        line = request_line(data)
        sent = data[line.end : end + 2]
        read = request_fields(sent)
        if line.authority is not None:
            read = request_fields(with_host(sent, line.authority))
        if read.length == CHUNKED and not line.minor:
            return "refused"  # by the exchange, which knows the version
        data = data[end + 4 :]
        if read.upgrade:
            return "valid"
        end = ChunkScanner().feed(data) if read.length == CHUNKED else read.length
        if end < 0 or end > len(data):
            return "unfinished"
        data = data[end:]
        if read.close if line.minor else read.close is not False:
            return "valid"
    return "valid"


def replay_responses(data):
    while data:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return "unfinished"
        read = response(data[: end + 2], to_head=False)
        data = data[end + 4 :]
        if read.status == 101 or read.length == TO_EOF:
            return "valid"
        end = ChunkScanner().feed(data) if read.length == CHUNKED else read.length
        if end < 0 or end > len(data):
            return "unfinished"
        data = data[end:]
        if not read.keep:
            return "valid"
    return "valid"


def verdict(file, message):
    raw = message["raw"].encode("latin-1")
    if file == "llhttp" and b"\r\n\r\n" not in raw:
        raw += b"\r\n"  # their fixtures end before the empty line
    try:
        if message["kind"] == "request":
            return replay_requests(with_hosts(raw))
        return replay_responses(raw)
    except BadMessage:
        return "refused"


# Where the verdict is another one than theirs, and why it may be.
ENDS = "what comes after the last message of a connection is not read as another one"
TUNNEL = "what follows an upgrade belongs to the tunnel"
DROPPED = "names with underscores that collide are dropped, not refused (FAULTS 59)"
THEIR_LIMIT = "a limit of theirs; ours are the connection's (FAULTS 4, 5)"
LAXER = {
    "llhttp": {
        "connection.md#2 No restart when keep-alive is off (1.0)": ENDS,
        "connection.md#5 HTTP/1.1 with keep-alive disabled and 204 status": ENDS,
        "connection.md#7 HTTP/1.1 with keep-alive disabled, content-length": ENDS,
        "connection.md#9 Multiple tokens with folding and LWS": TUNNEL,
        "connection.md#9 HTTP 101 response with Upgrade and Content-Length header": TUNNEL,
        "connection.md#13 Setting a flag and pausing": TUNNEL,
        "connection.md#15 Upgrade GET request": TUNNEL,
    },
    "gunicorn": {
        "006": THEIR_LIMIT,
        "007": THEIR_LIMIT,
        "008": THEIR_LIMIT,
        "009": THEIR_LIMIT,
        "010": THEIR_LIMIT,
        "017": THEIR_LIMIT,
        "limit_header_default_01": THEIR_LIMIT,
        "019": "forwarded fields are replaced, so theirs cannot contradict each other",
        "040": DROPPED,
        "chunked_07": DROPPED,
    },
}
CODINGS = "no transfer coding but chunked, sent once"
TARGET = "userinfo, fragment and quotes have no place in a target"
VERSION = "only HTTP/1.0 and HTTP/1.1"
METHOD = "a method that is not passed on (501)"
HOST = "no valid host"
FOLDED = "white space before a colon or at the beginning of a line"
NO_REQUEST = "no request stands here: the PROXY protocol is not spoken"
TRAILER = "a trailer that types the body (RFC 9110 section 6.5.1)"
RUNS_ON = "it is stored with the text that follows it in their documentation"
BETWEEN = "a response begins at once (RFC 9112 section 2.2 excuses clients only)"
STRICTER = {
    "llhttp": {
        "content-length.md#0 `Content-Length` with zeroes": "one way to write a number",
        "content-length.md#1 `Content-Length` with follow-up headers": "one way to write a number",
        "connection.md#14 HTTP 304 with Content-Length": BETWEEN,
        "connection.md#16 HTTP 100 first, then 400": BETWEEN,
        "method.md#4 M-SEARCH request": "the target * goes with OPTIONS only",
        "method.md#11 SOURCE request with ICE": VERSION,
        "method.md#12 OPTIONS request with RTSP": VERSION,
        "method.md#13 ANNOUNCE request with RTSP": VERSION,
        "pipelining.md#0 Should parse multiple events": BETWEEN,
        "sample.md#1 RTSP response": VERSION,
        "sample.md#2 ICE response": VERSION,
        "sample.md#2 curl GET": HOST,
        "sample.md#3 Firefox GET": HOST,
        "sample.md#5 Google 301": RUNS_ON,
        "sample.md#9 No HTTP version": VERSION,
        "sample.md#16 HTTP version 0.9": VERSION,
        "sample.md#18 Response starting with CRLF": BETWEEN,
        "transfer-encoding.md#1 `chunked` before other transfer-encoding": CODINGS,
        "transfer-encoding.md#2 multiple transfer-encoding where chunked is not the last one":
            CODINGS,
        "transfer-encoding.md#3 `chunkedchunked` transfer-encoding does not enable chunked "
        "enconding": CODINGS,
        "transfer-encoding.md#5 Trailing headers": TRAILER,
        "transfer-encoding.md#19 POST with `chunked` as last transfer-encoding": TARGET,
        "transfer-encoding.md#20 POST with `chunked` as last transfer-encoding (multiple headers)":
            TARGET,
        "uri.md#0 Quotes in URI": TARGET,
        "uri.md#7 Fragment in URI": TARGET,
        "uri.md#9 `host:port` and basic auth": TARGET,
    },
    "gunicorn": {
        "002": HOST,
        "003": HOST,
        "005": TARGET,
        "009": TARGET,
        "012": TRAILER,
        "014": TARGET,
        "025": CODINGS,
        "025_line": CODINGS,
        "028": FOLDED,
        "029": CODINGS,
        "030": CODINGS,
        "031": METHOD,
        "031compat": METHOD,
        "031compat2": METHOD,
        "compat_obs_fold": FOLDED,
        "compat_obs_fold_huge": FOLDED,
        "pp_01": NO_REQUEST,
        "pp_02": NO_REQUEST,
        "pp_04": NO_REQUEST,
        "pp_05": NO_REQUEST,
        "rfc9112_smuggle_gzip_chunked_01": CODINGS,
        "rfc9112_smuggle_te_identity_chunked_01": CODINGS,
        "rfc9112_target_absolute_userinfo_01": TARGET,
        "rfc9112_target_authority_connect_01": METHOD,
        "rfc9112_target_authority_ipv6_01": METHOD,
    },
}  # fmt: skip


def messages(file):
    path = CONFORMANCE / f"{file}.json"
    if not path.exists():
        pytest.skip(f"{path} is not here: it lies beside the project, and is no part of it")
    return json.loads(path.read_text())


@pytest.mark.parametrize("file", ["llhttp", "gunicorn"])
def test_verdicts_on_the_messages_of_other_parsers(file):
    laxer, stricter = set(), set()
    for message in messages(file):
        ours = verdict(file, message)
        if message["expect"] == "invalid" and ours == "valid":
            laxer.add(message["id"])
        elif message["expect"] == "valid" and ours == "refused":
            stricter.add(message["id"])
    assert laxer == LAXER[file].keys()
    assert stricter == STRICTER[file].keys()


def test_no_mutation_of_a_coding_is_passed_on():
    """FAULTS 11: where one is not refused, its line was none of a coding."""
    file = "smuggler-default"
    for message in messages(file):
        if verdict(file, message) != "refused":
            raw = message["raw"].encode("latin-1")
            end = raw.find(b"\r\n\r\n")
            line = request_line(raw)
            _, found = strict(
                raw[: line.end] + request_fields(raw[line.end : end + 2]).lines + b"\r\n"
            )
            assert b"transfer-encoding" not in dict(found)
            assert all(name != b"x" or value[1:2] != b"\n" for name, value in found)
