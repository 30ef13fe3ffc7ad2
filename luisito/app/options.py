"""What the runner is told on its command line; argparse would take longer than all the rest."""

from __future__ import annotations

from .errors import UnusableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE = """\
usage: luisito app [OPTIONS] MODULE:CALLABLE
       luisito app [OPTIONS] --django FOLDER

Serves a Python app: WSGI through waitress, ASGI through uvicorn; which it is, is told by itself.

  MODULE:CALLABLE    shop.wsgi:application; a factory too: "shop:create_app('live')"
  --django FOLDER    the Django project there: where manage.py is, or one folder deeper

where it listens (by default the socket of LISTEN_FDS, $PORT of 127.0.0.1, or port 8000 there):
  --port N           a TCP port; 0 is any free one
  --host ADDRESS     of it (127.0.0.1)
  --socket PATH      a unix socket
  --fd N             a socket that is open already, as this descriptor; Luisito is trusted there

  --threads N        requests at once (4); of WSGI only
  --processes N      others beside this one serve the same app, N in all: for wsgi.multiprocess
  --max-requests N   ends in order after so many
  --grace SECONDS    in which requests may finish after SIGTERM (30)
  --servers FOLDER   where waitress and uvicorn are, if the app's own interpreter has none
  --chdir FOLDER     to work there
  -h, --help         prints this
"""


class Options:
    """What was said.

    Attributes:
        app: MODULE:CALLABLE; "" with `django`.
        django: a project's folder, or "".
        port: of TCP, or None; likewise fd.
        host: its address.
        socket: the path of a unix socket, or "".
        threads: in which requests are answered.
        processes: that serve the same app.
        max_requests: after which it ends; 0 is never.
        grace: seconds in which requests finish when it ends.
        servers: a folder with waitress and uvicorn, or "".
        chdir: where to work, or "".
        help: only the usage is asked for.
    """

    def __init__(self) -> None:
        self.app = self.django = self.socket = self.servers = self.chdir = ""
        self.host = "127.0.0.1"
        self.port: int | None = None
        self.fd: int | None = None
        self.threads, self.processes, self.max_requests, self.grace = 4, 1, 0, 30
        self.help = False


_TEXTS = ("django", "host", "socket", "servers", "chdir")
_NUMBERS = {
    "port": (0, 65535),
    "fd": (0, 1 << 20),
    "threads": (1, 1024),
    "processes": (1, 1024),
    "max-requests": (0, 1 << 62),
    "grace": (0, 86400),
}


def parse(argv: Sequence[str]) -> Options:
    """Reads a command line.

    Args:
        argv: without the program's name.

    Raises:
        UnusableError: it says nothing that can be done.
    """
    options = Options()
    left = list(argv)
    while left:
        word = left.pop(0)
        if word in ("-h", "--help"):
            options.help = True
            return options
        if not word.startswith("-"):
            if options.app:
                raise UnusableError(f"{word!r}: there is {options.app!r} before it; remove one")
            options.app = word
            continue
        name, equals, value = word[2:].partition("=") if word.startswith("--") else ("", "", "")
        if name not in _TEXTS and name not in _NUMBERS:
            raise UnusableError(f"{word}: is no option; see --help")
        if not equals:
            if not left:
                raise UnusableError(f"{word}: wants a value behind it; see --help")
            value = left.pop(0)
        if name in _TEXTS:
            setattr(options, name, value)
        else:
            setattr(options, name.replace("-", "_"), _number(name, value))
    if bool(options.app) == bool(options.django):
        what = "app and --django exclude each other" if options.app else "nothing to serve is named"
        raise UnusableError(f"{what}; write shop.wsgi:application, or --django FOLDER")
    if (options.port is not None) + (options.fd is not None) + bool(options.socket) > 1:
        raise UnusableError("--port, --socket and --fd exclude each other; keep one")
    return options


def _number(name: str, text: str) -> int:
    low, high = _NUMBERS[name]
    # isascii, since isdigit takes the digits of every script
    if text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high:
        return int(text)
    raise UnusableError(f"--{name} {text!r}: must be a whole number from {low} to {high}")
