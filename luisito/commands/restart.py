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
_SILENCE: Final = 5.0  # seconds without an answer, in which one hands over to the other


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
    began = heard = time.monotonic()
    while time.monotonic() < began + _PATIENCE:
        time.sleep(_PAUSE)
        try:
            now = luisito.get("/status")
        except ControlError:  # the one has closed the socket's connections, the other opens it
            if time.monotonic() > heard + _SILENCE:
                raise
            continue
        heard = time.monotonic()
        if now["pid"] != before:
            print(f"pid {now['pid']} serves in the place of pid {before}")  # noqa: T201 - what was asked for
            return 0
        if now["not_restarted"] is not None:
            raise ControlError(f"{now['not_restarted']}; all goes on as it was")
    raise ControlError(f"pid {before} still serves after {_PATIENCE:g} s: its log says why")
