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
        refused: is told why there will be no server.
    """

    def __init__(self, gateway: Gateway, refused: Callable[[Refused], None]) -> None:
        super().__init__(gateway, lambda: None)
        self._refused = refused

    def refused(self, refused: Refused) -> None:
        """See Waiter."""
        super().refused(refused)
        self._refused(refused)

    def withdrawn(self, server: Server, refused: Refused) -> None:
        """See Waiter."""
        super().withdrawn(server, refused)
        self._refused(refused)
