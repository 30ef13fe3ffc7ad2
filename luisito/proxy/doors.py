"""The endpoints of sites: opened when a file says them, closed when none does any more."""

from __future__ import annotations

import errno
import os
import select
import socket
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.logger import Logger

from luisito.core.wire import own_name, own_of
from luisito.errors import EndpointError, SettingsError
from luisito.net.endpoints import place
from luisito.net.listening import listen
from luisito.settings.sites.listen import place as where
from luisito.settings.sites.look import endpoints
from luisito.settings.sites.tenants import known
from luisito.settings.sites.trust import Trust

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from luisito.net.listening import Listener
    from luisito.net.sockets import SocketStream
    from luisito.net.switchboard import Switchboard
    from luisito.proxy.downstream import Downstream
    from luisito.proxy.gateway import Gateway
    from luisito.settings import Settings

MOST: Final = 200
"""Endpoints of all sites; the spawner keeps some more sockets in all."""

_RESTART: Final = "run luisito restart"
_TAKEN: Final = os.strerror(errno.EADDRINUSE)
_NO_RIGHT: Final = frozenset(map(os.strerror, (errno.EACCES, errno.EPERM)))

_Key = tuple[str, str]  # of a site, and an endpoint of it


class Keeper(Protocol):
    """Who keeps copies of sockets for whoever follows us."""

    def keep(self, name: str, descriptor: int) -> None:
        """Keep one; the descriptor stays the caller's."""

    def drop(self, name: str) -> None:
        """Keep it no longer."""


class _Door:
    """Takes the connections of one site; an Acceptor.

    Attributes:
        site: whose they are from now on.
        listener: where they come in.
    """

    listener: Listener

    def __init__(self, site: str, gateway: Callable[[], Gateway]) -> None:
        self.site, self._gateway = site, gateway

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
        return self._gateway().accept(peer, port, self.site)

    def connected(self, receiver: Any, stream: SocketStream) -> None:  # noqa: ANN401 - a Downstream
        """See Acceptor."""
        self._gateway().connected(receiver, stream)


class Doors:
    """Listens where site files say, for their sites alone.

    What is new in a file is opened with the rights that are left. Where those do not do, it waits
    for the next process, which `luisito restart` brings.

    Args:
        board: where the sockets are registered.
        gateway: who takes the connections; not called before the start.
        keeper: who keeps the sockets that are opened after the start; likewise.

    Attributes:
        wrong: sites of whose `listen` something does not count: their files' paths, and what.
    """

    _log = Logger()

    def __init__(
        self, board: Switchboard, gateway: Callable[[], Gateway], keeper: Callable[[], Keeper]
    ) -> None:
        self._board, self._gateway, self._keeper = board, gateway, keeper
        self._open: dict[_Key, _Door] = {}
        self._failed: dict[_Key, str] = {}
        self._in_vain: set[_Key] = set()  # with all rights
        self._started = False
        self.wrong: dict[str, tuple[str, str]] = {}

    def open(self, settings: Settings, kept: dict[str, int]) -> None:
        """Opens all, with the rights that we still have; what is kept for us goes on.

        Args:
            settings: in force.
            kept: sockets of the process before, by name; what is ours is taken out.
        """
        for name in [one for one in kept if own_of(one)[1]]:
            descriptor, key = kept.pop(name), own_of(name)
            if settings.sites_dir is None or not _listens(descriptor, key[1]):
                os.close(descriptor)
            else:
                self._listen(key, descriptor)
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
        except EndpointError as error:
            self._failed[key] = self._mend(key, error.why)
            if not self._started:
                self._in_vain.add(key)

    def _mend(self, key: _Key, why: str) -> str:
        """Why a site cannot have an endpoint, who else has it, as far as that is known; what to do.

        Whatever it is, it is tried again when something in the folder changes.
        """
        again = "and touch this file"
        if why in _NO_RIGHT:
            if key not in self._in_vain:
                return f"cannot be opened with the rights that are left ({why}); {_RESTART}"
            again = f"and {_RESTART}"
        if why != _TAKEN:
            return f"cannot be opened: {why}; mend that, or write another, {again}"
        at = place(key[1])
        for site, endpoint in self._open:
            other = place(endpoint)
            if (other.port, other.path) == (at.port, at.path):
                return f"cannot be opened: {why} ({site} listens on {endpoint}); write another"
        seen = "see LISTEN, and ss -ltnp" if at.port is not None else "see ss -lxp"
        return f"cannot be opened: {why} ({seen}); free it {again}, or write another"

    def _listen(self, key: _Key, kept: int | None = None) -> _Door:
        door = _Door(key[0], self._gateway)
        door.listener = listen(key[1], self._board, self._board, door, kept)
        self._open[key] = door
        return door

    @property
    def bound(self) -> dict[str, int]:
        """The sockets, by the names that the spawner is to keep them by."""
        return {own_name(*key): door.listener.socket.fileno() for key, door in self._open.items()}

    @property
    def listeners(self) -> list[Listener]:
        """All that are open."""
        return [door.listener for door in self._open.values()]

    def start(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Begins to accept, and does as `settle`.

        Args:
            records: the public records of all sites.
        """
        self._started = True
        for door in self._open.values():
            self._begin(door)
        self.settle(records)

    def _begin(self, door: _Door) -> None:
        door.listener.startListening()
        self._log.info("Listening on {name} for {site}", name=door.listener.name, site=door.site)

    def settle(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Closes what no file says any more, and opens what is new.

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
        self._hand_over([key for key in said if key not in self._open], said)
        for key in [one for one in self._open if one not in said]:
            self._close(key)
        self._failed.clear()
        self._in_vain &= said.keys()  # should it come again, it is new
        for key in [one for one in said if one not in self._open]:
            self._try(*key)
            if key in self._open:
                self._begin(self._open[key])
                self._keep(key)
        self._tell(said)

    def _tell(self, said: Mapping[_Key, str]) -> None:
        before, self.wrong = self.wrong, {}
        for (site, endpoint), why in self._failed.items():
            path = said[site, endpoint]
            self.wrong.setdefault(site, (path, f'{path}: listen = "{endpoint}": {why}'))
        for site, one in self.wrong.items():
            if before.get(site) != one:
                self._log.warn("{message}; the site is served by Host", message=one[1])

    def _hand_over(self, new: Iterable[_Key], said: Container[_Key]) -> None:
        """Gives what one site has given up to the one that has it now, which takes no rights."""
        left = {key[1]: key for key in self._open if key not in said}
        for key in new:
            old = left.pop(key[1], None)
            if old is not None:
                door = self._open[key] = self._open.pop(old)
                door.site = key[0]
                self._gateway().close_own(old[0])
                self._keeper().drop(own_name(*old))
                self._keep(key)
                self._log.info(
                    "{old}: listens on {name} no more, which is for {site} now",
                    old=old[0],
                    name=door.listener.name,
                    site=key[0],
                )

    def _keep(self, key: _Key) -> None:
        self._keeper().keep(own_name(*key), self._open[key].listener.socket.fileno())

    def _close(self, key: _Key) -> None:
        listener = self._open.pop(key).listener
        name = listener.name
        listener.stopListening()
        self._keeper().drop(own_name(*key))
        self._gateway().close_own(key[0])
        self._log.info("{site}: listens on {name} no more", site=key[0], name=name)


def _listens(descriptor: int, endpoint: str) -> bool:
    """Whether it is a socket that listens where an endpoint says.

    One may have been shut down, by whoever has a copy; and it may have been kept for us by a
    process that somebody had taken over.
    """
    poller = select.poll()
    poller.register(descriptor, 0)
    try:
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            at = sock.getsockname()
    except OSError:
        return False  # it is another thing
    if not listens or any(events & select.POLLHUP for _, events in poller.poll(0)):
        return False
    if sock.family == socket.AF_UNIX:
        said = f"unix:{os.fsdecode(at)}"
    else:
        address = at[0].replace(":", "\\:")
        said = f"tcp:{at[1]}:interface={address}"
    return where(said) == where(endpoint)
