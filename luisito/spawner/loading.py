"""Has SITES_DIR looked through when a network process asks: each look is a process of its own.

It runs luisito.settings.sites.loader with our rights, and is killed when it takes too long. What it
says counts once it has ended well; else all stays as it was.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import TYPE_CHECKING, Final

from luisito.core import wire
from luisito.errors import SettingsError, WireError
from luisito.spawner import channel
from luisito.spawner.containment import kill
from luisito.spawner.forking import fork
from luisito.spawner.reader import become_reader
from luisito.spawner.sites import Sites, holds_records, is_sealed

if TYPE_CHECKING:
    from collections.abc import Callable

    from luisito.core.recipe import Recipe
    from luisito.spawner.config import Config

DEADLINE: Final = 20.0  # seconds for a look
_APART: Final = 0.2  # seconds from the start of a look to that of the next
_AGAIN: Final = (
    1.0  # seconds from one kill to the next: in an uninterruptible sleep it has no effect
)
_MODULE: Final = "luisito.settings.sites.loader"
_EXPLAINER: Final = "luisito.settings.sites.explainer"
_BUSY: Final = "two looks are ordered already; ask again after their answers"


def check(config: Config) -> None:
    """See whether site files could be read.

    Raises:
        SettingsError: no.
    """
    if config.sites_dir is not None and config.settings_file is None:
        raise SettingsError(
            f"SITES_DIR = {config.sites_dir!r}: is for a settings file, which is read again with"
            " the site files; write one"
        )


class Loading:
    """The looks of one network process, one at a time.

    Args:
        config: what that has told.
        text: a memfd with its settings file, of which a copy is kept; -1 for the file as it is.
        parent: what getppid() answers in a child of ours as long as we live.
        recipe: how Luisito was started: the settings are loaded with the same environment.
        former: what was found by former settings, for the last good versions; it is not changed.
        send: tells it something, with descriptors beside that.

    Attributes:
        sites: what was found.
        pid: of the process that looks; 0 while there is none.
    """

    __slots__ = (
        "_ask", "_config", "_former", "_late", "_next_at", "_parent", "_recipe", "_send", "_sock",
        "_text", "_waiting", "pid", "sites",
    )  # fmt: skip

    def __init__(
        self,
        config: Config,
        text: int,
        parent: int,
        recipe: Recipe | None,
        former: Sites,
        send: Callable[[wire.Sites, tuple[int, ...]], None],
    ) -> None:
        self._config, self._parent, self._recipe, self._send = config, parent, recipe, send
        self._text = os.dup(text) if text >= 0 else -1
        self.sites, self._former = Sites(), Sites()
        self._former.take_from(former)
        self.pid = 0
        self._sock: socket.socket | None = None  # where the process says what it has found
        self._ask: int | None = None  # what it works for; None where its time is over
        self._waiting: int | None = None  # what the next one will
        self._late = 0.0  # when it is killed, or killed again
        self._next_at = 0.0

    def look(self, ask: int) -> None:
        """Have the folder looked through, soon if not now; the answer is sent."""
        if self._waiting is not None:
            self._send(wire.Sites(ask, _BUSY), ())
        elif self.pid and self._ask is None:
            self._send(wire.Sites(ask, self._why_late()), ())
        else:
            self._waiting = ask

    def explain(self, order: wire.AskConfig, sock: socket.socket) -> None:
        """Be the process that says what counts for a site, in a helper; never returns."""
        file, sites_dir = self._config.settings_file, self._config.sites_dir
        become_reader(
            [_EXPLAINER, file or "", sites_dir or "", str(order.ask), order.site],
            [sock.fileno(), self._text],
            self._config.cwd,
            self._parent,
            self._recipe,
        )

    def tick(self, now: float) -> None:
        """Start a look that waits, and kill one that takes too long."""
        if self.pid and now >= self._late:
            kill(self.pid, signal.SIGKILL)
            self._late = now + _AGAIN
            self._give_up()
        elif not self.pid and self._waiting is not None and now >= self._next_at:
            self._start(self._waiting, now)

    def deadline(self) -> float | None:
        """Tell when tick is worth calling next."""
        if self.pid:
            return self._late
        return None if self._waiting is None else self._next_at

    def reaped(self, pid: int, code: int) -> bool:
        """Note the end of a process; tell whether it was the one that looks."""
        if not self.pid or pid != self.pid:
            return False
        ask, sock = self._ask, self._sock
        self.pid, self._ask, self._sock = 0, None, None
        if sock is not None:
            with sock:
                if ask is not None:
                    self._take(ask, sock, code)
        return True

    def close(self) -> None:
        """Look no more, and forget what was found."""
        if self.pid:
            kill(self.pid, signal.SIGKILL)
        self._ask = self._waiting = None
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        if self._text >= 0:
            os.close(self._text)
            self._text = -1
        self.sites.close()
        self._former.close()

    def _start(self, ask: int, now: float) -> None:
        self._waiting, self._next_at = None, now + _APART
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            self._cannot(ask, error)
            return
        with theirs:
            try:
                self.pid = fork()
            except OSError as error:
                ours.close()
                self._cannot(ask, error)
                return
            if self.pid == 0:
                self._become(theirs)
        ours.setblocking(False)
        self._ask, self._sock, self._late = ask, ours, now + DEADLINE

    def _become(self, sock: socket.socket) -> None:
        """Be the process that looks; never returns."""
        file, sites_dir = self._config.settings_file, self._config.sites_dir
        become_reader(
            [_MODULE, file or "", sites_dir or ""],
            [sock.fileno(), self._text, self.sites.file, self._former.file],
            self._config.cwd,
            self._parent,
            self._recipe,
        )

    def _cannot(self, ask: int, error: OSError) -> None:
        why = f"SITES_DIR cannot be read: no process: {error.strerror}; raise the limit"
        self._send(wire.Sites(ask, why), ())

    def _give_up(self) -> None:
        """Answer without waiting for the end of what may never end."""
        for ask in (self._ask, self._waiting):
            if ask is not None:
                self._send(wire.Sites(ask, self._why_late()), ())
        self._ask = self._waiting = None

    def _why_late(self) -> str:
        where = f"SITES_DIR = {self._config.sites_dir!r} or {self._config.settings_file}"
        return f"reading {where} takes more than {DEADLINE:g} s; is a file system hanging?"

    def _take(self, ask: int, sock: socket.socket, code: int) -> None:
        """Take what a process said before its end."""
        try:
            data, files = channel.receive(sock)
        except (OSError, WireError):
            data, files = b"", []
        try:
            if not data or code:
                how = f"status {code}" if code >= 0 else f"signal {-code}"
                what = f"the process that reads SITES_DIR has ended with {how}"
                self._send(wire.Sites(ask, f"{what}; its last words are on stderr"), ())
            elif message := str(json.loads(data)["message"]):
                self._send(wire.Sites(ask, message[: wire.MAX_TEXT]), ())
            elif len(files) == 2 and holds_records(files[0]) and is_sealed(files[1]):
                self._send(wire.Sites(ask, ""), (files[1],))
                self.sites.replace(files.pop(0))
                self._former.close()
            else:
                self._send(
                    wire.Sites(ask, "too many open files to read SITES_DIR; raise the limit"), ()
                )
        finally:
            channel.close(files)
