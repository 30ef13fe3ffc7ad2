"""`luisito status`: a running Luisito as a whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from luisito.commands.asking import Luisito, add_command
from luisito.commands.text import duration
from luisito.core.text import visible

if TYPE_CHECKING:
    import argparse

    from luisito.commands import Subparsers


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = add_command(subparsers, "status", "show how a running Luisito fares", run)
    parser.add_argument("--json", action="store_true", help="as JSON: see docs/control.md")


def run(options: argparse.Namespace) -> int:
    """Prints it."""
    found = Luisito(options).get("/status")
    if options.json:
        print(json.dumps(found, indent=2))  # noqa: T201 - what was asked for
        return 0
    counters = found["counters"]
    states = ", ".join(f"{count} {state}" for state, count in found["servers"].items())
    requests = (
        f"{counters['heads']} since the start: {counters['answers']} answered,"
        f" {counters['aborts']} broken off; {counters['cold']} waited for a server to start,"
        f" {counters['retries']} were tried again"
    )
    for name, value in (
        ("version", found["version"]),
        ("pid", found["pid"]),
        ("state", found["state"]),
        ("up", duration(found["uptime_seconds"])),
        ("runtime dir", found["runtime_dir"]),
        ("servers", f"{states} (MAX_SERVERS = {found['max_servers']})"),
        ("waiting", f"{found['waiting']} for a server"),
        ("connections", f"{counters['open']} open, {counters['connections']} since the start"),
        ("requests", requests),
    ):
        print(f"{name:11}  {visible(str(value))}")  # noqa: T201 - what was asked for
    return 0
