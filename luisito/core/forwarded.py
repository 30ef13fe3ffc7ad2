"""The fields that tell an app server who its client is (RFC 7239 and its X- forerunners)."""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
# Laxer than RFC 7239 section 4 about what stands unquoted, as proxies are; strict about quotes.
_VALUE: Final = rb'(?:"[\t !#-\[\]-~\x80-\xff]*+"|[!#-+\--:<-~\x80-\xff]++)'
_PAIR: Final = _TOKEN + rb"=" + _VALUE
_forwarded = re.compile(_PAIR + rb"(?:[ \t]*+[,;][ \t]*+" + _PAIR + rb")*").fullmatch
_token = re.compile(_TOKEN).fullmatch


def _quoted(value: bytes) -> bytes:
    """A value of Forwarded: a token as it is, anything else as a quoted-string."""
    return value if _token(value) else b'"%s"' % value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def forwarded_lines(
    peer: bytes,
    scheme: bytes,
    host: bytes,
    port: int,
    sent: tuple[tuple[bytes, bytes], ...] = (),
    prefix: bytes = b"",
) -> bytes:
    """The header lines to add to a request, each ended by CRLF.

    Args:
        peer: the address of whoever is connected; empty for a unix socket.
        scheme: b"http" or b"https".
        host: Host as the client sent it.
        port: the port at which the request came in; 0 for a unix socket.
        sent: the forwarded fields that a trusted peer sent: lists are extended, the rest stands.
            Empty ones and a malformed Forwarded, whose open quote would swallow what is added,
            are left out. One who speaks in X-Forwarded-* alone is not answered in Forwarded: its
            last element, about the way from that peer to us, would contradict what it said of the
            client to apps that read Forwarded first.
        prefix: the line of mounts.prefix_line; where it is empty, a prefix that was sent stands.
    """
    known: list[bytes] = []
    elements: list[bytes] = []
    theirs: dict[bytes, bytes] = {}
    for name, value in sent:
        if not value:
            continue
        if name == b"forwarded":
            elements.append(value)
        elif name == b"x-forwarded-for":
            known.append(value)
        else:
            theirs[name] = value
    in_forwarded = bool(elements) or not (known or theirs)
    if prefix:
        theirs.pop(b"x-forwarded-prefix", None)
    chain = b", ".join([*known, peer] if peer else known)
    node = _quoted(b"[%s]" % peer if b":" in peer else peer or b"unknown")
    element = b"for=%s;host=%s;proto=%s" % (node, _quoted(host), scheme)
    earlier = b", ".join(elements)
    lines = [
        b"X-Forwarded-For: " + chain if chain else b"",
        b"X-Forwarded-Proto: " + theirs.pop(b"x-forwarded-proto", scheme),
        b"X-Forwarded-Host: " + theirs.pop(b"x-forwarded-host", host),
        b"X-Forwarded-Port: " + theirs.pop(b"x-forwarded-port", b"%d" % port) if port else b"",
        b"Forwarded: " + (earlier + b", " + element if _forwarded(earlier) else element)
        if in_forwarded
        else b"",
        *(name.title() + b": " + value for name, value in theirs.items()),
    ]
    return b"".join(line + b"\r\n" for line in lines if line) + prefix
