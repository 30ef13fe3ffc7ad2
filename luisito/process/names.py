"""Hosts are looked up in threads of their own, for which the end of the process does not wait."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any, Final

import attrs
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver, IHostResolution
from zope.interface import implementer

from luisito.process.threads import begin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.interfaces import IAddress, IResolutionReceiver

_AT_ONCE: Final = 16
_KINDS: Final = {socket.AF_INET: IPv4Address, socket.AF_INET6: IPv6Address}


@implementer(IHostResolution)
@attrs.frozen
class _LookUp:
    name: str

    def cancel(self) -> None:
        """Nothing can be done about it; whoever has asked listens no more."""


@implementer(IHostnameResolver)
class Names:
    """Looks hosts up by getaddrinfo(3), which takes half a minute where no name server answers.

    Twisted's own resolver does so in the reactor's pool of threads, for all of which the reactor
    waits at the end.

    What is asked for while too many are looked up already is not found.

    Args:
        reactor: Twisted's, whose resolver it becomes.
    """

    def __init__(self, reactor: Any) -> None:  # noqa: ANN401 - several of Twisted's reactor interfaces at once
        self._call = reactor.callFromThread
        self._room = BoundedSemaphore(_AT_ONCE)
        reactor.installNameResolver(self)

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """See IHostnameResolver; it is asked for all kinds of addresses, and for TCP."""
        del addressTypes, transportSemantics
        look_up = _LookUp(hostName)
        resolutionReceiver.resolutionBegan(look_up)
        if not self._begin(resolutionReceiver, hostName, portNumber):
            self._call(_tell, resolutionReceiver, ())
        return look_up

    def _begin(self, *asked: object) -> bool:
        if not self._room.acquire(blocking=False):
            return False
        try:
            begin("luisito-names", self._work, *asked)
        except OSError:
            self._room.release()
            return False
        return True

    def _work(self, receiver: IResolutionReceiver, host: str, port: int) -> None:
        found: Sequence[tuple[Any, ...]] = ()
        with suppress(OSError, UnicodeError):
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self._room.release()
        self._call(_tell, receiver, found)


def _tell(receiver: IResolutionReceiver, found: Sequence[tuple[Any, ...]]) -> None:
    for family, *_, address in found:
        receiver.addressResolved(_KINDS[family]("TCP", *address))
    receiver.resolutionComplete()
