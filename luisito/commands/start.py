"""`luisito start SITE`: wakes a site without a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luisito.commands.asking import Luisito
from luisito.commands.following import add_order, follow, order, show, started

if TYPE_CHECKING:
    import argparse

    from luisito.commands import Subparsers


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    about = "wake a site without a request, and wait until it is awake"
    add_order(subparsers, "start", about, run)


def run(options: argparse.Namespace) -> int:
    """Wakes it, and says what has come of that."""
    luisito = Luisito(options)
    site = order(luisito, options.site, "start")["site"]
    show(options, *follow(luisito, site, started, waits="waking"))
    return 0
