"""What is known of a server that another network process had started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from luisito.core.adoption import Known
from luisito.core.busy import Said
from luisito.core.handover import seconds
from luisito.core.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from luisito.core.codec import Scalar
    from luisito.core.handover import Held
    from luisito.core.lease import Waiter


@attrs.frozen
class Inherited:
    """A server as the spawner lists it, and as whoever had it before told.

    Attributes:
        number: the spawner's.
        pid: of its process.
        uid: who it runs as; None before its command was executed.
        way: "port", "socket" or "fd".
        port: for %PORT.
        known: what a policy wants to know.
        holders: of the leases that are counted there; each is granted its own.
        connected: somebody has connected to the socket that was handed over to it.
        killed: it may have been sent SIGKILL.
        loopback: the address it listens on by its port.
        heard: its last output.
    """

    number: int
    pid: int
    uid: int | None
    way: str
    port: int | None
    known: Known
    holders: tuple[Waiter, ...] = ()
    connected: bool = False
    killed: bool = False
    loopback: str = "127.0.0.1"
    heard: str = ""


def inherited(
    row: Mapping[str, Scalar],
    now: float,
    held: Held | None = None,
    holders: Sequence[Waiter] = (),
    *,
    early: bool = False,
    has_file: bool = False,
) -> Inherited:
    """Put together what is known.

    Args:
        row: of the spawner's list.
        now: seconds.
        held: what whoever had it told of it; None where nobody could, as after a crash.
        holders: of leases on it.
        early: it was not ready yet when the lease was given, where `held` does not tell.
        has_file: its site has one, which rolls when it changes.
    """
    started = seconds(_number(row, "started")) or now
    memory = row.get("memory")
    port, uid, way = row["port"], row["uid"], str(row["way"])
    current = _number(row, "current", 1) > 0
    ready = _number(row, "ready") > 0 or (bool(holders) and not early)
    known = Known(
        str(row["site"]),
        State.READY if ready else State.STARTING,
        current=current,
        rolls=has_file and not current,
        leases=len(holders),
        early=early,
        started_at=started,
        ready_at=started if ready else 0.0,
        used_at=started,
        signalled_at=now,
        said=Said(
            seconds(_number(row, "busy_until")),
            _number(row, "busy") > 0,
            seconds(_number(row, "extended")),
            _number(row, "said_ready") > 0,
        ),
        memory=memory if isinstance(memory, int) else None,
    )
    if held is not None:
        known = attrs.evolve(
            known,
            state=State(held.state),
            released=held.released,
            early=held.early,
            started_at=seconds(held.started_at),
            ready_at=seconds(held.ready_at or 0),
            used_at=seconds(held.used_at),
            signalled_at=now if held.signalled_at is None else seconds(held.signalled_at),
        )
    nobody_there = uid is None and way != "fd"
    if known.state is State.READY and (nobody_there or known.ready_at <= 0):
        known = attrs.evolve(known, state=State.STARTING)
    if known.state is State.STARTING:
        known = attrs.evolve(known, early=known.early and way == "fd", ready_at=0.0)
    if _number(row, "stopping"):
        known = attrs.evolve(known, state=State.STOPPING)
    one = Inherited(
        _number(row, "server"),
        _number(row, "pid"),
        uid if isinstance(uid, int) else None,
        way,
        port if isinstance(port, int) else None,
        known,
        tuple(holders),
        killed=known.state is State.STOPPING,
        loopback="::1" if _number(row, "ipv6") else "127.0.0.1",
    )
    if held is None:
        return one
    return attrs.evolve(
        one,
        connected=held.connected,
        killed=held.killed,
        loopback="::1" if held.ipv6 else one.loopback,
        heard=held.heard,
    )


def _number(row: Mapping[str, Scalar], name: str, default: int = 0) -> int:
    value = row.get(name, default)
    return value if isinstance(value, int) else default
