"""Options that several subcommands share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

STATUSES = """\
exit status:
  0  {fine}
  1  {problem}
  2  the command line or the settings are wrong; one line on stderr says what
"""


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Adds --settings, which is found as the service finds it."""
    parser.add_argument(
        "--settings",
        metavar="FILE",
        default=os.environ.get("LUISITO_SETTINGS", "settings.py"),
        help="the settings file ($LUISITO_SETTINGS, else settings.py in this folder)",
    )
