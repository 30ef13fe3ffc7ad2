"""Moves long bodies from one socket to another inside the kernel (splice(2))."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from luisito.net.sockets import SocketStream

PIPE_SIZE: Final = 1 << 20
"""Bytes asked for each pipe; the kernel may give less (fs.pipe-max-size, pipe(7))."""
WORTHWHILE: Final = 65536
"""Shorter remainders are read and sent, which takes fewer calls."""

_FLAGS: Final = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE
_KEPT: Final = 16
# One body may not hold the reactor: after so many bytes the others get their turn.
_TURN: Final = 4 << 20
# After so many bytes that came without a rest, the source is looked at only when so many more are
# there, which takes fewer calls and wakes fewer readers; or after so many seconds, as if it rests.
_STEADY: Final = 1 << 20
_GATHERED: Final = 1 << 18
_REST: Final = 0.05

_pipes: list[tuple[int, int]] = []


class Mover(Protocol):
    """Who has the bytes moved."""

    def moved(self, count: int) -> None:
        """`count` more bytes have left the source."""

    def held(self) -> None:
        """The sink takes no more for now, so the source is paused."""

    def resumed(self) -> None:
        """The sink has taken what was held, and the source goes on."""

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

    __slots__ = (
        "_count", "_look", "_mover", "_pulled", "_reader", "_sink", "_source", "_steady", "_writer",
        "in_pipe",
    )  # fmt: skip

    def __init__(self, source: SocketStream, sink: SocketStream, count: int, mover: Mover) -> None:
        """Raises OSError when no pipe is to be had."""
        self._reader, self._writer = _pipe()
        self._source, self._sink, self._mover = source, sink, mover
        self._count, self.in_pipe = count, 0
        # bytes since the last rest; whether there were any since the last look, while it gathers
        self._steady, self._pulled = 0, False
        self._look: IDelayedCall | None = None
        source.pulled_by = sink.pushed_by = self

    def pull(self) -> None:
        """The source is readable."""
        left, ended = self._count, False
        error: OSError | None = None
        try:
            ended = self._move()
        except BlockingIOError:
            pass
        except OSError as failure:
            error = failure
        if self._count < left:
            self._pulled = True
            self._steady += left - self._count
            self._mover.moved(left - self._count)
        if error is not None:
            self._fail(error)
        elif ended:
            self.drop()
            self._source.read_ended()
        elif self.in_pipe:
            self._source.pause()
            self._sink.want_out(True)
            self._mover.held()
        elif not self._count:
            self._complete()
        elif self._look is not None:
            if self._count < _GATHERED:
                self._source.gather(self._count)
        elif self._steady >= _STEADY:
            self._source.gather(min(self._count, _GATHERED))
            self._look = self._source.later(_REST, self._overdue)

    def _overdue(self) -> None:
        """Looks whether the source rests, with less to be read than is waited for."""
        self._look = None
        if self._pulled or self.in_pipe:
            self._pulled = False
            self._look = self._source.later(_REST, self._overdue)
        else:
            self._steady = 0
            self._source.gather(1)
            self.pull()

    def _move(self) -> bool:
        """Moves what is there; returns whether the source has ended.

        Raises:
            BlockingIOError: nothing is there, or else, with bytes in the pipe, the sink is full.
            OSError: likewise of the source, or of the sink.
        """
        splice, reader, writer = os.splice, self._reader, self._writer
        source, sink = self._source.fd, self._sink.fd
        budget = _TURN
        while budget > 0 and self._count:
            got = splice(source, writer, self._count, None, None, _FLAGS)
            if not got:
                return True
            self._count -= got
            self.in_pipe = got
            budget -= got
            while self.in_pipe:
                # Without SPLICE_F_MORE, which cost 7 % more CPU.
                self.in_pipe -= splice(reader, sink, self.in_pipe, None, None, _FLAGS)
        return False

    def push(self) -> None:
        """The sink may have room."""
        try:
            while self.in_pipe:
                put = os.splice(self._reader, self._sink.fd, self.in_pipe, None, None, _FLAGS)
                self.in_pipe -= put
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error)
            return
        if self._count:
            if self._look is not None and self._count < _GATHERED:
                self._source.gather(self._count)
            self._sink.want_out(False)
            self._source.resume()
            self._mover.resumed()
        else:
            self._complete()

    def _fail(self, error: OSError) -> None:
        sinks = self.in_pipe
        self.drop()
        if sinks:
            self._mover.sink_failed()
        else:
            self._source.fail(error)

    def _complete(self) -> None:
        mover, source = self._mover, self._source
        self.drop()
        source.resume()
        mover.complete()

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
        if self._look is not None:
            self._look.cancel()
            self._look = None
            self._source.gather(1)
        if self._source.pulled_by is self:
            self._source.pulled_by = None
        if self._sink.pushed_by is self:
            self._sink.pushed_by = None
            self._sink.want_out(False)
