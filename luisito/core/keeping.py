"""Which sites are kept awake: which files may say so, and which servers are to be started anew."""

from __future__ import annotations

import enum
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from luisito.core.members import is_further
from luisito.core.turns import Turns

if TYPE_CHECKING:
    from collections import OrderedDict
    from collections.abc import Hashable, Iterator, Mapping


class Keep(enum.Enum):
    """What a site file says of how long a server is kept, the least first."""

    DEMAND = "demand"  # started by a request, ended for room or when it is idle
    PINNED = "pinned"  # started by a request, and then kept
    ALWAYS = "always"  # started as soon as there is the file, and kept up


NEVER_ENDED: Final[Mapping[str, float | None]] = {
    "min_alive": inf,
    "idle_timeout": None,
    "stream_idle": None,
}
"""The limits (core.orders.SiteLimits) of a site whose server is no victim and is never idle."""


class Allotment(NamedTuple):
    """Which of the sites that are to be kept are kept, so that there is room for others.

    Attributes:
        kept: these, and how.
        left_out: those that are as if they were on demand, by name.
        needed: MAX_SERVERS that would do for all.
    """

    kept: dict[str, Keep]
    left_out: list[str]
    needed: int


def allot(wishes: Mapping[str, Keep], max_servers: int) -> Allotment:
    """Keep as many sites as leave one place in the pool, those that are always on first.

    Of a site with several servers each counts, and the further ones come after all others.

    Args:
        wishes: the sites that are pinned or always on.
        max_servers: the setting.
    """
    order = sorted(
        wishes, key=lambda site: (wishes[site] is not Keep.ALWAYS, is_further(site), site)
    )
    most = max_servers - 1
    kept = {site: wishes[site] for site in order[:most]}
    return Allotment(kept, sorted(order[most:]), len(wishes) + 1)


_NAMED: Final = 3


def complaint(allotment: Allotment, max_servers: int, *, pins: bool = False) -> str:
    """Say what is wrong where sites are left out; "" where none is. The mend follows.

    Args:
        allotment: which are.
        max_servers: the setting.
        pins: some of the sites are kept as operators have pinned them.
    """
    out = allotment.left_out
    if not out:
        return ""
    count = allotment.needed - 1
    named = ", ".join(out[:_NAMED])
    if len(out) > _NAMED:
        named += f" and {len(out) - _NAMED} more"
    are = "is" if len(out) == 1 else "are"
    files = f"{count} site file{' says' if count == 1 else 's say'} keep = pinned or always"
    also = f"{count} sites are kept by their files or by luisito pin"
    return (
        f"{also if pins else files}, which leaves no room for other sites in MAX_SERVERS ="
        f" {max_servers}; {named} {are} served on demand until there is"
    )


_TURN: Final[Hashable] = object()


class Keeping:
    """The sites that are kept up, and which of them wait to be started.

    Those that have no server hold a place in the pool against all others, even while they are left
    alone after a failure.

    Args:
        parked: who waits for room (core.sites.Sites): the release of a lease looks for what to
            start only where that is not empty, so that one entry there stands for all sites here.

    Attributes:
        absent: those without a server that is STARTING or READY.
        turns: of these, those that are to be started.
    """

    __slots__ = ("_begun", "_on_failure", "_parked", "_resting", "absent", "turns")

    def __init__(self, parked: OrderedDict[Hashable, float]) -> None:
        self._parked = parked
        self._on_failure: dict[str, bool] = {}
        self._resting: set[str] = set()
        self._begun = False
        self.absent: set[str] = set()
        self.turns: Turns[str] = Turns()

    def __contains__(self, site: str) -> bool:
        return site in self._on_failure

    def __iter__(self) -> Iterator[str]:
        return iter(self._on_failure)

    def keep(self, site: str, *, on_failure: bool, absent: bool) -> None:
        """Keep a site up; `on_failure`: but not after an end with status 0."""
        self._on_failure[site] = on_failure
        self._resting.discard(site)
        if absent:
            self.absent.add(site)

    def forget(self, site: str) -> None:
        """Keep a site up no longer."""
        self._on_failure.pop(site, None)
        self._resting.discard(site)
        self.served(site)

    def begin(self) -> None:
        """Start sites from now on: it is known which servers there are."""
        self._begun = True

    def close(self) -> None:
        """Start none any more."""
        self._begun = False
        self.turns.clear()
        self._show()

    def first(self) -> str | None:
        """Tell which site is to be started next, if any is."""
        return next(iter(self.turns.pending), None)

    def reserved(self, site: str) -> int:
        """Tell how many places others hold against a site that is to be started."""
        return 0 if site in self._on_failure else len(self.absent)

    def ask(self, site: str, now: float, until: float) -> bool:
        """Start a site that has no server, not before a time, in seconds, and if it rested.

        Returns:
            Whether it is one that is kept up, and has none.
        """
        if site not in self.absent:
            return False
        self._resting.discard(site)
        if self._begun:
            if now >= until:
                self.turns.delayed.discard(site)  # whatever it was left alone for
            self.turns.ask(site, now, until)
            self._show()
        return True

    def put_off(self, site: str, now: float, until: float) -> None:
        """Have a site that has just lost its server wait for its next start."""
        if site in self.turns.pending:
            self.turns.drop(site)
            self.turns.ask(site, now, until)
            self._show()

    def rest(self, site: str, *, ended: bool) -> None:
        """Do not start a site anew until it is asked for, or its file changes.

        Args:
            site: that is about to lose its server.
            ended: by itself, with status 0, which is the end of those only that are kept up after
                failures; else somebody has stopped it.
        """
        if self._on_failure.get(site, False) or (site in self._on_failure and not ended):
            self._resting.add(site)

    def rests(self, site: str) -> bool:
        """Tell whether it is so."""
        return site in self._resting

    def left(self, site: str, now: float, until: float) -> None:
        """Hear that a site has lost its server, and may have no other before a time."""
        if site in self._on_failure:
            self.absent.add(site)
            if site not in self._resting:
                self.ask(site, now, until)

    def served(self, site: str) -> None:
        """Hear that a site has a server, so that it does not rest."""
        self._resting.discard(site)
        self.absent.discard(site)
        self.turns.drop(site)
        self._show()

    def tick(self, now: float) -> None:
        """Let those have their turn that have been left alone for long enough."""
        self.turns.tick(now)
        self._show()

    def _show(self) -> None:
        if not self.turns.pending:
            self._parked.pop(_TURN, None)
        elif _TURN not in self._parked:
            self._parked[_TURN] = 0.0
            self._parked.move_to_end(_TURN, last=False)
