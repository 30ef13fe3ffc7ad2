"""Heads of responses: what is read out of them, refused, and passed on."""

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from luisito.core.http1 import CHUNKED, TO_EOF
from luisito.core.response import LinesMemo, Response, response, upgraded, without_coding
from luisito.errors import BadMessage
from tests.core.heads import ANY_LINES, block, head, refusal, strict, strict_length, valid_lines


def outcome(call, *args, **kwargs):
    try:
        read = call(*args, **kwargs)
    except BadMessage as error:
        return error.status, str(error)
    assert type(read) is Response
    return read


def answer(*lines, to_head=False):
    return response(head(*lines), to_head=to_head)


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


def test_a_coding_goes_on_as_every_client_knows_it():
    read = answer(b"HTTP/1.1 200 OK", b"transfer-encoding:\tCHUNKED")
    assert read.lines == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"


def test_for_a_client_that_does_not_know_chunks():
    lines = answer(b"HTTP/1.1 200 OK", b"A: b", b"Transfer-Encoding: chunked", b"C: d").lines
    assert without_coding(lines) == b"HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n"


def test_a_101_keeps_its_upgrade():
    """FAULTS 70."""
    lines = [b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Accept: x"]
    raw = head(b"HTTP/1.0 101 Go", b"content-length:4", *lines, b"Keep-Alive: x")
    assert upgraded(raw) == head(b"HTTP/1.1 101 Go", *lines)


# ------------------------------------------------------------------------------------ any input

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
@given(STATUS_LINE, st.one_of(ANY_LINES, valid_lines()), st.booleans())
@example(b"HTTP/1.1 200 OK", block(b"Content-Length: 5", b"connection:close", b"X: y"), False)
@example(b"HTTP/1.1 200 OK", block(b"HTTP2-Settings: x", b"Content-Length: 5", b"Host: a"), False)
def test_any_response_is_refused_or_goes_on_with_the_same_meaning(first, lines, to_head):
    """FAULTS 14, 16, 57."""
    read = outcome(response, first + lines, to_head=to_head)
    if not isinstance(read, Response):
        assert read[0] == 502
        return
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


# ------------------------------------------------------------------------------- what is remembered

USUAL_LINES = [
    b"Content-Length: 5", b"content-length: 5", b"Content-Length: 05", b"Content-Length: 12",
    b"Transfer-Encoding: chunked", b"transfer-encoding: chunked", b"Transfer-Encoding: gzip",
    b"Connection: close", b"connection:Keep-Alive", b"Connection: keep-alive, X-Foo",
    b"Keep-Alive: timeout=5", b"Upgrade: h2c", b"Content-Type: text/event-stream;charset=utf-8",
    b"Content-Type: text/html", b"Date: Thu, 01 Jan 1970 00:00:00 GMT", b"X-Foo: 1", b"X-Foo : 1",
    b"Set-Cookie: a=b", b"ETag: c", b"X: " + b"y" * 60, b"HTTP/1.1 200 OK",
]  # fmt: skip
HEAD = st.builds(
    lambda first, lines: (first + lines).partition(b"\r\n\r\n")[0].removesuffix(b"\r\n") + b"\r\n",
    st.one_of(st.just(b"HTTP/1.1 200 OK"), STATUS_LINE),
    st.one_of(
        st.lists(st.sampled_from(USUAL_LINES), max_size=6).map(lambda lines: block(*lines)),
        ANY_LINES,
        valid_lines(),
    ),
)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.tuples(HEAD, st.sampled_from([False, False, False, True])), max_size=12),
    st.sampled_from([2, 8, 4096]),
    st.sampled_from([16, 256]),
)
def test_what_was_read_before_changes_nothing(history, size, longest):
    """Nor does a memory that is full, or that was cleared meanwhile."""
    memo = LinesMemo(size, longest)
    for raw, to_head in [*history, *history]:
        expected = outcome(response, raw, to_head=to_head)
        assert outcome(memo.response, raw, to_head=to_head) == expected


@pytest.mark.parametrize("line", USUAL_LINES)
@pytest.mark.parametrize("other", [b"Content-Length: 7", b"Transfer-Encoding: chunked", b"A: b"])
def test_each_usual_line_is_read_alike_when_it_comes_again(line, other):
    memo = LinesMemo()
    for lines in ([line], [other, line], [line, other], [line, other, line]):
        raw = head(b"HTTP/1.1 200 OK", *lines)
        expected = outcome(response, raw, to_head=False)
        assert outcome(memo.response, raw, to_head=False) == expected
        assert outcome(memo.response, raw, to_head=False) == expected


@pytest.mark.parametrize(
    "first", [b"HTTP/1.1 204 No", b"HTTP/1.1 304 Same", b"HTTP/1.1 100 Go", b"HTTP/1.1 200", b"x"]
)
def test_unusual_status_lines_are_judged_each_time(first):
    memo = LinesMemo()
    raw = head(first, b"Content-Length: 5")
    for _ in range(2):
        expected = outcome(response, raw, to_head=False)
        assert outcome(memo.response, raw, to_head=False) == expected


def test_lines_are_remembered_within_bounds_and_no_secrets():
    memo = LinesMemo(size=6, longest=40)
    length = b"Content-Length: 0"
    memo.response(head(b"HTTP/1.1 200 OK", b"A: b", length), to_head=False)
    usual = {b"", b"HTTP/1.1 200 OK", b"A: b", length}
    assert set(memo._seen) == usual
    for secret in (
        b"Set-Cookie: session=1",
        b"LOCATION: /?token=1",
        b"ETag: x",
        b"X: " + b"y" * 40,
    ):
        memo = LinesMemo(size=6, longest=40)
        memo.response(head(b"HTTP/1.1 200 OK", b"A: b", length, secret), to_head=False)
        assert set(memo._seen) == usual
    for number in range(40):
        lines = [b"N: %d" % number, b"Content-Length: %d" % (number % 3)]
        memo.response(head(b"HTTP/1.1 200 OK", *lines), to_head=False)
        assert len(memo._seen) <= 6
        assert len(memo._heads) <= 6
        assert len(memo._marks) <= 8


def test_a_head_that_comes_again_is_not_read_again(monkeypatch):
    memo = LinesMemo()
    lines = [b"HTTP/1.1 200 OK", b"Connection: close", b"A: b", b"Content-Length: 0"]
    first = memo.response(head(*lines), to_head=False)
    monkeypatch.setattr("luisito.core.response.response", None)
    assert memo.response(head(*lines), to_head=False) == first
    assert first == (200, 0, False, head(lines[0], *lines[2:]), False)


def test_very_long_heads_are_not_remembered():
    memo = LinesMemo()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n" + b"Keep-Alive: x\r\n" * 100
    assert memo.response(head, to_head=False) == response(head, to_head=False)
    assert len(memo._heads) == 0
