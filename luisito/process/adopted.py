"""A start that another network process has made, and that this one goes on with."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from luisito.core import wire
from luisito.core.lifecycle import State
from luisito.net.backend import Backend
from luisito.process.listener import ListeningSocket
from luisito.process.start import Start

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from luisito.core.inheritance import Inherited
    from luisito.core.lifecycle import Server
    from luisito.process.start import Ways


class AdoptedStart(Start):
    """See Start; its descriptors come later, from the spawner.

    Attributes:
        unreachable: its descriptors are not to be had any more, and so neither is the address of a
            socket that was handed over to it.
    """

    def __init__(self, ways: Ways, one: Inherited, server: Server) -> None:
        super().__init__(ways, one.number, server, 1)
        self.way, self.port = one.way, one.port
        self.pid, self.uid = one.pid, one.uid
        self.ready = one.known.ready_at > 0
        self.was_connected, self.killed = one.connected, one.killed
        self._heard, self.said = one.heard, one.known.said
        self.says_ready = self.said.ready
        self.unreachable = False
        if one.port is not None:
            ways.ports.hold(one.port)
            if self.ready:
                self.backend = self._reach((one.loopback, one.port))
        elif one.way == "socket" and self.ready:
            self.backend = self._reach(wire.socket_path(ways.runtime_dir, one.number))

    def adopt(
        self,
        descriptors: Sequence[int],
        on_ready: Callable[[Server], None],
        on_foreign: Callable[[Server, str], None],
    ) -> None:
        """Goes on with it.

        Args:
            descriptors: the output, the NOTIFY_SOCKET, and the socket that was handed over, where
                one was.
            on_ready: see `started`; likewise the next.
            on_foreign: see there.
        """
        output, notify, *listener = descriptors
        self._read(output, self._heard)
        if listener:
            self._listen(ListeningSocket(socket.socket(fileno=listener[0])))
        elif self.way == "fd":  # its process has gone, of which the spawner tells in a moment
            self.cannot_be_reached()
        if self.server.state is State.STARTING and not self.unreachable:
            self._watch(notify, on_ready, on_foreign)
            if self.says_ready:
                self._ways.readiness.told(self.number)
            if self.was_connected:
                self.connected()
        else:
            self._hear(notify)
            self._close_listener()
        if self.uid is not None:
            self.running(self.uid, self.argv)

    def cannot_be_reached(self) -> None:
        """Nobody is connected to it any more, unless its address is known."""
        self.unreachable = True
        if self.ready and self.backend is None:
            path = f"{self._ways.listen_dir}/{self.number}"
            self.backend = Backend(path, check=lambda: False)
