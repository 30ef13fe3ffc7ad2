"""How an app server ended, in words for its operator."""

from __future__ import annotations

import signal


def stopping(pid: int, reason: str, *, starts: bool = False) -> str:
    """Say that a process is told to end.

    Args:
        pid: of it; 0 where nobody has told yet that there is one: only its start was asked for.
        reason: why.
        starts: it has not come to be ready.
    """
    if not pid:
        return f"start called off: {reason}"
    return f"stopping pid {pid}{' while it starts' if starts else ''}: {reason}"


def killing(pid: int, timeout: str) -> str:
    """Say that a process is killed since it does not end; as for `stopping`.

    Args:
        pid: see there.
        timeout: the name of what was too short for it.
    """
    who = f"pid {pid} does not stop" if pid else "what was called off does not end"
    return f"{who} within {timeout}: killing it"


def ending(code: int | None, number: int | None) -> str:
    """Say how a process ended.

    Args:
        code: its exit code; None where a signal ended it.
        number: of that signal; None where it exited.
    """
    return f"exited with code {code}" if number is None else f"was killed by {signal_name(number)}"


def code_and_signal(status: int) -> tuple[int | None, int | None]:
    """Tell an exit code, or the number of the signal, of what waitstatus_to_exitcode tells."""
    return (status, None) if status >= 0 else (None, -status)


def not_stopped(program: str, code: int | None, number: int | None, sent: str) -> str:
    """Say that a stop command has failed.

    Args:
        program: its first word.
        code: as for `ending`.
        number: likewise.
        sent: the signal that was sent to the server instead, without SIG.
    """
    return (
        f"stop_command {program!r} {ending(code, number)}, and SIG{sent} was sent instead; what it"
        " wrote is in the output of the server"
    )


def suspicion(
    number: int | None, *, killed: bool, over_memory: bool = False, limit: str = "MEMORY_MAX"
) -> str:
    """Say who may have killed a process, where that was not Luisito; "" where there is no riddle.

    Args:
        number: of the signal that ended it, if one did.
        killed: Luisito had sent it SIGKILL.
        over_memory: its cgroup has told that the kernel did.
        limit: of its memory, and where that is written.
    """
    if over_memory:
        return f"; ended by the kernel for memory: it was over {limit}"
    if number != signal.SIGKILL or killed:
        return ""
    return "; Luisito did not send it: the kernel does when memory runs out (see `dmesg`)"


SOON = 10.0
"""Seconds after its readiness in which what a server does still belongs to its start."""


def broke(code: int | None, ready_for: float) -> bool:
    """Tell whether a server that ended by itself, though it was ready, has failed to start.

    Some listen before they have loaded the app, and gunicorn exits with 3 when it cannot be. A
    server that a signal has ended did start; one that exits with 0 has done its work.

    Args:
        code: its exit code; None where a signal ended it.
        ready_for: seconds for which it was ready.
    """
    return bool(code) and ready_for < SOON


def signal_name(number: int) -> str:
    """Name a signal: "SIGKILL (9)"."""
    try:
        return f"{signal.Signals(number).name} ({number})"
    except ValueError:  # a real-time signal
        return f"signal {number}"
