"""Waiting for the end of a process without SIGCHLD."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

if TYPE_CHECKING:
    import subprocess

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorFDSet
    from twisted.python.failure import Failure


@implementer(IReadDescriptor)
class Reaper:
    """Waits for one process by its pidfd (pidfd_open(2)).

    Args:
        reactor: where to wait.
        process: a child of ours.
        ended: is called with its exit code once it was reaped.
    """

    def __init__(
        self, reactor: IReactorFDSet, process: subprocess.Popen[bytes], ended: Deferred[int]
    ) -> None:
        self._reactor = reactor
        self._process = process
        self._ended = ended
        self._pidfd = os.pidfd_open(process.pid)
        reactor.addReader(self)

    def fileno(self) -> int:
        """The pidfd."""
        return self._pidfd

    def logPrefix(self) -> str:
        """Name us in Twisted's log."""
        return "spawner's end"

    def doRead(self) -> None:
        """Reap it: a pidfd is readable when its process has ended."""
        self._reactor.removeReader(self)
        os.close(self._pidfd)
        self._ended.callback(self._process.wait())

    def connectionLost(self, reason: Failure) -> None:
        """Never called: a pidfd has no connection."""
