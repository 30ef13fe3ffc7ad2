"""What a service manager is told: ready, reloading, stopping, alive, and a line of status.

The protocol is that of sd_notify(3), spoken to the socket in $NOTIFY_SOCKET; where there is none,
nothing is said. It listens to its main process only, or any app server could speak for Luisito.
Once that is the spawner, it passes everything on, and says by itself when settings are read again.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from luisito.core.sdnotify import address
from luisito.core.statusline import status_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from luisito.core.lifecycle import State

_EVERY: Final = 5.0  # seconds between two lines of status
_PATIENCE: Final = 1.0  # seconds that an important word may wait for room in the socket


class Notifier:
    """Speaks to the service manager that started us.

    Args:
        clock: the reactor.
        environ: $NOTIFY_SOCKET, and $WATCHDOG_USEC in microseconds.
        max_servers: the setting.
        load: returns how many servers are in each state, how many requests wait for one, and how
            many were answered so far.
        relay: has the main process say something.
        every: seconds between two lines of status.
    """

    _log = Logger()

    def __init__(
        self,
        clock: Any,  # noqa: ANN401 - several of Twisted's reactor interfaces at once
        environ: Mapping[str, str],
        max_servers: int,
        load: Callable[[], tuple[Mapping[State, int], int, int]],
        relay: Callable[[list[str]], None],
        every: float = _EVERY,
    ) -> None:
        self._address, self._relay = address(environ.get("NOTIFY_SOCKET", "")), relay
        self._clock, self._max_servers, self._load = clock.seconds, max_servers, load
        self._said, self._answers, self._looked = "", 0, 0.0
        self._loop = LoopingCall(self._go_on)
        self._loop.clock = clock
        watchdog = _microseconds(environ.get("WATCHDOG_USEC", "")) if self._address else 0.0
        self._watched = watchdog > 0
        # Half of its time, as sd_watchdog_enabled(3) has it.
        self._every = min(every, watchdog / 2) if self._watched else every

    @property
    def there(self) -> bool:
        """Whether somebody listens."""
        return bool(self._address)

    def ready(self, main_pid: int | None) -> None:
        """We serve; from now on the line of status and the watchdog are kept up.

        Args:
            main_pid: the process that is the main one from now on; None where that is known.
        """
        self._said = self._line()
        words = ["READY=1", f"STATUS={self._said}"]
        if main_pid is None:
            self._tell(words)
        else:
            self._send([f"MAINPID={main_pid}", *words])
        if self.there and not self._loop.running:
            self._loop.start(self._every, now=False)

    def stopping(self) -> None:
        """What is in flight is finished, and then we end."""
        self._tell(["STOPPING=1"])

    def close(self) -> None:
        """Says no more."""
        if self._loop.running:
            self._loop.stop()

    def _go_on(self) -> None:
        words = ["WATCHDOG=1"] if self._watched else []
        status = self._line()
        if status != self._said:
            self._said = status
            words.append(f"STATUS={status}")
        if words:
            self._tell(words)

    def _tell(self, words: list[str]) -> None:
        if self._address:
            self._relay(words)

    def _line(self) -> str:
        counts, waiting, answers = self._load()
        now = self._clock()
        passed = now - self._looked if self._looked else 0.0
        line = status_line(counts, self._max_servers, waiting, answers - self._answers, passed)
        self._answers, self._looked = answers, now
        return line

    def _send(self, words: list[str]) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(_PATIENCE)
            try:
                sock.sendto("\n".join(words).encode(), self._address)
            except OSError as error:
                self._log.warn(
                    "The service manager was not told {word}: $NOTIFY_SOCKET: {error}",
                    word=words[1],
                    error=error.strerror or "no room in its socket",
                )


def _microseconds(text: str) -> float:
    """Read microseconds as seconds; 0.0 for what is none."""
    return int(text) / 1e6 if text.isascii() and text.isdigit() else 0.0


def under_service_manager() -> bool:
    """Whether a service manager that speaks sd_notify(3) started us."""
    return bool(os.environ.get("NOTIFY_SOCKET"))
