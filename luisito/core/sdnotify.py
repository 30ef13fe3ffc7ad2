"""The protocol of service managers (sd_notify(3)): where they listen, and what is said to them."""

from __future__ import annotations

import re
from typing import Final

MAX_WORDS: Final = 8  # in one message
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


def reloading(now: float) -> list[str]:
    """Say that the settings are read again; READY=1 ends it.

    Args:
        now: seconds of CLOCK_MONOTONIC.
    """
    return ["RELOADING=1", f"MONOTONIC_USEC={int(now * 1_000_000)}"]
