"""Serves a WSGI app through waitress, and ends in order."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections import deque

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer, UnixWSGIServer
from waitress.task import ThreadedTaskDispatcher, WSGITask

from .forwarded import client, scheme
from .learning import AFTER, Learning
from .leaving import leave_within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType
    from typing import Any

    from .listening import Listener
    from .options import Options

    App = Callable[[dict[str, Any], Any], Iterable[bytes]]

_FIRST = 1.0  # seconds in which a connection that has said nothing yet may say it, at the end
_NEVER = 1 << 31  # seconds
_LOOK = 0.05  # seconds between looks at who has finished, at the end


class _Adjustments(Adjustments):  # type: ignore[misc]  # waitress has no types
    """As waitress has them, without the address that it would look up in vain."""

    listen = ()


class _Task(WSGITask):  # type: ignore[misc]  # waitress has no types
    """A request; at the end its response says that the connection closes."""

    def execute(self) -> None:
        try:
            super().execute()
        except Exception:
            raise
        except BaseException as error:
            # sys.exit(), or what was cancelled: waitress would leave the connection without an end
            raise RuntimeError(f"the app has raised {type(error).__name__}") from error

    def finish(self) -> None:
        super().finish()
        if len(self.channel.requests) == 1:  # else it may wait until the client has read enough
            self.channel.server.task_dispatcher.answered()

    def build_response_header(self) -> bytes:
        if self.channel.ending.asked:
            self.set_close_on_finish()
        header: bytes = super().build_response_header()
        return header


class _Channel(HTTPChannel):  # type: ignore[misc]  # as above
    """A connection."""

    task_class = _Task
    ending: Ending
    spoken = False

    def received(self, data: bytes) -> bool:
        self.spoken = True
        more: bool = super().received(data)
        return more

    def service(self) -> None:
        super().service()
        self.server.task_dispatcher.answered()
        self.ending.count()

    @property
    def idle(self) -> bool:
        """Nothing has begun on it that must be finished."""
        begun = self.requests or self.request is not None or self.total_outbufs_len
        silent = self.spoken or time.time() - self.creation_time > _FIRST
        return silent and not begun


class _Queue(deque[object]):
    """Requests that wait for a thread.

    Attributes:
        takers: the threads that have taken one, and have not answered it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.takers: set[int] = set()

    def popleft(self) -> object:
        self.takers.add(threading.get_ident())
        return super().popleft()


class _Dispatcher(ThreadedTaskDispatcher):  # type: ignore[misc]  # as above
    """Starts a thread when a request finds none idle: most sites never have two at once.

    Args:
        most: threads.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._adding = threading.Lock()
        self.queue = _Queue()

    def answered(self) -> None:
        """Hear that this thread has answered, and can take the next one: its client may be quick.

        It is idle for waitress only when it waits.
        """
        self.queue.takers.discard(threading.get_ident())

    def add_task(self, task: Any) -> None:  # noqa: ANN401 - a channel
        """See waitress."""
        with self._adding:
            with self.lock:
                count = len(self.threads)
                idle = count - len(self.queue.takers)
                more = count < self._most and len(self.queue) >= idle
                before = set(self.threads)
            if more:
                try:
                    self.set_thread_count(count + 1)
                except RuntimeError:  # the user, or the cgroup, has as many as it may have
                    self.threads.intersection_update(before)
                    if not before:
                        raise
            super().add_task(task)


class Ending:
    """When to end.

    Args:
        most: requests after which it ends; 0 is never.
        grace: seconds in which it may.

    Attributes:
        answered: so many requests; two threads may count as one.
        asked: it is to end.
        again: at once.
        wake: has the loop look.
    """

    def __init__(self, most: int, grace: float) -> None:
        self._most, self._grace, self.answered = most, grace, 0
        self.asked = self.again = False
        self.wake: Callable[[], None] = lambda: None

    def ask(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Have it end; a second time, at once."""
        self.again = self.asked
        self.asked = True
        leave_within(0 if self.again else self._grace)
        self.wake()

    def count(self) -> None:
        """Hear that a request was answered."""
        self.answered += 1
        if self._most and self.answered >= self._most and not self.asked:
            self.ask()


def serve(
    app: Any,  # noqa: ANN401 - PEP 3333
    kind: str,  # noqa: ARG001 - as asgi.serve has it
    listener: Listener,
    options: Options,
    ready: Callable[[], None],
) -> int:
    """Serves until it is told to end.

    Args:
        app: what answers.
        kind: kinds.WSGI.
        listener: where requests come in.
        options: how.
        ready: is called as soon as requests are answered.

    Returns:
        The exit status.
    """
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it tells of each that waits
    ending = Ending(options.max_requests, options.grace)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ending.ask)
    sockets: dict[int, Any] = {}
    sock = listener.sock
    server = (UnixWSGIServer if listener.unix else TcpWSGIServer)(
        _fronted(app, listener, options),
        map=sockets,
        _sock=sock,
        dispatcher=_Dispatcher(options.threads),
        bind_socket=False,
        sockinfo=(sock.family, sock.type, sock.proto, sock.getsockname()),
        adj=_Adjustments(
            sockets=[sock],
            # Luisito has limits of its own, and may have to wait for a client that has paused.
            channel_timeout=_NEVER if listener.handed else Adjustments.channel_timeout,
            connection_limit=10_000,
            max_request_body_size=1 << 62,
            max_request_header_size=1 << 20,
            clear_untrusted_proxy_headers=False,
            server_name="localhost",
            ident=None,
            asyncore_use_poll=True,
        ),
    )
    server.channel_class = type("_Channel", (_Channel,), {"ending": ending})
    ending.wake = server.pull_trigger
    ready()
    learning, until = Learning(), time.monotonic() + AFTER
    while not ending.asked:
        # With nobody to look after the process sleeps until it is asked.
        timeout = server.adj.cleanup_interval if server.active_channels else None
        if until:
            timeout = max(0.0, until - time.monotonic())
            learning.look(ending.answered)
            if ending.answered or not timeout:
                until = 0.0
                continue
        wasyncore.poll2(timeout, sockets)
    _end(server, sockets, ending, listener, options.grace)
    return 0


def _end(
    server: Any,  # noqa: ANN401 - waitress has no types
    sockets: dict[int, Any],
    ending: Ending,
    listener: Listener,
    grace: float,
) -> None:
    """Finishes what has begun, and takes nothing new."""
    until = time.monotonic() + grace
    if not listener.handed:  # nobody else will answer those in its queue
        _accept_all(server)
    server.del_channel(sockets)
    listener.sock.close()
    wasyncore.poll2(0, sockets)  # what has come already has begun
    while server.active_channels and not ending.again:
        for channel in list(server.active_channels.values()):
            if channel.idle:
                channel.will_close = True
        left = until - time.monotonic()
        if left <= 0:
            print(
                f"luisito app: {len(server.active_channels)} connections had not finished after"
                f" {grace:g} s",
                file=sys.stderr,
            )
            break
        wasyncore.poll2(min(_LOOK, left), sockets)


def _accept_all(server: Any) -> None:  # noqa: ANN401 - as above
    before = -1
    while before != len(server.active_channels):
        before = len(server.active_channels)
        server.handle_accept()


def _fronted(app: App, listener: Listener, options: Options) -> App:
    """An app that is told what the server knows of clients and processes."""
    multithread, multiprocess = options.threads > 1, options.processes > 1
    trusted, unix = listener.handed, listener.unix

    def fronted(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401 - PEP 3333
        environ["wsgi.multithread"] = multithread
        environ["wsgi.multiprocess"] = multiprocess
        if trusted:
            said = environ.get("HTTP_X_FORWARDED_PROTO")
            if said:
                environ["wsgi.url_scheme"] = scheme(said)
            said = environ.get("HTTP_X_FORWARDED_FOR")
            if said:
                environ["REMOTE_ADDR"] = environ["REMOTE_HOST"] = client(said)
                environ.pop("REMOTE_PORT", None)  # that of a connection of Luisito's
        if unix:  # it has no port, and waitress names its path
            port = environ.get("HTTP_X_FORWARDED_PORT", "") if trusted else ""
            https = environ["wsgi.url_scheme"] == "https"
            environ["SERVER_PORT"] = port if port.isdigit() else "443" if https else "80"
            if environ.get("REMOTE_PORT") == "None":
                del environ["REMOTE_PORT"]
        return app(environ, start_response)

    return fronted
