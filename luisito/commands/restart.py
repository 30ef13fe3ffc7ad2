"""`luisito restart`: the settings and the program are read again, and nothing in flight notices."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from luisito.commands.asking import Luisito, add_command, why

if TYPE_CHECKING:
    import argparse

    from luisito.commands import Subparsers

_PATIENCE: Final = 75.0  # seconds; a successor is given up after 60
_PAUSE: Final = 0.1  # seconds between two looks


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    about = "read settings and program again; requests and servers go on"
    add_command(subparsers, "restart", about, run, aliases=("reload",))


def run(options: argparse.Namespace) -> int:
    """Asks for it, as SIGHUP and SIGUSR2 do, and waits until it is done."""
    from luisito.control.client import ControlError

    luisito = Luisito(options)
    status, value = luisito.ask("POST", "/restart")
    if status != 202:
        raise ControlError(why(value))
    before = value["pid"]
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        now = luisito.get("/status")
        if now["pid"] != before:
            print(f"pid {now['pid']} serves in the place of pid {before}")  # noqa: T201 - what was asked for
            return 0
        if now["not_restarted"] is not None:
            raise ControlError(f"{now['not_restarted']}; all goes on as it was")
        time.sleep(_PAUSE)
    raise ControlError(f"pid {before} still serves after {_PATIENCE:g} s: its log says why")
