"""Serves an ASGI app through uvicorn, in this process, and ends in order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time

import uvicorn

from . import kinds
from .forwarded import client, scheme
from .learning import AFTER, Learning
from .leaving import leave_within

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from typing import Any

    from .listening import Listener
    from .options import Options


class _Server(uvicorn.Server):
    """Sleeps until it is asked for something, where uvicorn's own looks ten times a second."""

    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[], None],
        options: Options,
    ) -> None:
        super().__init__(config)
        self._ready, self._learning = ready, Learning()
        self._most, self._grace = options.max_requests, options.grace
        self._count, self._second = 0, 0
        self._asked = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to `startup`, since uvicorn would die of them at its end."""
        yield

    def install_signal_handlers(self) -> None:
        """As above, of versions before 0.29."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn; then it is ready."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ask)
        await super().startup(sockets=sockets)
        if self.started:
            self._ready()
            loop.call_later(AFTER, self._learning.write)

    async def main_loop(self) -> None:
        """Waits for the end."""
        await self._asked.wait()

    def ask(self) -> None:
        """Have it end; a second time, at once."""
        self.force_exit = self.should_exit
        self.should_exit = True
        leave_within(0 if self.force_exit else self._grace)
        self._asked.set()

    def begun(self) -> None:
        """Hear that a request has: the date in responses goes by seconds."""
        now = int(time.time())
        if now != self._second:
            self._second = now
            from email.utils import formatdate

            date = [(b"date", formatdate(now, usegmt=True).encode())]
            # The very list, which what answers this request has already.
            self.server_state.default_headers[:] = date + self.config.encoded_headers

    def answered(self) -> None:
        """Hear that a request was."""
        self._count += 1
        if self._most and self._count >= self._most and not self.should_exit:
            self.ask()
        self._learning.look(self._count)


def serve(
    app: Any,  # noqa: ANN401 - ASGI's own
    kind: str,
    listener: Listener,
    options: Options,
    ready: Callable[[], None],
) -> int:
    """Serves until it is told to end; see wsgi.serve.

    Args:
        app: what answers.
        kind: kinds.ASGI2 or ASGI3.
        listener: where requests come in.
        options: how.
        ready: see there.
    """
    trusted = listener.handed
    if kind == kinds.ASGI2:
        app = _as_one_call(app)

    async def fronted(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's own
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        server.begun()
        if trusted:
            _front(scope)
        try:
            await app(scope, receive, send)
        finally:
            server.answered()

    config = uvicorn.Config(
        fronted,
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=options.grace,
    )
    server = _Server(config, ready, options)
    try:
        server.run(sockets=[listener.sock])
    except SystemExit as ended:  # its start has failed, and that was told
        return 1 if ended.code else 0
    return 0 if server.started else 1


def _as_one_call(app: Any) -> Any:  # noqa: ANN401 - as above
    async def one_call(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - as above
        await app(scope)(receive, send)

    return one_call


def _front(scope: Any) -> None:  # noqa: ANN401 - as above
    """Tells an app who its client is."""
    for name, value in scope["headers"]:
        if name == b"x-forwarded-proto":
            said = scheme(value.decode("latin-1"))
            web = {"http": "ws", "https": "wss"}
            scope["scheme"] = web[said] if scope["type"] == "websocket" else said
        elif name == b"x-forwarded-for":
            scope["client"] = (client(value.decode("latin-1")), 0)
