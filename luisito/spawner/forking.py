"""Forking without losing a signal, and the signals that the spawner lives with."""

from __future__ import annotations

import os
import signal

# Everything that would end the spawner by default and that others may send it, and what Python
# ignores: what is ignored stays so through exec, what is handled does not. SIGCHLD wakes it, and
# SIGALRM cuts its waits short (see `patience`).
HANDLED = (
    signal.SIGCHLD,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGALRM,
)


class _State:
    """Whether this process is a forked child, where a signal must not be taken for a wake-up."""

    child = False


def handle_signals(wakeup: int) -> None:
    """Let no signal but KILL end us; each writes a byte to the descriptor instead."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals():
        # Whoever started us may have ignored signals (nohup); the servers must not inherit that.
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    for handled in HANDLED:
        signal.signal(handled, _handle)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)


def _handle(number: int, _frame: object) -> None:
    # In the spawner the wake-up descriptor has done it.
    if _State.child and number != signal.SIGCHLD:
        os._exit(128 + number)


def fork() -> int:
    """Fork; in the child a signal ends it, as it would after exec, which resets all handlers.

    Raises:
        OSError: EAGAIN or ENOMEM.
    """
    # One that reaches the child sooner would be written where it wakes us, as if it were ours.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        pid = os.fork()
        if pid == 0:
            _State.child = True
            signal.set_wakeup_fd(-1)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return pid
