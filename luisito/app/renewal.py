"""Makes a forked server differ where two processes must not be the same.

Hashes of strings cannot: a running CPython keeps those that it has computed.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

RENEWED = frozenset(
    {"multiprocessing.process", "random", "numpy.random", "numpy.random.mtrand",
     "numpy.random._generator", "numpy.random.bit_generator"}
)  # fmt: skip
"""Modules that are as they should be after `renew`."""


def renew() -> None:
    """Draw new random numbers, and read the time zone again; `random` does so at each fork."""
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed()
    uuid = sys.modules.get("uuid")
    if uuid is not None:
        setattr(uuid, "_last_timestamp", None)  # noqa: B010 - which is nobody else's business
        setattr(uuid, "_node", None)  # noqa: B010 - a random one, where there is no network card
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None:
        setattr(tempfile, "tempdir", None)  # noqa: B010 - which depends on the environment
        setattr(tempfile, "_name_sequence", None)  # noqa: B010 - as above
    ssl = sys.modules.get("_ssl")
    if ssl is not None and ssl.OPENSSL_VERSION_INFO < (3,):
        # It may know of a fork by pthread_atfork(3) alone, which clone(2) does not call. A later
        # one compares pids when it is asked; to begin with it here would cost 2 ms.
        ssl.RAND_add(os.urandom(48), 48.0)
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process.current_process().authkey = os.urandom(32)
        setattr(process, "ORIGINAL_DIR", os.getcwd())  # noqa: B010 - as above
    thread = threading.main_thread()
    if hasattr(thread, "_set_native_id"):
        thread._set_native_id()  # noqa: SLF001 - of the process that we were forked from
    time.tzset()


def handled() -> frozenset[int]:
    """Tell which signals something here handles: what a module has set, when it was imported."""
    nothing = (signal.SIG_DFL, signal.SIG_IGN, None)
    numbers = signal.valid_signals()
    return frozenset(one for one in numbers if signal.getsignal(one) not in nothing)


def restore_signals(handled: Iterable[int]) -> None:
    """Have signals as a new program has them.

    Args:
        handled: where something handles them. To look here for it would take 100 kB of our own.
    """
    for number in handled:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def take_environment(environ: dict[str, str]) -> None:
    """Be in another environment, and in no part of the one we were started in."""
    os.environ.clear()
    os.environ.update(environ)


def thaw() -> None:
    """Collect garbage again, which no interpreter that forks does.

    What is there by now stays out of it, so that it stays shared.
    """
    gc.freeze()
    gc.enable()
