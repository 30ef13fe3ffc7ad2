"""The command line of `serve`: each option has a value; argparse would cost some milliseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import UnusableError

if TYPE_CHECKING:
    from collections.abc import Sequence

WHERE = ("fd", "socket", "port")


class Options:
    """What is to be served, and where.

    Attributes:
        app: "module:callable", or "module:factory()"; "" for a Django project.
        django: the folder of a Django project; "" for another application.
        fd: the number of a descriptor that listens, or None.
        socket: the path of a unix socket to be made, or None.
        host: the address to listen on, where port is said.
        port: the port to listen on, or None.
        threads: how many requests of a WSGI application are worked on at once.
        processes: how many such servers there are.
        max_requests: after how many requests it ends; 0 is never.
        grace: seconds that requests in flight have to finish.
        servers: the folder where Luisito's own waitress and uvicorn lie, or "".
    """

    def __init__(self, argv: Sequence[str]) -> None:
        self.app = self.django = self.servers = ""
        self.fd: int | None = None
        self.socket: str | None = None
        self.port: int | None = None
        self.host = "127.0.0.1"
        self.threads = 4
        self.processes = 1
        self.max_requests = 0
        self.grace = 30
        words = list(argv)
        while words:
            word = words.pop(0)
            if not word.startswith("--"):
                if self.app:
                    raise UnusableError(f"{word!r}: one application is served; leave it out")
                self.app = word
                continue
            name, found, value = word[2:].replace("-", "_").partition("=")
            if name not in vars(self) or name == "app":
                raise UnusableError(f"{word}: no such option; see luisito app --help")
            if not found:
                if not words:
                    raise UnusableError(f"{word}: needs a value")
                value = words.pop(0)
            numeric = name in ("fd", "port") or isinstance(getattr(self, name), int)
            setattr(self, name, _number(word, value) if numeric else value)
        self._check()

    def _check(self) -> None:
        if bool(self.app) == bool(self.django):
            raise UnusableError("say what is to be served: module:callable, or --django FOLDER")
        if not self.threads or not self.processes:
            raise UnusableError("--threads and --processes must be at least 1")
        said = [name for name in WHERE if getattr(self, name) is not None]
        if len(said) > 1:
            raise UnusableError(
                f"--{said[0]} and --{said[1]}: leave one out; it listens in one place"
            )


def _number(word: str, value: str) -> int:
    if value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    raise UnusableError(f"{word} {value!r}: must be a whole number")
