"""ADMIN_LISTEN as a whole: bound while Luisito still may, opened, and closed."""

from __future__ import annotations

import socket
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger

from luisito.control.door import Door
from luisito.control.front.guests import Guests
from luisito.control.front.judge import Judge
from luisito.control.front.root import Root
from luisito.control.front.sessions import Secrets
from luisito.control.front.stream import Streams
from luisito.errors import SettingsError
from luisito.net.listening import listen
from luisito.settings.admin import needs_token

if TYPE_CHECKING:
    from twisted.web.resource import Resource

    from luisito.control.front.stream import Shown
    from luisito.control.roles import Roles
    from luisito.net.listening import Listener
    from luisito.net.switchboard import Switchboard
    from luisito.readiness.diag import Diag
    from luisito.settings import Settings

_NAME: Final = "admin "  # before the endpoint, so that one of LISTEN is another


def bind(board: Switchboard, settings: Settings, kept: dict[str, int]) -> dict[str, Listener]:
    """Binds ADMIN_LISTEN, where it is set.

    Args:
        board: on which all runs.
        settings: in force.
        kept: sockets that are there for us; what is used is taken out.

    Returns:
        The listening socket by the name that it is to be kept by; nothing where there is none.

    Raises:
        SettingsError: it cannot be listened on, or not without a token.
    """
    said = settings.admin_listen
    if said is None:
        return {}
    name = _NAME + said
    try:
        # a Door accepts on it, so that it needs no acceptor
        listener = listen(said, board, board, None, kept.pop(name, None))  # type: ignore[arg-type]
    except SettingsError as error:
        raise SettingsError(f"ADMIN_{error}") from None
    sock = listener.socket
    if settings.admin_token is None and sock.family != socket.AF_UNIX:
        address = sock.getsockname()[0].partition("%")[0]
        if not ip_address(address).is_loopback:
            sock.close()
            raise SettingsError(needs_token(f'"{said}"'))
    return {name: listener}


class Front:
    """The page, and what the control socket answers, over TCP.

    Args:
        reactor: Twisted's.
        board: for timers and the listening socket.
        listener: see `bind`.
        token: ADMIN_TOKEN.
        api: what the control socket answers.
        roles: who may do what.
        diag: asks the kernel who is there.
        shown: what streams tell of.

    Attributes:
        streams: of events.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,  # noqa: ANN401 - several of Twisted's reactor interfaces at once
        board: Switchboard,
        listener: Listener,
        token: str | None,
        *,
        api: Resource,
        roles: Roles,
        diag: Diag,
        shown: Shown,
    ) -> None:
        secrets = Secrets(token)
        self.streams = Streams(board, roles, shown)
        judge = Judge(secrets, roles.shared)
        root = Root(api, judge, secrets, roles, self.streams, shown, reactor.seconds, time.time)
        guests = Guests(board, root, roles, diag)
        self._name = listener.name
        self._door = Door(reactor, board, listener.socket, guests, "ADMIN_LISTEN")

    def open(self) -> None:
        """Begins to answer."""
        self._door.open()
        self._log.info("Page for operators: {name}", name=self._name)

    def close(self) -> None:
        """Answers no more."""
        self._door.close()
