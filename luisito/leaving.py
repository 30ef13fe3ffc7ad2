"""How a network process leaves: drained when all ends, or once whoever follows has taken over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from twisted.internet.interfaces import IReactorTime

    from luisito.net.listening import Listener
    from luisito.parts import Parts
    from luisito.settings import Settings
    from luisito.tenure import Tenure

_KILL_GRACE: Final = 5.0


def told(done: Deferred[None]) -> Deferred[None]:
    """One more Deferred that is called back when another one is called, however that ends."""
    waiting: Deferred[None] = Deferred()

    def tell(result: Any) -> Any:  # noqa: ANN401 - it is passed on as it is
        if not waiting.called:
            waiting.callback(None)
        return result

    done.addBoth(tell)
    return waiting


class Leaving:
    """The ways out.

    Args:
        reactor: has the clock.
        settings: in force.
        parts: to be closed.
        tenure: says who else ends.
    """

    _log = Logger()

    def __init__(
        self, reactor: IReactorTime, settings: Settings, parts: Parts, tenure: Tenure
    ) -> None:
        self._reactor, self._settings = reactor, settings
        self._parts, self._tenure = parts, tenure
        self._left: Deferred[None] = Deferred()
        self._waits: Deferred[None] | None = None  # of drain: what it waits for
        self._lost = False

    @inlineCallbacks
    def drain(
        self, listeners: Sequence[Listener], taken: Deferred[None], *, lost: bool
    ) -> Generator[Deferred[Any], Any, int]:
        """Finishes what is in flight, and ends all.

        Args:
            listeners: that let nobody in any more.
            taken: is called back when all that there was is here; before, nothing can be said to be
                finished.
            lost: the spawner has gone, so that there is nothing to finish.
        """
        for listener in listeners:
            listener.stopListening()
        parts, settings, clock = self._parts, self._settings, self._reactor
        parts.notifier.stopping()
        parts.leave_sites()
        if lost:
            parts.close()
            yield self._keep()
            return 0
        parts.control.draining()
        parts.gateway.close_idle()
        here = self._waits = told(taken)
        end = clock.callLater(settings.drain_timeout, self._end, here)
        yield here
        empty = self._waits = parts.pool.shutdown()
        if self._lost:
            self.spawner_lost()
        if not end.active():
            parts.pool.terminate_all()
        hard = clock.callLater(
            end.getTime() - clock.seconds() + settings.stop_timeout + _KILL_GRACE,
            self._give_up,
            empty,
        )
        yield empty
        for call in (end, hard):
            if call.active():
                call.cancel()
        parts.close()
        yield gatherResults([self._keep(), parts.hooks.settle()])
        yield self._tenure.end(0)
        return 0

    def spawner_lost(self) -> None:
        """Has `drain` wait for servers no more, as they have gone with it."""
        self._lost = True
        if self._waits is not None and not self._waits.called:
            self._waits.callback(None)

    def _keep(self) -> Deferred[Any]:
        """Writes what is to be kept, at a time: a disk that takes long does so once."""
        return gatherResults([self._parts.warmth.keep(), self._parts.history.end()])

    def _end(self, here: Deferred[None]) -> None:
        if here.called:
            self._parts.pool.terminate_all()
        else:
            here.callback(None)

    def _give_up(self, empty: Deferred[None]) -> None:
        if not empty.called:
            self._log.error("Servers are left that do not end; the spawner ends them")
            empty.callback(None)

    @inlineCallbacks
    def leave(self, done: Deferred[None]) -> Generator[Deferred[Any], Any, int]:
        """Waits for what is in flight here while another one serves; returns the exit status.

        Args:
            done: is called back when that has ended.
        """
        done.addCallback(lambda _: self.now())
        end = self._reactor.callLater(self._settings.drain_timeout, self.now)
        yield self._left
        if end.active():
            end.cancel()
        yield self._parts.hooks.settle()
        yield self._parts.settle()
        self._parts.close()
        yield self._parts.history.end()
        status: int = yield self._tenure.end(0)
        return status

    def now(self) -> None:
        """Waits no longer for what is in flight."""
        if not self._left.called:
            self._left.callback(None)
