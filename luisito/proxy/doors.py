"""The endpoints of sites: opened while all rights are there, closed when no file says them."""

from __future__ import annotations

import errno
import os
import select
from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger

from luisito.errors import SettingsError
from luisito.net.endpoints import place
from luisito.net.listening import listen
from luisito.settings.sites.look import endpoints
from luisito.settings.sites.tenants import known
from luisito.settings.sites.trust import Trust

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from luisito.net.listening import Listener
    from luisito.net.sockets import SocketStream
    from luisito.net.switchboard import Switchboard
    from luisito.proxy.downstream import Downstream
    from luisito.proxy.gateway import Gateway
    from luisito.settings import Settings

MOST: Final = 200
"""Endpoints of all sites; the spawner keeps some more sockets in all."""

_PREFIX: Final = "own "  # of the names that the spawner keeps them by; no endpoint begins so
_RESTART: Final = "run luisito restart"
_TAKEN: Final = os.strerror(errno.EADDRINUSE)

_Key = tuple[str, str]  # of a site, and an endpoint of it


def _name(key: _Key) -> str:
    return f"{_PREFIX}{key[0]} {key[1]}"


def _key(name: str) -> _Key:
    site, _, endpoint = name.removeprefix(_PREFIX).partition(" ")
    return site, endpoint


class _Door:
    """Takes the connections of one site; an Acceptor."""

    def __init__(self, site: str, gateway: Callable[[], Gateway]) -> None:
        self._site, self._gateway = site, gateway

    @property
    def refusal(self) -> bytes:
        """See Acceptor."""
        return self._gateway().entrance.refusal

    def is_full(self) -> bool:
        """See Acceptor."""
        return self._gateway().entrance.is_full()

    def make_room(self) -> bool:
        """See Acceptor."""
        return self._gateway().entrance.make_room()

    def accept(self, peer: bytes, port: int) -> Downstream | None:
        """See Acceptor."""
        return self._gateway().accept(peer, port, self._site)

    def connected(self, receiver: Any, stream: SocketStream) -> None:  # noqa: ANN401 - a Downstream
        """See Acceptor."""
        self._gateway().connected(receiver, stream)


class Doors:
    """Listens where site files say, for their sites alone.

    A process that has given up its rights opens nothing: what is new in a file waits for the next
    one, which `luisito restart` brings.

    Args:
        board: where the sockets are registered.
        gateway: who takes the connections; not called before the start.

    Attributes:
        wrong: what of `listen` does not count, by the paths of the files.
    """

    _log = Logger()

    def __init__(self, board: Switchboard, gateway: Callable[[], Gateway]) -> None:
        self._board, self._gateway = board, gateway
        self._open: dict[_Key, Listener] = {}
        self._failed: dict[_Key, str] = {}
        self._started = False
        self.wrong: dict[str, str] = {}

    def open(self, settings: Settings, kept: dict[str, int]) -> None:
        """Opens all, with the rights that we still have; what is kept for us goes on.

        Args:
            settings: in force.
            kept: sockets of the process before, by name; what is ours is taken out.
        """
        for name in [one for one in kept if one.startswith(_PREFIX)]:
            descriptor = kept.pop(name)
            # One that a process has closed may be kept; a file may say it once more.
            if settings.sites_dir is None or _is_shut(descriptor):
                os.close(descriptor)
            else:
                self._listen(_key(name), descriptor)
        if settings.sites_dir is None:
            return
        trust = Trust(os.geteuid(), known(settings.tenants))
        try:
            said = endpoints(settings.sites_dir, settings, trust)
        except SettingsError:
            return  # who reads the files next says so
        for site, own in said.items():
            for endpoint in own.listen:
                self._try(site, endpoint)

    def _try(self, site: str, endpoint: str) -> None:
        key = site, endpoint
        if key in self._open:
            return
        if len(self._open) >= MOST:
            self._failed[key] = f"is one more than {MOST} endpoints of sites; write fewer"
            return
        try:
            self._listen(key)
        except SettingsError as error:
            why = str(error).rpartition("] ")[2].rpartition(": ")[2]
            self._failed[key] = f"cannot be opened: {why}{self._mend(key, why)}, and {_RESTART}"

    def _mend(self, key: _Key, why: str) -> str:
        """Who else has what a site cannot have, as far as that is known; and what to do."""
        at = place(key[1])
        if why != _TAKEN:
            return "; mend that, or write another"
        for site, endpoint in self._open:
            other = place(endpoint)
            if (other.port, other.path) == (at.port, at.path):
                return f" ({site} listens on {endpoint}); write another"
        return " (see LISTEN, and ss -ltnp); free it or write another"

    def _listen(self, key: _Key, kept: int | None = None) -> None:
        door = _Door(key[0], self._gateway)
        self._open[key] = listen(key[1], self._board, self._board, door, kept)

    @property
    def bound(self) -> dict[str, int]:
        """The sockets, by the names that the spawner is to keep them by."""
        return {_name(key): one.socket.fileno() for key, one in self._open.items()}

    @property
    def listeners(self) -> list[Listener]:
        """All that are open."""
        return list(self._open.values())

    def start(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Begins to accept; what no file says any more is closed.

        Args:
            records: the public records of all sites.
        """
        self._started = True
        for key, listener in self._open.items():
            listener.startListening()
            self._log.info("Listening on {name} for {site}", name=listener.name, site=key[0])
        self.settle(records)

    def settle(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Closes what no file says any more, and notes what would have to be opened.

        Args:
            records: see `start`.
        """
        if not self._started:
            return
        said = {
            (one["site"], endpoint): one["path"]
            for one in records
            for endpoint in one.get("listen", ())
        }
        for key in [one for one in self._open if one not in said]:
            self._close(key)
        for key in [one for one in self._failed if one not in said]:
            del self._failed[key]  # should it come again, it is new
        before, self.wrong = self.wrong, {}
        for key, path in said.items():
            if key not in self._open and path not in self.wrong:
                why = self._failed.get(key, f"is not open yet; {_RESTART}")
                self.wrong[path] = f'{path}: listen = "{key[1]}": {why}'
        for path, message in self.wrong.items():
            if before.get(path) != message:
                self._log.warn("{message}; the site is served by Host", message=message)

    def _close(self, key: _Key) -> None:
        listener = self._open.pop(key)
        name = listener.name
        listener.stopListening()
        self._gateway().close_own(key[0])
        self._log.info("{site}: listens on {name} no more", site=key[0], name=name)


def _is_shut(descriptor: int) -> bool:
    """Whether a listening socket was shut down, by whoever has a copy."""
    poller = select.poll()
    poller.register(descriptor, 0)
    return any(events & select.POLLHUP for _, events in poller.poll(0))
