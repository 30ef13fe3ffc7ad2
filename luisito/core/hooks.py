"""Hooks: when they are run, and what a command is told of what has happened."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from luisito.core.ending import ending

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENTS: Final = ("start", "ready", "failure", "eviction", "exit")
"""What hooks are named by."""

FACTS: Final = (
    "AT", "WORKER", "PID", "UID", "REASON", "SECONDS", "OTHER", "MEMORY", "CODE", "SIGNAL",
)  # fmt: skip
"""Variables beside LUISITO_EVENT and LUISITO_SITE, without LUISITO_."""

LONGEST: Final = 4000  # characters of one
_LAST_WORDS: Final = 300  # characters of what a command has written
_NOT_RUN: Final = 127  # the exit status of a child that could not become the command
SAID: Final = "luisito: "  # before what such a child says

is_url = re.compile(r"https?://", re.IGNORECASE).match
"""Whether a hook is the address of a webhook, and not a command."""


def plain(text: str) -> str:
    """Put a blank in the place of what a terminal would obey, or nobody would see."""
    shown = text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
    return shown[:LONGEST]


def environ(event: str, site: str, facts: Mapping[str, str]) -> dict[str, str]:
    """The variables that a command is told by.

    Args:
        event: one of EVENTS.
        site: the key of the site.
        facts: some of FACTS; those that are missing are empty.
    """
    told = {"EVENT": event, "SITE": site, **{name: facts.get(name, "") for name in FACTS}}
    return {f"LUISITO_{name}": plain(value) for name, value in told.items()}


def wrong(event: str, facts: Mapping[str, str]) -> str | None:
    """Say what is wrong with an order to run a hook; None where nothing is."""
    if event not in EVENTS:
        return f"event {event!r:.100} is none of {', '.join(EVENTS)}"
    odd = sorted(facts.keys() - set(FACTS))
    if odd:
        return f"fact {odd[0]!r:.100} is none of {', '.join(FACTS)}"
    if any(len(value) > LONGEST for value in facts.values()):
        return f"a fact has more than {LONGEST} characters"
    return None


def outcome(code: int | None, number: int | None, output: str, *, late: float | None) -> str:
    """Say what has come of a command; "" where it has done its work.

    Args:
        code: its exit code; None where a signal ended it.
        number: of that signal.
        output: the end of what it has written.
        late: the seconds that it might take, where it took longer and was killed; else None.
    """
    lines = [line for line in map(str.strip, output.split("\n")) if line]
    last = plain(lines[-1])[:_LAST_WORDS] if lines else ""
    if late is not None:
        what = f"did not end within HOOK_TIMEOUT = {late:g} s, and was killed"
    elif code == 0:
        return ""
    elif code == _NOT_RUN and last.startswith(SAID):
        return last.removeprefix(SAID)
    else:
        what = ending(code, number)
    return f"{what}; its last words: {last}" if last else what
