"""Imports modules on trial, in processes of their own, to find out which may be preloaded."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING

from .forking import close_above, die_with_parent
from .watching import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Found = tuple[list[str], dict[str, str]]

_PATIENCE = 120.0  # seconds for all
_EACH = 30.0  # seconds for one round
_ROUNDS = 20
_NICE = 10
_SAYS = 3  # the descriptor that a trial says what it has found on


class Probe:
    """A trial that goes on beside us.

    Args:
        names: of the modules, a package before what is in it.
        dirty: what is known to be harmful already, with the reasons.

    Attributes:
        descriptor: is readable when there is something to `read`.
        until: when it has taken too long, on the monotonic clock.
    """

    def __init__(self, names: Sequence[str], dirty: Mapping[str, str]) -> None:
        self._said = b""
        self.until = time.monotonic() + _PATIENCE
        parent = os.getpid()
        self.descriptor, writing = os.pipe()
        try:
            self._pid = os.fork()
        except OSError:
            os.close(self.descriptor)
            os.close(writing)
            raise
        if self._pid == 0:
            try:
                _prepare(writing, parent)
                os.nice(_NICE)
                _say(_find(names, dirty))
            finally:
                os._exit(0)
        os.close(writing)
        os.set_blocking(self.descriptor, False)

    def read(self) -> Found | None:
        """Give the modules that are harmless, and what is against the others; None until then.

        Both are empty where it has failed: that says nothing of the modules.
        """
        try:
            while part := os.read(self.descriptor, 65536):
                self._said += part
        except BlockingIOError:
            if time.monotonic() < self.until:
                return None
        _kill(self._pid)
        os.close(self.descriptor)
        try:
            clean, dirty = json.loads(self._said)
        except ValueError:
            return [], {}
        return clean, dirty


def _kill(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        pass  # it has ended, or has not come to its setsid yet
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass
    os.waitpid(pid, 0)


def _prepare(writing: int, parent: int) -> None:
    """Be a process that can do no harm, with one descriptor to write to."""
    os.setsid()
    die_with_parent()
    if os.getppid() != parent:
        os._exit(0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for place in (0, 1, 2):
        os.dup2(nowhere, place)
    os.dup2(writing, _SAYS, inheritable=False)
    close_above(_SAYS)


def _say(found: object) -> None:
    left = memoryview(json.dumps(found).encode())
    while left:
        left = left[os.write(_SAYS, left) :]


def _find(names: Sequence[str], dirty: Mapping[str, str]) -> Found:
    """Try all, then those that remain, until nothing is found any more."""
    bad = dict(dirty)
    for _ in range(_ROUNDS):
        for name in names:
            package = next((above for above in _above(name) if above in bad), None)
            if package is not None:
                bad.setdefault(name, f"is in {package}, which {bad[package]}")
        left = [name for name in names if name not in bad]
        found = _round(left, bad)
        new = found.keys() - bad.keys()
        bad.update({name: found[name] for name in new})
        if not new:
            return left, bad
    return [], {**dict.fromkeys(names, "cannot be told from others in time"), **bad}


def _above(name: str) -> Iterator[str]:
    """The packages that a module is in, the outermost first."""
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts)))


def _round(names: Sequence[str], bad: Mapping[str, str]) -> dict[str, str]:
    """Import modules in a process of their own, one after another; tell what is against them."""
    parent = os.getpid()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _prepare(writing, parent)
            _import_all(names, bad)
        finally:
            os._exit(0)
    os.close(writing)
    said = b""
    until = time.monotonic() + _EACH
    while select.select([reading], [], [], max(0.0, until - time.monotonic()))[0]:
        part = os.read(reading, 65536)
        if not part:
            break
        said += part
    _kill(pid)
    os.close(reading)
    lines = said.decode("ascii", "replace").splitlines()
    try:
        found: dict[str, str] = json.loads(lines[-1])
    except (ValueError, IndexError):
        last = lines[-1] if lines else ""  # that was begun
        return {name: "ends or hangs" for name in names if name == last or not last}
    return found


def _import_all(names: Sequence[str], bad: Mapping[str, str]) -> None:
    watch = Watch()
    watch.begin()
    there = set(sys.modules)
    for name in names:
        os.write(_SAYS, name.encode() + b"\n")
        try:
            __import__(name)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is left to the sites
            watch.bad.setdefault(name, f"cannot be imported: {type(error).__name__}")
        come = [one for one in bad if one in sys.modules and one not in there]
        there.update(come)
        if come:
            watch.bad.setdefault(name, f"imports {come[0]}, which {bad[come[0]]}")
    _say(watch.bad)
