"""`luisito why SITE`: what became of a site's servers, and what for."""

from __future__ import annotations

import argparse
import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from luisito.commands.asking import add_command, tell
from luisito.commands.common import add_json
from luisito.commands.following import target
from luisito.commands.text import duration, in_short, moment
from luisito.core.text import mebibytes, visible

if TYPE_CHECKING:
    from luisito.commands import Subparsers

_LAST: Final = 20  # events
_MOST: Final = 10_000


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    about = "show why a site's servers were started, refused, ended or failed"
    parser = add_command(subparsers, "why", about, run)
    parser.add_argument("site", metavar="SITE", help="the site")
    add_number(parser)
    add_json(parser)


def add_number(parser: argparse.ArgumentParser) -> None:
    """Adds -n."""
    about = f"so many of the last events ({_LAST})"
    parser.add_argument("-n", type=_number, default=_LAST, metavar="N", help=about)


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= _MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {_MOST}; write {_LAST}")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Prints it."""
    resource = f"{target(options.site, 'events')}?limit={options.n}"
    return tell(options, resource, partial(_text, options.site))


def _text(site: str, found: dict[str, Any]) -> str:
    lines = [event_line(event) for event in found["events"]]
    return "\n".join([*notes(found), *(lines or [f"{visible(site)}: nothing has become of it"])])


def event_line(event: dict[str, Any], *, of_site: bool = False) -> str:
    """An event in one line.

    Args:
        event: as the control socket tells it.
        of_site: says whose it is, too.
    """
    whose = [event["site"]] if of_site else []
    if event["worker"] is not None:
        whose.append(f"({event['worker']})")
    who = f"{visible(' '.join(whose))}: " if whose else ""
    words = "; ".join([in_short(event["words"]), *_cost(event)])
    return f"{moment(event['at'])}  {event['kind']:7}  {who}{words}"


def _cost(event: dict[str, Any]) -> list[str]:
    """What it cost, as far as its words do not say it."""
    costs = []
    if event["kind"] == "evicted":
        if event["other"] is not None and event["other"] not in event["words"]:
            costs.append(f"for {visible(event['other'])}")
        if event["seconds"] is not None:
            costs.append(f"its next start takes about {duration(event['seconds'])}")
        if event["memory"] is not None:
            costs.append(f"frees {mebibytes(event['memory'])}")
    elif event["count"] > 1:
        costs.append(f"{event['count']} requests")
    return costs


def notes(found: dict[str, Any]) -> list[str]:
    """What there is to know of all that a resource tells of the past."""
    lines = []
    if found["path"] is None:
        began = moment(found["began"])
        lines.append(f"(since {began}, when this process began to serve: STATE_DIR is not set)")
    if found["unwritten"] is not None:
        words = f"{found['path']} cannot be written: {found['unwritten']}"
        lines.append(f"({visible(words)})")
    return lines
