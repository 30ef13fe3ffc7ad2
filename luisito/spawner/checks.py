"""What the spawner does not believe: names, numbers and descriptors in an order to start."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from luisito.core.host import normalize
from luisito.core.keys import is_path, site_of
from luisito.core.members import first_of, is_number
from luisito.core.siteindex import NO_WAY
from luisito.errors import BadHost

if TYPE_CHECKING:
    from luisito.core import wire

BAD_START = "start refused: "  # before what wrong_start says
_MAX_SERVER = 2**31 - 1


def wrong_start(
    way: str, order: wire.Start, descriptors: list[int], *, mounted: bool = False
) -> str | None:
    """Say what is wrong with an order to start a server; None when it is right.

    Args:
        way: how connections reach the server (core.template.way).
        order: that is not believed.
        descriptors: beside it.
        mounted: its site may be a mount of one, or one more server of either.
    """
    if not 0 < order.server <= _MAX_SERVER:
        return f"server id {order.server} is not in 1..{_MAX_SERVER}"
    port = order.port
    wrong = wrong_site(order.site, mounted=mounted)
    if wrong is not None:
        return wrong
    if order.worker is not None and way != NO_WAY:
        return f"{order.worker!r:.100} is no worker of {order.site}"
    if (way == "port") != (port is not None):
        return f"port {port} does not fit a command that is reached by {way}"
    if port is not None and not 1024 <= port <= 65535:
        return f"port {port} is not in 1024..65535"
    if len(descriptors) != (way == "fd"):
        return f"{len(descriptors)} descriptors do not fit a command that is reached by {way}"
    if descriptors and not _listens(descriptors[0]):
        return "the descriptor is not a listening socket"
    return None


def wrong_site(site: str, *, mounted: bool = False) -> str | None:
    """Say what is wrong with a site's key; None when it is one in its normal form.

    Args:
        site: the key.
        mounted: it may be that of a mount, or of one more server of either.
    """
    name = site_of(site) if mounted else site
    try:
        normal = normalize(name.encode("utf-8", "replace"))
    except BadHost as error:
        return f"site {site!r:.100}: {error}"
    first = first_of(site) if mounted else site
    path = first[len(name) :]
    right = normal == name and (not path or is_path(path)) and is_number(site[len(first) :])
    return None if right else f"site {site!r:.100} is not in normal form"


def _listens(descriptor: int) -> bool:
    # Whatever it is, nothing but a socket is asked anything: a file's own system may hang.
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError:
        return False
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False
    finally:
        sock.detach()
