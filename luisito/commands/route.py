"""`luisito route`: which site, server and command a request for a URL would reach, and why."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from luisito.commands.common import STATUSES, add_json, show
from luisito.commands.settings_file import HERE, settings_file
from luisito.errors import SettingsError

if TYPE_CHECKING:
    from luisito.commands import Subparsers

_EPILOG = """\
It decides as a Luisito would that you start here, and asks none that runs. Where a request is
refused, it says with which status, by what, and how to mend that.

""" + STATUSES.format(fine="the request reaches a site", problem="it is refused")


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "route",
        help="say which site, server and command a request would reach, and why",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "url",
        metavar="URL",
        help="of the request: http://a.localhost:8080/; or an endpoint: unix:/run/shop.sock",
    )
    parser.add_argument(
        "--settings",
        metavar="FILE",
        help="the settings file ($LUISITO_SETTINGS, else settings.py in this folder)",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints the way of a request.

    Returns:
        0, or 1 where it is refused.

    Raises:
        LuisitoError: the URL or the settings are wrong.
    """
    from luisito.checks.route import route

    found = settings_file(options)
    if found is None:
        raise SettingsError(f"{HERE}: is not in this folder; name one: --settings FILE")
    if found.problem is not None:
        raise SettingsError(str(found.problem))
    report = route(options.url, found.path, found.text)
    return show(report, options)
