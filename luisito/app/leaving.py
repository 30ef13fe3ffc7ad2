"""Ends a process that was told to end and does not, as a thread of its app, or its app, goes on."""

from __future__ import annotations

import _thread
import os
import sys
import threading
import time

_MOMENT = 1.0  # seconds beyond that, in which it may end by itself
_LISTENS = 0.2  # seconds until a signal is heard


def join() -> None:
    """Wait for threads that go on, as Python does at its end.

    It does so without a limit there: a signal that comes just before would not be heard any more.
    """
    for one in _going_on():
        while one.is_alive():
            one.join(_LISTENS)


def _going_on() -> list[threading.Thread]:
    """The threads that Python waits for at its end."""
    main = threading.main_thread()
    return [one for one in threading.enumerate() if one is not main and not one.daemon]


def leave_within(seconds: float) -> None:
    """Have this process end after so many seconds and a moment, whatever still runs in it.

    It may be asked in a handler of signals: no lock is taken, as by `threading`.
    """

    def end() -> None:
        time.sleep(seconds + _MOMENT)
        running = ", ".join(one.name for one in _going_on())
        more = f"; threads that go on: {running}" if running else ""
        sys.stderr.write(f"luisito app: the app had not ended after {seconds:g} s{more}\n")
        os._exit(0)

    try:
        _thread.start_new_thread(end, ())
    except RuntimeError:
        pass  # its user has as many as it may have: whoever has told it to end will end it
