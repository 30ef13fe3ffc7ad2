"""A client's connection that came in at the endpoint of one site: all requests are for that."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from luisito.proxy.downstream import Downstream

if TYPE_CHECKING:
    from luisito.core.request import RequestFields
    from luisito.proxy.gateway import Gateway


class Owned(Downstream):
    """See Downstream.

    Args:
        gateway: see there; likewise the next two.
        peer: see there.
        port: see there.
        own: the key of the site.
    """

    __slots__ = ("_own",)

    def __init__(self, gateway: Gateway, peer: bytes, port: int, own: str) -> None:
        super().__init__(gateway, peer, port)
        self._own, self._named = own, True

    @property
    def own(self) -> str | None:
        """See Persistent."""
        return self._own

    def _name(self, fields: RequestFields) -> RequestFields:
        """The request as it is, Host too, for that site."""
        named = copy.copy(fields)  # others share them
        named.site = self._own
        return named
