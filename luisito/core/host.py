"""Reads a Host field or an authority into the one key under which a site is known."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from luisito.errors import BadHost

_MAX_NAME = 253  # RFC 1035 section 2.3.4: 255 bytes on the wire, less the first length and the root
_MAX_AUTHORITY = _MAX_NAME + len(".:65535")
_MAX_PORT = 65535

# RFC 3986 section 3.2, less userinfo. What the host may hold is judged afterwards.
_AUTHORITY = re.compile(rb"(\[[^\[\]]*\]|[^\[\]:]*)(?::([0-9]{1,5}))?", re.DOTALL)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# Resolvers and browsers take such a last label for (a part of) an IPv4 address.
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")


def normalize(raw: bytes) -> str:
    """Returns the site key of a Host field or an authority.

    Args:
        raw: `host` or `host:port`, as it came from the client (RFC 9110 section 7.2).

    Returns:
        The host in lower case, with neither a trailing dot nor a port: a name of A-labels, an
        IPv4 address, or an IPv6 address compressed (RFC 5952) and in brackets.

    Raises:
        BadHost: it is not exactly that; the message says why.
    """
    return split_authority(raw)[0]


def split_authority(raw: bytes) -> tuple[str, int | None]:
    """Returns the site key and the port (1 to 65535), or None where no port is given.

    Raises:
        BadHost: as for `normalize`.
    """
    if len(raw) > _MAX_AUTHORITY:
        raise BadHost(f"host {raw[:32]!r}... is {len(raw)} bytes long: at most {_MAX_AUTHORITY}")
    match = _AUTHORITY.fullmatch(raw)
    if match is None:
        raise BadHost(f"host {raw!r} is not `name`, `name:port`, `[IPv6]` or `[IPv6]:port`")
    host, digits = match.groups()
    if not host:
        raise BadHost(f"host {raw!r} is empty: send the name of a site")
    port = None if digits is None else int(digits)
    if port is not None and not 1 <= port <= _MAX_PORT:
        raise BadHost(f"host {raw!r} has port {port}: send one of 1 to {_MAX_PORT}, or none")
    if host.startswith(b"["):
        return _ipv6(host, raw), port
    return _name(host, raw), port


def _name(host: bytes, raw: bytes) -> str:
    # latin-1 takes every byte, so that the labels alone judge; lower() must not see other letters.
    name = host.lower().decode("latin-1").removesuffix(".")
    if len(name) > _MAX_NAME:
        raise BadHost(f"host {raw[:32]!r}... is {len(name)} bytes long: at most {_MAX_NAME}")
    labels = name.split(".")
    for label in labels:
        if _LABEL.fullmatch(label) is None:
            raise BadHost(
                f"host {raw!r} has the label {label!r}: 1 to 63 of a-z, 0-9, '-' and '_', "
                "no '-' at either end (other letters as an A-label, xn--...)"
            )
    if _NUMERIC.fullmatch(labels[-1]):
        try:
            IPv4Address(name)
        except AddressValueError as error:
            raise BadHost(f"host {raw!r} ends in a number, but is no IPv4 address") from error
    return name


def _ipv6(host: bytes, raw: bytes) -> str:
    try:
        address = IPv6Address(host[1:-1].decode("ascii"))
    except ValueError as error:  # UnicodeDecodeError and AddressValueError are both
        raise BadHost(f"host {raw!r} has no IPv6 address in its brackets") from error
    if address.scope_id is not None:
        raise BadHost(f"host {raw!r} has a zone: it means nothing outside the client, leave it out")
    return f"[{address.compressed}]"
