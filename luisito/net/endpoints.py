"""Endpoint strings of Twisted: asking a reactor, or what stands in for one, for what they say."""

from __future__ import annotations

import errno
from typing import Any, Final, NamedTuple

from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory

from luisito.errors import EndpointError

BACKLOG: Final = 4096
_MENDS: Final = {
    errno.EADDRINUSE: "see who listens there (ss -ltnpx) and end that, or write another",
    errno.EACCES: (
        "a port below 1024 takes root or CAP_NET_BIND_SERVICE,"
        " a unix socket a folder that whoever starts Luisito may write to"
    ),
    errno.EADDRNOTAVAIL: "write an address that this machine has (ip address shows them)",
    errno.ENOENT: "make the folder of the socket",
}


def ask(reactor: Any, description: str) -> Any:  # noqa: ANN401 - whatever the reactor makes
    """Have a reactor listen where an endpoint string says; return what it made.

    Args:
        reactor: has listenTCP and listenUNIX, and adoptStreamPort for `systemd:`.
        description: the endpoint string.

    Raises:
        EndpointError: the string is not understood, or the reactor could not.
    """
    try:
        endpoint = serverFromString(reactor, description)
    except Exception as error:  # noqa: BLE001 - endpoint parsers raise whatever they like
        raise EndpointError(
            f"LISTEN: {description!r} is not an endpoint ({error});"
            " write for example 'tcp:8080:interface=127.0.0.1' or 'unix:/run/luisito.sock'",
            str(error),
        ) from None
    made: list[Any] = []
    errors: list[BaseException] = []
    waiting = maybeDeferred(endpoint.listen, Factory())  # `stdio:` raises
    waiting.addCallbacks(made.append, lambda failure: errors.append(failure.value))
    if made:
        return made[0]
    reason = errors[0] if errors else ""
    if isinstance(reason, CannotListenError):
        reason = reason.socketError
    words = why = str(reason) or "this kind of endpoint is not supported"
    if isinstance(reason, OSError):
        why = reason.strerror or why
        mend = _MENDS.get(reason.errno or 0)
        words = f"{words}; {mend}" if mend else words
    raise EndpointError(f"LISTEN: cannot listen on {description!r}: {words}", why)


class Place(NamedTuple):
    """Where an endpoint string would listen.

    Attributes:
        port: of TCP; None for none.
        interface: the address; "" is all of IPv4.
        path: of a unix socket; "" for none.
    """

    port: int | None
    interface: str
    path: str


class _Places:
    """Stands in for a reactor, and tells only what it would do."""

    def listenTCP(
        self, port: int, _factory: object, backlog: int = BACKLOG, interface: str = ""
    ) -> Place:
        del backlog
        return Place(port, interface, "")

    def listenUNIX(self, address: str, _factory: object, **_how: object) -> Place:
        return Place(None, "", address)


def place(description: str) -> Place:
    """Tell where an endpoint string would listen, and open nothing.

    Args:
        description: as for `listen`. What a `systemd:` one means only systemd knows: neither a
            port nor a path is told.

    Raises:
        SettingsError: the string is not understood.
    """
    if description.startswith("systemd:"):
        return Place(None, "", "")
    found: Place = ask(_Places(), description)
    return found
