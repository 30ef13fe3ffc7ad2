"""Readers of where and for whom: endpoints, hosts, peers, ports and the name of a header."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any, Final

import attrs

from luisito.core.addresses import Network, address
from luisito.core.memo import Memo
from luisito.core.routing import Routes
from luisito.settings.values import Wrong, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # token, RFC 9110 section 5.6.2
_REMEMBERED: Final = 1024  # peers
_LONGEST: Final = 64  # characters of one that is remembered: a zone may follow an address
_ENDPOINT: Final = re.compile(r"[a-z][a-z0-9]*:.+")


@attrs.frozen
class Peers:
    """A set of peers: networks, and perhaps whoever comes through a unix socket."""

    networks: tuple[Network, ...]
    unix: bool
    _known: Memo[str, bool] = attrs.field(init=False, eq=False, repr=False)

    @_known.default
    def _nothing_known(self) -> Memo[str, bool]:
        return Memo(self._look_up, size=_REMEMBERED, longest=_LONGEST)

    def includes(self, peer: str) -> bool:
        """Whether a peer belongs to it.

        Args:
            peer: an IP address as the kernel gives it, or "unix".

        Raises:
            ValueError: it is neither.
        """
        return self._known.get(peer)

    def _look_up(self, peer: str) -> bool:
        if peer == "unix":
            return self.unix
        found = address(peer)
        return any(found in network for network in self.networks)


def endpoints(value: object) -> tuple[str, ...]:
    """Where to listen: one endpoint string of Twisted, or several."""
    must = "must be an endpoint string such as tcp:8080, or a list of them"
    several = isinstance(value, list | tuple)
    each = _several(value, must, mend=_endpoint_meant(value))
    for index, endpoint in enumerate(each):
        if not isinstance(endpoint, str) or not _ENDPOINT.fullmatch(endpoint):
            item = f"[{index}]" if several else ""
            raise Wrong(must, item=item, value=endpoint, mend=_endpoint_meant(endpoint))
    return tuple(each)


def _endpoint_meant(value: object) -> object:
    """The endpoint that somebody meant who wrote a port, or an address and a port."""
    host, _, port = str(value).rpartition(":")
    if not port.isdecimal():
        return attrs.NOTHING
    # Where no address was written, one that opens nothing to the world is proposed.
    interface = host if re.fullmatch(r"[0-9.]+", host) else "127.0.0.1"
    return f"tcp:{port}:interface={interface}"


def hosts(value: object) -> tuple[str, ...] | Callable[[str], bool]:
    """Patterns of hosts, or a function that judges one.

    Raises:
        SettingsError: a pattern is none (from `Routes`, which knows their form).
    """
    if callable(value):
        return value
    must = "must be a list of hosts, or a function of a host"
    each = _several(value, must, mend=["example.com", "*.example.com"])
    Routes(each)
    return tuple(each)


def peers(value: object) -> Peers:
    """Addresses and networks of peers; "unix" stands for those who come by a unix socket."""
    each = _several(value, 'must be a list of addresses, networks or "unix"', may_be_empty=True)
    networks = []
    for index, peer in enumerate(each):
        if peer == "unix":
            continue
        try:
            networks.append(network(peer))
        except Wrong as wrong:
            raise Wrong(
                'must be an address, a network without host bits, or "unix"',
                item=f"[{index}]" if isinstance(value, list | tuple) else "",
                value=peer,
                mend=wrong.mend,
            ) from None
    return Peers(networks=tuple(networks), unix="unix" in each)


def network(value: object) -> Network:
    """A network, or an address."""
    mend = "127.0.0.1"
    try:
        written = value if isinstance(value, str) else ""  # ipaddress would take numbers too
        mend = str(ipaddress.ip_network(written, strict=False))
        return ipaddress.ip_network(written)
    except ValueError:
        raise Wrong("must be an address, or a network without host bits", mend=mend) from None


def _several(
    value: object, must: str, *, mend: object = attrs.NOTHING, may_be_empty: bool = False
) -> Sequence[Any]:
    """What may be written as one string or as a list of them."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple) or not (value or may_be_empty):
        raise Wrong(must, mend=mend)
    return value


def port_range(value: object) -> tuple[int, int]:
    """The first and the last of a range of ports that need no privilege."""
    must = "must be the first and the last port, from 1024 to 65535"
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise Wrong(must)
    try:
        first, last = map(whole(1024, 65535), value)
    except Wrong:
        raise Wrong(must) from None
    if first > last:
        raise Wrong(must, mend=(last, first))
    return first, last


def header(value: object) -> str:
    """The name of a header field."""
    if not isinstance(value, str) or not _HEADER.fullmatch(value):
        raise Wrong("must be the name of a header", mend="X-Forwarded-Host")
    return value
