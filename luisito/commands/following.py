"""Orders for one site, and what becomes of them: waits for it, and says so meanwhile."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from luisito.commands.asking import add_command, why
from luisito.commands.common import add_json
from luisito.commands.text import duration, in_short
from luisito.core.text import visible

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Self, TextIO

    from luisito.commands import Subparsers
    from luisito.commands.asking import Luisito

    Row = dict[str, Any]

_PAUSE: Final = 0.1  # seconds between two looks
_QUIET: Final = 1.0  # seconds after which somebody at a terminal is told what is waited for
_WIDE: Final = 1000  # columns
READY: Final = ("awake", "hibernating")


def add_order(
    subparsers: Subparsers, name: str, about: str, run: Callable[[argparse.Namespace], int]
) -> None:
    """Adds a subcommand for one site; see add_command."""
    parser = add_command(subparsers, name, about, run)
    parser.add_argument("site", metavar="SITE", help="the site")
    add_json(parser)


def target(site: str, what: str = "", *, of: str = "sites") -> str:
    """The resource of a site, or one below it.

    Args:
        site: a host of it, in any letters, with the path of a mount behind it.
        what: the last word of the resource; "" for the site itself.
        of: the first word.
    """
    host, slash, path = site.partition("/")
    if not host.isascii():
        with suppress(UnicodeError):  # no host, which is answered
            host = host.encode("idna").decode("ascii")
    # bytes: what was typed may be no text
    return f"/{of}/{quote(os.fsencode(host + slash + path), safe='')}{what and '/'}{what}"


def order(luisito: Luisito, site: str, verb: str) -> Row:
    """Has something done to a site; what is answered.

    Raises:
        ControlError: it is refused, or there is no such site.
    """
    from luisito.control.client import ControlError

    status, value = luisito.ask("POST", target(site, verb))
    if status not in (200, 202):
        raise ControlError(why(value))
    found: Row = value
    return found


def follow(
    luisito: Luisito, site: str, outcome: Callable[[Row], str | None], *, waits: str
) -> tuple[Row, str]:
    """Looks at a site until something has come of an order.

    Args:
        luisito: that was ordered it.
        site: as it is called in the answer.
        outcome: tells what has come of it, from what is told of the site; None for nothing yet.
        waits: what it is waited for, in words.

    Returns:
        What was told of the site last, and the outcome.

    Raises:
        ControlError: by `outcome`, or as nobody answers any more.
    """
    began = time.monotonic()
    with Progress() as progress:
        while True:
            found = luisito.look(target(site))
            if found is not None and (words := outcome(found)) is not None:
                return found, words
            progress.wait(f"{site}: {waits}", time.monotonic() - began)


def started(found: Row, *, but: frozenset[int] = frozenset()) -> str | None:
    """What has come of a start: a server that is ready, but for some that were so before.

    Raises:
        ControlError: there will be none.
    """
    from luisito.control.client import ControlError

    site = found["site"]
    ready = [row for row in found["servers"] if row["state"] in READY and row["id"] not in but]
    if ready and not found["rolling"]:
        row = ready[-1]
        took = row["start_seconds"]
        after = "" if took is None else f" after {duration(took)}"
        return f"{row['state']}{after}, pid {row['pid']}"
    if found["rolling"] or found["ordered"]:
        return None
    if found["state"] == "failed":
        raise ControlError(f"{site}: {in_short(found['error'])}")
    if found["not_started"] is not None:
        raise ControlError(f"{site}: {in_short(found['not_started'])}")
    if but and any(row["id"] in but and row["state"] in READY for row in found["servers"]):
        kept = found["not_replaced"] or "it was called off"
        raise ControlError(
            f"{site}: a new server did not start, and the old one stays: {in_short(kept)}"
        )
    if found["state"] in ("asleep", "draining") and not found["waiting"]:
        raise ControlError(f"{site}: {found['state']}; its start was called off")
    return None


def show(options: argparse.Namespace, told: Row, words: str) -> None:
    """Prints what has come of an order."""
    line = visible(f"{told['site']}: {words}")
    print(json.dumps(told, indent=2) if options.json else line)  # noqa: T201 - what was asked for


class Progress:
    """A line on stderr that goes again, where that is a terminal."""

    def __init__(self) -> None:
        self._shown = 0
        self._terminal = sys.stderr.isatty()

    def say(self, words: str) -> None:
        """Shows it in the place of the one before."""
        if self._terminal:
            # what went on in a second line would stay there
            line = visible(words)[: _width(sys.stderr) - 1]
            self._write(line.ljust(self._shown))
            self._shown = len(line)

    def wait(self, words: str, passed: float) -> None:
        """Waits a moment for something; shows what, if so many seconds have passed already."""
        if passed > _QUIET:
            self.say(f"{words}, for {duration(passed)}")
        time.sleep(_PAUSE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._write(" " * self._shown)
            self._write("")

    def _write(self, line: str) -> None:
        print(f"\r{line}", end="", file=sys.stderr, flush=True)  # noqa: T201 - what it is for


def _width(terminal: TextIO) -> int:
    """Its columns; many where it does not say."""
    with suppress(OSError):
        return os.get_terminal_size(terminal.fileno()).columns or _WIDE
    return _WIDE
