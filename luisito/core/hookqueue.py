"""Which hooks an event has, and in which order they are run: a few at a time, never too many."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import attrs

from luisito.core.events import Kind, for_owner
from luisito.core.hooks import LONGEST
from luisito.core.siteindex import PRELOAD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from luisito.core.events import Event

AT_ONCE: Final = 4
"""So many are run at a time."""
MOST: Final = 1000
"""So many may wait."""
OF_A_SITE: Final = 20
"""So many of them for what happens to one site, of the settings and of its own each."""

_EVENTS: Final[Mapping[Kind, str]] = {
    Kind.WAKE: "start",
    Kind.READY: "ready",
    Kind.FAILED: "failure",
    Kind.EVICTED: "eviction",
    Kind.EXITED: "exit",
}
"""By what hooks are named; other events have none."""


class Job(NamedTuple):
    """A hook that is to be run.

    Attributes:
        event: one of core.hooks.EVENTS.
        own: it is the site's; else that of the settings.
        url: of the webhook; "" for a command, which the spawner knows.
        told: what has happened.
    """

    event: str
    own: bool
    url: str
    told: Event

    @property
    def name(self) -> str:
        """What it is called in the log: the hook, and where it is written."""
        return f"{self.told.site}: hooks.{self.event}" if self.own else f'HOOKS["{self.event}"]'

    def facts(self) -> dict[str, str]:
        """What a command is told (core.hooks.FACTS)."""
        event = self.told
        told: dict[str, float | str | None] = {
            "AT": round(event.at, 3),
            "WORKER": event.worker,
            "PID": event.pid,
            "UID": event.uid,
            "REASON": event.words,
            "SECONDS": None if event.seconds is None else round(event.seconds, 3),
            "OTHER": event.other,
            "MEMORY": event.memory,
            "CODE": event.code,
            "SIGNAL": event.signal,
        }
        return {name: str(of)[:LONGEST] for name, of in told.items() if of is not None}

    def body(self) -> bytes:
        """What a webhook is sent, in JSON."""
        return json.dumps({"event": self.event, **self.told.as_dict()}).encode("ascii")


def jobs(
    event: Event, common: Mapping[str, str], record: Mapping[str, Any] | None
) -> Iterator[Job]:
    """The hooks that an event has.

    Args:
        event: what has happened.
        common: of the settings: by core.hooks.EVENTS the URL of a webhook, or "" for a command.
        record: the public record of the site; None where it has no file.
    """
    name = _EVENTS.get(event.kind)
    if name is None or event.worker == PRELOAD:  # that is a part of Luisito
        return
    if name in common:
        yield Job(name, False, common[name], event)
    own = None if record is None else record.get("hooks", {}).get(name)
    if record is not None and own:
        told = event if record["tenant"] is None else _discreet(event)
        yield Job(name, True, own if isinstance(own, str) else "", told)


def _discreet(event: Event) -> Event:
    """The same for a tenant."""
    return attrs.evolve(event, other=None, words=for_owner(event.words, event.other))


class Queue:
    """The hooks that wait, and how many run.

    What happens to one site is told in the order in which it has happened, one at a time; the sites
    take turns.

    Attributes:
        waiting: how many wait.
        dropped: how many were left out, since too many waited.
    """

    def __init__(self) -> None:
        self.waiting = self.dropped = 0
        self._lines: dict[tuple[bool, str], deque[Job]] = {}
        self._turns: deque[tuple[bool, str]] = deque()  # lines of which none runs, and one waits
        self._running: set[tuple[bool, str]] = set()

    @property
    def running(self) -> int:
        """How many run."""
        return len(self._running)

    def add(self, job: Job) -> bool:
        """Have one wait; returns whether an older one is left out for it."""
        key = _key(job)
        line = self._lines.setdefault(key, deque())
        if not line and key not in self._running:
            self._turns.append(key)
        line.append(job)
        self.waiting += 1
        if len(line) > OF_A_SITE:
            self._drop(key)
        elif self.waiting > MOST:
            self._drop(max(self._lines, key=lambda key: len(self._lines[key])))
        else:
            return False
        return True

    def _drop(self, key: tuple[bool, str]) -> None:
        line = self._lines[key]
        line.popleft()
        self.waiting -= 1
        self.dropped += 1
        if not line and key not in self._running:
            self._turns.remove(key)
            del self._lines[key]

    def next(self) -> Job | None:
        """Take one that is to be run now; None where none is."""
        if not self._turns or self.running >= AT_ONCE:
            return None
        key = self._turns.popleft()
        self._running.add(key)
        self.waiting -= 1
        return self._lines[key].popleft()

    def done(self, job: Job) -> None:
        """One has been run."""
        key = _key(job)
        self._running.discard(key)
        if self._lines[key]:
            self._turns.append(key)
        else:
            del self._lines[key]


def _key(job: Job) -> tuple[bool, str]:
    return job.own, job.told.site
