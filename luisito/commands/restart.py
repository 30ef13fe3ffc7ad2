"""`luisito restart` and `reload`: program, settings and site files anew, of all or of one site."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from luisito.commands.asking import Luisito, add_command, why
from luisito.commands.common import add_json
from luisito.commands.following import READY, Progress, follow, order, show, started

if TYPE_CHECKING:
    import argparse

    from luisito.commands import Subparsers

_PATIENCE: Final = 75.0  # seconds; a successor is given up after 60


def add(subparsers: Subparsers) -> None:
    """Adds the subcommands."""
    for name, about, of_site in (
        ("restart", "read settings and program again, or restart one site", restart_site),
        ("reload", "read settings and program again, or the file of one site", reload_site),
    ):
        parser = add_command(subparsers, name, f"{about}; requests and servers go on", run)
        parser.add_argument("site", nargs="?", metavar="SITE", help="the site; all without it")
        parser.set_defaults(of_site=of_site)
        add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Does what is asked for, of one site or of all."""
    luisito = Luisito(options)
    if options.site is None:
        return _all(options, luisito)
    done: int = options.of_site(options, luisito)
    return done


def restart_site(options: argparse.Namespace, luisito: Luisito) -> int:
    """Has another server take the place of a site's, and waits until it has."""
    told = order(luisito, options.site, "restart")
    before = [row for row in told["servers"] if row["state"] in READY]
    outcome = partial(started, but=frozenset(row["id"] for row in before))
    found, words = follow(luisito, told["site"], outcome, waits="another server starts")
    if before:
        words += f", in the place of pid {', '.join(str(row['pid']) for row in before)}"
    show(options, found, words)
    return 0


def reload_site(options: argparse.Namespace, luisito: Luisito) -> int:
    """Has the file of a site read again."""
    with Progress() as progress:
        progress.say(f"{options.site}: its file is read ...")
        told = order(luisito, options.site, "reload")
    show(options, told, told["words"])
    return 0


def _all(options: argparse.Namespace, luisito: Luisito) -> int:
    """Asks for it, as SIGHUP and SIGUSR2 do, and waits until it is done."""
    from luisito.control.client import ControlError

    status, value = luisito.ask("POST", "/restart")
    if status != 202:
        raise ControlError(why(value))
    before = value["pid"]
    now = _successor(luisito, before)
    words = f"pid {now} serves in the place of pid {before}"
    told = {"pid": now, "before": before}
    print(json.dumps(told) if options.json else words)  # noqa: T201 - what was asked for
    return 0


def _successor(luisito: Luisito, before: int) -> int:
    """Waits until another process serves; its pid.

    Raises:
        ControlError: it cannot, or nothing has come of it for long.
    """
    from luisito.control.client import ControlError

    began = time.monotonic()
    with Progress() as progress:
        while (passed := time.monotonic() - began) < _PATIENCE:
            progress.wait("another process starts", passed)
            now = luisito.look("/status")
            if now is None:
                continue
            if now["pid"] != before:
                return int(now["pid"])
            if now["not_restarted"] is not None:
                raise ControlError(f"{now['not_restarted']}; all goes on as it was")
    raise ControlError(f"pid {before} still serves after {_PATIENCE:g} s: its log says why")
