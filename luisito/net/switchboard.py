"""One epoll object that is itself a reader of Twisted's reactor and dispatches our sockets.

Twisted's transports cost about as much per event as a whole exchange should. The Switchboard uses
public interfaces only (IReactorFDSet.addReader of an IReadDescriptor, select.epoll), so it runs
under any reactor on Linux.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Final, Protocol

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

IN: Final = select.EPOLLIN
OUT: Final = select.EPOLLOUT
_GONE: Final = select.EPOLLHUP | select.EPOLLERR

_BATCH: Final = 256
# A turn ends after so many batches, so that the reactor's other work is never kept waiting long.
_BATCHES: Final = 4


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


@implementer(IReadDescriptor)
class Switchboard:
    """Dispatches the events of many descriptors from one epoll object.

    Attributes:
        turned: called after each batch of events, where it is set.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorFDSet) -> None:
        self._epoll = select.epoll()
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
        for _ in range(_BATCHES):
            events = self._epoll.poll(0, _BATCH)
            if not events:
                return
            self._dispatch(events)
            if self.turned is not None:
                self.turned()
            if len(events) < _BATCH // 4:
                return

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
