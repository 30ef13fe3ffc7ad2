"""How an app server ended, in words for its operator."""

from __future__ import annotations

import signal


def ending(code: int | None, number: int | None) -> str:
    """Say how a process ended.

    Args:
        code: its exit code; None where a signal ended it.
        number: of that signal; None where it exited.
    """
    return f"exited with code {code}" if number is None else f"was killed by {signal_name(number)}"


def suspicion(number: int | None, *, killed: bool) -> str:
    """Say who may have killed a process, where that was not Luisito; "" where there is no riddle.

    Args:
        number: of the signal that ended it, if one did.
        killed: Luisito had sent it SIGKILL.
    """
    if number != signal.SIGKILL or killed:
        return ""
    return "; Luisito did not send it: the kernel does when memory runs out (see `dmesg`)"


def signal_name(number: int) -> str:
    """Name a signal: "SIGKILL (9)"."""
    try:
        return f"{signal.Signals(number).name} ({number})"
    except ValueError:  # a real-time signal
        return f"signal {number}"
