"""Takes servers that another pool had started into a pool that has none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from luisito.core.busy import NOTHING_SAID, Said
from luisito.core.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luisito.core.fleet import Fleet
    from luisito.core.lifecycle import Server
    from luisito.core.sites import Sites

UNSEEN: Final = 5.0
"""Seconds that one which is not known to be ready has at least, to be seen to be."""
CHANGED = "the settings it was started by have changed"
_SUPERSEDED = "its site has a newer server"
_ON_ITS_WAY = "it was on its way out already"


@attrs.frozen
class Known:
    """What is known of a server that another pool had started.

    Attributes:
        site: the site it serves.
        state: STARTING where nobody knows better.
        current: it runs what would be started now; one that does not takes no new lease.
        leases: that are held on it.
        released: as in Server; likewise the next three.
        early: see there.
        started_at: see there.
        ready_at: see there.
        used_at: see there.
        signalled_at: when it was last sent a signal to end it; counts where it is STOPPING.
        said: of itself.
        memory: as in Server.
        rolls: it is not current, and serves all the same until another one of its site is ready.
    """

    site: str
    state: State = State.STARTING
    current: bool = True
    leases: int = 0
    released: int = 0
    early: bool = False
    started_at: float = 0.0
    ready_at: float = 0.0
    used_at: float = 0.0
    signalled_at: float = 0.0
    said: Said = NOTHING_SAID
    memory: int | None = None
    rolls: bool = False

    @property
    def may_serve(self) -> bool:
        """Whether its site may have it for its server, and not only until what is in flight ends.

        One that starts what would not be started now is of no use to anybody.
        """
        if self.state is State.READY:
            return self.current or self.rolls
        return self.current and self.state is State.STARTING


def take_in(known: Sequence[Known], fleet: Fleet, sites: Sites, now: float) -> list[Server]:
    """Take servers into a fleet, each to where it would stand had it been started there.

    Of several for one site the one that was started last serves it, and one that is READY until
    that is so too (the site rolls). The others are DRAINING, and so is what is not current, but for
    what rolls.

    Args:
        known: the servers; times that are still to come count as now.
        fleet: without servers.
        sites: without waiters.
        now: seconds.

    Returns:
        The servers in the order of `known`.
    """
    taken: dict[int, Server] = {}
    serving: dict[str, int] = {}
    awake: dict[str, int] = {}
    for number, one in sorted(enumerate(known), key=lambda each: each[1].started_at):
        taken[number] = server = fleet.launch(
            one.site, sites.limits_of(one.site), min(one.started_at, now), now + UNSEEN
        )
        server.leases, server.released, server.early = one.leases, one.released, one.early
        server.ready_at, server.used_at = min(one.ready_at, now), min(one.used_at, now)
        serves = one.state in (State.READY, State.DRAINING)
        fleet.memory.take_in(server, one.memory, ready=serves)
        if one.state is State.READY:
            awake[one.site] = number
        if one.may_serve:
            serving[one.site] = number
    beside: dict[str, int] = {}
    for site, number in serving.items():
        if site in awake and known[number].state is State.STARTING and not known[number].leases:
            beside[site], serving[site] = number, awake[site]
    ready: list[Server] = []
    for number, server in taken.items():
        one = known[number]
        if one.state is State.STOPPING:
            fleet.stop(server, min(one.signalled_at, now))
        elif serving.get(one.site) == number:
            sites.serve(server)
            if one.state is State.READY:
                ready.append(server)
        elif beside.get(one.site) == number:
            sites.put_beside(server)
            fleet.put_beside(server)
        elif one.state is State.DRAINING:
            fleet.drain(server, _ON_ITS_WAY)
        else:
            fleet.drain(server, _SUPERSEDED if one.current else CHANGED)
    for server in sorted(ready, key=lambda each: each.used_at):
        fleet.admit(server)
        if not server.leases:
            server.order[server] = None
    return [taken[number] for number in range(len(known))]
