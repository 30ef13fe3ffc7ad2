"""The grammar of HTTP/1 heads that requests and responses share, and how long a body is.

A recipient that reads a message otherwise than the one behind it can be made to smuggle (RFC 9112
section 11.2), so whatever two parsers could read differently is refused before it is passed on.
"""

from __future__ import annotations

import re
from typing import Final

from luisito.errors import BadMessage

CHUNKED: Final = -1
"""The length of a body in the chunked coding (RFC 9112 section 7.1)."""
TO_EOF: Final = -2
"""The length of a response body that ends with its connection (RFC 9112 section 6.3)."""

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
VALUE: Final = rb"[\t -~\x80-\xff]"

# Patterns are linear in time: what repeats one character is possessive, and a line can be read in
# one way only. No group is repeated possessively: CPython before 3.11.5 takes such a group for
# matched where it was matched in part (gh-106052).
LINE: Final = TOKEN + rb"++:" + VALUE + rb"*+\r\n"
LINES: Final = rb"(?:" + LINE + rb")*"

field_line = re.compile(TOKEN + rb"++:" + VALUE + rb"*+").fullmatch
content_length = re.compile(rb"0|[1-9]\d{0,17}").fullmatch


# What routes, frames or types a message comes once, and goes on in the one way that every parser
# reads alike.
ONCE: Final = {
    b"host": b"Host",
    b"content-type": b"Content-Type",
    b"content-length": b"Content-Length",
    b"transfer-encoding": b"Transfer-Encoding",
}
# Connection cannot take these away: the message would be read as another one.
STAYS: Final = frozenset([*ONCE, b"content-encoding", b"content-range", b"expect"])


def malformed(block: bytes) -> bytes:
    """The beginning of the first of these lines that is none."""
    lines = block.split(b"\r\n")[1:]
    return next((line[:64] for line in lines if field_line(line) is None), b"")


def keep_once(seen: dict[bytes, bytes], name: bytes, value: bytes, status: int) -> bytes:
    """Keeps the value of one of ONCE; returns the line to pass on."""
    if name in seen:
        raise BadMessage(
            status,
            f"{ONCE[name].decode()} was sent twice: {seen[name][:64]!r} and {value[:64]!r}",
        )
    if name == b"transfer-encoding":
        value = value.lower()  # some app servers know the lower-case name only (RFC 9112 section 7)
    seen[name] = value
    return ONCE[name] + b": " + value


def tokens(value: bytes) -> list[bytes]:
    """The members of a list-valued field, in lower case."""
    return [token for part in value.lower().split(b",") if (token := part.strip(b" \t"))]


def body_length(once: dict[bytes, bytes], status: int) -> int | None:
    """What Content-Length says; None where it was not sent, CHUNKED for a transfer coding."""
    length = once.get(b"content-length")
    if b"transfer-encoding" in once:
        if length is not None:
            raise BadMessage(status, "Content-Length and Transfer-Encoding were both sent")
        return CHUNKED
    if length is None:
        return None
    if content_length(length) is None:
        raise BadMessage(status, f"Content-Length is {length[:64]!r}: send a number of bytes")
    return int(length)
