"""`luisito list`: the servers there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from luisito.commands.asking import add_command, tell
from luisito.commands.common import add_json
from luisito.commands.text import duration, table, user
from luisito.core.text import mebibytes, visible

if TYPE_CHECKING:
    import argparse

    from luisito.commands import Subparsers

_HEAD: Final = (
    "SITE", "STATE", "KEEP", "PID", "USER", "UP", "IDLE", "IN FLIGHT", "REQUESTS", "MEMORY",
    "START", "WAY",
)  # fmt: skip
_NUMBERS: Final = frozenset({"PID", "UP", "IDLE", "IN FLIGHT", "REQUESTS", "MEMORY", "START"})
_LONGEST: Final = 200  # characters of an error


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = add_command(subparsers, "list", "show the servers of a running Luisito", run)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Prints them."""
    return tell(options, "/servers", _text)


def _text(found: dict[str, Any]) -> str:
    rows = found["servers"]
    errors = [f"{_named(row)}: {_in_short(row['error'])}" for row in rows if row["error"]]
    return "\n".join([table(_HEAD, [_cells(row) for row in rows], _NUMBERS), *errors])


def _cells(row: dict[str, Any]) -> list[str]:
    port = row["port"]
    return [
        _named(row),
        row["state"],
        row["keep"],
        _or_dash(row["pid"]),
        user(row["uid"]),
        duration(row["up_seconds"]),
        duration(row["idle_seconds"]),
        str(row["in_flight"]),
        str(row["requests"]),
        _memory(row.get("memory_bytes")),
        duration(row["start_seconds"]),
        _or_dash(row["way"]) if port is None else f"port {port}",
    ]


def _named(row: dict[str, Any]) -> str:
    """What a row is of: a site's server, or a worker of it."""
    return row["site"] if row["worker"] is None else f"{row['site']} ({row['worker']})"


def _in_short(error: str) -> str:
    """An error in one line: of a server's output, the last one that says something."""
    first, *output = [line.strip() for line in error.split("\n") if line.strip()]
    return visible(" ".join([first, *output[-1:]]))[:_LONGEST]


def _memory(size: int | None) -> str:
    return "-" if size is None else mebibytes(size)


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)
