"""A network process's term of office: how it comes to serve, and how it makes way."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Protocol

from twisted.internet.defer import succeed
from twisted.logger import Logger

from luisito.process import handshake
from luisito.process.client import Spawner
from luisito.process.launch import Launched, configured, launch

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorFDSet

    from luisito.core.wire import Configure, Hello
    from luisito.process.handshake import Claimed
    from luisito.process.told import Listener


class Holder(Protocol):
    """Who serves, as long as the term lasts."""

    def take_over(self, last: int, pairs: Sequence[socket.socket]) -> None:
        """Serve from now on.

        Args:
            last: the highest number of a server so far; 0 where there is none.
            pairs: one end of a SOCK_SEQPACKET pair with who has made way, non-blocking; the
                receiver's to close. None at the first start; after a crash, one more with each
                process that had made way before, and has not ended.
        """

    def taken(self) -> Deferred[None]:
        """Is called back when all is here that there was to take over, or it could not be had."""

    def keep(self) -> Deferred[None]:
        """Write what a successor reads; called back when that is done, or takes long."""

    def make_way(self, pair: socket.socket) -> None:
        """Let go of all that a successor takes over; nothing may be ordered any more.

        Args:
            pair: the other end, where it may be told what is in flight; likewise.
        """

    def rejoin(self, pair: socket.socket) -> None:
        """Whoever has taken over may have crashed: another one goes on.

        Args:
            pair: as in `make_way`; to be closed where nobody has crashed.
        """

    def stop(self, name: str) -> None:
        """A signal wants an end."""

    def reopen(self) -> None:
        """The log files are to be opened again."""


class Tenure:
    """What becomes of this process, as the spawner and signals say.

    Args:
        holder: who serves.
        claimed: what we were started with, where we are somebody's successor.
        argv: the interpreter and its arguments, to start this program again in the same way.
        text: of the settings file; None where there is none.
        foreground: whoever started the first process waits for the end of that very process.
        pidfile: of the first process, where it writes one.
    """

    _log = Logger()

    def __init__(
        self,
        holder: Holder,
        *,
        claimed: Claimed | None,
        argv: Sequence[str],
        text: bytes | None,
        foreground: bool,
        pidfile: str | None,
    ) -> None:
        self._holder, self._claimed, self._text = holder, claimed, text
        self._foreground, self._pidfile = foreground, pidfile
        self._argv, self._cwd = argv, os.getcwd()
        self._served = self._stopping = False
        self._launched: Launched
        self._spawner: Spawner
        self.refusal = ""
        """Why the successor that was wanted last did not come; "" where none was refused."""
        self.yielded = False
        """Another process serves in our place."""

    # -- coming into office, in this order

    @property
    def succeeds(self) -> bool:
        """Whether somebody was there before us."""
        return self._claimed is not None

    def kept(self) -> dict[str, int]:
        """The listening sockets that are there for us already, by name; ours to close."""
        return {} if self._claimed is None else handshake.ask_listeners(self._claimed.sock)

    def configure(self, order: Configure, listeners: Mapping[str, int]) -> Hello:
        """Tells the spawner the settings; starts it where there is none.

        Args:
            order: what it is told.
            listeners: our listening sockets, by name; it keeps copies of them.

        Raises:
            SettingsError: it refused a setting.
            SpawnerLost: it did not start, or has gone.
        """
        if self._claimed is None:
            recipe = handshake.how_started(self._argv, self._cwd, foreground=self._foreground)
            self._launched = launch(order, recipe, self._text, listeners)
        else:
            self._launched = configured(self._claimed, order, self._text, listeners)
        if self.main_pid is not None and self._pidfile is not None:
            _write_pid(self._pidfile, self.main_pid)
        return self._launched.hello

    @property
    def main_pid(self) -> int | None:
        """Of the process that stands for all to people and supervisors; None for ourselves.

        It outlives us, and passes on to whoever serves the signals that it is sent.
        """
        process = self._launched.process
        return None if self._foreground or process is None else process.pid

    def keep(self, name: str, descriptor: int) -> None:
        """Has the spawner keep a copy of one more listening socket."""
        handshake.keep(self._launched.sock, {name: descriptor})

    @property
    def keeper(self) -> Spawner:
        """Who keeps what is opened later; once `attach` has been called."""
        return self._spawner

    def attach(self, reactor: IReactorFDSet, listener: Listener) -> Spawner:
        """Returns the spawner, for orders and facts."""
        awaited = self._foreground and self._launched.process is not None
        self._spawner = Spawner(reactor, self._launched, listener, self, awaited=awaited)
        return self._spawner

    def could_serve(self) -> None:
        """Says that nothing is in the way any more; all privileges have been given up."""
        self._spawner.serve()

    def cannot(self, reason: object) -> None:
        """Says that we shall not serve, and why."""
        handshake.refuse(self._claimed, reason)

    # -- in office, and after it

    def signalled_by(self, number: int) -> None:
        """This very process was sent a signal."""
        name = "TERM" if number == signal.SIGINT else signal.Signals(number).name[3:]
        if self.yielded or name in ("HUP", "USR2"):
            self._spawner.relay(name)
        elif name == "TERM":
            self._holder.stop(signal.Signals(number).name)
        else:
            self._holder.reopen()

    def replace(self) -> None:
        """Has a successor started, as SIGUSR2 does."""
        self.refusal = ""
        self._spawner.relay("USR2")

    def stopping(self) -> None:
        """Says that we have been told to stop, so that nobody follows us."""
        self._stopping = True
        if self._serves:
            self._spawner.stopping()

    def end(self, status: int) -> Deferred[int]:
        """Ends the spawner with an exit status; where another one serves, waits for its end.

        Returns:
            Is called with the exit status of the spawner where whoever started us waits for us, at
            its end; else with 0 when all is done but our own end.
        """
        if self._serves:
            return self._spawner.stop(status)
        if self.stays:
            return self._spawner.ended
        self._spawner.leave()
        return succeed(0)

    def give_up(self) -> None:
        """Our end failed: leaves the rest to the spawner, which sees it."""
        self._spawner.leave()

    @property
    def _serves(self) -> bool:
        # The first process sees to the end of the spawner in any case.
        return not self.yielded and (self._served or self._claimed is None)

    @property
    def stays(self) -> bool:
        """Whether we stay until the end of all although another one serves."""
        return self.yielded and self._foreground and self._launched.process is not None

    # -- for the spawner (see Office)

    def told_to_take(self, last: int, words: str, pairs: Sequence[socket.socket]) -> None:
        """See Office."""
        self._served = True
        if words:
            self._log.error("Taking over: {words}", words=words)
        elif self._claimed is not None:
            self._log.info("Taking over, with the settings as they are now")
        self._holder.take_over(last, pairs)

    def told_to_yield(self, pair: socket.socket) -> None:
        """See Office."""
        # What is still on its way here from who served before can be told of only when it has come.
        ready = self._holder.taken()
        if not self.yielded:
            ready.addCallback(lambda _: self._holder.keep())
        ready.addCallback(lambda _: self._yield(pair))

    def _yield(self, pair: socket.socket) -> None:
        if self._stopping:
            pair.close()
            return  # the spawner has been told so by now
        if self.yielded:
            self._holder.rejoin(pair)
            return
        self._log.info("Making way for a successor: finishing what is in flight")
        self.yielded = True
        self._holder.make_way(pair)
        self._spawner.yielded()

    def not_replaced(self, message: str) -> None:
        """See Office."""
        self.refusal = message
        self._log.error(
            "The settings were not read again and nothing was restarted: {message}; all goes on as"
            " it was",
            message=message,
        )

    def signalled(self, name: str) -> None:
        """See Office."""
        if name == "USR1":
            self._holder.reopen()
        elif not self.yielded:  # else the spawner tells whoever serves
            self._holder.stop(f"SIG{name}")


def argv_again() -> list[str]:
    """The interpreter and the arguments that this process was started with."""
    return [sys.executable, *sys.orig_argv[1:]]


def _write_pid(path: str, pid: int) -> None:
    """Put another pid in the place of ours, in one step, as far as the numbers are as long."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return  # somebody has taken it away
    try:
        data = b"%d" % pid
        os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)
