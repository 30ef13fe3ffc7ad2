"""What requests and responses share: their grammar, in linear time, and verdicts like others'."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core import body, forwarded, http1, request, response
from luisito.core.body import ChunkScanner
from luisito.core.http1 import CHUNKED, TO_EOF
from luisito.core.request import request_fields, request_line, with_host
from luisito.errors import BadMessage
from tests.core.heads import block, calls, head, refusal, strict

CONFORMANCE = Path(__file__).parents[3] / "shared" / "conformance"


def fields(*lines):
    return request_fields(block(b"Host: a", *lines))


def answer(*lines):
    return response.response(head(*lines), to_head=False)


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
    assert refusal(response.response, b"HTTP/1.1 200 OK\r\nX: y", to_head=False)[0] == 502


@given(st.binary(), st.binary(), st.booleans())
def test_any_bytes_at_all(first, second, to_head):
    for call in (
        lambda: request_line(first),
        lambda: request_line(b"GET /" + second + b" HTTP/1.1"),
        lambda: request_fields(first),
        lambda: request_fields(b"\r\nHost: a\r\n" + second + b"\r\n"),
        lambda: response.response(first, to_head=to_head),
        lambda: response.response(b"HTTP/1.1 200 OK\r\n" + second + b"\r\n", to_head=to_head),
    ):
        try:
            call()
        except BadMessage:
            pass


# ---------------------------------------------------------------------------------- linear time


def patterns():
    for module in (http1, request, response, body, forwarded):
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
    once, twice = (calls(lambda raw=raw: response.response(raw, to_head=False)) for raw in heads)
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
        start = data.find(b"\r\n")
        line = request_line(data[:start])
        sent = data[start : end + 2]
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
        read = response.response(data[: end + 2], to_head=False)
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
SPACED = "white space in a chunk extension: see core.body"
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
        "transfer-encoding.md#7 Chunk extensions quoting": SPACED,
        "transfer-encoding.md#9 Chunk extensions quoting": SPACED,
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
        "013": SPACED,
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
        "rfc9112_chunked_ext_quoted_01": SPACED,
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
            start = raw.find(b"\r\n")
            request_line(raw[:start])
            _, found = strict(raw[:start] + request_fields(raw[start : end + 2]).lines + b"\r\n")
            assert b"transfer-encoding" not in dict(found)
            assert all(name != b"x" or value[1:2] != b"\n" for name, value in found)
