"""The links to network processes: what they say is read, and their ends are noticed."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from typing import TYPE_CHECKING, Protocol

from luisito.core import wire
from luisito.errors import LuisitoError, WireError
from luisito.spawner import channel
from luisito.spawner.containment import kill

if TYPE_CHECKING:
    from luisito.core.wire import Order
    from luisito.spawner.link import Link
    from luisito.spawner.loading import Loading

_ORDERS_A_TURN = 16  # then processes are reaped and facts sent before more orders are read
_TO_EXIT = 2.0  # seconds from the end of a link to that of its process, which is killed then
_LAST_WORDS = 10.0  # seconds that network processes have for their own end
_GLANCE = 10  # milliseconds from one look to the next whether a process has ended


class Hearer(Protocol):
    """Who hears what comes by the links."""

    def ordered(self, link: Link, order: Order, descriptors: list[int]) -> None:
        """Carry out an order; descriptors that are taken over leave the list.

        Raises:
            LuisitoError: it is refused.
        """

    def lost(self, link: Link) -> None:
        """A link has ended, and its process with it."""


class Links:
    """All that are open, and those whose processes have not quite ended.

    Args:
        poller: where they are registered.
        hearer: who hears.

    Attributes:
        deaf: nothing more is to be heard.
    """

    def __init__(self, poller: select.poll, hearer: Hearer) -> None:
        self._poller, self._hearer = poller, hearer
        self._open: dict[int, Link] = {}
        self._closed: dict[Link, float] = {}  # with the time when its process is killed
        self.deaf = False

    def add(self, link: Link) -> None:
        """Listen to one more."""
        self._open[link.sock.fileno()] = link
        self._poller.register(link.sock, select.POLLIN)

    def readable(self, descriptor: int) -> bool:
        """Read what a network process says; tell whether the descriptor is one of theirs."""
        link = self._open.get(descriptor)
        if link is None:
            return False
        link.outbox.flush()
        if not link.outbox.full:
            self._receive(link)
        return True

    def reaped(self, pid: int, code: int) -> bool:
        """Note the end of a process; tell whether it was one of theirs."""
        for link in [*self._open.values(), *self._closed]:
            if link.pid == pid:
                link.pid, link.code = 0, code
                while link not in self._closed and self._receive(link):
                    pass
                if link in self._closed:
                    del self._closed[link]
                    self._hearer.lost(link)
                elif link in self._open.values():
                    self._close(link)  # whatever it has left behind with a copy of its end
                return True
        return False

    def pids(self) -> set[int]:
        """List their processes, as far as they are children of ours."""
        return {link.pid for link in [*self._open.values(), *self._closed] if link.pid}

    def loadings(self) -> list[Loading]:
        """List what has site files read for them."""
        links = [*self._open.values(), *self._closed]
        return [link.loading for link in links if link.loading is not None]

    def deadline(self) -> float | None:
        """Tell when tick is worth calling next."""
        return min(self._closed.values(), default=None)

    def tick(self, now: float) -> None:
        """Kill who has closed its link and lives; wait for what may be read and sent now."""
        for link, at in self._closed.items():
            if now >= at:
                kill(link.pid, signal.SIGKILL)
                self._closed[link] = now + _TO_EXIT
        for link in self._open.values():
            reading = 0 if link.outbox.full else select.POLLIN
            self._poller.modify(link.sock, reading | (select.POLLOUT if link.outbox else 0))

    def listen_no_more(self) -> None:
        """Close the listening sockets that are kept."""
        for link in [*self._open.values(), *self._closed]:
            channel.close(list(link.listeners.values()))
            link.listeners.clear()

    def send(self, fact: wire.Fact) -> None:
        """Tell all of them something, but for those that are still starting."""
        for link in self._open.values():
            if link.serving:
                link.send(fact)

    def yielded(self) -> list[Link]:
        """List those in whose place another one serves, the last one first."""
        return [link for link in reversed(self._open.values()) if link.yielded]

    def dismiss(self, exempt: Link | None, codes: dict[int, int]) -> None:
        """Let them see our end, and wait for theirs as long as is due.

        Args:
            exempt: one that waits for us instead.
            codes: how some of them have ended, by pid; the others are added.
        """
        waiting = select.poll()
        awaited = {}
        for descriptor, link in self._open.items():
            try:
                link.sock.shutdown(socket.SHUT_WR)
            except OSError:
                continue
            if link is not exempt:
                awaited[descriptor] = link
                waiting.register(descriptor, select.POLLIN)
        end = time.monotonic() + _LAST_WORDS
        pids = self.pids() - codes.keys()
        while (awaited or pids) and time.monotonic() < end:
            for descriptor, _events in waiting.poll(_GLANCE if pids else _LAST_WORDS * 1000):
                if not _more(awaited[descriptor].sock):
                    waiting.unregister(descriptor)
                    del awaited[descriptor]
            for pid in list(pids):
                reaped, status = os.waitpid(pid, os.WNOHANG)
                if reaped:
                    codes[pid] = os.waitstatus_to_exitcode(status)
                    pids.remove(pid)

    def _receive(self, link: Link) -> bool:
        """Read and obey some orders; tell whether there may be more."""
        for _ in range(_ORDERS_A_TURN):
            if self.deaf or link.outbox.full:
                return False
            try:
                data, descriptors = channel.receive(link.sock)
            except BlockingIOError:
                return False
            except WireError as error:
                link.refuse(error)
                continue
            except OSError:
                data, descriptors = b"", []
            if not data:
                channel.close(descriptors)
                self._close(link)
                return False
            try:
                self._hearer.ordered(link, wire.decode_order(data), descriptors)
            except LuisitoError as error:
                link.refuse(error)
            finally:
                channel.close(descriptors)
        return True

    def _close(self, link: Link) -> None:
        self._poller.unregister(link.sock)
        del self._open[link.sock.fileno()]
        if link.pid:
            self._closed[link] = time.monotonic() + _TO_EXIT
        else:
            self._hearer.lost(link)


def _more(sock: socket.socket) -> bool:
    """Read and drop what somebody says; tell whether there may be more."""
    try:
        data, descriptors = channel.receive(sock)
    except (BlockingIOError, WireError):
        return True
    except OSError:
        return False
    channel.close(descriptors)
    return bool(data)
