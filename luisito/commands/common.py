"""What the subcommands that print a report share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luisito.core.text import visible

if TYPE_CHECKING:
    import argparse

    from luisito.checks.report import Report

STATUSES: Final = """\
exit status:
  0  {fine}
  1  {problem}
  2  the command line or the settings are wrong; one line on stderr says what
"""


def add_json(parser: argparse.ArgumentParser) -> None:
    """Adds --json."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def show(report: Report, options: argparse.Namespace) -> int:
    """Prints a report; returns the exit status."""
    text = report.json() if options.json else "\n".join(map(visible, report.lines()))
    print(text)  # noqa: T201 - what it is for
    return report.status
