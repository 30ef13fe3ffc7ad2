"""The `luisito` command: its subcommands, and what becomes of their errors."""

from __future__ import annotations

import argparse
import errno
import io
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from luisito import __version__
from luisito.commands import (
    advise,
    app,
    check_settings,
    completion,
    config,
    errors,
    import_sites,
    logs,
    pin,
    restart,
    route,
    run,
    start,
    stats,
    status,
    stop,
    top,
    why,
)
from luisito.commands import list as list_servers
from luisito.core.text import visible
from luisito.errors import LuisitoError

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMANDS: Final = (
    run,
    app,
    list_servers,
    status,
    start,
    stop,
    restart,
    pin,
    logs,
    config,
    top,
    why,
    errors,
    stats,
    check_settings,
    route,
    import_sites,
    advise,
)
# Of a write, as to a file on a disk that is full or broken.
_NOT_WRITTEN: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="luisito", description="Starts app servers on demand and keeps those in use."
    )
    parser.add_argument("--version", action="version", version=f"luisito {__version__}")
    parser.set_defaults(unknown="")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(subparsers)
    completion.add(subparsers, _parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a subcommand; returns the exit status.

    Args:
        argv: without the program's name; None for the process's own.

    Returns:
        What the subcommand says; 2 where it could not do its work, after a line on stderr; what a
        shell makes of a signal where whoever reads has gone (SIGPIPE), or at Ctrl-C (SIGINT).
    """
    try:
        try:
            return _run(argv)
        finally:
            print(end="", flush=True)  # noqa: T201 - at exit its error could not be caught
    except BrokenPipeError:
        _discard_output()
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except OSError as error:
        if error.errno not in _NOT_WRITTEN:
            raise
        with suppress(OSError):
            told = f"what it prints cannot be written: {error.strerror}; make room"
            print(f"luisito: {told}", file=sys.stderr)  # noqa: T201 - a command's error
        _discard_output()
        return 2


def _run(argv: Sequence[str] | None) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        # what the locale has no letters for is no error, as on stderr
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = _parser()
    if not (sys.argv[1:] if argv is None else argv):
        parser.print_help(sys.stderr)
        return 2
    options, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{options.unknown}")
    try:
        status: int = options.run(options)
    except LuisitoError as error:
        print(f"luisito: {visible(str(error))}", file=sys.stderr)  # noqa: T201 - a command's error
        return 2
    return status


def _discard_output() -> None:
    """Has what is still in buffers go nowhere (Python's documentation, "Note on SIGPIPE")."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # closed before we were started
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
