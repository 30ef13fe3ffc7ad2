"""twistd as a successor runs it: with the same options, but for what has been done already."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted.python.usage import Options

_CODE = "import sys; sys.path.append({root!r}); from luisito.again import main; main()"


def argv_of_twistd() -> list[str]:
    """The interpreter and its arguments, with which twistd's successor is started.

    It runs `main` and not twistd's own script, which would look at the pidfile before anything of
    ours is run.
    """
    # Options of the interpreter come before what sys.argv begins with: a script, "-c" or "-m".
    flags = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv)]
    if flags and flags[-1] in ("-c", "-m"):
        del flags[-1]
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    # -P: nothing is imported from the working folder, which is not where scripts are.
    code = ["-P", "-c", _CODE.format(root=root)]
    return [sys.executable, *flags, *code, *sys.argv[1:]]


def as_successor(options: Options) -> None:
    """Has twistd stay where it is, leave the pidfile alone, and log where the first one does."""
    if not (options["nodaemon"] or options["debug"]) and not options["logfile"]:
        options["logfile"] = "twistd.log"
    options["nodaemon"], options["pidfile"] = True, ""


def main() -> None:
    """Is twistd, as a successor."""
    from twisted.application import app
    from twisted.scripts._twistd_unix import ServerOptions  # as in tap
    from twisted.scripts.twistd import runApp

    class Options(ServerOptions):
        def postOptions(self) -> None:
            """See usage.Options."""
            super().postOptions()
            as_successor(self)

    app.run(runApp, Options)
