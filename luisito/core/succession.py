"""Which network process serves, which one comes next, and when one has to be started.

Reload, restart, upgrade and the replacement of one that has crashed are the same: a successor is
started, and only when it could serve is the one that serves asked to yield. Facts come in as method
calls, orders go out as their results; links (to network processes) are told apart by identity.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final, NamedTuple

QUIET: Final = 0.25  # seconds without another wish, then a successor is started
LONGEST_QUIET: Final = 1.0  # seconds after the first wish it is started in any case
READY_WITHIN: Final = 60.0  # seconds a successor may take until it could serve
YIELD_WITHIN: Final = 10.0  # seconds whoever serves may take to yield
HUNG_FOR: Final = 20.0  # seconds more; then one that was followed without it is killed
AGAIN: Final = 2.0  # seconds after which a start that failed is tried again where nobody serves
CRASHES: Final = 5  # so many of them
CRASHES_WITHIN: Final = 60.0  # within so many seconds are the end

_LATE: Final = f"its successor could not serve within {READY_WITHIN:g} s"
_SILENT: Final = "the network process has ended without being told to"


class Start(NamedTuple):
    """Start a successor; `crashed`: by the settings that were last in force."""

    crashed: bool


class Yield(NamedTuple):
    """Tell a link to yield to the successor."""

    link: object
    to: object


class Take(NamedTuple):
    """A link serves from now on, in the place of another or of nobody."""

    link: object
    before: object


class NotReplaced(NamedTuple):
    """Tell a link that it goes on serving, and why."""

    link: object
    message: str


class Kill(NamedTuple):
    """Kill the process at a link."""

    link: object


class End(NamedTuple):
    """End everything.

    Attributes:
        status: the exit status.
        words: why, for a person; "" where that was asked for.
    """

    status: int
    words: str


Order = Start | Yield | Take | NotReplaced | Kill | End


class Succession:
    """One network process after the other; the first has come by itself.

    Args:
        first: its link.

    Attributes:
        serving: the link of the one that serves; None while there is none.
        successor: the link of the one that is starting; at first, `first`.
        replaces: one that has crashed is replaced.
        stopping: an end was asked for.
        yielding: the one that serves was told to yield, and has not been followed yet.

    Times are in seconds of a monotonic clock.
    """

    def __init__(self, first: object) -> None:
        self.serving: object = None
        self.successor: object = first
        self.replaces = False
        self.stopping = False
        self._served = False  # somebody has
        self._ready = False  # the successor could serve
        self._late = inf  # when it is given up
        self._why = ""  # it was given up
        self.yielding = False
        self._yielded = False  # whoever serves has let go of all
        self._yield_by = inf  # when that must have happened
        self._asked: tuple[float, float] | None = None  # the first and the last wish
        self._again = inf  # when a start that failed is tried again
        self._hung: dict[object, float] = {}  # who never yielded: when it is killed
        self._crashes: deque[float] = deque(maxlen=CRASHES)

    def asked(self, now: float) -> None:
        """Somebody wants a successor: many wishes at once are one, in the time of a start too."""
        if not self.stopping:
            self._asked = (self._asked[0] if self._asked else now, now)

    def started(self, link: object, now: float) -> list[Order]:
        """A successor was started, as ordered."""
        self.successor, self._late, self._why = link, now + READY_WITHIN, ""
        self._again = inf
        return []

    def not_started(self, message: str, now: float) -> list[Order]:
        """None could be started; the next time it may be possible, but not at once."""
        orders = self._failed(message, now)
        if orders != [Start(crashed=True)]:
            return orders
        self._again = now + AGAIN
        return []

    def ready(self, link: object, now: float) -> list[Order]:
        """A link could serve."""
        if link is not self.successor or self._why:
            return []
        self._ready, self._late = True, inf
        if self.serving is None or self._yielded:
            return self._take()
        self._yield_by = now + YIELD_WITHIN
        if self.yielding:
            return []
        self.yielding = True
        return [Yield(self.serving, link)]

    def yielded(self, link: object) -> list[Order]:
        """The one that serves has yielded, as it was told to."""
        self._hung.pop(link, None)
        if not self.yielding or link is not self.serving:
            return []
        self._yielded = True
        return self._take() if self._ready else []

    def _take(self) -> list[Order]:
        before, self.serving, self.successor = self.serving, self.successor, None
        self._served = True
        self._not_ready()
        self.yielding = self._yielded = False
        return [Take(self.serving, before)]

    def _not_ready(self) -> None:
        self._ready, self._late, self._yield_by = False, inf, inf

    def lost(self, link: object, message: str, now: float) -> list[Order]:
        """A link has ended, and with it its process.

        Args:
            link: that has.
            message: why, as far as that is known.
            now: seconds.
        """
        self._hung.pop(link, None)
        if link is self.successor:
            self.successor = None
            self._not_ready()
            return self._failed(self._why or message, now)
        if link is not self.serving:
            return []
        self.serving = None
        if self.stopping:
            return [End(1, f"{_SILENT} while it was stopping: {message}")]
        if self.yielding:
            self.yielding = self._yielded = False
            return self._take() if self._ready else []
        if not self.replaces:
            return [End(1, f"{_SILENT}: {message}")]
        return self._crashed(message, now)

    def orphaned(self) -> list[Order]:
        """One that had made way has crashed, by which others before it had their leases.

        Whoever comes next can go on with these, as after any crash; so somebody is to come.
        """
        if self.stopping or self.serving is None or self.successor is not None:
            return []
        return [Start(crashed=True)]

    def _failed(self, message: str, now: float) -> list[Order]:
        """There will be no successor for now."""
        if not self._served:
            return [End(0 if self.stopping else 1, "")]  # the first one: it has said why
        if self.serving is None or self.yielding:  # who has let go of all by now
            return self._crashed(message, now)
        return [] if self.stopping else [NotReplaced(self.serving, message)]

    def _crashed(self, message: str, now: float) -> list[Order]:
        self._crashes.append(now)
        if len(self._crashes) == CRASHES and now - self._crashes[0] < CRASHES_WITHIN:
            words = f"{CRASHES} network processes have crashed within {CRASHES_WITHIN:g} s"
            return [End(1, f"{words}, the last one: {message}")]
        # One that is starting already takes over when it can.
        return [] if self.successor is not None else [Start(crashed=True)]

    def stops(self, link: object) -> list[Order]:
        """The one that serves, or the first one while it starts, has been told to stop."""
        self.stopping, self._asked, self._again = True, None, inf
        self.yielding = self._yielded = False
        if self.successor is None or self.successor is link:
            return []
        self._why = "Luisito is stopping"
        return [Kill(self.successor)]

    def terminated(self) -> object:
        """Somebody wants an end: tell the link that sees to it; None where nobody would."""
        return self.serving if self._served else self.successor

    def deadline(self) -> float | None:
        """Tell when `tick` is worth calling next."""
        hung = min(self._hung.values(), default=inf)
        due = min(self._late, self._yield_by, self._again, self._start_at(), hung)
        return None if due == inf else due

    def _start_at(self) -> float:
        if self._asked is None or self.successor is not None:
            return inf
        first, last = self._asked
        return min(first + LONGEST_QUIET, last + QUIET)

    def tick(self, now: float) -> list[Order]:
        """Do what is due."""
        if now >= self._yield_by:
            self._hung[self.serving] = now + HUNG_FOR
            return self._take()
        if now >= self._late:
            self._late, self._why = inf, _LATE
            return [Kill(self.successor)]
        if now >= self._again:
            self._again = inf
            return [Start(crashed=True)]
        if now >= self._start_at():
            self._asked = None
            return [Start(crashed=False)]
        hung = [link for link, at in self._hung.items() if now >= at]
        for link in hung:
            del self._hung[link]
        return [Kill(link) for link in hung]
