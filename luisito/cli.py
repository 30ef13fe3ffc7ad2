"""The `luisito` command."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from twisted.logger import globalLogBeginner, textFileLogObserver

from luisito.errors import LuisitoError
from luisito.service import LuisitoService
from luisito.settings import from_mapping

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = """\
Every <name>.localhost is a site: its first request starts COMMAND, which serves at %PORT (or at
the unix socket %SOCKET, or on the socket handed over as descriptor %FD). %HOST is its host.

  luisito run -- python3 -m http.server %PORT --bind 127.0.0.1
  curl -H 'Host: a.localhost' http://127.0.0.1:8080/
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="luisito", description="Starts app servers on demand and keeps those in use."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="run")
    run = commands.add_parser(
        "run",
        help="serve every <name>.localhost by one command, without any settings file",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("--max-servers", type=int, metavar="N", help="servers awake at most (10)")
    run.add_argument(
        "--listen",
        action="append",
        metavar="ENDPOINT",
        help="where to listen (tcp:8080:interface=127.0.0.1)",
    )
    run.add_argument("argv", nargs="+", metavar="COMMAND", help="with %%PORT, %%SOCKET or %%FD")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status.

    Args:
        argv: without the program's name; None for the process's own.
    """
    options = _parser().parse_args(argv)
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
    try:
        return _run(names)
    except LuisitoError as error:
        print(f"luisito: {error}", file=sys.stderr)  # noqa: T201 - a command's error
        return 2


def _run(names: dict[str, object]) -> int:
    from twisted.internet import reactor

    settings = from_mapping(names)
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    service = LuisitoService(reactor, settings, allow_root=True)
    service.privilegedStartService()
    service.startService()
    reactor.run()
    return 1 if service.failed else 0


if __name__ == "__main__":
    sys.exit(main())
