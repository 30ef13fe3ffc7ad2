"""`luisito logs SITE`: what a site's servers have written last, and what they write from now on."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from luisito.commands.asking import Luisito, add_command
from luisito.commands.common import add_json
from luisito.commands.following import target
from luisito.core.text import visible

if TYPE_CHECKING:
    from luisito.commands import Subparsers

_LINES: Final = 20
_EVERY: Final = 0.5  # seconds
_MUCH: Final = 64 << 10  # bytes: half of what is told at a time, so that there may be more already


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    about = "show what a site's servers have written last"
    parser = add_command(subparsers, "logs", about, run)
    parser.add_argument("site", metavar="SITE", help="the site")
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on with what is written, until Ctrl-C"
    )
    parser.add_argument(
        "-n", type=_number, default=_LINES, metavar="LINES", help=f"so many lines ({_LINES})"
    )
    add_json(parser)


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of lines; write {_LINES}")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Prints it."""
    luisito, resource = Luisito(options), target(options.site, "log")
    found = luisito.get(f"{resource}?lines={options.n}")
    _show(options, found)
    if found["path"] is None:
        note = "OUTPUT_LOG_DIR is not set, so that only the last words of living servers are known"
        print(f"luisito: {note}", file=sys.stderr)  # noqa: T201 - not to be taken for output
        return 0
    if options.follow:
        _follow(options, luisito, resource, found)
    return 0


def _follow(
    options: argparse.Namespace, luisito: Luisito, resource: str, found: dict[str, Any]
) -> None:
    """Asks again and again for what is new."""
    new = 0  # bytes
    while True:
        if new < _MUCH:
            time.sleep(_EVERY)
        offset, file = found["offset"], found["file"]
        told = luisito.look(f"{resource}?after={offset}&file={file or ''}")
        if told is None:
            new = 0
            continue
        found = told
        new = found["offset"] - (offset if found["file"] == file else 0)
        if found["lines"]:
            _show(options, found)


def _show(options: argparse.Namespace, found: dict[str, Any]) -> None:
    """Prints lines as nothing that a terminal obeys, or one JSON object a line."""
    if options.json:
        print(json.dumps(found), flush=True)  # noqa: T201 - what was asked for
    else:
        for line in found["lines"]:
            print(visible(line.expandtabs()), flush=True)  # noqa: T201 - what was asked for
