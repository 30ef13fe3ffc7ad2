"""`luisito app`: serves a Python app by hand, as a site with `django` or `app` is served."""

from __future__ import annotations

import os
import sys
import sysconfig
from typing import TYPE_CHECKING, Final

from luisito.app.options import Options, parse

if TYPE_CHECKING:
    import argparse

    from luisito.commands import Subparsers

_VIRTUALENVS: Final = (".venv", "venv")


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "app",
        help="serve a Python app, WSGI or ASGI, or a Django project",
        add_help=False,
        prefix_chars="\0",  # all is read by the runner, which may have no argparse to wait for
    )
    parser.add_argument("argv", nargs="*")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serves until it is told to end; by the interpreter of the app's own virtual environment.

    Returns:
        What luisito.app.serve says.
    """
    from luisito.app.errors import UnusableError
    from luisito.app.serve import main

    argv: list[str] = options.argv
    try:
        said = parse(argv)
    except UnusableError:
        return main(argv)  # which says it
    if said.help:
        return main(argv)
    argv = [*argv, *_more(said)]
    python = _interpreter(said.chdir or said.django or ".")
    if python is not None:
        from luisito.settings.sites.runner import BOOT

        sys.stderr.flush()
        os.execv(python, [python, BOOT, "serve", *argv])  # noqa: S606 - that very interpreter
    return main(argv)


def _more(said: Options) -> list[str]:
    """What a site file would have said."""
    more = [] if said.servers else ["--servers", sysconfig.get_path("purelib")]
    if said.django and not said.chdir:
        more += ["--chdir", said.django, "--django", "."]
    return more


def _interpreter(folder: str) -> str | None:
    """That of the virtual environment in a folder; None without one, or where it is ours."""
    for name in _VIRTUALENVS:
        prefix = os.path.abspath(os.path.join(folder, name))
        python = f"{prefix}/bin/python3"
        if os.access(python, os.X_OK):
            return None if os.path.realpath(prefix) == os.path.realpath(sys.prefix) else python
    return None
