"""Long work in pieces, so that the sites have their turn between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.task import Cooperator

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime


def in_turns(reactor: IReactorTime) -> Cooperator:
    """Makes what does one piece of all that it is given in each turn of the reactor.

    Twisted's own goes on for 10 ms before anybody else has a turn.
    """
    return Cooperator(
        terminationPredicateFactory=lambda: _one_is_enough,
        scheduler=lambda call: reactor.callLater(0.0, call),
    )


def _one_is_enough() -> bool:
    return True
