"""`luisito stop HOST`: lets the server of a site go when it has nothing in flight."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING
from urllib.parse import quote

from luisito.commands.asking import Luisito, add_command, why
from luisito.core.text import visible

if TYPE_CHECKING:
    import argparse

    from luisito.commands import Subparsers


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand, and the name it had in 2012."""
    about = "stop the server of a site; what it has in flight is finished first"
    parser = add_command(subparsers, "stop", about, run, aliases=("stop_server",))
    parser.add_argument("host", metavar="HOST", help="the site")


def run(options: argparse.Namespace) -> int:
    """Asks for it; the next request starts a new server."""
    from luisito.control.client import ControlError

    luisito = Luisito(options)
    status, value = luisito.ask("POST", f"/servers/{quote(options.host, safe='')}/stop")
    if status not in (200, 202):
        near = _nearest(luisito, options.host, 0.6) if status == 404 else ""
        raise ControlError(why(value) + near)
    words = f"{value['site']}: {value['state']}"
    in_flight = sum(row["in_flight"] for row in value["servers"])
    if in_flight:
        words += f", {in_flight} in flight"
    elif not value["servers"]:
        words += f" already{_nearest(luisito, value['site'], 0.85)}"
    print(visible(words))  # noqa: T201 - what was asked for
    return 0


def _nearest(luisito: Luisito, host: str, likeness: float) -> str:
    """What the person may have meant, as far as that is as like it as difflib says."""
    sites = {row["site"] for row in luisito.get("/servers")["servers"] if row["id"] is not None}
    near = difflib.get_close_matches(host, sites - {host}, n=1, cutoff=likeness)
    return f"; the nearest that has a server is {near[0]}" if near else ""
