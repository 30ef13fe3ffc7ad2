"""The endpoints of a site's own: read strictly, and compared by where they would listen."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import Final

from luisito.settings.values import Wrong

MOST: Final = 8
"""Endpoints of one site."""

_TCP: Final = r"tcp6?:[0-9]{1,5}(:interface=([0-9A-Fa-f.%]|\\:)+)?"
_UNIX: Final = r"unix:/[^:\\]+(:mode=[0-7]{3})?"
PATTERN: Final = f"^({_TCP}|{_UNIX})$"
"""A regular expression of them; what addresses and ports are it does not know."""

_endpoint = re.compile(f"(?:{_TCP}|{_UNIX})", re.ASCII).fullmatch
_MUST: Final = "must be an endpoint such as tcp:8001:interface=127.0.0.1 or unix:/run/shop.sock"


def listen(value: object) -> tuple[str, ...]:
    """The reader of `listen`: one endpoint, or a list of them."""
    if isinstance(value, str):
        _check(value, "")
        return (value,)
    if not isinstance(value, list | tuple):
        raise Wrong(f"{_MUST}, or a list of them", mend=meant(None))
    if len(value) > MOST:
        raise Wrong(f"must not be more than {MOST} endpoints", mend=list(value[:MOST]))
    places: dict[str, int] = {}
    for index, one in enumerate(value):
        other = places.setdefault(_check(one, f"[{index}]"), index)
        if other != index:
            raise Wrong("must not name a place twice", mend=[*value[:index], *value[index + 1 :]])
    return tuple(value)


def _check(endpoint: object, item: str) -> str:
    found = place(endpoint) if isinstance(endpoint, str) else None
    if found is None:
        raise Wrong(_MUST, item=item, value=endpoint, mend=meant(endpoint))
    return found


def meant(value: object, usual: int = 8001) -> str:
    """The endpoint that is proposed to somebody who wrote another thing, perhaps a port.

    Args:
        value: what was written.
        usual: the port where that has none.
    """
    port = str(value).rpartition(":")[2]
    return f"tcp:{port if _is_port(port) else usual}:interface=127.0.0.1"


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536


def place(endpoint: str) -> str | None:
    """Tells where an endpoint would listen, always in the same words.

    Args:
        endpoint: a string of Twisted's, of the kinds tcp, tcp6 and unix.

    Returns:
        None where it is of another kind, or none at all.
    """
    found = port_and_address(endpoint)
    if found is None:
        return None
    port, address = found
    return f"unix:{address}" if port is None else f"{address} port {port}"


def port_and_address(endpoint: str) -> tuple[int | None, str] | None:
    """As `place`: the port of TCP and the address in its normal form; or None and a path."""
    if _endpoint(endpoint) is None:
        return None
    kind, what, *options = endpoint.replace("\\:", "\0").split(":")
    if kind == "unix":
        # "//" at its beginning is a name of its own to normpath, not to Linux.
        return None if "\0" in what else (None, f"/{os.path.normpath(what).lstrip('/')}")
    address = "::" if kind == "tcp6" else "0.0.0.0"  # noqa: S104 - as Twisted has it
    if options:
        address = options[0].removeprefix("interface=").replace("\0", ":")
    try:
        return (int(what), str(ipaddress.ip_address(address))) if _is_port(what) else None
    except ValueError:
        return None
