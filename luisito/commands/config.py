"""`luisito config SITE`: what counts for a site, and where it was said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from luisito.commands.asking import Luisito, add_command
from luisito.commands.common import add_json
from luisito.commands.following import target
from luisito.commands.text import table

if TYPE_CHECKING:
    import argparse

    from luisito.commands import Subparsers

_HEAD: Final = ("KEY", "VALUE", "FROM")
_LONGEST: Final = 200  # characters of a value
_DEFAULT: Final = "default"


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    about = "show what counts for a site, and where each value comes from"
    parser = add_command(subparsers, "config", about, run)
    parser.add_argument("site", metavar="SITE", help="the site")
    parser.add_argument("--changed", action="store_true", help="leave out what is so by default")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Prints it."""
    found = Luisito(options).get(target(options.site, "config"))
    if options.changed:
        found["values"] = [one for one in found["values"] if one["from"] != _DEFAULT]
    print(json.dumps(found, indent=2) if options.json else _text(found))  # noqa: T201 - what was asked for
    return 0


def _text(found: dict[str, Any]) -> str:
    from luisito.settings.sites.words import shown

    rows = [
        [one["name"], shown(one["value"], _LONGEST), one["from"]]
        for one in sorted(found["values"], key=lambda one: one["from"] == _DEFAULT)
    ]
    return table(_HEAD, rows, frozenset())
