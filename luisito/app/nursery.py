"""What a preloaded interpreter loads, bit by bit: what was learned, and found to be harmless."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from . import pages, verdicts
from .codes import Codes
from .forking import threads
from .immortal import Immortal
from .learning import learned
from .probing import Probe
from .renewal import handled
from .sought import Sought
from .watching import note_environment, read_at_start

if TYPE_CHECKING:
    from collections.abc import Sequence

# Of a server, whatever it serves.
_ALWAYS = (
    "luisito_app.serve", "luisito_app.wsgi", "waitress", "waitress.server", "waitress.task",
    "waitress.channel", "waitress.proxy_headers", "encodings.idna", "json.decoder",
)  # fmt: skip
_EACH = 1.0  # seconds from one look at what was learned to the next
_AWAKE = 30.0  # seconds after an order in which it looks


class Nursery:
    """Loads modules whenever there is nothing else to do.

    Args:
        folder: of what was learned; "" where nothing is.
        more: modules that are loaded as well, where they are harmless.

    Attributes:
        ready: it has loaded what it can.
        seen: variables that modules have read while they were imported, and what those were.
        names: the first parts of the names of all modules, and of those that they have not found.
        handled: the signals that modules handle.
        descriptor: where a probe will tell what it has found; -1 while there is none.
    """

    def __init__(self, folder: str, more: Sequence[str]) -> None:
        self._folder, self._more = folder, tuple(more)
        self._verdicts = verdicts.read(folder)
        self._kept: list[object] = []
        self._immortal = Immortal()
        self._codes = Codes()
        self._codes.offer()
        self._sought = Sought()
        self._batch: list[str] = []
        self._probe: Probe | None = None
        self._tried: set[str] = set()
        self._pending = list(_ALWAYS)
        self._stamp: object = None
        self._next = self._until = time.monotonic()
        self.ready = False
        self.seen = read_at_start()
        self.names: frozenset[str] = frozenset()
        self.handled: frozenset[int] = frozenset()
        self._settle()

    @property
    def descriptor(self) -> int:
        """See the class."""
        return -1 if self._probe is None else self._probe.descriptor

    def timeout(self) -> float | None:
        """Give the milliseconds after which `go_on` is worth a call; None where there is none."""
        if self._pending:
            return 0
        if self._probe is not None:
            return max(0.0, self._probe.until - time.monotonic()) * 1000
        if self._next > self._until:
            return None
        return max(0.0, self._next - time.monotonic()) * 1000

    def asked(self) -> None:
        """Hear that a server was forked: it may have something to learn from."""
        now = time.monotonic()
        self._until = now + _AWAKE
        self._next = max(self._next, now)

    def go_on(self) -> bool:
        """Do a little; return whether modules have been loaded, and all is done for now."""
        if self._pending:
            self._load(self._pending.pop(0))
            if self._pending:
                return False
            self._settle()
            self.ready = self.ready or bool(self._tried)
            return True
        if self._probe is not None:
            self.read()
        else:
            self._look()
        return False

    def _load(self, name: str) -> None:
        if name in self._verdicts.dirty:
            self._codes.read(name)
            return
        if name not in _ALWAYS:
            self._batch.append(name)
        end = note_environment()
        try:
            with self._sought:
                __import__(name)
        except Exception as error:  # noqa: BLE001 - it may still do for the sites
            say(f"{name} {type(error).__name__}: {error}")
        finally:
            for variable, value in end().items():
                self.seen.setdefault(variable, value)

    def forsake(self) -> bool:
        """Have those that were loaded last left to the sites, by this one's successors.

        Returns:
            Whether there are such.
        """
        if not self._batch:
            return False
        self._verdicts.join((), dict.fromkeys(self._batch, "leaves a thread behind, with others"))
        verdicts.write(self._folder, self._verdicts)
        return True

    def _settle(self) -> None:
        """Have all that is there shared by the servers to come."""
        self._immortal.make([*sys.modules.values(), *self._codes])
        self._kept.append(pages.share())
        if threads() == 1:
            self._batch = []
        names = {name.partition(".")[0] for name in (*sys.modules, *self._sought.names)}
        self.names = frozenset(names - {"__main__"})
        self.handled = handled()

    def _look(self) -> None:
        """Look whether more was learned; find out about what is new."""
        self._next = time.monotonic() + _EACH
        stamp = _changed(self._folder)
        if stamp is not None and stamp == self._stamp:
            return
        self._stamp = stamp
        wanted = [*_ALWAYS, *self._more, *learned(self._folder)]
        if "uvicorn" in wanted:
            wanted.append("luisito_app.asgi")
        new = [name for name in wanted if name not in self._tried]
        self._tried.update(new)
        known = self._verdicts
        self._pending += [name for name in new if name in known.clean and name not in sys.modules]
        self._pending += [name for name in new if name in known.dirty]
        unknown = [
            name
            for name in new
            if name not in known.clean and name not in known.dirty and name not in sys.modules
        ]
        for name in self._more:
            if name in known.dirty:
                say(f"{name} {known.dirty[name]}: it is left to the sites")
        if unknown:
            try:
                self._probe = Probe(unknown, known.dirty)
            except OSError as error:
                say(f"{len(unknown)} modules cannot be tried: {error.strerror}")
                unknown = []
        self.ready = self.ready or not (unknown or self._pending)

    def read(self) -> None:
        """Read what the probe has found, if it has."""
        found = self._probe.read() if self._probe is not None else None
        if found is None:
            return
        self._probe = None
        clean, dirty = found
        new = self._tried & (dirty.keys() - self._verdicts.dirty.keys())  # the others were read
        self._verdicts.join(clean, dirty)
        if not clean and not dirty:
            say("modules could not be tried: their trial has ended, or took too long")
        self._pending += [name for name in clean if name not in sys.modules]
        self._pending += [name for name in dirty if name in new]
        self.ready = self.ready or not self._pending
        say(f"loads {len(clean)} modules; {len(dirty)} are left to the sites")
        for name in self._more:
            if name in dirty:
                say(f"{name} {dirty[name]}: it is left to the sites")
        verdicts.write(self._folder, self._verdicts)


def _changed(folder: str) -> object:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return None


def say(words: str) -> None:
    """Write a line to the log."""
    sys.stderr.write(f"{words}\n")
