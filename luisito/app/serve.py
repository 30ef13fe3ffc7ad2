"""Serves one application: finds it, listens, and hands it to the server of its kind."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from . import ours
from .errors import UnusableError
from .finding import find, is_asgi
from .listening import listening, name_of
from .options import Options
from .renewal import thaw

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Serve what a command line says until a signal comes; return the exit status."""
    try:
        options = Options(argv)
        sock = listening(options)
        app = find(options)
        if is_asgi(app):
            ours.server("uvicorn", options.servers)
            from .asgi import serve
        else:
            ours.server("waitress", options.servers)
            from .wsgi import serve
    except UnusableError as error:
        print(f"luisito app: {error}", file=sys.stderr)
        return 2
    thaw()
    if options.fd is None and sys.stderr is not None and sys.stderr.isatty():
        print(f"luisito app: {name_of(sock)}, pid {os.getpid()}", file=sys.stderr)
    return serve(app, sock, options)
