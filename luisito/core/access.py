"""One line of the access log for each request (JSON, one object a line)."""

from __future__ import annotations

import re
from typing import Final

_plain = re.compile(rb"[ !#-\[\]-~]*").fullmatch
_escaped: Final = re.compile(rb"[^ !#-\[\]-~]")


def escaped(value: bytes) -> bytes:
    r"""`value` as the inside of a JSON string; bytes that are not printable ASCII as \u00XX."""
    if _plain(value):
        return value
    return _escaped.sub(lambda match: b"\\u%04x" % match[0][0], value)


def line(
    *,
    time: bytes,
    client: bytes,
    site: bytes,
    method: bytes,
    target: bytes,
    status: int,
    bytes_in: int,
    bytes_out: int,
    first_byte: float,
    total: float,
    start: bytes,
    waited: float,
    end: bytes,
) -> bytes:
    """The line, with its newline.

    Args:
        time: when the request came in, ISO 8601.
        client: address of the client.
        site: key of the site, or empty.
        method: of the request.
        target: of the request; its query is left out, since tokens travel there.
        status: of the answer; 0 where none was sent.
        bytes_in: received of the request, head and body.
        bytes_out: sent of the answer, head and body.
        first_byte: seconds until the first byte of the answer; 0 where none came.
        total: seconds until the end.
        start: b"warm" or b"cold".
        waited: seconds spent waiting for a server.
        end: b"" for a whole answer, else why there is none.
    """
    query = target.find(b"?")
    if query >= 0:
        target = target[:query]
    return (
        b'{"time":"%s","client":"%s","site":"%s","method":"%s","target":"%s","status":%d,'
        b'"in":%d,"out":%d,"first_byte":%.6f,"total":%.6f,"start":"%s","waited":%.6f,"end":"%s"}\n'
        % (
            time, client, site, method, target if _plain(target) else escaped(target), status,
            bytes_in, bytes_out, first_byte, total, start, waited, escaped(end) if end else end,
        )
    )  # fmt: skip
