"""One epoll object that is itself a reader of Twisted's reactor and dispatches our sockets.

Twisted's transports cost about as much per event as a whole exchange should. The Switchboard uses
public interfaces only (IReactorFDSet.addReader of an IReadDescriptor, select.epoll), so it runs
under any reactor on Linux.
"""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Final, Protocol, cast

from twisted.internet.interfaces import IReactorFDSet, IReactorTime, IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IDelayedCall, IWriteDescriptor
    from twisted.python.failure import Failure

IN: Final = select.EPOLLIN
OUT: Final = select.EPOLLOUT
_GONE: Final = select.EPOLLHUP | select.EPOLLERR

_BATCH: Final = 128
# So many events are a sign that there are more by now.
_MANY: Final = 64
TURN: Final = 0.05
"""After so many seconds a turn ends, whatever is going on."""
# Seconds that are waited at most. A shorter wait is not cheaper: each programs a timer.
_WAIT: Final = 0.25


class Handler(Protocol):
    """What the Switchboard calls when a descriptor can go on."""

    def readable(self) -> None:
        """There is something to read, or the end."""

    def writable(self) -> None:
        """There is room to write."""

    def gone(self) -> None:
        """The peer has hung up (EPOLLHUP, EPOLLERR) and nothing else is to be done."""

    def failed(self) -> None:
        """One of the others raised an exception, which is in the log."""


class _Elsewhere:
    """The handler of what the reactor deals with: notes that there is something to do for it."""

    def __init__(self) -> None:
        self.called = False

    def readable(self) -> None:
        """See Handler."""
        self.called = True

    writable = gone = failed = readable


@implementer(IReadDescriptor, IReactorTime, IReactorFDSet)
class Switchboard:
    """Dispatches the events of many descriptors from one epoll object.

    Args:
        reactor: that turns it.
        turn: seconds after which a turn ends; with 0 each turn is one look.
        clock: the monotonic time in seconds.

    Attributes:
        turned: called after each turn with events, where it is set.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorFDSet,
        turn: float = TURN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._epoll = select.epoll()
        self._turn, self._clock = turn, clock
        self._timers = cast("IReactorTime", reactor)
        # when the reactor has something to do at its time, as far as is known in this turn
        self._due = 0.0
        # not an interface's, but every reactor of Twisted's has it
        self._timeout: Callable[[], float | None] | None = getattr(reactor, "timeout", None)
        self._elsewhere = _Elsewhere()
        self._watched: dict[int, object] = {}
        self._handlers: dict[int, Handler] = {}
        self._fresh: set[int] = set()
        self._reactor = reactor
        self.turned: Callable[[], None] | None = None
        reactor.addReader(self)

    def register(self, fd: int, handler: Handler, events: int) -> None:
        """Begins to watch a descriptor.

        Unregister it before it is closed: with a copy alive in another process it would fire for
        ever (epoll(7), questions and answers).
        """
        self._epoll.register(fd, events)
        self._handlers[fd] = handler
        self._fresh.add(fd)

    def modify(self, fd: int, events: int) -> None:
        """Watches for other events; 0 leaves only hang-ups."""
        self._epoll.modify(fd, events)

    def unregister(self, fd: int) -> None:
        """Forgets a descriptor."""
        del self._handlers[fd]
        self._epoll.unregister(fd)

    # What the parts of Luisito ask of the reactor, they ask of the Switchboard, so that it knows
    # when it may not wait any longer.

    def seconds(self) -> float:
        """See IReactorTime."""
        return self._timers.seconds()

    def callLater(
        self,
        delay: float,
        callable: Callable[..., object],  # noqa: A002 - Twisted's name
        *args: object,
        **kwargs: object,
    ) -> IDelayedCall:
        """See IReactorTime; to have it called sooner, cancel it and call this again."""
        made = self._timers.callLater(delay, callable, *args, **kwargs)
        self._due = min(self._due, self._clock() + delay)
        return made

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """See IReactorTime."""
        return self._timers.getDelayedCalls()

    def addReader(self, reader: IReadDescriptor) -> None:
        """See IReactorFDSet."""
        self._elsewhere.called = True
        self._reactor.addReader(reader)

    def removeReader(self, reader: IReadDescriptor) -> None:
        """See IReactorFDSet."""
        fd = reader.fileno()
        if self._watched.get(fd) is reader:
            # now: once it is closed, and a copy lives elsewhere, it could not be any more
            del self._watched[fd]
            self.unregister(fd)
        self._reactor.removeReader(reader)

    def addWriter(self, writer: IWriteDescriptor) -> None:
        """See IReactorFDSet."""
        self._elsewhere.called = True
        self._reactor.addWriter(writer)

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        """See IReactorFDSet."""
        self._reactor.removeWriter(writer)

    def removeAll(self) -> list[IReadDescriptor | IWriteDescriptor]:
        """See IReactorFDSet."""
        return self._reactor.removeAll()

    def getReaders(self) -> list[IReadDescriptor]:
        """See IReactorFDSet."""
        return self._reactor.getReaders()

    def getWriters(self) -> list[IWriteDescriptor]:
        """See IReactorFDSet."""
        return self._reactor.getWriters()

    def close(self) -> None:
        """Ends the Switchboard; its handlers close their descriptors themselves."""
        self._reactor.removeReader(self)
        self._epoll.close()

    def fileno(self) -> int:
        """See IFileDescriptor."""
        return self._epoll.fileno() if not self._epoll.closed else -1

    def logPrefix(self) -> str:
        """See ILoggingContext."""
        return "switchboard"

    def connectionLost(self, reason: Failure) -> None:
        """See IFileDescriptor: the reactor is stopping."""

    def doRead(self) -> None:
        """See IReadDescriptor: some of our descriptors are ready."""
        poll, clock, elsewhere = self._epoll.poll, self._clock, self._elsewhere
        end = clock() + self._turn
        events = poll(0, _BATCH)
        if not events:
            return
        waits: bool | None = None
        elsewhere.called = False
        while events:
            self._dispatch(events)
            now = clock()
            if elsewhere.called:
                self._watches_all(now)  # or a reader that has gone meanwhile would call for ever
                break
            if now >= end:
                break
            if waits is None:
                waits = self._watches_all(now)
            if waits:
                left = self._due - now
                if left <= 0:
                    break
                events = poll(left, _BATCH)
            elif len(events) >= _MANY:
                events = poll(0, _BATCH)
            else:
                break
        if self.turned is not None:
            self.turned()

    def _watches_all(self, now: float) -> bool:
        """Whether we are woken by whatever the reactor waits for, so that to wait here is as good.

        The next event is often only a moment away, and to go round by the reactor for it costs
        more than an exchange.
        """
        reactor, watched = self._reactor, self._watched
        others = {reader.fileno(): reader for reader in reactor.getReaders() if reader is not self}
        if others != watched:
            for fd in watched:
                if self._handlers.get(fd) is self._elsewhere:
                    del self._handlers[fd]
                    try:
                        self._epoll.unregister(fd)
                    except OSError:
                        pass  # it has been closed
            self._watched = {}
            for fd, reader in others.items():
                try:
                    self.register(fd, self._elsewhere, IN)
                except OSError:
                    return False  # nothing that epoll can watch, which reactors poll by themselves
                self._watched[fd] = reader
        if self._timeout is None or reactor.getWriters():
            return False
        due = self._timeout()
        self._due = now + (_WAIT if due is None else min(due, _WAIT))
        return True

    def _dispatch(self, events: list[tuple[int, int]]) -> None:
        handlers, fresh = self._handlers, self._fresh
        if fresh:
            fresh.clear()
        for fd, event in events:
            # An earlier handler of this batch may have closed this one, and its number may
            # already belong to a new descriptor: the event was not for that.
            if fresh and fd in fresh:
                continue
            handler = handlers.get(fd)
            if handler is None:
                continue
            try:
                if event & IN:
                    handler.readable()
                    if event & OUT and handlers.get(fd) is handler and fd not in fresh:
                        handler.writable()
                elif event & OUT:
                    handler.writable()
                elif event & _GONE:
                    handler.gone()
            except Exception:  # noqa: BLE001 - one connection's fault must not end the others
                self._log.failure("Unhandled error on descriptor {fd}", fd=fd)
                if handlers.get(fd) is handler:
                    self._give_up(fd, handler)

    def _give_up(self, fd: int, handler: Handler) -> None:
        try:
            handler.failed()
        except Exception:  # noqa: BLE001 - the reactor would throw the Switchboard out
            self._log.failure("Unhandled error on descriptor {fd}", fd=fd)
            if self._handlers.get(fd) is handler:
                self.unregister(fd)
