"""Moves long bodies from one socket to another inside the kernel (splice(2))."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from luisito.net.sockets import SocketStream

PIPE_SIZE: Final = 1 << 20
"""Bytes asked for each pipe; the kernel may give less (fs.pipe-max-size, pipe(7))."""
WORTHWHILE: Final = 65536
"""Shorter remainders are read and sent, which takes fewer calls."""

_FLAGS: Final = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE
_MORE: Final = _FLAGS | os.SPLICE_F_MORE
_KEPT: Final = 16
# One body may not hold the reactor: after so many bytes the others get their turn.
_TURN: Final = 4 << 20

_pipes: list[tuple[int, int]] = []


class Mover(Protocol):
    """Who has the bytes moved."""

    def moved(self, count: int) -> None:
        """`count` more bytes have left the source."""

    def complete(self) -> None:
        """All bytes have arrived in the sink's socket; both streams work as before."""

    def sink_failed(self) -> None:
        """The sink takes no more; of the source's end its own receiver is told."""


def _pipe() -> tuple[int, int]:
    if _pipes:
        return _pipes.pop()
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    except OSError:
        pass  # over the user's share of pipe memory: the default size works too
    return reader, writer


def close_pipes() -> None:
    """Closes the pipes that are kept for reuse."""
    while _pipes:
        for fd in _pipes.pop():
            os.close(fd)


class Splice:
    """Moves `count` bytes from `source` to `sink`, neither of which has anything pending."""

    __slots__ = ("_count", "_mover", "_reader", "_sink", "_source", "_writer", "in_pipe")

    def __init__(self, source: SocketStream, sink: SocketStream, count: int, mover: Mover) -> None:
        """Raises OSError when no pipe is to be had."""
        self._reader, self._writer = _pipe()
        self._source, self._sink, self._mover = source, sink, mover
        self._count, self.in_pipe = count, 0
        source.pulled_by = sink.pushed_by = self

    def pull(self) -> None:
        """The source is readable."""
        budget = _TURN
        while budget > 0 and self._count:
            try:
                got = os.splice(
                    self._source.fd, self._writer, min(self._count, PIPE_SIZE), flags=_FLAGS
                )
            except BlockingIOError:
                break  # nothing there, or the pipe is full
            except OSError as error:
                self.drop()
                self._source.fail(error)
                return
            if not got:
                self.drop()
                self._source.read_ended()
                return
            self._count -= got
            self.in_pipe += got
            budget -= got
            self._mover.moved(got)
            if not self.push():
                return

    def push(self) -> bool:
        """The sink may have room; returns whether all went on and there is more to come."""
        while self.in_pipe:
            try:
                put = os.splice(
                    self._reader,
                    self._sink.fd,
                    self.in_pipe,
                    flags=_MORE if self._count else _FLAGS,
                )
            except BlockingIOError:
                self._source.pause()
                self._sink.want_out(True)
                return False
            except OSError:
                self.drop()
                self._mover.sink_failed()
                return False
            self.in_pipe -= put
        if self._count:
            self._sink.want_out(False)
            self._source.resume()
            return True
        mover, source = self._mover, self._source
        self.drop()
        source.resume()
        mover.complete()
        return False

    def drop(self) -> None:
        """Lets go of both streams and of the pipe; for a stream that is being closed, too."""
        if self._reader < 0:
            return
        if self.in_pipe or len(_pipes) >= _KEPT:
            os.close(self._reader)
            os.close(self._writer)
        else:
            _pipes.append((self._reader, self._writer))
        self._reader = self._writer = -1
        if self._source.pulled_by is self:
            self._source.pulled_by = None
        if self._sink.pushed_by is self:
            self._sink.pushed_by = None
            self._sink.want_out(False)
