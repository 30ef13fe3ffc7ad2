"""Threads that wait for disks, so that nobody else does."""

from __future__ import annotations

import errno
import signal
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def begin(name: str, work: Callable[..., object], *arguments: object) -> Thread:
    """Begins one, which handles no signal, and ends with the process at the latest.

    What a thread may do is its own: it is begun after privileges were dropped.

    Args:
        name: of the thread.
        work: that it does.
        arguments: of that.

    Raises:
        OSError: no thread can be started (EAGAIN).
    """

    def run() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are the reactor's
        work(*arguments)

    thread = Thread(target=run, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        raise OSError(errno.EAGAIN, "no thread can be started") from None
    return thread
