"""Detects what holds the reactor, so that nobody else is served, and tells the log what it was.

Costs nothing for each event: the kernel sends SIGPROF after so much CPU time (setitimer(2)), and
never while nothing is done. The handler, which Python calls in the midst of what runs, looks which
call of the reactor's that is. It counts CPU time, not that of a clock, so that a machine that is
busy with other things does not look like a stall; what waits (for a disk, say) is not seen. Nor is
what runs in C without a look at signals; regular expressions do look.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.base import ReactorBase
from twisted.logger import Logger

import luisito
from luisito.core.bucket import Seldom
from luisito.core.stall import Stall, Stalls
from luisito.net.switchboard import Switchboard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FrameType

    from luisito.proxy.counters import Counters

BOUND: Final = 0.05
"""Seconds of CPU time that one piece of work may take. One that takes up to `_LOOK` more may be
missed, none that takes less is told."""
_LOOK: Final = 0.02
# Seconds between two lines in the log.
_TOLD: Final = 10.0
_SHOWN: Final = 8
_SOURCES: Final = os.path.dirname(os.path.dirname(os.path.abspath(luisito.__file__))) + os.sep


class StallDetector:
    """Looks what the reactor is at.

    Args:
        reactor: whose thread this is.
        counters: of the proxy, where stalls are counted.
    """

    _log = Logger()

    def __init__(self, reactor: Any, counters: Counters) -> None:  # noqa: ANN401 - any of Twisted's
        self._reactor, self._counters = reactor, counters
        self._stalls = Stalls(BOUND)
        self._last: Stall | None = None
        self._seldom = Seldom(_TOLD)
        self._callers = frozenset(_callers(reactor))

    def start(self) -> None:
        """Begins to look; to be called in the reactor's thread, which must be the main one."""
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, _LOOK, _LOOK)
        # The interpreter takes its handlers away at its end, and the signal would kill it then.
        atexit.register(self.stop)

    def stop(self) -> None:
        """Looks no more."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        self._stalls.look(None, 0.0)
        atexit.unregister(self.stop)

    def _look(self, _number: int, innermost: FrameType | None) -> None:
        frame, work = innermost, None
        while frame is not None and frame.f_code not in self._callers:
            work, frame = frame, frame.f_back
        stall = self._stalls.look(None if frame is None else work, time.thread_time())
        if stall is not None and stall is not self._last:
            self._last = stall
            frames = list(_frames(innermost, work))
            # Anything may have been interrupted, a line of the log too: told when it is done.
            self._reactor.callFromThread(self._tell, stall, _words(frames), _site(frames))

    def _tell(self, stall: Stall, words: str, site: str | None) -> None:
        self._counters.stalls += 1
        times = self._seldom.happened(time.monotonic())
        if times:
            self._log.warn(
                "{site}nobody else was served for {ms:.0f} ms of CPU time or more, because of"
                " {words} ({times} such since the last line like this)",
                site="" if site is None else f"{site}: ",
                ms=stall.seconds * 1000,
                words=words,
                times=times,
            )


def _callers(reactor: object) -> Iterator[CodeType]:
    """What calls pieces of work, one after the other."""
    yield Switchboard._dispatch.__code__  # noqa: SLF001 - which is to have no part in this
    yield Switchboard.doRead.__code__
    yield ReactorBase.runUntilCurrent.__code__
    yield asyncio.Handle._run.__code__  # noqa: SLF001 - of the asyncio reactor
    for name in ("_doReadOrWrite", "_readOrWrite"):  # the reactors' own readers and writers
        method = getattr(reactor, name, None)
        if method is not None:
            yield method.__func__.__code__


def _frames(innermost: FrameType | None, outermost: FrameType | None) -> Iterator[FrameType]:
    frame = innermost
    while frame is not None:
        yield frame
        if frame is outermost:
            return
        frame = frame.f_back


def _words(frames: list[FrameType]) -> str:
    """What was called by what, the innermost last, with its place in the source."""
    names = [frame.f_code.co_qualname for frame in reversed(frames)]
    if len(names) > _SHOWN:
        names[1 : len(names) - _SHOWN + 2] = ["..."]
    code = frames[0].f_code
    where = code.co_filename.removeprefix(_SOURCES)
    return f"{' > '.join(names)} ({where}:{frames[0].f_lineno})"


def _site(frames: list[FrameType]) -> str | None:
    """The site that it was for, as far as one of the objects at work knows it."""
    for frame in frames:
        one = frame.f_locals.get("self")
        site = getattr(one, "site", None) or getattr(getattr(one, "fields", None), "site", None)
        if isinstance(site, str):
            return site
    return None
