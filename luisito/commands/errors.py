"""`luisito errors`: which sites are failed, or go on as before, and why; and what failed last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luisito.commands.asking import add_command, tell
from luisito.commands.common import add_json
from luisito.commands.text import duration, in_short, named
from luisito.commands.why import add_number, event_line, notes
from luisito.core.text import visible

if TYPE_CHECKING:
    import argparse

    from luisito.commands import Subparsers


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    about = "show what is failed now, with the reason, and what failed last"
    parser = add_command(subparsers, "errors", about, run)
    add_number(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Prints it."""
    return tell(options, f"/errors?limit={options.n}", _text)


def _text(found: dict[str, Any]) -> str:
    now = [_failed(row) for row in found["failed"]]
    kept, by_host = map(_wrong, (found["as_before"], found["by_host_only"]))
    before = [event_line(event, of_site=True) for event in found["events"]]
    return "\n".join(
        [
            *notes(found),
            *(["failed now:", *now] if now else ["nothing is failed now"]),
            *(["", "served as before, since what is new is wrong:", *kept] if kept else []),
            *(
                ["", "served by Host only, since `listen` does not count:", *by_host]
                if by_host
                else []
            ),
            "",
            *(["failed last:", *before] if before else ["nothing has failed before"]),
        ]
    )


def _wrong(rows: list[dict[str, Any]]) -> list[str]:
    return [f"  {visible(row['site'])}: {in_short(row['error'])}" for row in rows]


def _failed(row: dict[str, Any]) -> str:
    retry = row["retry_seconds"]
    when = ""
    if retry is not None:
        when = f"tried again in {duration(retry)}" if retry else "tried again at the next request"
    words = "; ".join(filter(None, [in_short(row["error"] or ""), when]))
    return f"  {visible(named(row))}: {words}"
