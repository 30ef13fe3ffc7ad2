"""Serves a WSGI application (PEP 3333) by waitress, and ends in order."""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from waitress import create_server
from waitress.wasyncore import loop

from .learning import Learning
from .listening import is_ready

if TYPE_CHECKING:
    import socket

    from .finding import Application
    from .options import Options

_TURN = 1.0  # seconds that the loop waits at most: for what no descriptor tells


def serve(app: Application, sock: socket.socket, options: Options) -> int:
    """Serve until SIGTERM or SIGINT comes, or so many requests have been answered."""
    return _Serving(app, sock, options).run()


class _Serving:
    def __init__(self, app: Application, sock: socket.socket, options: Options) -> None:
        self._app, self._options = app, options
        self._several = options.processes > 1
        self._count = 0
        self._ends = False
        self._learning = Learning()
        handed = options.fd is not None
        self._server = create_server(
            self._answer,
            sockets=[sock],
            threads=options.threads,
            ident=None,
            # What Luisito tells of its clients; by hand nobody is believed.
            trusted_proxy="*" if handed else None,
            trusted_proxy_count=1,
            trusted_proxy_headers={"x-forwarded-for", "x-forwarded-proto"} if handed else None,
            clear_untrusted_proxy_headers=not handed,
        )

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Any:  # noqa: ANN401 - PEP 3333
        environ["wsgi.multiprocess"] = self._several
        self._count += 1
        if self._count == self._options.max_requests:
            self._end()
        return self._app(environ, start_response)

    def _end(self, *_signal: object) -> None:
        self._ends = True
        self._server.pull_trigger()

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        is_ready()
        sockets = self._server._map  # noqa: SLF001 - of waitress, which gives it no other name
        while not self._ends:
            loop(timeout=_TURN, map=sockets, count=1, use_poll=True)
            self._learning.look(self._count)
        return self._finish(sockets)

    def _finish(self, sockets: dict[int, Any]) -> int:
        """Accept nothing more, and let what is in flight be answered."""
        last = time.monotonic() + self._options.grace
        self._server.del_channel(sockets)
        self._server.socket.close()
        while self._is_busy() and time.monotonic() < last:
            loop(timeout=0.05, map=sockets, count=1, use_poll=True)
        self._server.task_dispatcher.shutdown(timeout=0.1)
        if self._is_busy():
            print(
                f"luisito app: requests were in flight for over {self._options.grace} s",
                file=sys.stderr,
            )
            return 1
        return 0

    def _is_busy(self) -> bool:
        return any(
            channel.requests or channel.request or channel.total_outbufs_len
            for channel in self._server.active_channels.values()
        )
