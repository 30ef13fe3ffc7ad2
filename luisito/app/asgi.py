"""Serves an ASGI application by uvicorn, on a socket that is there already."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import uvicorn

from .learning import AFTER, Learning
from .listening import is_ready

if TYPE_CHECKING:
    import socket

    from .finding import Application
    from .options import Options


def serve(app: Application, sock: socket.socket, options: Options) -> int:
    """Serve until SIGTERM or SIGINT comes, or so many requests have been answered."""
    handed = options.fd is not None
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        # What Luisito tells of its clients; by hand nobody is believed.
        proxy_headers=handed,
        forwarded_allow_ips="*" if handed else None,
        limit_max_requests=options.max_requests or None,
        timeout_graceful_shutdown=options.grace,
    )
    server = _Server(config)
    server.run(sockets=[sock])
    return 0 if server.started else 1


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            is_ready()
            asyncio.get_running_loop().call_later(AFTER, Learning().write)
