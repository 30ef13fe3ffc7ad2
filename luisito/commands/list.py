"""`luisito list`: the servers there are, or all sites."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from luisito.commands.asking import Luisito, add_command
from luisito.commands.common import add_json
from luisito.commands.text import duration, in_short, named, table, user
from luisito.core.text import mebibytes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from luisito.commands import Subparsers

    Row = dict[str, Any]

_COLUMNS: Final = (
    "SITE", "STATE", "KEEP", "PID", "USER", "UP", "IDLE", "IN FLIGHT", "REQUESTS", "MEMORY",
    "START",
)  # fmt: skip
_NUMBERS: Final = frozenset({"PID", "UP", "IDLE", "IN FLIGHT", "REQUESTS", "MEMORY", "START"})
STATES: Final = ("failed", "waking", "awake", "hibernating", "draining", "asleep")


def _most(name: str) -> Callable[[Row], float]:
    """Has that come first which has most of something, and that last which has none."""

    def key(row: Row) -> float:
        value = row.get(name)
        return 1.0 if value is None else -float(value)

    return key


SORTS: Final[Mapping[str, Callable[[Row], Any]]] = {
    "site": lambda row: row["site"],
    "state": lambda row: STATES.index(row["state"]),
    "pid": lambda row: (row["pid"] is None, row["pid"]),
    "up": _most("up_seconds"),
    "idle": _most("idle_seconds"),
    "in-flight": _most("in_flight"),
    "requests": _most("requests"),
    "memory": _most("memory_bytes"),
    "start": _most("start_seconds"),
    "exit": lambda row: (row["last_exit"] is None, row["last_exit_seconds"]),
}
"""What the rows are ordered by; of those that are alike in that, by site."""
_ASLEEP: Final = "asleep"
_FAILED: Final = "failed"
_EXIT: Final = "exit"


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = add_command(subparsers, "list", "show the servers of a running Luisito", run)
    parser.add_argument(
        "--all", action="store_true", help="all sites, those too that are asleep, a row for each"
    )
    parser.add_argument(
        "--sort",
        choices=list(SORTS),
        default="site",
        help="what counts first, most of it on top (site); exit, the last one, implies --all",
    )
    parser.add_argument(
        "--state", choices=STATES, help="only those in this state; asleep implies --all"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Prints them."""
    sites = options.all or options.sort == _EXIT or options.state == _ASLEEP
    name = "sites" if sites else "servers"
    luisito = Luisito(options)
    found = luisito.get(f"/{name}")
    rows = [row for row in found[name] if options.state in (None, row["state"])]
    rows.sort(key=SORTS[options.sort])
    if options.json:
        print(json.dumps({**found, name: rows}, indent=2))  # noqa: T201 - what was asked for
        return 0
    print(_text(rows, sites=sites))  # noqa: T201 - what was asked for
    if not sites and options.state is None and sys.stdout.isatty():
        rest = _rest(rows, luisito.get("/sites")["sites"])
        print(end=rest and f"{rest}\n")  # noqa: T201 - for whoever takes the table for all there is
    return 0


def _rest(servers: list[Row], sites: list[Row]) -> str:
    """What of all sites is not among the servers, in one line; "" for nothing."""
    shown = {row["site"] for row in servers}
    counts = Counter(row["state"] for row in sites if row["site"] not in shown)
    words = [f"{counts[state]:,} {state}" for state in (_ASLEEP, _FAILED) if counts[state]]
    if words:
        return f"not shown: {', '.join(words)}; luisito list --all shows all"
    return "" if servers else "there is none; sites of other users are told to operators only"


def _text(rows: list[Row], *, sites: bool) -> str:
    head = (*_COLUMNS, "LAST EXIT" if sites else "WAY")
    last = _exit if sites else _way
    errors = [f"{named(row)}: {in_short(row['error'])}" for row in rows if row["error"]]
    return "\n".join([table(head, [[*_cells(row), last(row)] for row in rows], _NUMBERS), *errors])


def _cells(row: Row) -> list[str]:
    return [
        named(row),
        row["state"],
        row["keep"],
        _or_dash(row["pid"]),
        user(row["uid"]),
        duration(row["up_seconds"]),
        duration(row["idle_seconds"]),
        _or_dash(row["in_flight"]),
        _or_dash(row["requests"]),
        _memory(row["memory_bytes"]),
        duration(row["start_seconds"]),
    ]


def _way(row: Row) -> str:
    return _or_dash(row["way"]) if row["port"] is None else f"port {row['port']}"


def _exit(row: Row) -> str:
    if row["last_exit"] is None:
        return "-"
    return f"{in_short(row['last_exit'])}, {duration(row['last_exit_seconds'])} ago"


def _memory(size: int | None) -> str:
    return "-" if size is None else mebibytes(size)


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)
