"""The states of one server process, and the only moves between them that are legal."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luisito.core.orders import SiteLimits


class State(enum.Enum):
    """What a server process is doing; ABSENT and FAILED have no process."""

    ABSENT = "absent"
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"  # takes no new lease; stopped when the last one is released
    STOPPING = "stopping"  # has its SIGTERM; keeps its port, and counts as overlap, until reaped
    FAILED = "failed"  # never became ready


MOVES: Mapping[State, frozenset[State]] = {
    State.ABSENT: frozenset({State.STARTING}),
    State.STARTING: frozenset({State.READY, State.DRAINING, State.STOPPING, State.FAILED}),
    State.READY: frozenset({State.DRAINING, State.STOPPING, State.ABSENT, State.FAILED}),
    State.DRAINING: frozenset({State.STOPPING, State.ABSENT}),
    State.STOPPING: frozenset({State.ABSENT}),
    State.FAILED: frozenset(),  # a new attempt is a new server
}


class IllegalMove(AssertionError):
    """The policy tried a move that the table does not have: a bug, never a user's mistake."""


def move(state: State, to: State) -> State:
    """Check a move against the table.

    Args:
        state: where the server is.
        to: where it shall go.

    Returns:
        `to`.

    Raises:
        IllegalMove: the table has no such move.
    """
    if to not in MOVES[state]:
        legal = ", ".join(sorted(s.name for s in MOVES[state])) or "nothing"
        raise IllegalMove(f"{state.name} cannot become {to.name}, only {legal}")
    return to


class Server:
    """One process of a site; a site may have an old one STOPPING and a new one STARTING.

    Attributes:
        id: unique for the life of the policy.
        site: the site it serves.
        state: where it is in its life.
        leases: requests, streams and tunnels in flight; changed by the policy alone.
        released: how many leases were given back.
        unnoticed: how many of these were no use of it.
        early: it may hold one lease before it is ready (a handed-over socket).
        started_at: when its spawn was ordered, in seconds of a monotonic clock.
        ready_at: when it became ready, likewise; 0.0 before.
        used_at: the latest of ready, last queued grant and last release, likewise.
        limits: of its site, as they were when it was last its site's server.
        memory: bytes it took when that was last measured; None before.
        order: the order of idle servers that it stands in while it has no lease.
        due_at: while STARTING, it is not overdue before this, likewise.
        data: whatever the shell wants to keep beside it; the policy never looks.
    """

    __slots__ = (
        "data",
        "due_at",
        "early",
        "id",
        "leases",
        "limits",
        "memory",
        "order",
        "ready_at",
        "released",
        "site",
        "started_at",
        "state",
        "unnoticed",
        "used_at",
    )

    limits: SiteLimits
    order: dict[Server, None]

    def __init__(self, number: int, site: str, now: float) -> None:
        self.id = number
        self.site = site
        self.state = State.ABSENT
        self.leases = 0
        self.released = 0
        self.unnoticed = 0
        self.early = False
        self.started_at = now
        self.ready_at = 0.0
        self.used_at = now
        self.due_at = 0.0
        self.memory: int | None = None
        self.data: Any = None

    def __repr__(self) -> str:
        return f"<Server {self.id} {self.site} {self.state.name} leases={self.leases}>"
