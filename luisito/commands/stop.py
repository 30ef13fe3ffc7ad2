"""`luisito stop SITE`: lets the server of a site go when it has nothing in flight."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from luisito.commands.asking import Luisito, add_command, why
from luisito.commands.common import add_json
from luisito.commands.following import show, target

if TYPE_CHECKING:
    import argparse

    from luisito.commands import Subparsers

_LIKE: Final = 0.85  # how like, by difflib's measure


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand, and the name it had in 2012."""
    about = "stop the server of a site; what it has in flight is finished first"
    parser = add_command(subparsers, "stop", about, run, aliases=("stop_server",))
    parser.add_argument("host", metavar="SITE", help="the site")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Asks for it; the next request starts a new server."""
    from luisito.control.client import ControlError

    luisito = Luisito(options)
    status, value = luisito.ask("POST", target(options.host, "stop", of="servers"))
    if status == 404:  # GET tells the nearest one, too
        value = luisito.ask("GET", target(options.host))[1]
    if status not in (200, 202):
        raise ControlError(why(value))
    words = str(value["state"])
    in_flight = sum(row["in_flight"] for row in value["servers"])
    if in_flight:
        words += f", {in_flight} in flight"
    elif not value["servers"]:
        words += f" already{_nearest(luisito, value['site'])}"
    show(options, value, words)
    return 0


def _nearest(luisito: Luisito, host: str) -> str:
    """What the person may have meant by the name of a site that sleeps."""
    sites = {row["site"] for row in luisito.get("/servers")["servers"] if row["id"] is not None}
    near = difflib.get_close_matches(host, sites - {host}, n=1, cutoff=_LIKE)
    return f"; the nearest that has a server is {near[0]}" if near else ""
