"""What has let requests be smuggled through other servers, each by its name, at the whole server.

Behind each message comes a request with a nonce. Whatever the message is taken for, the app sees
well-formed requests only, as many as the client gets answers of it.
"""

from tests.integration.test_conformance import Replay, by_client, check, play, sentinel

HOST = b"Host: a.localhost\r\n"
POST = b"POST /echo HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"

# name: (message, status of the answer to it); 200 and 404 are the app's
CASES = {
    "CVE-2019-16276, Go: space before the colon": (
        POST + b"Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400,
    ),
    "CVE-2019-16785, waitress: lines ended by LF": (
        b"POST /echo HTTP/1.1\nHost: a.localhost\nContent-Length: 5\r\n\r\nhello", 400,
    ),
    "CVE-2019-16786, waitress: codings before chunked": (
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501,
    ),
    "CVE-2019-16792, waitress: Content-Length twice": (
        POST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello", 400,
    ),
    "CVE-2019-18277, HAProxy: a vertical tab before chunked": (
        POST + b"Transfer-Encoding: \x0bchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400,
    ),
    "CVE-2020-8287, Node: Transfer-Encoding twice": (
        CHUNKED + b"Transfer-Encoding: eee\r\n\r\n0\r\n\r\n", 400,
    ),
    "CVE-2020-8201, Node: CR within a name": (
        POST + b"Content\rLength: 5\r\n\r\nhello", 400,
    ),
    "CVE-2020-10108, Twisted: two lengths": (
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400,
    ),
    "CVE-2020-10109, Twisted: a length and chunked": (
        CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n", 400,
    ),
    "CVE-2021-22959, llhttp: space after a name": (
        POST + b"Content-Length : 5\r\n\r\nhello", 400,
    ),
    "CVE-2021-22960, llhttp: LF within a chunk extension": (
        CHUNKED + b"\r\n2;\nxx\r\n4c\r\n0\r\n\r\n", 400,
    ),
    "CVE-2021-33037, Tomcat: chunked over HTTP/1.0": (
        b"POST /echo HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
    ),
    "CVE-2021-33037, Tomcat: identity after chunked": (
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400,
    ),
    "CVE-2021-40346, HAProxy: a name of 270 bytes": (
        POST + b"Content-Length0" + b"a" * 255 + b":\r\nContent-Length: 5\r\n\r\nhello", 200,
    ),
    "CVE-2022-24761, waitress: a sign in Content-Length": (
        POST + b"Content-Length: +5\r\n\r\nhello", 400,
    ),
    "CVE-2022-24761, waitress: a prefix in a chunk's size": (
        CHUNKED + b"\r\n0x5\r\nhello\r\n0\r\n\r\n", 400,
    ),
    "CVE-2022-24801, Twisted: a sign in a chunk's size": (
        CHUNKED + b"\r\n+5\r\nhello\r\n0\r\n\r\n", 400,
    ),
    "CVE-2022-24801, Twisted: an underscore in a chunk's size": (
        CHUNKED + b"\r\n0_5\r\nhello\r\n0\r\n\r\n", 400,
    ),
    "CVE-2022-24801, Twisted: an underscore in Content-Length": (
        POST + b"Content-Length: 0_5\r\n\r\nhello", 400,
    ),
    "CVE-2022-32213, llhttp: chunkedchunked": (
        POST + b"Transfer-Encoding: chunkedchunked\r\n\r\n0\r\n\r\n", 400,
    ),
    "CVE-2022-32214, llhttp: CR alone ends a line": (
        POST + b"X: a\rContent-Length: 5\r\n\r\nhello", 400,
    ),
    "CVE-2022-32215, llhttp: Transfer-Encoding over two lines": (
        POST + b"Transfer-Encoding: chunked,\r\n identity\r\n\r\n0\r\n\r\n", 400,
    ),
    "CVE-2022-35256, llhttp: a line that LF ends": (
        POST + b"X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
    ),
    "CVE-2023-25690, Apache: an encoded line end in the target": (
        b"GET /echo%20HTTP/1.1%0d%0aHost:%20b%0d%0a%0d%0aGET%20/b HTTP/1.1\r\n" + HOST + b"\r\n",
        404,
    ),
    "CVE-2023-25725, HAProxy: an empty name": (
        POST + b"Content-Length: 5\r\n: a\r\nX: b\r\n\r\nhello", 400,
    ),
    "CVE-2023-30589, llhttp: CR alone between fields": (
        b"GET / HTTP/1.1\r\n" + HOST + b"X:\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
    ),
    "a slash in a name": (
        POST + b"Content-Length: 5\r\n/Host: b.localhost\r\n\r\nhello", 400,
    ),
    "CVE-2023-40225, HAProxy: an empty Content-Length": (
        POST + b"Content-Length:\r\n\r\nhello", 400,
    ),
    "the preface of HTTP/2": (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505,
    ),
    "CVE-2023-45539, HAProxy: a fragment in the target": (
        b"GET /echo#.png HTTP/1.1\r\n" + HOST + b"\r\n", 400,
    ),
    "CVE-2023-47627, aiohttp: NUL in a value": (
        POST + b"X: a\0b\r\nContent-Length: 5\r\n\r\nhello", 400,
    ),
    "CRLF within the request line": (
        b"GET /echo HTTP/1.1\r\nX: b\r\n\r\n HTTP/1.1\r\n" + HOST + b"\r\n", 400,
    ),
    "CVE-2024-1135, gunicorn: Transfer-Encoding twice, the second unknown": (
        CHUNKED + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400,
    ),
    "CVE-2024-6827, gunicorn: a coding that is not understood, and a length": (
        POST + b'Transfer-Encoding: "chunked"\r\nContent-Length: 5\r\n\r\n0\r\n\r\n', 400,
    ),
    "CVE-2024-27982, llhttp: space before Content-Length": (
        POST + b" Content-Length: 5\r\n\r\nhello", 400,
    ),
    "CVE-2024-41671, Twisted: requests in a row": (
        POST + b"Content-Length: 5\r\n\r\nhello", 200,
    ),
    "CVE-2024-52304, aiohttp: line ends in a chunk extension": (
        CHUNKED + b"\r\n5;\n\r\nhello\r\n0\r\n\r\n", 400,
    ),
    "CVE-2025-22871, Go: LF ends a chunk's size": (
        CHUNKED + b"\r\n5\nhello\r\n0\r\n\r\n", 400,
    ),
    "CVE-2025-43859, h11: no CRLF behind a chunk's data": (
        CHUNKED + b"\r\n5\r\nhelloXX0\r\n\r\n", 400,
    ),
    "CVE-2025-55315, Kestrel: CR alone in a chunk extension": (
        CHUNKED + b"\r\n2;\rxx\r\nab\r\n0\r\n\r\n", 400,
    ),
    "funky chunks: an extension of any bytes": (
        CHUNKED + b"\r\n5;a=\"\x01\"\r\nhello\r\n0\r\n\r\n", 400,
    ),
    "a chunk extension that is a request line to who knows no chunks": (
        CHUNKED + b"\r\n43;a /smuggled HTTP/1.1\r\n" + b"a" * 67 + b"\r\n0\r\n\r\n", 400,
    ),
    "TE.TE: xchunked": (POST + b"Transfer-Encoding: xchunked\r\n\r\n", 400),
    "TE.TE: in capitals, with a tab": (
        POST + b"Transfer-Encoding:\tCHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200,
    ),
    "0.CL: the length behind Expect": (
        POST + b"Expect: 100-continue, x\r\nContent-Length: 5\r\n\r\nhello", 200,
    ),
    "an underscore for the hyphen": (POST + b"Content_Length: 5\r\n\r\n", 200),
    "a trailer that would be a header": (
        CHUNKED + b"\r\n0\r\nContent-Length: 5\r\nHost: b\r\n\r\n", 400,
    ),
}  # fmt: skip


AFTER = 404  # the app's answer to the sentinel


def test_by_name(serve):
    """FAULTS 11, 57: each is refused, or passed on as one well-formed request."""
    server = serve({"KEEPALIVE_TIMEOUT": 1})
    todo = [
        Replay(name, "followed", message, "whole", [message + sentinel(number)], number)
        for number, (name, (message, _status)) in enumerate(CASES.items())
    ]
    play(server.address, todo)
    heads, faults = by_client(server), []
    for each in todo:
        seen = heads.pop(each.source, [])
        statuses, missing, wrong = check(each, seen)
        faults += [f"{fault}: {each!r}" for fault in wrong]
        status = CASES[each.name][1]
        refused = status not in {200, 404}
        # Where the next request begins behind what is refused is unknown: none is served.
        expected = [status] if refused else [status, AFTER]
        if statuses != expected or (refused and len(seen) != missing):
            faults.append(f"{statuses} instead of {expected}, {len(seen)} at the app: {each!r}")
    assert not faults, "\n".join(faults)
    assert not heads
