"""Where a client is sent that has asked for a host which is redirected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote_from_bytes

from luisito.core.host import split_authority
from luisito.errors import BadHost

if TYPE_CHECKING:
    from collections.abc import Sequence

_PORTS: Final = {"http": 80, "https": 443}
_SAFE: Final = "%/?:@!$&'()*+,;=-._~[]"


def scheme_of(sent: Sequence[tuple[bytes, bytes]]) -> str:
    """The scheme that a client has used: "http" or "https".

    Args:
        sent: the forwarded fields that a trusted peer sent; X-Forwarded-Proto tells the scheme,
            which is http without it.
    """
    for name, value in sent:
        told = value.partition(b",")[0].strip().lower().decode("latin-1")
        if name == b"x-forwarded-proto" and told in _PORTS:
            return told
    return "http"


def location(
    site: str,
    target: bytes,
    host: bytes,
    asked: str,
    sent: Sequence[tuple[bytes, bytes]] = (),
) -> str:
    """The value of Location (RFC 9110 section 10.2.2).

    Args:
        site: the host to ask.
        target: of the request, as `request_line` has let it pass: its path and query are kept.
        host: Host as the client sent it; its port is kept where it names `asked`, and is none that
            goes without saying.
        asked: the host that is redirected.
        sent: the forwarded fields that a trusted peer sent, of which `scheme_of` is told.
    """
    scheme = scheme_of(sent)
    try:
        named, port = split_authority(host)
    except BadHost:  # where another header names the site
        named, port = "", None
    kept = f":{port}" if port not in (None, _PORTS[scheme]) and named == asked else ""
    path = "/" if target == b"*" else quote_from_bytes(target, _SAFE)
    return f"{scheme}://{site}{kept}{path}"
