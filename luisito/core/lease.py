"""Who asks for a lease on a server, and what it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import attrs

from luisito.core.orders import Refusal
from luisito.core.streams import Streaming

if TYPE_CHECKING:
    from luisito.core.lifecycle import Server
    from luisito.core.orders import Refuse

_STATUS: Final = {
    Refusal.QUEUE_FULL: 503,
    Refusal.QUEUE_TIMEOUT: 503,
    Refusal.START_FAILED: 502,
    Refusal.START_TIMEOUT: 504,
    Refusal.BACKING_OFF: 502,
    Refusal.OVERLOADED: 503,
    Refusal.SHUTTING_DOWN: 503,
    Refusal.NO_SITE: 404,
    Refusal.MAINTENANCE: 503,
}


@attrs.frozen
class Refused:
    """Why a waiter gets no server.

    Attributes:
        status: to answer with.
        detail: for an operator.
        retry_after: seconds; None where that is unknown.
        reason: the same as detail for the access log, in a word; or "".
    """

    status: int
    detail: str
    retry_after: float | None = None
    reason: str = ""

    @classmethod
    def by(cls, order: Refuse) -> Refused:
        """Say what the policy orders."""
        words = order.refusal.value + (f": {order.detail}" if order.detail else "")
        reason = order.refusal.name.lower()
        return cls(_STATUS[order.refusal], words, order.retry_after, reason)


class Waiter(Protocol):
    """Who asks for a lease; known by its identity."""

    def __hash__(self) -> int: ...

    waiting: bool
    """It has no answer yet."""

    def granted(self, server: Server) -> None:
        """Here it is; give it back with `Lessor.release`."""

    def refused(self, refused: Refused) -> None:
        """There is none."""

    def withdrawn(self, server: Server, refused: Refused) -> None:
        """The lease was given before the server was ready, and it never will be."""


class Stream(Streaming, Protocol):
    """A lease of an event stream or a tunnel."""

    def end_for_room(self, wanted_by: str) -> None:
        """It was silent for so long that it ends before that site is refused room."""
