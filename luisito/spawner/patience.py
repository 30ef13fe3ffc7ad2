"""Cuts short what would hold us up when we close what somebody else has sent.

Whoever holds the last copy of a TCP connection pays for its close, and where that has SO_LINGER and
a full buffer it takes as long as the sender likes (socket(7)). It need not be taken for that: what
is still in the queue of a socket is closed with it, and what a message brings that finds no room is
closed as it is read. But the wait ends with any signal.
"""

from __future__ import annotations

import atexit
import signal
import socket

from luisito.spawner.channel import refuse_descriptors

_TICK = 0.01  # seconds
_ALWAYS = 0.1  # seconds, where there is an alarm even if nothing happens


def begin() -> None:
    """Have all such waits be cut short; SIGALRM must be handled (see `forking`)."""
    signal.setitimer(signal.ITIMER_REAL, _TICK, _TICK)


def end() -> None:
    """Let us be waited for again; what was begun is not handed on to children."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def begin_for_good() -> bool:
    """Have them be cut short from now on, where the kernel lets others send us such things.

    For a process that reads unix sockets too often to begin and end each time.

    Returns:
        Whether that was necessary.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        if refuse_descriptors(probe):
            return False
    signal.signal(signal.SIGALRM, lambda *_: None)
    atexit.register(end)  # the interpreter takes the handler away before its own end
    signal.setitimer(signal.ITIMER_REAL, _ALWAYS, _ALWAYS)
    return True
