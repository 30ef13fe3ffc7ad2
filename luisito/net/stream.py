"""Stream: what the proxy knows of a connection, and what it is told of it."""

from __future__ import annotations

import fcntl
import struct
import termios
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


def queued(fd: int) -> int:
    """Bytes in a socket that its peer has not taken yet (tcp(7), unix(7): SIOCOUTQ)."""
    count: int = struct.unpack("i", fcntl.ioctl(fd, termios.TIOCOUTQ, b"\0" * 4))[0]
    return count


class Receiver(Protocol):
    """What a Stream calls back."""

    def received(self, data: bytes) -> None:
        """Bytes came in; never empty."""

    def ended(self) -> None:
        """The peer will send no more; it may still read (a half-close)."""

    def full(self) -> None:
        """What was sent last had to be kept: send no more until `drained`."""

    def drained(self) -> None:
        """All that was sent has gone to the kernel."""

    def lost(self, error: OSError | None) -> None:
        """The connection has gone without our asking; None where it was never made."""


class Stream(Protocol):
    """A connection, in both directions. After close() or abort() nothing is called back.

    Attributes:
        closed: where it is set, called once when the descriptor is closed, whoever has ended it.
    """

    closed: Callable[[], None] | None

    def send(self, data: bytes) -> None:
        """Sends all of `data`, keeping what the kernel does not take at once."""

    def pause(self) -> None:
        """Stops receiving."""

    def resume(self) -> None:
        """Receives again."""

    def end(self) -> None:
        """Ends our direction once all is sent (half-close); receiving goes on."""

    def close(self) -> None:
        """Closes once all is sent."""

    def abort(self) -> None:
        """Closes at once, so that the peer sees an abort and never a clean end."""

    @property
    def pending(self) -> bool:
        """Whether something sent is still kept here."""

    @property
    def backed_up(self) -> bool:
        """The peer reads too slowly: something waits for room in the socket."""

    def progress(self) -> int:
        """A number that changes when the peer takes something, while nothing is sent."""

    def watch(self, receiver: Receiver) -> None:
        """Calls another receiver from now on."""


class _Nobody:
    """The receiver of a stream that its owner has let go of: reads to the end, says nothing."""

    def received(self, data: bytes) -> None:
        """See Receiver."""

    def ended(self) -> None:
        """See Receiver."""

    def full(self) -> None:
        """See Receiver."""

    def drained(self) -> None:
        """See Receiver."""

    def lost(self, error: OSError | None) -> None:
        """See Receiver."""


NOBODY: Final = _Nobody()
"""The receiver of streams that nobody listens to any more."""
