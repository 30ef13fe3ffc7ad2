"""`luisito list`: the servers there are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from luisito.commands.asking import Luisito, add_command
from luisito.commands.text import duration, table, user
from luisito.core.text import visible

if TYPE_CHECKING:
    import argparse

    from luisito.commands import Subparsers

_HEAD: Final = (
    "SITE", "STATE", "PID", "USER", "UP", "IDLE", "IN FLIGHT", "REQUESTS", "START", "WAY",
)  # fmt: skip
_NUMBERS: Final = frozenset({"PID", "UP", "IDLE", "IN FLIGHT", "REQUESTS", "START"})
_LONGEST: Final = 200  # characters of an error


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = add_command(subparsers, "list", "show the servers of a running Luisito", run)
    parser.add_argument("--json", action="store_true", help="as JSON: see docs/control.md")


def run(options: argparse.Namespace) -> int:
    """Prints them."""
    found = Luisito(options).get("/servers")
    if options.json:
        print(json.dumps(found, indent=2))  # noqa: T201 - what was asked for
        return 0
    rows = found["servers"]
    print(table(_HEAD, [_cells(row) for row in rows], _NUMBERS))  # noqa: T201 - what was asked for
    for row in rows:
        if row["error"]:
            print(f"{row['site']}: {_in_short(row['error'])}")  # noqa: T201 - what was asked for
    return 0


def _cells(row: dict[str, Any]) -> list[str]:
    port = row["port"]
    return [
        row["site"],
        row["state"],
        _or_dash(row["pid"]),
        user(row["uid"]),
        duration(row["up_seconds"]),
        duration(row["idle_seconds"]),
        str(row["in_flight"]),
        str(row["requests"]),
        duration(row["start_seconds"]),
        _or_dash(row["way"]) if port is None else f"port {port}",
    ]


def _in_short(error: str) -> str:
    """An error in one line: of a server's output, the last one that says something."""
    first, *output = [line.strip() for line in error.split("\n") if line.strip()]
    return visible(" ".join([first, *output[-1:]]))[:_LONGEST]


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)
