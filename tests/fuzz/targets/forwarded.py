"""The fields that tell who the client is: whatever came, what we add is read as we meant it.

An input is our peer's address, the host and the port, each on a line of its own, and then the
header lines of a request.
"""

from luisito.core.forwarded import forwarded_lines
from luisito.core.request import request_fields
from luisito.errors import BadMessage

WORDS = (
    b"X-Forwarded-For: 1.1.1.1\r\n|X-Forwarded-Proto: https\r\n|X-Forwarded-Host: b\r\n|"
    b"X-Forwarded-Port: 443\r\n|X-Real-IP: 1.1.1.1\r\n|Forwarded: for=1.1.1.1\r\n|"
    b"Forwarded: for=\"[::1]\";proto=http\r\n|X-Forwarded-%: x\r\n|Forwarded:|for=|\"|\\|\\\"|;|,|"
    b", |=|by=_x|host=\"a|proto=https|unknown| |\t|::1|1.2.3.4|fe80::1%eth0|a.example:80|[::1]|0|"
    b"\n|"
    b"\xff|X_Forwarded_For: 2.2.2.2\r\n|Connection: forwarded, x-forwarded-for\r\n"
).split(b"|")  # fmt: skip

_PEERS = (b"", b"1.2.3.4", b"2001:db8::1", b"fe80::1%eth0", b"::ffff:1.2.3.4")


def run(data: bytes) -> None:
    first, _, rest = data.partition(b"\n")
    host, _, lines = rest.partition(b"\n")
    peer = _PEERS[len(first) % len(_PEERS)]
    port = (0, 80, 65535)[len(first) // len(_PEERS) % 3]
    block = b"\r\nHost: " + host + b"\r\n" + lines
    if lines and not lines.endswith(b"\r\n"):
        block += b"\r\n"
    try:
        fields = request_fields(block)
    except BadMessage:
        return
    plain = forwarded_lines(peer, b"http", fields.host, port)
    _check(plain, (), peer, fields.host, port)
    text = forwarded_lines(peer, b"http", fields.host, port, fields.forwarded)
    _check(text, fields.forwarded, peer, fields.host, port)


def _check(
    text: bytes, sent: tuple[tuple[bytes, bytes], ...], peer: bytes, host: bytes, port: int
) -> None:
    said = {name for name, value in sent if value}
    lines = [line.partition(b": ") for line in text.split(b"\r\n")[:-1]]
    found = {name.lower(): value for name, _, value in lines}
    assert len(found) == len(lines), f"a field stands twice: {text!r}"
    assert all(found.values()), f"a field is empty: {text!r}"
    for name, ours in (
        (b"x-forwarded-proto", b"http"),
        (b"x-forwarded-host", host),
        (b"x-forwarded-port", b"%d" % port if port else b""),
    ):
        theirs = [value for key, value in sent if key == name and value]
        assert found.get(name, b"") == (theirs[-1] if theirs else ours), (name, text, sent)
    if peer:
        hops = found[b"x-forwarded-for"].split(b", ")
        assert hops[-1] == peer
    before = b", ".join(value for key, value in sent if key == b"x-forwarded-for" and value)
    chain = [part for part in (before, peer) if part]
    assert found.get(b"x-forwarded-for", b"") == b", ".join(chain)
    assert (b"forwarded" in found) == (b"forwarded" in said or not said)
    if b"forwarded" in found:
        last = _pairs(_split(found[b"forwarded"], b",")[-1])
        node = b"[%s]" % peer if b":" in peer else peer or b"unknown"
        assert last == {b"for": node, b"host": host, b"proto": b"http"}, (text, sent)


def _split(value: bytes, at: bytes) -> list[bytes]:
    """Splits Forwarded at a character outside of quotes (RFC 7239 section 4), a byte at a time."""
    parts, quoted, escaped = [b""], False, False
    for char in (value[i : i + 1] for i in range(len(value))):
        if char == at and not quoted:
            parts.append(b"")
            continue
        parts[-1] += char
        if escaped:
            escaped = False
        elif quoted and char == b"\\":
            escaped = True
        elif char == b'"':
            quoted = not quoted
    assert not quoted, f"a quote is left open: {value!r}"
    return [part.strip(b" \t") for part in parts]


def _pairs(element: bytes) -> dict[bytes, bytes]:
    pairs = {}
    for part in _split(element, b";"):
        name, _, value = part.partition(b"=")
        if value.startswith(b'"'):
            value = _unquoted(value[1:-1])
        pairs[name.lower()] = value
    return pairs


def _unquoted(value: bytes) -> bytes:
    plain, escaped = b"", False
    for char in (value[i : i + 1] for i in range(len(value))):
        if char == b"\\" and not escaped:
            escaped = True
        else:
            plain, escaped = plain + char, False
    return plain
