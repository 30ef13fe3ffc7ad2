"""`luisito pin SITE` and `unpin SITE`: whether a site is kept awake whatever its file says."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from luisito.commands.asking import Luisito
from luisito.commands.following import add_order, order, show

if TYPE_CHECKING:
    import argparse

    from luisito.commands import Subparsers


def add(subparsers: Subparsers) -> None:
    """Adds the subcommands."""
    for verb, about in (
        ("pin", "keep a site awake from now on, over restarts, and start it"),
        ("unpin", "keep a site as its file says again"),
    ):
        add_order(subparsers, verb, about, partial(run, verb))


def run(verb: str, options: argparse.Namespace) -> int:
    """Has it done; does not wait for a start."""
    told = order(Luisito(options), options.site, verb)
    show(options, told, told["words"])
    return 0
