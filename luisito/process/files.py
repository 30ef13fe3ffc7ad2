"""The limit on open files: raised as far as it may be, and how many clients it has room for."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import attrs
from twisted.logger import Logger

from luisito.core.admission import files_for, most_clients

if TYPE_CHECKING:
    from luisito.settings import Settings

_log = Logger()


def with_limits(settings: Settings) -> Settings:
    """The same settings, in which MAX_CLIENTS and MAX_CLIENTS_PER_ADDRESS are numbers.

    Raises our soft limit on open files (RLIMIT_NOFILE) to the hard one; the spawner, which has been
    started before, lets the servers have what it has found. MAX_CLIENTS is no more than there is
    room for. Where there is no limit, it stays None.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    most, servers = settings.max_clients, settings.max_servers + settings.overlap
    page = settings.admin_listen is not None
    if hard != resource.RLIM_INFINITY:
        room = most_clients(hard, servers, page=page)
        if most is not None and most > room:
            _log.warn(
                "MAX_CLIENTS = {most} needs {needed} open files, and {hard} are allowed: there will"
                " be no more than {room} client connections. Raise the limit (LimitNOFILE= or"
                " ulimit -Hn), or write MAX_CLIENTS = {room}",
                most=most,
                needed=files_for(most, servers, page=page),
                hard=hard,
                room=room,
            )
        most = room if most is None else min(most, room)
    each = settings.max_clients_per_address
    if each is None and most is not None:
        each = max(1, most // 2)
    return attrs.evolve(settings, max_clients=most, max_clients_per_address=each)
