"""What the pool's policy is told once (limits) and what it says (orders)."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final

import attrs
from attrs.validators import ge, gt, in_, le, optional

if TYPE_CHECKING:
    from collections.abc import Hashable

    from luisito.core.lifecycle import Server
    from luisito.core.streams import Streaming


@attrs.frozen(kw_only=True)
class SiteLimits:
    """The bounds that a site may have of its own; times in seconds.

    Attributes:
        queue_limit: requests of the site that may wait.
        queue_timeout: how long a request waits for its server to be spawned.
        start_timeout: how long a server may take from the spawn until it is ready.
        stop_timeout: from SIGTERM to SIGKILL, and from each SIGKILL to the next.
        idle_timeout: a server unused for so long is stopped; None lets the pool stay full.
        min_alive: a server is not evicted before it was ready for so long.
        stream_idle: streams that were silent for so long may be ended for room; None: never.
        max_requests: a server that has answered about so many is replaced; None: never.
        max_age: a server that was ready for about so long is replaced; None: never.
        busy_max: for how long a server may keep itself, and put off its start or its end; 0: never.
        hibernate_after: a server unused for so long is frozen; None: never.
        hibernate: also where it has timers of its own; False: never.
        pre_stop: the path that a server is asked for before it is stopped; None: it is not asked.
    """

    queue_limit: int = attrs.field(default=100, validator=ge(1))
    queue_timeout: float = attrs.field(default=45.0, validator=ge(0))
    start_timeout: float = attrs.field(default=60.0, validator=gt(0))
    stop_timeout: float = attrs.field(default=10.0, validator=gt(0))
    idle_timeout: float | None = attrs.field(default=None, validator=optional(gt(0)))
    min_alive: float = attrs.field(default=0.0, validator=ge(0))
    stream_idle: float | None = attrs.field(default=None, validator=optional(gt(0)))
    max_requests: int | None = attrs.field(default=None, validator=optional(ge(1)))
    max_age: float | None = attrs.field(default=None, validator=optional(gt(0)))
    busy_max: float = attrs.field(default=600.0, validator=ge(0))
    pre_stop: str | None = None
    hibernate_after: float | None = attrs.field(default=None, validator=optional(gt(0)))
    hibernate: bool | None = None


@attrs.frozen(kw_only=True)
class Limits(SiteLimits):
    """The bounds of the pool, and those of the sites that have none of their own.

    Attributes:
        max_servers: servers STARTING, READY or DRAINING at any time.
        max_memory: bytes that these may take together, before another one is started; None is any.
        policy: which idle server goes first: "lru", the least recently used one (core.idle), or
            "cost", the one whose loss costs least for its memory (core.cost).
        overlap: how many more may exist while others are STOPPING.
        max_rolling: how many more may exist for sites that roll, whose old server serves while the
            new one starts.
        max_starting: servers STARTING at a time, not counting those of sites that roll.
        queue_total: requests of all sites that may wait.
        queue_share: the part of these that may wait for one site.
        abandon_grace: a server that starts for nobody any more is stopped after so long.
    """

    max_servers: int = attrs.field(default=10, validator=ge(1))
    max_memory: int | None = attrs.field(default=None, validator=optional(ge(1)))
    policy: str = attrs.field(default="lru", validator=in_(["lru", "cost"]))
    overlap: int = attrs.field(default=1, validator=ge(0))
    max_rolling: int = attrs.field(default=1, validator=ge(1))
    max_starting: int = attrs.field(default=4, validator=ge(1))
    queue_total: int = attrs.field(default=1000, validator=ge(1))
    queue_share: float = attrs.field(default=1.0, validator=[gt(0), le(1)])
    abandon_grace: float = attrs.field(default=5.0, validator=ge(0))

    def of_site(self, **own: float | str | None) -> SiteLimits:
        """The limits of a site that has some of its own; the others are the pool's.

        Raises:
            TypeError: no site has such a limit of its own.
            ValueError: a value is out of bounds.
        """
        names = [field.name for field in attrs.fields(SiteLimits)]
        values: dict[str, Any] = {name: getattr(self, name) for name in names}
        return SiteLimits(**(values | own))


class Refusal(enum.Enum):
    """Why a request gets no server."""

    QUEUE_FULL = "too many requests wait"
    QUEUE_TIMEOUT = "no room became free in time"
    START_FAILED = "the server ended before it was ready"
    START_TIMEOUT = "the server was not ready in time"
    BACKING_OFF = "the server failed a moment ago"
    OVERLOADED = "the system could not make a process"
    SHUTTING_DOWN = "Luisito is shutting down"
    NO_SITE = "the site is no more"
    MAINTENANCE = "the site is down for maintenance"


@attrs.frozen
class Spawn:
    """Start the process of `server`; answer with `started`, `ready`, `failed` or `exited`."""

    server: Server


@attrs.frozen
class Terminate:
    """Send SIGTERM to the session of `server`, even where its `started` is still to come.

    Attributes:
        reason: why.
        overdue: it was not ready within its start_timeout.
        wanted_by: the site that its room is for, "" where it goes for all; None for another reason.
            It says no more than `reason`, and so is left out of comparisons.
    """

    server: Server
    reason: str
    overdue: bool = False
    wanted_by: str | None = attrs.field(default=None, eq=False)


@attrs.frozen
class AskToStop:
    """Ask `server` whether it may be stopped; answer with `may_stop`, whatever comes of it.

    Attributes:
        server: has `pre_stop` among its limits.
        reason: why it is to go.
        wanted_by: as in Terminate.
    """

    server: Server
    reason: str
    wanted_by: str | None = attrs.field(default=None, eq=False)


@attrs.frozen
class Kill:
    """Send SIGKILL to all that is left of `server`; comes again until `exited`."""

    server: Server


@attrs.frozen
class EndStreams:
    """End the silent streams that alone keep `server`; their releases lead to its Terminate.

    Attributes:
        server: takes no new lease any more.
        streams: as given to `streamed`.
        wanted_by: the site that waits for its room.
    """

    server: Server
    streams: tuple[Streaming, ...]
    wanted_by: str


@attrs.frozen
class Exceeds:
    """Say, once for each server, that `server` takes more than max_memory by itself."""

    server: Server


@attrs.frozen
class Freeze:
    """Have `server` frozen; answer with `hibernates` or `does_not_hibernate`."""

    server: Server


@attrs.frozen
class Thaw:
    """Have `server` run on, or not be frozen if it is not yet; comes before its next Grant."""

    server: Server


@attrs.frozen
class Grant:
    """Give `waiter` a lease on `server`; it is counted already."""

    waiter: Hashable
    server: Server


@attrs.frozen
class Refuse:
    """Tell `waiter` that it gets no server.

    Attributes:
        waiter: as given to `requested`.
        refusal: why.
        retry_after: seconds after which another try makes sense; None where that is unknown.
        detail: the last failure of the site, or "".
        server: that was not ready in time; None for another refusal.
        site: that was asked for, for who tells of it; left out of comparisons.
    """

    waiter: Hashable
    refusal: Refusal
    retry_after: float | None
    detail: str
    server: Server | None = None
    site: str = attrs.field(default="", eq=False)


Order = Spawn | AskToStop | Terminate | EndStreams | Kill | Exceeds | Freeze | Thaw | Grant | Refuse

NOTHING: Final[tuple[Order, ...]] = ()
"""What is to be done where nothing is; known by its identity."""
