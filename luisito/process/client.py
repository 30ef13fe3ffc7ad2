"""The network process's view of the spawner: orders go out at once, facts come back as calls."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.logger import Logger
from zope.interface import implementer

from luisito.core import wire
from luisito.core.handover import micros
from luisito.errors import WireError
from luisito.process.outgoing import Outgoing
from luisito.process.questions import Questions
from luisito.process.reaper import Reaper
from luisito.spawner import channel

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorFDSet
    from twisted.python.failure import Failure

    from luisito.core.busy import Said
    from luisito.core.wire import Fact, Order
    from luisito.process.launch import Launched
    from luisito.process.told import Listener, Office

_NO_ROOM = "too many open files to take over its output; raise the limit (LimitNOFILE=)"
_FACTS_A_TURN = 64  # then other sites' sockets have their turn


@implementer(IReadWriteDescriptor)
class Spawner(Questions):
    """A spawner that was launched; no method of it ever blocks.

    Args:
        reactor: where to wait for facts.
        launched: as returned by launch().
        listener: who is told of the servers.
        office: who is told of what becomes of us.
        awaited: whoever started us waits for our end, and we for the spawner's: the exit status is
            its. Else it waits for ours.

    Attributes:
        hello: what is in force: containment, the runtime folder, the way in.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorFDSet,
        launched: Launched,
        listener: Listener,
        office: Office | None = None,
        *,
        awaited: bool = True,
    ) -> None:
        super().__init__()
        self.hello = launched.hello
        self._reactor = reactor
        self._sock = launched.sock
        self._process = launched.process
        self._killer = launched.killer
        self._listener, self._office, self._awaited = listener, office, awaited
        self._outgoing = Outgoing(launched.sock)
        self._unusable: set[int] = set()  # started, but their descriptors found no room here
        self._spares: dict[int, socket.socket] = {}  # who waits to be which server
        self._ordered = 0  # the number of the last server that was
        self._stopping = False
        self._ended: Deferred[int] = Deferred()
        reactor.addReader(self)

    # -- orders ----------------------------------------------------------------------------------
    def start(
        self,
        server: int,
        site: str,
        port: int | None,
        listener_fd: int | None,
        worker: str | None = None,
    ) -> None:
        """Order a server, or a worker of a site; the descriptor stays the caller's."""
        order = wire.Start(server, site, port, worker)
        descriptors = () if listener_fd is None else (listener_fd,)
        # The child that waits is told at once, which spares it the way through the spawner; what
        # the spawner sends it then is left unread.
        if server in self._spares:
            with suppress(OSError):  # it has gone: the spawner starts another
                channel.send(self._spares[server], wire.encode_start(order), descriptors)
        self._drop_spares(server)
        self._ordered = server
        self._order(order, descriptors)

    def signal(self, server: int, signal: str) -> None:
        """Order "TERM", "KILL", "USR1" or "HUP" for every process of a server."""
        self._order(wire.Signal(server, signal))

    def hibernate(self, server: int, *, on: bool, force: bool = False) -> None:
        """Have a server frozen if it is quiet, or in any case; or let it run on."""
        self._order(wire.Hibernate(server, on, force))

    def is_ready(self, server: int, *, ipv6: bool) -> None:
        """Tell that a server is ready, perhaps on ::1, for whoever adopts it."""
        self._order(wire.IsReady(server, ipv6))

    def has_said(self, server: int, said: Said) -> None:
        """Tell what a server has said of itself, likewise."""
        until, extended = micros(said.busy_until), micros(said.extended)
        self._order(wire.Said(server, until, said.busy, extended, said.ready))

    def keep(self, name: str, descriptor: int) -> None:
        """Have a copy of a site's listening socket kept; the descriptor stays the caller's."""
        self._order(wire.Keep(name), (descriptor,))

    def drop(self, name: str) -> None:
        """Have it kept no longer."""
        self._order(wire.Drop(name))

    # -- succession
    def serve(self) -> None:
        """Tell that we could serve; `Office.told_to_take` is the answer."""
        self._order(wire.Serve())

    def yielded(self) -> None:
        """Tell that we have made way."""
        self._order(wire.Yielded())

    def relay(self, name: str) -> None:
        """Pass on a signal that is meant for whoever serves."""
        self._order(wire.Relay(name))

    def stopping(self) -> None:
        """Tell that we have been told to stop."""
        self._order(wire.Stopping())

    def notify(self, words: list[str]) -> None:
        """Have the service manager told, which listens to the spawner only (core.sdnotify)."""
        self._order(wire.Notify(words))

    def stop(self, status: int = 0) -> Deferred[int]:
        """End the spawner, and with it all servers that still live.

        Args:
            status: what it is to end with.

        Returns:
            Its exit code, once it was reaped; 0 where it waits for our end.
        """
        self._stopping = True
        if not self._gone:
            self._order(wire.Quit(status))
        return self._ended

    def leave(self) -> None:
        """Hear and say nothing more; our own end ends the link, which the spawner waits for."""
        if not self._gone:
            self._gone = self._stopping = True
            self._unregister()
            self._sock.detach()

    @property
    def ended(self) -> Deferred[int]:
        """Is called with the exit code of the spawner; where it waits for our end, with 0."""
        return self._ended

    def _order(self, order: Order, descriptors: tuple[int, ...] = ()) -> None:
        if self._gone:
            return  # spawner_lost has told
        if self._outgoing.send(wire.encode(order), descriptors):
            self._reactor.addWriter(self)

    # -- for the reactor ------------------------------------------------------------------------
    def fileno(self) -> int:
        """Our end of the pair."""
        return self._sock.fileno()

    def logPrefix(self) -> str:
        """Name us in Twisted's log."""
        return "spawner"

    def doWrite(self) -> None:
        """Send what waits."""
        if self._outgoing.flush():
            self._reactor.removeWriter(self)

    def doRead(self) -> None:
        """Receive facts."""
        for _ in range(_FACTS_A_TURN):
            try:
                data, descriptors = channel.receive(self._sock)
            except BlockingIOError:
                return
            except WireError as error:
                self._log.error("from the spawner: {error}", error=error)
                continue
            except OSError:
                data, descriptors = b"", []
            if not data:
                self._lose("the spawner has ended")
                return
            try:
                self._take(wire.decode_fact(data), descriptors)
            except WireError as error:
                self._log.error("from the spawner: {error}", error=error)
            except Exception:  # noqa: BLE001 - a fault of a listener must not cost the spawner
                self._log.failure("a fact could not be dealt with")
            finally:
                channel.close(descriptors)
            if self._gone:
                return

    def connectionLost(self, reason: Failure) -> None:
        """Clean up: the reactor found the descriptor unusable."""
        self._lose(f"the spawner cannot be reached: {reason.getErrorMessage()}")

    # -- facts -----------------------------------------------------------------------------------
    def _take(self, fact: Fact, descriptors: list[int]) -> None:
        """Pass a fact on; descriptors that are passed on too are removed from the list."""
        if isinstance(fact, wire.Started):
            self._started(fact, descriptors)
        elif isinstance(fact, wire.Spare):
            self._take_spare(fact, descriptors)
        elif isinstance(fact, wire.Running | wire.Failed | wire.Exited) and (
            fact.server in self._unusable
        ):
            if not isinstance(fact, wire.Running):
                self._unusable.remove(fact.server)
                self._listener.spawner_failed(fact.server, _NO_ROOM, overloaded=True)
        elif isinstance(fact, wire.Running):
            self._listener.spawner_running(fact)
        elif isinstance(fact, wire.Failed):
            self._listener.spawner_failed(fact.server, fact.message, fact.overloaded)
        elif isinstance(fact, wire.Exited):
            self._listener.spawner_exited(fact)
        elif isinstance(fact, wire.NotStopped | wire.Touched | wire.Hibernated):
            self._tell(fact)
        elif isinstance(fact, wire.Memory):
            self._listener.spawner_weighed(sizes_of(fact))
        elif isinstance(fact, wire.Yield | wire.Take | wire.NotReplaced | wire.Signalled):
            self._hear(fact, descriptors)
        elif isinstance(fact, wire.Refused):
            self._log.error("the spawner refused an order: {message}", message=fact.message)
        elif not isinstance(fact, wire.Hello | wire.Listeners):
            self._answer(fact, descriptors)

    def _tell(self, fact: wire.NotStopped | wire.Touched | wire.Hibernated) -> None:
        if isinstance(fact, wire.NotStopped):
            self._listener.spawner_not_stopped(fact)
        elif isinstance(fact, wire.Touched):
            self._listener.spawner_touched(fact)
        else:
            self._listener.spawner_hibernated(fact)

    def _hear(
        self,
        fact: wire.Yield | wire.Take | wire.NotReplaced | wire.Signalled,
        descriptors: list[int],
    ) -> None:
        office = self._office
        if office is None:
            return
        pairs = [socket.socket(fileno=each) for each in descriptors]
        descriptors.clear()
        for pair in pairs:
            pair.setblocking(False)
        if isinstance(fact, wire.Take):
            if len(pairs) < fact.pairs:
                self._log.error(
                    "no room for the descriptors of {count} that served before; what they have in"
                    " flight may lose its server",
                    count=fact.pairs,
                )
            office.told_to_take(fact.last, fact.words, pairs)
        elif isinstance(fact, wire.NotReplaced):
            office.not_replaced(fact.message)
        elif isinstance(fact, wire.Signalled):
            office.signalled(fact.signal)
        elif pairs:
            office.told_to_yield(pairs[0])
        else:
            self._log.error("no room for the descriptor of a successor; it waits in vain")

    def _take_spare(self, fact: wire.Spare, descriptors: list[int]) -> None:
        former = self._spares.pop(fact.server, None)
        if former is not None:
            former.close()
        # It may come after its number was ordered from the spawner: nobody would speak to it.
        if len(descriptors) == 1 and fact.server > self._ordered:
            sock = socket.socket(fileno=descriptors.pop())
            sock.setblocking(False)
            self._spares[fact.server] = sock

    def _drop_spares(self, up_to: float) -> None:
        for server in [each for each in self._spares if each <= up_to]:
            self._spares.pop(server).close()

    def _started(self, fact: wire.Started, descriptors: list[int]) -> None:
        if len(descriptors) != 2:
            self._unusable.add(fact.server)
            self.signal(fact.server, "KILL")
            return
        output, notify = descriptors
        descriptors.clear()
        self._listener.spawner_started(fact.server, fact.pid, output, notify)

    def _lose(self, reason: str) -> None:
        if self._gone:
            return
        self._gone = True
        self._unregister()
        self._answer_no_more(reason)
        if self._awaited and self._process is not None:
            self._sock.close()
            Reaper(self._reactor, self._process, self._ended)
        else:
            # The kernel closes it at our very end, which the spawner waits for.
            self._sock.detach()
            if self._process is not None:
                self._process.returncode = 0  # nobody here waits for it
            self._ended.callback(0)
        self._kill_what_is_left()
        if not self._stopping:
            self._listener.spawner_lost(reason)

    def _kill_what_is_left(self) -> None:
        if self._killer < 0:
            return
        if not self._stopping:
            # It cannot be sure to have ended the servers; and no guardian need be left either.
            with suppress(OSError):
                os.write(self._killer, b"1")
        os.close(self._killer)

    def _unregister(self) -> None:
        # Before closing: a closed descriptor cannot be found in epoll any more.
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self._drop_spares(inf)
        self._outgoing.clear()


def sizes_of(fact: wire.Memory) -> dict[int, int]:
    """Tell the bytes that each server takes, by its number.

    Raises:
        WireError: a row names no server and its bytes.
    """
    sizes: dict[int, int] = {}
    for row in fact.servers:
        server, size = row.get("server"), row.get("memory")
        if not isinstance(server, int) or not isinstance(size, int):
            raise WireError(f"memory: {row!r:.100} names no server and its bytes")
        sizes[server] = size
    return sizes
