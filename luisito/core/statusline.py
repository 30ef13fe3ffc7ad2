"""Luisito in one line, for whoever looks at the list of a machine's services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luisito.core.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Mapping


def status_line(
    counts: Mapping[State, int], max_servers: int, waiting: int, answers: int, seconds: float
) -> str:
    """Say how full the pool is, and how much it does.

    Args:
        counts: how many servers are in each state.
        max_servers: the setting.
        waiting: requests that wait for a server.
        answers: how many there were in the last so many seconds.
        seconds: how many; 0.0 when nobody has looked before.

    Returns:
        For example "7 of 10 servers, 2 starting, 41 req/s".
    """
    starting, leaving = counts[State.STARTING], counts[State.STOPPING]
    alive = counts[State.READY] + counts[State.DRAINING] + starting
    parts = [f"{alive} of {max_servers} servers"]
    if starting:
        parts.append(f"{starting} starting")
    if leaving:
        parts.append(f"{leaving} stopping")
    if waiting:
        parts.append(f"{waiting} requests waiting")
    if seconds > 0:
        parts.append(f"{round(answers / seconds)} req/s")
    return ", ".join(parts)
