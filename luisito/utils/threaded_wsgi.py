"""Serves a WSGI application: one request a connection, a thread each, and an end in order.

wsgiref keeps connections too, but takes what an application left of one body for the next request.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
from contextlib import suppress
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any, cast
from wsgiref.handlers import SimpleHandler
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO
    from wsgiref.headers import Headers
    from wsgiref.types import WSGIApplication

_LINGER = 2.0  # seconds in which the other side may go on sending what nobody reads
_MAX_LINE = 65536  # bytes of a request line; Luisito's own limit is lower
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER (socket(7)): close by RST


class _Response(SimpleHandler):
    """One response, framed by its length or by the end of the connection.

    Attributes:
        broken_off: the application failed when a part of it was out.
    """

    http_version = "1.1"
    broken_off = False
    # What the base class sets:
    environ: dict[str, Any]
    headers: Headers
    headers_sent: bool

    def _is_head(self) -> bool:
        return self.environ["REQUEST_METHOD"] == "HEAD"  # type: ignore[no-any-return]

    def cleanup_headers(self) -> None:
        if not self._is_head():  # which would be given the length of no body
            super().cleanup_headers()
        self.headers["Connection"] = "close"

    def finish_response(self) -> None:
        if self._is_head():
            self.send_headers()
            self.close()
        else:
            super().finish_response()

    def handle_error(self) -> None:
        self.broken_off = self.headers_sent
        super().handle_error()


class _Connection(WSGIRequestHandler):
    """One request and the response to it."""

    protocol_version = "HTTP/1.1"  # or Expect: 100-continue would not be answered
    wbufsize = 65536  # a head and the first part of its body go out together
    disable_nagle_algorithm = True
    server: Server

    def handle(self) -> None:
        with suppress(ConnectionError):  # whoever has gone needs no answer
            if self.server.until_readable(self.connection):
                self._exchange()
                self._linger()

    def _exchange(self) -> None:
        self.raw_requestline = self.rfile.readline(_MAX_LINE + 1)
        if len(self.raw_requestline) > _MAX_LINE:
            self.requestline = self.request_version = self.command = ""
            self.send_error(414)
        elif self.parse_request():
            length = self.headers.get("Content-Length", "0")
            if "Transfer-Encoding" in self.headers:
                self.send_error(411)  # WSGI has no bodies of unknown length
            elif length.isascii() and length.isdigit():
                self._respond(int(length))
            else:
                self.send_error(400)
        self.wfile.flush()

    def _respond(self, length: int) -> None:
        body = self.server.limited(self.rfile, length)
        output = cast("IO[bytes]", self.wfile)
        response = _Response(body, output, sys.stderr, self.get_environ())
        response.run(cast("WSGIApplication", self.server.get_app()))
        self.server.answered()
        if response.broken_off:
            # Whoever takes the end of the connection for the end of the body must notice.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            raise ConnectionAbortedError

    def _linger(self) -> None:
        """Reads what is left of the request, which would turn the close into a reset."""
        self.connection.settimeout(_LINGER)
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while self.connection.recv(65536):
                pass

    def finish(self) -> None:
        with suppress(ConnectionError):  # of a last flush
            self.wfile.close()
        self.rfile.close()

    def get_environ(self) -> dict[str, Any]:
        for name in [name for name in self.headers if "_" in name]:
            del self.headers[name]  # X_Forwarded_For would stand for X-Forwarded-For
        return super().get_environ()

    def handle_expect_100(self) -> bool:
        more = super().handle_expect_100()
        self.wfile.flush()
        return more

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Says nothing: Luisito writes an access log."""


class Server(ThreadingMixIn, WSGIServer):
    """Listens from the beginning; serves until SIGTERM or SIGINT, and then what is in flight.

    Args:
        address: where to listen, (host, port).
        application: what it serves.
        limited: makes a stream that ends after so many bytes of another one.
        answered: called in its own thread after each response.

    Raises:
        OSError: it cannot listen there.
    """

    request_queue_size = 128  # of listen(2)
    daemon_threads = False
    block_on_close = True

    def __init__(
        self,
        address: tuple[str, int],
        application: WSGIApplication,
        limited: Callable[[Any, int], Any],
        answered: Callable[[], object],
    ) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Connection)
        self.socket.setblocking(False)  # the connection that woke us may have gone
        self.set_app(application)
        self.limited, self.answered = limited, answered
        self._is_told = False
        self._told, self._teller = os.pipe()

    def server_bind(self) -> None:
        """As HTTPServer's, which asks the resolver for the name of our address."""
        TCPServer.server_bind(self)
        host, self.server_port = self.socket.getsockname()[:2]
        self.server_name = str(host)
        self.setup_environ()

    def until_readable(self, what: socket.socket) -> bool:
        """Waits for bytes or a connection; False where there are none and it is to end."""
        poller = select.poll()
        for descriptor in (what.fileno(), self._told):
            poller.register(descriptor, select.POLLIN)
        return any(descriptor != self._told for descriptor, _events in poller.poll())

    def serve(self) -> None:
        """Serves until a signal, and returns when every request that has begun is answered."""
        self._handle_signals()
        while not self._is_told and self.until_readable(self.socket):
            self.handle_request()
        for _ in range(self.request_queue_size):
            self.handle_request()  # which does not wait, of those who have connected already
        self.server_close()

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - as in the base class
        """Only closes: its handler has shut it down, or means a reset."""
        self.close_request(request)

    def _handle_signals(self) -> None:
        def restore() -> None:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)

        def end(*_signal: object) -> None:
            restore()  # whoever says it again means it
            self._is_told = True
            os.write(self._teller, b".")  # wakes all that wait

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        # A process that the application forks is not us: to end it must not end us.
        os.register_at_fork(after_in_child=restore)
