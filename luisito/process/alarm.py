"""Calls whoever decides by a clock when it is time again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Alarm:
    """At most one call of the reactor's, at the time that is due.

    Args:
        reactor: the clock.
        deadline: tells that time, in its seconds; None for never.
        tick: what is called; it arms anew where that is wanted.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        deadline: Callable[[], float | None],
        tick: Callable[[], None],
    ) -> None:
        self._reactor, self._deadline, self._tick = reactor, deadline, tick
        self._call: IDelayedCall | None = None

    def arm(self) -> None:
        """The deadline may be another one now."""
        due, call = self._deadline(), self._call
        if call is not None and (due is None or due != call.getTime()):
            call.cancel()
            self._call = call = None
        if due is not None and call is None:
            delay = max(0.0, due - self._reactor.seconds())
            self._call = self._reactor.callLater(delay, self._ring)

    def _ring(self) -> None:
        self._call = None
        self._tick()
