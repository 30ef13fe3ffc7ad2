"""Chunked bodies in pieces: where they end, and what they hold, all readers say alike."""

from luisito.core.body import MAX_OVERHEAD, ChunkScanner
from luisito.errors import BadMessage
from tests.fuzz.aside import Aside
from tests.fuzz.cuts import MARK, joined, pieces
from tests.fuzz.readers import REQUESTS
from tests.fuzz.targets.request_head import SENTINEL

WORDS = (
    b"0\r\n\r\n|3\r\nabc\r\n|a\r\n0123456789\r\n|00003|3;a=b|;|;a=\"b\"|;a=\";\"|\r\n|\r|\n|\n\n|"
    b"0|00|f|"
    b"ffffffffffffffff|0x3|3 |+3|T: 1\r\n|Host: b\r\n|Content_Length: 3\r\n|Trailer: x\r\n|:|"
    b"\x1e\n|"
    b"X: \xff|GET / HTTP/1.1\r\n"
).split(b"|")  # fmt: skip

_HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
_POST = (b"POST", b"/")

aside = Aside()


def run(data: bytes) -> None:
    body = b"".join(pieces(data))
    whole = _scanned([body], decode=True)
    in_pieces = _scanned(pieces(data), decode=True)
    assert in_pieces == whole, f"the cuts change what is read: {in_pieces}, whole {whole}"
    assert _scanned(pieces(data), decode=False)[0] == whole[0]
    end, payload = whole
    if end is None:
        return  # they may accept it: we refuse what only some refuse
    if end < 0:
        expected = [(_POST, payload, False)]
        connection = _HEAD + body
    else:
        expected = [(_POST, payload, True), ((b"GET", b"/sentinel"), b"", True)]
        connection = _HEAD + body[:end] + SENTINEL
    refused = []
    for name, read in REQUESTS.items():
        reading = read(connection)
        if reading.refused:
            refused.append(reading.refused)
            assert not reading.whole, f"{name}: {reading}, expected {expected}"
        else:
            found = [(m.first, m.body, m.whole) for m in reading.messages]
            assert found == expected, f"{name}: {found}, expected {expected}"
    if end >= 0:
        assert len(refused) < len(REQUESTS), f"only we accept {body[:end]!r}: {refused}"
        aside.ask(data, connection, expected)


def from_message(kind: str, raw: bytes) -> bytes | None:
    head, _, body = raw.partition(b"\r\n\r\n")
    return joined(body) if kind == "request" and b"chunked" in head and MARK not in body else None


def _scanned(parts: list[bytes], *, decode: bool) -> tuple[int | None, bytes]:
    """The end (-1: it goes on, None: it is refused), and what is in the chunks."""
    scanner = ChunkScanner(decode=decode)
    at = 0
    try:
        for part in parts:
            before = scanner.left
            assert before >= 0
            end = scanner.feed(part)
            if end >= 0:
                return at + end, b"".join(scanner.payload or ())
            at += len(part)
            # what is kept of a line is bounded, whatever comes
            assert len(scanner._part) <= 4096
            assert scanner._overhead <= MAX_OVERHEAD
    except BadMessage as refused:
        assert refused.status == 400
        assert str(refused).isprintable()
        return None, b""
    return -1, b"".join(scanner.payload or ())
