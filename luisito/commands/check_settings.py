"""`luisito check-settings`: what would go wrong with a settings file, and how to mend it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from luisito.commands.common import STATUSES, add_json, show
from luisito.commands.following import Progress

if TYPE_CHECKING:
    from luisito.commands import Subparsers

_EPILOG = """\
It starts no server, opens no port and writes nothing, so it may run beside a Luisito that serves,
as any user. Started by root, it tries what each user may do, by becoming that user; else it goes by
mode bits. Problems come last, one a line: the path or the setting, what is wrong, and the mend.

""" + STATUSES.format(
    fine="no problem was found",
    problem="it would not work, or not as it was meant: the problems were printed",
)


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "check-settings",
        help="say what a settings file would do, what would go wrong, and how to mend it",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="the settings file")
    parser.add_argument("--host", metavar="HOST", help="of the site to try (one that is known)")
    parser.add_argument(
        "--user",
        metavar="USER",
        help="the user of Luisito's network process, as twistd's --uid; it is then started by root",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints what was found.

    Returns:
        0, or 1 where there are problems.

    Raises:
        LuisitoError: the settings are wrong.
    """
    from luisito.checks.settings_file import check

    with Progress() as progress:
        progress.say(f"{options.file}: what it would do is tried, for a minute at most ...")
        report = check(options.file, options.host, options.user)
    return show(report, options)
