"""The protocol of service managers (sd_notify(3)): where they listen, and what is said to them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_WORDS: Final = 8  # in one message
_USEC: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_WORD: Final = re.compile(
    r"READY=1|STOPPING=1|RELOADING=1|WATCHDOG=1|MONOTONIC_USEC=[0-9]{1,20}|STATUS=[ -~]{0,200}"
)


def address(variable: str) -> str:
    """Read $NOTIFY_SOCKET.

    Args:
        variable: its value; "" where it is not set.

    Returns:
        The address of a unix socket; "" for none, or one of a kind that we do not speak.
    """
    if variable[:1] == "@":
        return f"\0{variable[1:]}"
    return variable if variable[:1] == "/" else ""


def may_be_said(words: list[str]) -> bool:
    """Whether these are assignments that somebody who serves may have passed on.

    It may not name another main process, nor ask for the watchdog to bite.
    """
    return len(words) <= MAX_WORDS and all(map(_WORD.fullmatch, words))


def more_time(state: Mapping[str, str]) -> float | None:
    """Read how much time a server asks for (EXTEND_TIMEOUT_USEC=).

    Args:
        state: the assignments of its message.

    Returns:
        Seconds from now on; None where it asks for none, or for what is no number.
    """
    asked = state.get("EXTEND_TIMEOUT_USEC", "")
    return int(asked) / 1e6 if _USEC.fullmatch(asked) else None


def has_work(state: Mapping[str, str]) -> bool | None:
    """Read whether a server has work beside requests (X_LUISITO_BUSY=1 or 0); None: no word."""
    return {"1": True, "0": False}.get(state.get("X_LUISITO_BUSY", ""))


def reloading(now: float) -> list[str]:
    """Say that the settings are read again; READY=1 ends it.

    Args:
        now: seconds of CLOCK_MONOTONIC.
    """
    return ["RELOADING=1", f"MONOTONIC_USEC={int(now * 1_000_000)}"]
