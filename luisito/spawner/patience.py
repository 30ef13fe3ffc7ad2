"""Cuts short what would hold the spawner up when it closes what somebody else has sent.

Whoever holds the last copy of a TCP connection pays for its close, and where that has SO_LINGER and
a full buffer it takes as long as the sender likes (socket(7)). It need not be taken for that: what
is still in the queue of a socket is closed with it, and what a message brings that finds no room is
closed as it is read. But the wait ends with any signal.
"""

from __future__ import annotations

import signal

_TICK = 0.01  # seconds


def begin() -> None:
    """Have all such waits be cut short; SIGALRM must be handled (see `forking`)."""
    signal.setitimer(signal.ITIMER_REAL, _TICK, _TICK)


def end() -> None:
    """Let us be waited for again; what was begun is not handed on to children."""
    signal.setitimer(signal.ITIMER_REAL, 0)
