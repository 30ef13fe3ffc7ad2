"""Something that a helper does now and then, one at a time, and tells in lines."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from luisito.spawner.helpers import Helpers

_NICE = 19  # the kernel lets everybody else go first (setpriority(2))


class Errand:
    """One helper at a time.

    Args:
        helpers: who does it.
        poller: where its answers are waited for.
        heard: is called with the lines that have come, and with None at the end.
    """

    __slots__ = ("_heard", "_helpers", "_poller", "_read", "_rest")

    def __init__(
        self, helpers: Helpers, poller: select.poll, heard: Callable[[list[str] | None], None]
    ) -> None:
        self._helpers, self._poller, self._heard = helpers, poller, heard
        self._read = -1  # the end of the pipe that the helper writes to
        self._rest = b""

    @property
    def runs(self) -> bool:
        """Whether a helper is at work."""
        return self._read >= 0

    def begin(self, work: Callable[[Callable[[str], None]], None]) -> None:
        """Have something done; `work` is called in the helper, with what sends a line."""
        read, write = os.pipe2(os.O_CLOEXEC)

        def say(line: str) -> None:
            os.write(write, f"{line}\n".encode())

        def at_work() -> None:
            os.nice(_NICE)
            work(say)

        self._read, self._rest = read, b""
        self._poller.register(read, select.POLLIN)
        try:
            self._helpers.run(at_work, failed=lambda _message: None)
        finally:
            os.close(write)

    def readable(self, descriptor: int) -> bool:
        """Read what the helper writes; tell whether the descriptor is its."""
        if descriptor != self._read or descriptor < 0:
            return False
        data = os.read(descriptor, 1 << 16)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if lines:
            self._heard([line.decode() for line in lines])
        if not data:
            self._poller.unregister(descriptor)
            os.close(descriptor)
            self._read = -1
            self._heard(None)
        return True
