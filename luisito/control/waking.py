"""Wakes a site that nobody asks for but an operator, and hears what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luisito.proxy.waker import Waker

if TYPE_CHECKING:
    from collections.abc import Callable

    from luisito.core.lifecycle import Server
    from luisito.pool import Refused
    from luisito.proxy.gateway import Gateway


class Woken(Waker):
    """See Waiter.

    Args:
        gateway: see Waker.
        told: is called with None where there is a server, or with why there will be none.
    """

    def __init__(self, gateway: Gateway, told: Callable[[Refused | None], None]) -> None:
        super().__init__(gateway, lambda: None)
        self._told = told

    def granted(self, server: Server) -> None:
        """See Waiter."""
        self._told(None)
        super().granted(server)

    def refused(self, refused: Refused) -> None:
        """See Waiter."""
        super().refused(refused)
        self._told(refused)

    def withdrawn(self, server: Server, refused: Refused) -> None:
        """See Waiter."""
        super().withdrawn(server, refused)
        self._told(refused)
