"""What the tests of HTTP heads share: builders, an independent reader, and heads of every kind."""

import gc
import sys

import pytest
from hypothesis import strategies as st

from luisito.core.http1 import CHUNKED
from luisito.errors import BadMessage


def block(*lines):
    return b"".join(b"\r\n" + line for line in lines) + b"\r\n"


def head(*lines):
    return b"\r\n".join(lines) + b"\r\n"


def refusal(call, *args, **kwargs):
    with pytest.raises(BadMessage) as caught:
        call(*args, **kwargs)
    return caught.value.status, str(caught.value)


def calls(function, *args):
    """How many functions are called, ours and built-in ones."""
    count = 0

    def profile(_frame, event, _arg):
        nonlocal count
        count += event in ("call", "c_call")

    gc.disable()  # whose callbacks, which hypothesis has, would count
    sys.setprofile(profile)
    try:
        function(*args)
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


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
