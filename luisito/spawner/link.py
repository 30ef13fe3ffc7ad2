"""One network process as the spawner knows it: its link, what it has told, what it may order."""

from __future__ import annotations

import os
import signal
import socket
import struct
from typing import TYPE_CHECKING

from luisito.core import wire
from luisito.spawner import channel
from luisito.spawner.containment import kill
from luisito.spawner.outbox import Outbox

if TYPE_CHECKING:
    from luisito.spawner.config import Config
    from luisito.spawner.loading import Loading

_MOST_KEPT = 256  # listening sockets


class Link:
    """The spawner's end of a pair.

    Attributes:
        sock: our end.
        outbox: the facts that wait to be sent there.
        pid: of the network process where it is a child of ours and lives; else 0.
        process: the same for people: its pid also when it has ended; 0 for the first one.
        config: what it has told; None before.
        loading: has its site files read; None where there are none.
        text: a memfd with its settings file; -1 where there is none.
        listeners: its listening sockets by name, our copies.
        serving: it could serve, so that it is trusted no more, and hears what it is told.
        yielded: another one serves in its place; the number of this, counted from 1. Else 0.
        again: it was started by the settings that were last in force.
        message: why it cannot serve, as it says.
        code: how its process ended, as of waitstatus_to_exitcode; None before that.
    """

    __slots__ = (
        "again",
        "code",
        "config",
        "listeners",
        "loading",
        "message",
        "outbox",
        "pid",
        "process",
        "serving",
        "sock",
        "text",
        "yielded",
    )

    def __init__(self, sock: socket.socket, pid: int = 0, *, again: bool = False) -> None:
        sock.setblocking(False)
        self.again = again
        self.sock, self.outbox = sock, Outbox(sock)
        self.pid = self.process = pid
        self.config: Config | None = None
        self.loading: Loading | None = None
        self.text = -1
        self.listeners: dict[str, int] = {}
        self.serving = False
        self.yielded = 0
        self.message = ""
        self.code: int | None = None

    def send(self, fact: wire.Fact, descriptors: tuple[int, ...] = ()) -> None:
        """Tell it something; where it has gone, nothing happens."""
        self.outbox.send(fact, descriptors)

    def refuse(self, reason: object) -> None:
        """Tell it that an order was refused."""
        self.send(wire.Refused(str(reason)[: wire.MAX_TEXT]))

    def keep(self, name: str, descriptors: list[int]) -> str | None:
        """Keep a listening socket; return why not."""
        if len(descriptors) != 1 or len(self.listeners) >= _MOST_KEPT:
            return f"keep: one socket at a time, and {_MOST_KEPT} in all"
        if name in self.listeners:
            os.close(self.listeners[name])
        self.listeners[name] = descriptors.pop()
        return None

    def keep_own(self, order: wire.Keep | wire.Drop, descriptors: list[int]) -> str | None:
        """Keep a listening socket of a site, or keep it no longer; return why not.

        It is trusted no more, so that a successor will look at the socket; and where it is not
        said, there is none.
        """
        _, endpoint = wire.own_of(order.name)
        if isinstance(order, wire.Drop):
            if endpoint and order.name in self.listeners:
                os.close(self.listeners.pop(order.name))
            return None
        if self.loading is None or not self.loading.sites.say(endpoint):
            return f"keep: no site file says {endpoint!r:.200}"
        return self.keep(order.name, descriptors)

    def why(self) -> str:
        """Say how it has ended."""
        if self.message:
            return self.message
        who = f"pid {self.process}" if self.process else "it"
        if self.code is None:
            return f"{who} has closed its link"
        if self.code < 0:
            return f"{who} was killed by signal {-self.code}"
        return f"{who} ended with status {self.code}"

    def kill(self) -> None:
        """Kill its process, which is there as long as the link is."""
        pid = self.pid
        if not self.process:  # the first one has made the pair, and is known by that
            size = struct.calcsize("3i")
            data = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            pid, _, _ = struct.unpack("3i", data)
        if pid:
            kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """Close all that belongs to it."""
        self.outbox.close()
        self.sock.close()
        channel.close(list(self.listeners.values()))
        self.listeners.clear()
        if self.loading is not None:
            self.loading.close()
            self.loading = None
        if self.text >= 0:
            os.close(self.text)
            self.text = -1
