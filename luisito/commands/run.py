"""`luisito run`: serves every <name>.localhost by one command, without any settings file."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luisito.commands import Subparsers

_EPILOG = """\
Every <name>.localhost is a site: its first request starts COMMAND, which serves at %PORT (or at
the unix socket %SOCKET, or on the socket handed over as descriptor %FD). %HOST is its host.

  luisito run -- python3 -m http.server %PORT --bind 127.0.0.1
  curl -H 'Host: a.localhost' http://127.0.0.1:8080/
"""


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "run",
        help="serve every <name>.localhost by one command, without any settings file",
        usage="%(prog)s [-h] [--max-servers N] [--listen ENDPOINT]... -- COMMAND...",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--max-servers", type=int, metavar="N", help="servers awake at most (10)")
    parser.add_argument(
        "--listen",
        action="append",
        metavar="ENDPOINT",
        help="where to listen (tcp:8080:interface=127.0.0.1)",
    )
    parser.add_argument("argv", nargs="+", metavar="COMMAND", help="with %%PORT, %%SOCKET or %%FD")
    parser.set_defaults(run=run, unknown="; are they COMMAND's? Write -- before it")


def run(options: argparse.Namespace) -> int:
    """Serves until it is told to stop.

    Returns:
        0, or 1 when the spawner was lost or the end failed.

    Raises:
        LuisitoError: it cannot start.
    """
    from twisted.internet import reactor
    from twisted.logger import globalLogBeginner, textFileLogObserver

    from luisito.errors import LuisitoError
    from luisito.process import handshake
    from luisito.service import LuisitoService
    from luisito.settings import from_mapping

    claimed = handshake.claim(os.environ)
    settings = from_mapping(_names(options))
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    foreground = "NOTIFY_SOCKET" not in os.environ
    service = LuisitoService(
        reactor, settings, allow_root=True, claimed=claimed, foreground=foreground
    )
    try:
        service.privilegedStartService()
        service.startService()
    except LuisitoError as error:
        handshake.refuse(claimed, error)
        raise
    reactor.run()
    return 1 if service.failed else 0


def _names(options: argparse.Namespace) -> dict[str, object]:
    """The settings that the options stand for."""
    names: dict[str, object] = {
        "CMD_TPL": options.argv,
        # Ctrl-C is meant: streams that are open do not keep us
        "DRAIN_TIMEOUT": 2,
        "STOP_TIMEOUT": 5,
    }
    if options.max_servers is not None:
        names["MAX_SERVERS"] = options.max_servers
    if options.listen:
        names["LISTEN"] = options.listen
    if os.geteuid() == 0:
        # whoever is root and types a command means it to run as root
        names["RUN_AS"] = "root"
    return names
