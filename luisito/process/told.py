"""Who is told what the spawner says, and what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

    from luisito.core import wire


class LogFile(NamedTuple):
    """An open log file.

    Attributes:
        fd: to append to; its receiver's to close.
        size: in bytes.
        midline: its last line has no end yet.
        file, over: of the answer to wire.AskTail (see wire.Log).
    """

    fd: int
    size: int
    midline: bool
    file: str = ""
    over: bool = False


class Tail(NamedTuple):
    """A part of a log file.

    Attributes:
        data: what stands there.
        end: of that, in the file; in bytes.
        file: which one it is, whatever it is renamed to; "" for none.
        over: another file was begun after it, and that is all of this one.
    """

    data: bytes
    end: int
    file: str
    over: bool


class Listener(Protocol):
    """Who is told of the servers; descriptors are the listener's to close."""

    def spawner_started(self, server: int, pid: int, output: int, notify: int) -> None:
        """A process exists: its output's read end and its notify socket, both non-blocking."""

    def spawner_running(self, running: wire.Running) -> None:
        """The command was executed."""

    def spawner_failed(self, server: int, message: str, overloaded: bool) -> None:
        """No command came to run, and nothing is left of the attempt."""

    def spawner_exited(self, exited: wire.Exited) -> None:
        """The server and all its descendants have gone."""

    def spawner_not_stopped(self, failed: wire.NotStopped) -> None:
        """The stop command of a server has failed."""

    def spawner_touched(self, touched: wire.Touched) -> None:
        """Another server is to take the place of one that runs."""

    def spawner_hibernated(self, fact: wire.Hibernated) -> None:
        """What came of the order to freeze a server."""

    def spawner_weighed(self, sizes: Mapping[int, int]) -> None:
        """What servers take, in bytes, by their numbers."""

    def spawner_lost(self, reason: str) -> None:
        """The spawner has gone, and every server with it."""


class Office(Protocol):
    """Who is told what becomes of this process."""

    def told_to_take(self, last: int, words: str, pairs: Sequence[socket.socket]) -> None:
        """Serve from now on.

        Args:
            last: the highest number of a server so far.
            words: who has crashed, and how; "" for nobody.
            pairs: one end of a pair, non-blocking, with whoever served before; where one has
                crashed, with each of those that have made way and have not ended.
        """

    def told_to_yield(self, pair: socket.socket) -> None:
        """Make way, then call `yielded`; the other end of the pair is the successor's.

        It is told again where another one has followed, which then has the other end.
        """

    def not_replaced(self, message: str) -> None:
        """Go on: no successor could be had."""

    def signalled(self, name: str) -> None:
        """The spawner has got "TERM", "HUP" or "USR1", which is meant for us."""
