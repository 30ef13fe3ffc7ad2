"""The heads of requests: what they say, checked strictly, and how they are passed on.

They are judged twice, by the rules here and by llhttp. Clients send the same header lines over and
over, and many ask for the same: what either says is worth a memory of its own (`memo`), so nothing
that is read here may change.
"""

from __future__ import annotations

import copy
import re
from typing import Any, Final

import httptools

from luisito.core.host import normalize
from luisito.core.http1 import (
    CHUNKED,
    LINES,
    ONCE,
    STAYS,
    TOKEN,
    body_length,
    keep_once,
    malformed,
    tokens,
)
from luisito.errors import BadHost, BadMessage

METHODS: Final = frozenset(
    b"GET HEAD POST PUT DELETE OPTIONS PATCH TRACE "
    b"PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK REPORT SEARCH MKCALENDAR ACL BIND UNBIND "
    b"REBIND CHECKOUT MERGE MKACTIVITY M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PURGE LINK UNLINK "
    b"SOURCE QUERY".split()
)
"""What is passed on; the rest is answered with 501."""

IDEMPOTENT: Final = frozenset(
    b"GET HEAD PUT DELETE OPTIONS TRACE PROPFIND REPORT SEARCH QUERY".split()
)
"""What may be sent a second time (RFC 9110 section 9.2.2)."""

# `"`, `#`, `<` and `>` never stand raw in a target (RFC 3986), and parsers disagree about them.
_TARGET_CHAR: Final = rb"[!$-;=?-~\x80-\xff]"

_request_line = re.compile(rb"([A-Z-]++) (/" + _TARGET_CHAR + rb"*+) HTTP/1\.([01])").fullmatch
_any_request_line = re.compile(rb"(" + TOKEN + rb"++) ([^ \r\n]++) HTTP/(\d)\.(\d)").fullmatch
_absolute = re.compile(
    rb"(?i:https?)://([^\x00- \"#/<>?@\x7f]++)(/"
    + _TARGET_CHAR
    + rb"*+|\?"
    + _TARGET_CHAR
    + rb"*+)?"
).fullmatch
_protocol = re.compile(TOKEN + rb"++(?:/" + TOKEN + rb"++)?").fullmatch
# as `request_fields` writes them, last of all
_upgrade_lines = re.compile(rb"\r\nConnection: Upgrade\r\nUpgrade: [^\r]*+\r\n")
_field_lines = re.compile(rb"\r\n" + LINES).fullmatch

# Fields that one hop keeps to itself (RFC 9110 section 7.6.1), and `Proxy`, which CGI-like app
# servers would turn into HTTP_PROXY.
_ONE_HOP: Final = frozenset(
    [b"keep-alive", b"te", b"proxy-connection", b"proxy-authorization", b"proxy", b"http2-settings"]
)
_FORWARDED: Final = frozenset([b"forwarded", b"x-real-ip"])
# What an app server believes of a proxy that has taken a prefix off the path: gunicorn takes
# SCRIPT_NAME and PATH_INFO from header lines, and apps X-Script-Name. Nobody but us takes one off.
_MOUNTED: Final = frozenset([b"script-name", b"path-info", b"x-script-name"])


MAX_FIELDS: Final = 1000
"""Header lines of a request; above it 431. To read more of them would hold the others up: it takes
a microsecond a line, and a head of the largest size has room for 8,000. nginx has the same limit
(max_headers), and most app servers one of 100 (gunicorn's limit_request_fields)."""


class RequestLine:
    """What a request line says (RFC 9112 section 3).

    Attributes:
        method: one of METHODS.
        target: in origin-form, or `*`.
        minor: the minor version, 0 or 1.
        authority: the host of an absolute-form target, which wins over Host; else None.
        idempotent: the request may be sent a second time.
        to_head: the method is HEAD, so that the answer has no body.
        passed: the line to pass on, without its CRLF.
        logged: what the access log says of it (access.Form.asked), once somebody has set it.
    """

    __slots__ = (
        "authority", "idempotent", "logged", "method", "minor", "passed", "target", "to_head",
    )  # fmt: skip

    def __init__(self, method: bytes, target: bytes, minor: int, authority: bytes | None) -> None:
        self.method, self.target, self.minor, self.authority = method, target, minor, authority
        self.idempotent = method in IDEMPOTENT
        self.to_head = method == b"HEAD"
        self.passed = b"%s %s HTTP/1.1" % (method, target)
        self.logged: Any = None

    def asking_for(self, target: bytes) -> RequestLine:
        """The same line, which is passed on with another target."""
        line = copy.copy(self)
        line.passed = b"%s %s HTTP/1.1" % (self.method, target)
        return line


def request_line(line: bytes) -> RequestLine:
    """Reads a request line, without its CRLF.

    Raises:
        BadMessage: 400, 501 for a method or 505 for a version that is not spoken here.
    """
    match = _request_line(line)
    if match is not None:
        method, target, minor = match.groups()
        if method in METHODS:
            return RequestLine(method, target, minor[0] - 48, None)
    return _unusual_request_line(line)


def _unusual_request_line(line: bytes) -> RequestLine:
    match = _any_request_line(line)
    if match is None:
        raise BadMessage(400, "the request line is malformed")
    method, target, major, minor = match.groups()
    if major != b"1" or minor not in (b"0", b"1"):
        raise BadMessage(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
    if method not in METHODS:
        raise BadMessage(501, "this method is not implemented")
    if target == b"*":
        if method != b"OPTIONS":
            raise BadMessage(400, "the target * goes with OPTIONS only")
        return RequestLine(method, target, int(minor), None)
    absolute = _absolute(target)
    if absolute is None:
        raise BadMessage(400, "the request target is malformed")
    authority, path = absolute.groups()
    if not path:
        path = b"*" if method == b"OPTIONS" else b"/"
    elif path[:1] == b"?":
        path = b"/" + path
    return RequestLine(method, path, int(minor), authority)


class RequestFields:
    """What the header lines of a request say.

    Attributes:
        host: Host as it was sent, without white space around it.
        site: the host that it names, normalised: the key of the site.
        length: of the body in bytes, or CHUNKED.
        close: True for `Connection: close`, False for `keep-alive`, None where neither was sent.
        upgrade: there is an upgrade to pass on.
        expects_continue: for `Expect: 100-continue`.
        lines: the header lines to pass on, each ended by CRLF, with a CRLF before the first;
            without hop-by-hop and forwarded fields.
        forwarded: (lower-case name, value) of the forwarded fields that were sent.
        json: the client asked for JSON before HTML.
    """

    __slots__ = (
        "close", "expects_continue", "forwarded", "host", "json", "length", "lines", "site",
        "upgrade",
    )  # fmt: skip

    host: bytes
    site: str
    length: int
    close: bool | None
    upgrade: bool
    expects_continue: bool
    lines: bytes
    forwarded: tuple[tuple[bytes, bytes], ...]
    json: bool


class _Callbacks:
    """llhttp is asked for its verdict only."""


_CALLBACKS: Final = _Callbacks()


def _llhttp(block: bytes) -> None:
    try:
        httptools.HttpRequestParser(_CALLBACKS).feed_data(b"GET / HTTP/1.1" + block + b"\r\n")
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise BadMessage(400, f"a header line is malformed: {error}") from None


def _is_forwarded(name: bytes) -> bool:
    return name in _FORWARDED or name.startswith(b"x-forwarded-")


def _collides(name: bytes) -> bool:
    """Whether a name with underscores reads, to a CGI-like app server, as one that is ours."""
    dashed = name.replace(b"_", b"-")
    return dashed in ONCE or dashed in _ONE_HOP or dashed in _MOUNTED or _is_forwarded(dashed)


def request_fields(block: bytes) -> RequestFields:
    """Reads the header lines of a request.

    Args:
        block: from the CRLF of the request line to the CRLF of the last header line.

    Raises:
        BadMessage: 400; 431 for more than MAX_FIELDS lines, or 501 for a transfer coding other than
            chunked.
    """
    if block.count(b"\r\n") > MAX_FIELDS + 1:
        raise BadMessage(431, f"the request has over {MAX_FIELDS} header lines")
    if _field_lines(block) is None:
        raise BadMessage(400, f"a header line is malformed: {malformed(block)!r}")
    _llhttp(block)
    once: dict[bytes, bytes] = {}
    nominated: list[bytes] = []
    offered: list[bytes] = []
    forwarded: list[tuple[bytes, bytes]] = []
    kept: list[tuple[bytes, bytes]] = []
    expects = json = False
    for line in block[2:-2].split(b"\r\n"):
        raw_name, _, raw_value = line.partition(b":")
        name, value = raw_name.lower(), raw_value.strip(b" \t")
        if name in _ONE_HOP or name in _MOUNTED or (b"_" in name and _collides(name)):
            continue
        if name in ONCE:
            line = keep_once(once, name, value, 400)
        elif name == b"connection":
            nominated += tokens(value)
            continue
        elif name == b"upgrade":
            offered += value.split(b",")
            continue
        elif _is_forwarded(name):
            forwarded.append((name, value))
            continue
        elif name == b"expect":
            expects = expects or b"100-continue" in tokens(value)
        elif name == b"accept":
            json = _prefers_json(value.lower())
        kept.append((name, line))
    host = once.get(b"host")
    if host is None:
        raise BadMessage(400, "Host is missing: send the name of a site")
    fields = RequestFields()
    try:
        fields.site = normalize(host)
    except BadHost as error:
        raise BadMessage(400, str(error)) from None
    fields.host = host
    fields.length = _request_length(once)
    fields.close = True if b"close" in nominated else False if b"keep-alive" in nominated else None
    protocols = _protocols(offered) if b"upgrade" in nominated and not fields.length else b""
    fields.upgrade = bool(protocols)
    fields.expects_continue = expects
    fields.json = json
    # Connection cannot take these away either: they show that the client came through a proxy.
    fields.forwarded = tuple(forwarded)
    dropped = frozenset(nominated) - STAYS
    lines = [b"", *(line for name, line in kept if name not in dropped)]
    if protocols:
        lines += [b"Connection: Upgrade", b"Upgrade: " + protocols]
    fields.lines = b"\r\n".join(lines) + b"\r\n"
    return fields


def _request_length(once: dict[bytes, bytes]) -> int:
    length = body_length(once, 400)
    if length == CHUNKED:
        coding = once[b"transfer-encoding"]
        if coding != b"chunked":
            # RFC 9112 section 6.1: 501; what does not end in chunked once cannot be framed at all
            codings = tokens(coding)
            framed = codings[-1:] == [b"chunked"] and codings.count(b"chunked") == 1
            raise BadMessage(
                501 if framed else 400, f"Transfer-Encoding is {coding[:64]!r}: send only chunked"
            )
    return length or 0


def _protocols(offered: list[bytes]) -> bytes:
    """What to offer to the app server; h2c would make it speak past this proxy."""
    names = [part.strip(b" \t") for part in offered]
    return b", ".join(
        name for name in names if _protocol(name) and not name.lower().startswith(b"h2c")
    )


def _prefers_json(accept: bytes) -> bool:
    json, html = accept.find(b"json"), accept.find(b"text/html")
    return json >= 0 and (html < 0 or json < html)


def named_by(fields: RequestFields, header: bytes) -> RequestFields:
    """The same request, for the site that another header names in the place of Host.

    Args:
        fields: as read; not changed, since others share it.
        header: the name of that header, in lower case. Where the request has none, Host stands.

    Raises:
        BadMessage: 400 where it was sent twice, or names no valid host.
    """
    values = [
        value.strip(b" \t")
        for name, _, value in (line.partition(b":") for line in fields.lines.split(b"\r\n"))
        if name.lower() == header
    ]
    if not values:
        return fields
    if len(values) > 1:
        raise BadMessage(400, f"{header.decode()} was sent twice: {values[0]!r} and {values[1]!r}")
    named = copy.copy(fields)
    try:
        named.site = normalize(values[0])
    except BadHost as error:
        raise BadMessage(400, f"{header.decode()}: {error}") from None
    return named


def without_upgrade(passed: bytes) -> bytes:
    """The lines of `RequestFields` that has one, and what follows them, less the upgrade."""
    return _upgrade_lines.sub(b"\r\n", passed, count=1)


def with_host(block: bytes, authority: bytes) -> bytes:
    """The header lines with `authority` in place of each Host (RFC 9112 section 3.2.2)."""
    lines = block.split(b"\r\n")
    for index, line in enumerate(lines):
        if line[:5].lower() == b"host:":
            lines[index] = b"Host: " + authority
    return b"\r\n".join(lines)
