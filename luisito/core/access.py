"""One line of the access log for each request (JSON, one object a line)."""

from __future__ import annotations

import re
from typing import Final

_plain = re.compile(rb"[ !#-\[\]-~]*+").fullmatch
_escaped: Final = re.compile(rb"[^ !#-\[\]-~]")


def escaped(value: bytes) -> bytes:
    r"""`value` as the inside of a JSON string; bytes that are not printable ASCII as \u00XX."""
    if _plain(value):
        return value
    return _escaped.sub(lambda match: b"\\u%04x" % match[0][0], value)


def who(client: bytes, site: bytes) -> bytes:
    """The part of a line that all requests of a connection to a site share.

    Args:
        client: address of the client.
        site: key of the site, or empty.
    """
    return b'","client":"%s","site":"%s","method":"' % (escaped(client), site)


# Requests that were served at once, in less than a second, are nearly all. Whole numbers are
# written in a third of the time of floats.
def warm_line(
    time: bytes,
    whom: bytes,
    method: bytes,
    target: bytes,
    status: int,
    bytes_in: int,
    bytes_out: int,
    first_byte: float,
    total: float,
) -> bytes:
    """The line of a request that was answered whole by a server that was awake.

    Args:
        time: when the request ended, ISO 8601.
        whom: see `who`.
        method: of the request.
        target: of the request; its query is left out, since tokens travel there.
        status: of the answer.
        bytes_in: received of the request, head and body.
        bytes_out: sent of the answer, head and body.
        first_byte: seconds until the first byte of the answer.
        total: seconds until the end.

    Returns:
        The line, with its newline.
    """
    if total >= 1.0:
        return line(
            time, whom, method, target, status, bytes_in, bytes_out, first_byte, total,
            start=b"warm", waited=0.0, end=b"",
        )  # fmt: skip
    query = target.find(b"?")
    if query >= 0:
        target = target[:query]
    return (
        b'{"time":"%s%s%s","target":"%s","status":%d,"in":%d,"out":%d,"first_byte":0.%06d,'
        b'"total":0.%06d,"start":"warm","waited":0.000000,"end":""}\n'
        % (
            time, whom, method, target if _plain(target) else escaped(target), status, bytes_in,
            bytes_out, first_byte * 1e6, total * 1e6,
        )
    )  # fmt: skip


def line(
    time: bytes,
    whom: bytes,
    method: bytes,
    target: bytes,
    status: int,
    bytes_in: int,
    bytes_out: int,
    first_byte: float,
    total: float,
    *,
    start: bytes,
    waited: float,
    end: bytes,
) -> bytes:
    """As `warm_line`, for any request.

    Args:
        time: when the request ended, ISO 8601.
        whom: see `who`.
        method: of the request.
        target: of the request.
        status: of the answer; 0 where none was sent.
        bytes_in: received of the request, head and body.
        bytes_out: sent of the answer, head and body.
        first_byte: seconds until the first byte of the answer; 0 where none came.
        total: seconds until the end.
        start: b"warm" or b"cold".
        waited: seconds spent waiting for a server.
        end: b"" for a whole answer, else why there is none.
    """
    return (
        b'{"time":"%s%s%s","target":"%s","status":%d,"in":%d,"out":%d,"first_byte":%.6f,'
        b'"total":%.6f,"start":"%s","waited":%.6f,"end":"%s"}\n'
        % (
            time, whom, method, escaped(target.partition(b"?")[0]), status, bytes_in, bytes_out,
            first_byte, total, start, waited, escaped(end),
        )
    )  # fmt: skip
