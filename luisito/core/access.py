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


def how(start: bytes, waited: float, end: bytes) -> bytes:
    """The end of a line.

    Args:
        start: b"warm" or b"cold".
        waited: seconds spent waiting for a server.
        end: b"" for a whole answer, else why there is none.
    """
    return b'"start":"%s","waited":%.6f,"end":"%s"}\n' % (start, waited, escaped(end))


AT_ONCE: Final = how(b"warm", 0.0, b"")
"""How nearly all requests are served."""


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
    ending: bytes = AT_ONCE,
) -> bytes:
    """The line, with its newline.

    Args:
        time: when the request ended, ISO 8601.
        whom: see `who`.
        method: of the request.
        target: of the request, as `request_line` has let it pass; its query is left out, since
            tokens travel there.
        status: of the answer; 0 where none was sent.
        bytes_in: received of the request, head and body.
        bytes_out: sent of the answer, head and body.
        first_byte: seconds until the first byte of the answer; 0 where none came.
        total: seconds until the end.
        ending: see `how`.
    """
    query = target.find(b"?")
    if query >= 0:
        target = target[:query]
    # Of what stands in a valid target, JSON minds only these.
    if not target.isascii() or target.find(b"\\") >= 0:
        target = escaped(target)
    return (
        b'{"time":"%s%s%s","target":"%s","status":%d,"in":%d,"out":%d,"first_byte":%.6f,'
        b'"total":%.6f,%s'
        % (time, whom, method, target, status, bytes_in, bytes_out, first_byte, total, ending)
    )
