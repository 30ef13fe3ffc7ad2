"""`luisito top`: the servers there are, as they change."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from luisito.commands.asking import Luisito, add_command
from luisito.commands.common import add_json
from luisito.commands.text import duration, named, table
from luisito.core.text import mebibytes, visible
from luisito.errors import LuisitoError, SettingsError

if TYPE_CHECKING:
    import curses
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from luisito.commands import Subparsers

    Row = dict[str, Any]

_HEAD: Final = (
    "SITE", "STATE", "PID", "UP", "IDLE", "IN FLIGHT", "REQ/S", "REQUESTS", "MEMORY",
)  # fmt: skip
_NUMBERS: Final = frozenset(_HEAD) - {"SITE", "STATE"}
SORTS: Final[Mapping[str, Callable[[Row], Any]]] = {
    "rate": lambda row: (-row["rate"], -row["in_flight"], row["site"]),
    "in-flight": lambda row: (-row["in_flight"], row["site"]),
    "memory": lambda row: (-(row["memory_bytes"] or 0), row["site"]),
    "requests": lambda row: (-row["requests"], row["site"]),
    "idle": lambda row: (-(row["idle_seconds"] or 0.0), row["site"]),
    "up": lambda row: (-(row["up_seconds"] or 0.0), row["site"]),
    "site": lambda row: row["site"],
}
_KEYS: Final = {
    "s": "site", "c": "rate", "f": "in-flight", "r": "requests", "m": "memory", "i": "idle",
    "u": "up",
}  # fmt: skip
_HELP: Final = "q ends; sort: s site, c rate, f in flight, r requests, m memory, i idle, u up"
_LONGEST: Final = 3600.0  # seconds


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = add_command(subparsers, "top", "show the servers as they change", run)
    parser.add_argument(
        "--sort", choices=list(SORTS), default="rate", help="what counts first (default: rate)"
    )
    parser.add_argument(
        "--every", type=_every, default=1.0, metavar="SECONDS", help="how often (default: 1)"
    )
    parser.add_argument(
        "-n",
        "--times",
        type=_times,
        metavar="N",
        help="so many times, then end (default: on a terminal until q, else once)",
    )
    add_json(parser)


def _every(text: str) -> float:
    with suppress(ValueError):
        if 0.1 <= float(text) <= _LONGEST:
            return float(text)
    raise argparse.ArgumentTypeError(f"must be 0.1 to {_LONGEST:g} seconds, not {text!r}")


def _times(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text):
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a number from 1, not {text!r}")


def run(options: argparse.Namespace) -> int:
    """Shows them."""
    frames = Frames(Luisito(options))
    on_terminal = sys.stdout.isatty() and sys.stdin.isatty() and not options.json
    times = options.times if options.times is not None or on_terminal else 1
    if on_terminal and times is None:
        _on_screen(frames, options)
        return 0
    for count, frame in enumerate(frames.each(options.every), 1):
        if options.json:
            text = json.dumps(frame.as_dict(options.sort))
        else:
            text = "\n".join(frame.lines(options.sort)) + ("" if count == times else "\n")
        print(text, flush=True)  # noqa: T201 - what was asked for
        if count == times:
            break
    return 0


class Frame:
    """What there is at a moment.

    Args:
        status: of the whole; None for whoever may not know it.
        rows: of the servers and workers, with the `rate` of each: requests a second.
    """

    def __init__(self, status: dict[str, Any] | None, rows: list[Row]) -> None:
        self._status, self._rows = status, rows

    def as_dict(self, sort: str) -> dict[str, Any]:
        """It for programs."""
        return {"status": self._status, "servers": self._sorted(sort)}

    def lines(self, sort: str) -> list[str]:
        """It for people."""
        rows = [_cells(row) for row in self._sorted(sort)]
        return [*self._of_whole(), *table(_HEAD, rows, _NUMBERS).split("\n")]

    def _sorted(self, sort: str) -> list[Row]:
        return sorted(self._rows, key=SORTS[sort])

    def _of_whole(self) -> Iterator[str]:
        status = self._status
        if status is None:
            return
        states = ", ".join(f"{count} {word}" for word, count in status["servers"].items())
        rate = sum(row["rate"] for row in self._rows)
        memory = mebibytes(status["memory_bytes"])
        yield (
            f"luisito {status['version']}, up {duration(status['uptime_seconds'])}:"
            f" {rate:.1f} requests/s, {status['waiting']} wait, about {memory}"
        )
        yield f"{states} (MAX_SERVERS = {status['max_servers']})"
        yield ""


class Frames:
    """Asks again and again.

    Args:
        luisito: who is asked.
    """

    def __init__(self, luisito: Luisito) -> None:
        self._luisito = luisito
        self._before: dict[Any, int] = {}
        self._at = 0.0

    def each(self, every: float) -> Iterator[Frame]:
        """One frame after another, so many seconds between them."""
        while True:
            yield self.next()
            time.sleep(every)

    def next(self) -> Frame:
        """What there is now.

        Raises:
            LuisitoError: nobody tells.
        """
        code, status = self._luisito.ask("GET", "/status")
        rows = self._luisito.get("/servers")["servers"]
        now = time.monotonic()
        for row in rows:
            # of one that is new all have come since the frame before, if there was one
            before = self._before.get(row["id"], 0 if self._at else row["requests"])
            row["rate"] = round((row["requests"] - before) / (now - self._at), 3)
        self._before = {row["id"]: row["requests"] for row in rows if row["id"] is not None}
        self._at = now
        return Frame(status if code == 200 else None, rows)


def _cells(row: Row) -> list[str]:
    memory = row["memory_bytes"]
    return [
        named(row),
        row["state"],
        "-" if row["pid"] is None else str(row["pid"]),
        duration(row["up_seconds"]),
        duration(row["idle_seconds"]),
        str(row["in_flight"]),
        f"{row['rate']:.1f}",
        str(row["requests"]),
        "-" if memory is None else mebibytes(memory),
    ]


def _on_screen(frames: Frames, options: argparse.Namespace) -> None:
    import curses

    first = frames.next()  # where nobody answers, that is said on a screen of the user's own
    wrong = _cannot_draw()
    if wrong is not None:
        raise SettingsError(
            f"TERM = {os.environ.get('TERM', '')!r}: {wrong}; set it to the terminal's, such as"
            " xterm, or give -n 1"
        )
    curses.wrapper(_show, frames, first, options.sort, options.every)


def _cannot_draw() -> str | None:
    """Why curses could do nothing with this terminal; None where it can."""
    import curses

    try:
        curses.setupterm()
    except curses.error as error:
        return str(error)
    return None if curses.tigetstr("cup") else "its cursor cannot be moved"


def _show(screen: curses.window, frames: Frames, frame: Frame, sort: str, every: float) -> None:
    """Draws a frame after another until q is pressed."""
    import curses

    with suppress(curses.error):  # a terminal without colours
        curses.use_default_colors()
    note, due = _HELP, time.monotonic() + every
    while True:
        _draw(screen, frame.lines(sort), note)
        # a key or another size is no reason to ask: rates of a moment would say nothing
        screen.timeout(max(0, round((due - time.monotonic()) * 1000)))
        key = screen.getch()
        if key in (ord("q"), ord("Q")) or (key == curses.ERR and not sys.stdin.isatty()):
            return  # or the terminal has gone, and SIGHUP is ignored
        if 0 < key < 128:
            sort = _KEYS.get(chr(key).lower(), sort)
        if time.monotonic() < due:
            continue
        try:
            frame, note = frames.next(), _HELP
        except LuisitoError as error:  # it may be restarting
            note = visible(str(error))
        due = time.monotonic() + every


def _draw(screen: curses.window, lines: Sequence[str], note: str) -> None:
    import curses

    screen.erase()
    height, width = screen.getmaxyx()
    hidden = len(lines) - (height - 1)
    if hidden > 0:
        note = f"{hidden} more below; {note}"
    for number, line in enumerate(lines[: height - 1]):
        head = line.startswith(_HEAD[0] + " ")
        screen.addnstr(number, 0, line, width - 1, curses.A_REVERSE if head else 0)
    screen.addnstr(height - 1, 0, note, width - 1, curses.A_BOLD)
    screen.refresh()
