"""Chunked bodies: where they end, what is refused, and what they hold."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core.body import MAX_LINE, MAX_OVERHEAD, ChunkScanner
from luisito.errors import BadMessage


def refusal(data):
    scanner = ChunkScanner()
    with pytest.raises(BadMessage) as caught:
        scanner.feed(data)
    assert caught.value.status == 400
    return str(caught.value)


def outcome(pieces, *, decode=False):
    """Where the body ends in all pieces together (-1: it goes on; None: refused), its payload."""
    scanner, before = ChunkScanner(decode=decode), 0
    try:
        for piece in pieces:
            end = scanner.feed(piece)
            if end >= 0:
                return before + end, b"".join(scanner.payload or ())
            before += len(piece)
    except BadMessage:
        return None, b"".join(scanner.payload or ())
    return -1, b"".join(scanner.payload or ())


@pytest.mark.parametrize(
    "body",
    [
        b"0\r\n\r\n",
        b"000\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
        b"00000000000000a\r\n0123456789\r\n0\r\n\r\n",
        b"5;a=b;c\r\nhello\r\n0;d\r\n\r\n",
        b'5;a="b;c"\r\nhello\r\n0\r\n\r\n',
        b"2\r\n\r\n\r\n0\r\n\r\n",
        b"0\r\nServer-Timing: a\r\nGrpc-Status:0\r\nX_Y:\r\n\r\n",
    ],
)
def test_bodies(body):
    for rest in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\r\n"):
        assert outcome([body + rest]) == (len(body), b"")
    assert ChunkScanner().feed(b"xyz" + body + b"rest", 3) == 3 + len(body)
    for end in range(len(body)):
        assert outcome([body[:end]])[0] == -1


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n",
        b" 5\r\n",
        b"5 \r\n",
        b"5\t\r\n",
        b"5\n",
        b"5\r\r\n",
        b"5\rhello\r\n",
        b"x\r\n",
        b"1_0\r\n",
        b"+5\r\n",
        b"-5\r\n",
        b"0x5\r\n",
        b"5h\r\n",
        b"5,\r\n",
        b"5 a\r\n",
        b"5 ;a\r\n",
        b"5\t;a\r\n",
        b";a\r\n",
        b"\xb2\r\n",
        b"1000000000000000\r\n",
        b"0000000000000005\r\nhello\r\n",
        b"5;a\rb\r\n",
        b"43;a /b HTTP/1.1\r\n",
        b"5; a\r\n",
        b'5;a="b\tc"\r\n',
        b"5;a\n",
        b"5;a\x00\r\n",
        b"5;a\x7f\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"5\r\nhell\r\n0\r\n\r\n",
        b"0\r\n\n",
        b"0\r\nA\r\n\r\n",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\n A: b\r\n\r\n",
        b"0\r\n: b\r\n\r\n",
        b"0\r\nA: b\n\r\n",
        b"0\r\nA: b\rc\r\n\r\n",
        b"0\r\nA: \x00\r\n\r\n",
        b"0\r\nGET / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_two_parsers_could_read_differently_is_refused(body):
    assert refusal(body)


@pytest.mark.parametrize(
    "body",
    [
        b"5h", b"5 ", b" ", b";", b"5;a ", b"5;a\x00", b"0\rG", b"0;a\rG", b"5\r\nhello0",
        b"5\r\nhello\r0", b"0\r\nA ", b"0\r\n:", b"0\r\nA: b\x00", b"0\r\nA: b\rG", b"0\r\n\rG",
        b"0\r\nA\r", b"1000000000000000",
    ],
)  # fmt: skip
def test_a_line_is_refused_before_its_end(body):
    """FAULTS 11: what came of it would have gone on, for an app server that ends lines at a CR."""
    assert outcome([body[:-1]])[0] == -1
    reason = refusal(body)
    assert "malformed" in reason or "does not end" in reason
    # nor does the reason hang on the cuts
    assert refusal(body + b"/b HTTP/1.1\r\n") == reason


@pytest.mark.parametrize(
    "name",
    [
        b"Host", b"Content-Length", b"TRANSFER-ENCODING", b"connection", b"Upgrade", b"Expect",
        b"Content-Type", b"Authorization", b"Cookie", b"X-Forwarded-For", b"x_forwarded_host",
        b"Forwarded", b"X-Real-IP", b"Proxy", b"Content_Length",
    ],
)  # fmt: skip
def test_no_trailer_that_could_be_merged_into_the_head(name):
    """FAULTS 58, 59; RFC 9110 section 6.5.1."""
    assert "was sent as a trailer" in refusal(b"0\r\n" + name + b": x\r\n\r\n")


def test_endless_extensions_and_trailers():
    """FAULTS 6."""
    size = MAX_LINE - len(b"5;\r\n")
    line = b"5;" + b"a" * size + b"\r\n"
    assert outcome([line + b"hello\r\n0\r\n\r\n"])[0] > 0
    assert "size line or trailer is over" in refusal(b"5;" + b"a" * (size + 1) + b"\r\n")
    assert "size line or trailer is over" in refusal(b"5;" + b"a" * 3 * 2**20)
    assert "size line or trailer is over" in refusal(b"0\r\nA: " + b"a" * 3 * 2**20)
    assert "are over 65536 bytes" in refusal((line + b"hello\r\n") * (MAX_OVERHEAD // size + 1))
    assert "are over 65536 bytes" in refusal(b"0\r\n" + b"A: b\r\n" * (MAX_OVERHEAD // 6 + 1))


def test_what_is_kept_of_a_trickled_line_is_bounded():
    """FAULTS 6."""
    scanner = ChunkScanner()
    for fed in range(MAX_LINE):
        assert scanner.feed(b";" if fed else b"5") == -1
    assert len(scanner._part) == MAX_LINE
    with pytest.raises(BadMessage):
        scanner.feed(b";")


def test_data_that_goes_by_unseen():
    scanner = ChunkScanner()
    assert scanner.left == 0
    assert scanner.feed(b"ff\r\nabcde") == -1
    assert scanner.left == 250
    scanner.passed(200)
    assert scanner.left == 50
    scanner.passed(50)
    assert scanner.left == 0
    assert scanner.feed(b"\r\n0\r\n\r\nrest") == 7


def test_the_payload_of_each_piece():
    scanner = ChunkScanner(decode=True)
    assert scanner.feed(b"5;a\r\nhel") == -1
    assert scanner.payload == [b"hel"]
    scanner.payload.clear()
    assert scanner.feed(b"lo\r\n1\r\n!\r\n0\r\nA: b\r\n\r\nrest") == 21
    assert scanner.payload == [b"lo", b"!"]


CHUNK = st.builds(
    lambda data, upper, zeros, extension: (
        (b"%X" if upper else b"%x") % len(data) if not zeros else b"%04x" % len(data),
        extension,
        data,
    ),
    st.binary(min_size=1, max_size=40),
    st.booleans(),
    st.booleans(),
    st.sampled_from([b"", b"", b";a", b';a="b"']),
)
TRAILER = st.sampled_from([b"", b"A: b\r\n", b"Etag:x\r\nA-B: c\r\n"])


@st.composite
def bodies(draw):
    chunks = draw(st.lists(CHUNK, max_size=5))
    text = b"".join(size + ext + b"\r\n" + data + b"\r\n" for size, ext, data in chunks)
    return text + b"0\r\n" + draw(TRAILER) + b"\r\n", b"".join(data for _, _, data in chunks)


@st.composite
def split(draw, text):
    at = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return [text[a:b] for a, b in zip([0, *at], [*at, len(text)], strict=True)]


@given(st.data())
def test_any_split_of_a_body_has_the_same_end_and_payload(data):
    body, payload = data.draw(bodies())
    rest = data.draw(st.binary(max_size=10))
    assert outcome(data.draw(split(body + rest)), decode=True) == (len(body), payload)
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    assert isinstance(server.next_event(), h11.Request)
    theirs = b""
    while isinstance(event := server.next_event(), h11.Data):
        theirs += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert theirs == payload


MANGLED = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.sampled_from([b"0", b"5", b"a", b"\r\n", b"\r", b"\n", b";", b" ", b"hello", b"A: b"]),
        max_size=12,
    ).map(b"".join),
    st.builds(
        lambda body, at, byte: body[0][: at % len(body[0])] + byte + body[0][at % len(body[0]) :],
        bodies(),
        st.integers(0, 200),
        st.binary(max_size=2),
    ),
)


@given(st.data())
def test_any_split_of_anything_has_the_same_verdict(data):
    """No piece can make a body end elsewhere; only a refusal may come earlier or later."""
    body = data.draw(MANGLED)
    assert outcome(data.draw(split(body)), decode=True) == outcome([body], decode=True)


@given(MANGLED)
def test_what_is_accepted_is_what_a_strict_reader_accepts(body):
    """A reader of RFC 9112 section 7.1 that takes one line after the other."""
    end = outcome([body])[0]
    if end is None or end < 0:
        return
    at = 0
    while True:
        line_end = body.index(b"\r\n", at)
        digits, _, extension = body[at:line_end].partition(b";")
        digits = digits.rstrip(b" \t") if b";" in body[at:line_end] else digits
        assert digits
        assert all(byte in b"0123456789abcdefABCDEF" for byte in digits)
        assert b"\n" not in extension
        assert b"\r" not in extension
        at, size = line_end + 2, int(digits, 16)
        if not size:
            break
        assert body[at + size : at + size + 2] == b"\r\n"
        at += size + 2
    while (line_end := body.index(b"\r\n", at)) != at:
        assert body[at:line_end].partition(b":")[1]
        assert b"\n" not in body[at:line_end]
        at = line_end + 2
    assert end == at + 2
