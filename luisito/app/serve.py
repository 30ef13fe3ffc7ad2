"""`serve`: loads an app and serves it, by hand, from a site file or in a preloaded interpreter."""

from __future__ import annotations

import os
import sys

from . import django, kinds, listening, loading, notify, ours
from .errors import UnusableError
from .learning import Loaded
from .leaving import join
from .options import USAGE, parse
from .renewal import thaw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .listening import Listener
    from .options import Options

_UNUSABLE = 2
_FAILED = 1


def main(argv: Sequence[str]) -> int:
    """Serves until it is told to end.

    Args:
        argv: as in options.USAGE, without the program's name.

    Returns:
        The exit status: 0 where it ended in order, 1 where the app failed, 2 where it could not
        be served as it was said.
    """
    try:
        options = parse(argv)
        if options.help:
            print(USAGE, end="")
            return 0
        return _serve(options)
    except UnusableError as error:
        print(f"luisito app: {error}", file=sys.stderr)
        return _UNUSABLE


def _serve(options: Options) -> int:
    if options.chdir:
        try:
            os.chdir(options.chdir)
        except OSError as error:
            raise UnusableError(f"--chdir {options.chdir!r}: {error.strerror}") from None
    listener = listening.listen(options)
    try:
        try:
            if options.django:
                app, kind = django.load(options.django)
            else:
                sys.path.insert(0, os.getcwd())
                app, kind = loading.load(options.app)
        except UnusableError:
            raise
        except Exception:  # noqa: BLE001 - whatever the app has raised
            _tell_failure()
            return _FAILED
        return _run(app, kind, listener, options)
    finally:
        listener.remove()


def _run(app: object, kind: str, listener: Listener, options: Options) -> int:
    if kind == kinds.WSGI:
        ours.server("waitress", options.servers)
        from .wsgi import serve
    else:
        ours.server("uvicorn", options.servers)
        from .asgi import serve
    if Loaded.before:  # else an app may have said itself that it wants none collected
        thaw()

    def ready() -> None:
        notify.ready()
        if not listener.handed:
            what = options.app or os.path.abspath(options.django)
            at = f"{what} ({kind}) at {listener}"
            print(f"luisito app: serves {at}; Ctrl-C ends it", file=sys.stderr)

    status = serve(app, kind, listener, options, ready)
    join()
    return status


def _tell_failure() -> None:
    """Prints the traceback of the app's own code, without ours above it."""
    kind, error, trace = sys.exc_info()
    here = os.path.dirname(os.path.abspath(__file__)) + "/"
    while trace is not None and trace.tb_next is not None:
        if not os.path.abspath(trace.tb_frame.f_code.co_filename).startswith(here):
            break
        trace = trace.tb_next
    if kind is not None and error is not None:
        sys.excepthook(kind, error.with_traceback(trace), trace)
