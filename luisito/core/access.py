"""One line of the access log for each request (JSON, one object a line)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

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


def asked(method: bytes, target: bytes) -> bytes:
    """The part of a line that says what was asked for.

    Args:
        method: of the request.
        target: of the request, as `request_line` has let it pass; its query is left out, since
            tokens travel there.
    """
    query = target.find(b"?")
    if query >= 0:
        target = target[:query]
    # of what stands in a valid target, JSON minds only these
    if not target.isascii() or target.find(b"\\") >= 0:
        target = escaped(target)
    return b'%s","target":"%s' % (method, target)


NOTHING: Final = asked(b"", b"")
"""What was asked for in a head that cannot be read."""


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


Entry = tuple[bytes, bytes, bytes, int, int, int, float, float, bytes]
"""What a line is made of:

- when the request ended, ISO 8601;
- `who` asked, for which site;
- what was `asked` for;
- status of the answer; 0 where none was sent;
- bytes received of the request, head and body;
- bytes sent of the answer, head and body;
- seconds until the first byte of the answer; 0 where none came;
- seconds until the end;
- `how` it ended.
"""

_LINE: Final = b'{"time":"%b%b%b","status":%d,"in":%d,"out":%d,"first_byte":%.6f,"total":%.6f,%b'

line: Final[Callable[[Entry], bytes]] = _LINE.__mod__
"""The line of an entry, with its newline; `map` calls it without a frame of Python."""
