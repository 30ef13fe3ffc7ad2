"""Makes a forked server differ where two processes must not be the same.

Hashes of strings cannot: a running CPython keeps those that it has computed.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time

RENEWED = frozenset({"multiprocessing.process"})
"""Modules whose random bytes are others after `renew`."""


def renew() -> None:
    """Draw new random numbers, and read the time zone again.

    `random` does so by itself at a fork, and OpenSSL when it finds that its pid is another one.
    """
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed()
    uuid = sys.modules.get("uuid")
    if uuid is not None:
        setattr(uuid, "_last_timestamp", None)  # noqa: B010 - which is nobody else's business
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process.current_process().authkey = os.urandom(32)
    time.tzset()


def restore_signals() -> None:
    """Have signals as a new program has them."""
    for number in signal.valid_signals():
        if signal.getsignal(number) not in (signal.SIG_DFL, signal.SIG_IGN, None):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def take_environment(environ: dict[str, str]) -> None:
    """Be in another environment, and in no part of the one we were started in."""
    os.environ.clear()
    os.environ.update(environ)


def thaw() -> None:
    """Collect garbage again; what is there by now stays out of it, so that it stays shared."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
