"""Heads of requests: what is read out of them, refused, and passed on."""

import h11
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from luisito.core import request
from luisito.core.http1 import CHUNKED
from luisito.core.memo import Memo
from luisito.core.request import (
    MAX_FIELDS,
    METHODS,
    request_fields,
    request_line,
    with_host,
    without_upgrade,
)
from luisito.errors import BadMessage
from tests.core.heads import ANY_LINES, block, refusal, strict, strict_length, valid_lines


def fields(*lines):
    return request_fields(block(b"Host: a", *lines))


def passed(*lines):
    """The lines that go on, less Host."""
    return fields(*lines).lines.split(b"\r\n")[2:-1]


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
    read = request_line(line)
    assert (read.method, read.target, read.minor, read.authority) == (
        method, target, minor, authority,
    )  # fmt: skip
    assert read.passed == b"%s %s HTTP/1.1" % (method, target)


@pytest.mark.parametrize(
    ("method", "idempotent", "to_head"),
    [(b"HEAD", True, True), (b"POST", False, False), (b"DELETE", True, False)],
)
def test_what_a_method_means(method, idempotent, to_head):
    read = request_line(method + b" /a?b HTTP/1.1")
    assert (read.idempotent, read.to_head) == (idempotent, to_head)


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
    assert refusal(request_line, line)[0] == status


def test_a_connection_is_never_switched_to_a_tunnel_by_method():
    assert not METHODS & {b"CONNECT", b"PRI"}
    assert request.IDEMPOTENT < METHODS
    assert not request.IDEMPOTENT & {b"POST", b"PATCH", b"LOCK"}


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


@pytest.mark.parametrize("coding", [b"CHUNKED", b"Chunked", b"chunked"])
def test_a_coding_goes_on_as_every_app_server_knows_it(coding):
    """FAULTS 11: one that compares letter by letter would take the chunks for a request."""
    read = fields(b"transfer-encoding: " + coding)
    assert read.lines.endswith(b"\r\nTransfer-Encoding: chunked\r\n")


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


def test_what_would_set_a_prefix_is_taken_out():
    """Also as CGI-like app servers read it: gunicorn takes SCRIPT_NAME and PATH_INFO."""
    read = fields(
        b"SCRIPT_NAME: /x", b"Script-Name: /x", b"script_name: /x", b"PATH_INFO: /x",
        b"Path-Info: /x", b"X-Script-Name: /x", b"X_Script-Name: /x", b"X_Forwarded_Prefix: /x",
        b"X-Forwarded-Prefix: /y", b"Script-Names: /z",
    )  # fmt: skip
    assert read.forwarded == ((b"x-forwarded-prefix", b"/y"),)
    assert read.lines == b"\r\nHost: a\r\nScript-Names: /z\r\n"


def test_a_line_that_asks_for_something_else():
    """It is a line of its own: others share the one that was read."""
    line = request_line(b"GET /api/x HTTP/1.0")
    other = line.asking_for(b"/x")
    assert (line.passed, other.passed) == (b"GET /api/x HTTP/1.1", b"GET /x HTTP/1.1")
    assert (other.target, other.minor, other.idempotent) == (b"/api/x", 0, True)


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


def test_there_are_not_more_lines_than_can_be_read_at_once():
    """FAULTS 4."""
    most = [b"Cookie: a"] * (MAX_FIELDS - 1)  # and Host
    assert passed(*most) == most
    assert refusal(fields, *most, b"a:")[0] == 431
    assert refusal(request_fields, b"\r\n" + b"\r\n" * (MAX_FIELDS + 1))[0] == 431


def test_llhttp_is_asked_too(monkeypatch):
    """What llhttp refuses is refused, even were a rule of ours to let it pass."""
    monkeypatch.setattr(request, "_field_lines", lambda _: True)
    status, why = refusal(fields, b"X: \x00")
    assert (status, why[:26]) == (400, "a header line is malformed")


# ------------------------------------------------------------------------------- what is remembered


def test_an_upgrade_is_taken_out_again():
    read = fields(b"Connection: Upgrade, X", b"Upgrade: a, b", b"X-Upgrade: c")
    kept = b"\r\nHost: a\r\nX-Upgrade: c\r\n"
    assert read.lines == kept + b"Connection: Upgrade\r\nUpgrade: a, b\r\n"
    assert without_upgrade(read.lines + b"Forwarded: for=_\r\n") == kept + b"Forwarded: for=_\r\n"


# ------------------------------------------------------------------------------------ any input

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


@settings(max_examples=300, deadline=None)
@given(REQUEST_LINE, REQUEST_LINES, st.booleans())
def test_any_request_is_refused_or_goes_on_with_the_same_meaning(first, lines, memo):
    """FAULTS 57, 60; and no error but BadMessage, whatever comes in."""
    if b"\r\n\r\n" in lines:
        lines = lines[: lines.find(b"\r\n\r\n") + 2]
    data = first + lines + b"\r\n"
    assume(data.find(b"\r\n\r\n") == len(data) - 4)
    read_fields = Memo(request_fields, size=9, longest=99).get if memo else request_fields
    start = data.find(b"\r\n")
    try:
        line = request_line(data[:start])
        sent = data[start:-2]
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
    # nothing is added but an upgrade's two lines, and nothing is changed but the coding's case
    came = [
        (name, value.lower() if name == b"transfer-encoding" else value)
        for name, value in strict(b"x" + sent + b"\r\n")[1]
        if name != b"host"
    ]
    for name, value in found:
        assert (name, value) in came or name in (b"host", b"connection", b"upgrade")
    if line.target.isascii():
        server = h11.Connection(h11.SERVER)
        server.receive_data(message + b"5\r\nhello\r\n0\r\n\r\n" if read.length < 0 else message)
        event = server.next_event()
        assert isinstance(event, h11.Request)
        assert (event.method, event.target) == (line.method, line.target)
        assert list(event.headers) == found
