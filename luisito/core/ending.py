"""How an app server ended, in words for its operator."""

from __future__ import annotations

import signal

_OUT_OF_MEMORY = (
    ", which Luisito did not send: the kernel does so when memory runs out (see `dmesg`), or some"
    " person did"
)


def ending(code: int | None, number: int | None, *, killed: bool = False) -> str:
    """Say how a process ended.

    Args:
        code: its exit code; None where a signal ended it.
        number: of that signal; None where it exited.
        killed: Luisito had sent it SIGKILL.
    """
    if number is None:
        return f"exited with code {code}"
    words = f"was killed by {signal_name(number)}"
    return words + _OUT_OF_MEMORY if number == signal.SIGKILL and not killed else words


def signal_name(number: int) -> str:
    """Name a signal: "SIGKILL (9)"."""
    try:
        return f"{signal.Signals(number).name} ({number})"
    except ValueError:  # a real-time signal
        return f"signal {number}"
