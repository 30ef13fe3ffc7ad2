"""The servers there are, and how one of them is stopped."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.task import CooperativeTask, Cooperator, TaskFinished, TaskStopped
from twisted.logger import Logger

from luisito.control.answers import answer, begin, deny, refuse
from luisito.control.overview import ASLEEP, WORDS
from luisito.control.routes import Route
from luisito.core.host import normalize
from luisito.core.lifecycle import State
from luisito.core.mounts import key_of
from luisito.errors import BadHost, LuisitoError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from luisito.control.connections import ControlRequest
    from luisito.control.overview import Overview, Row
    from luisito.control.roles import Roles
    from luisito.pool import Pool
    from luisito.proxy.gateway import Gateway

# So many rows are composed at a time, which takes about a millisecond; then the sites have a turn.
_ROWS: Final = 100
_LEAVING: Final = (State.DRAINING, State.STOPPING)


class Servers:
    """GET /servers and POST /servers/SITE/stop.

    Args:
        reactor: for turns.
        roles: who may do what.
        overview: what is told.
        pool: what is acted upon.
        gateway: knows which hosts are sites.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        roles: Roles,
        overview: Overview,
        pool: Pool,
        gateway: Gateway,
    ) -> None:
        self._roles, self._overview, self._pool, self._gateway = roles, overview, pool, gateway
        self._turns = Cooperator(scheduler=lambda call: reactor.callLater(0.0, call))

    def routes(self) -> list[Route]:
        """The resources."""
        return [
            Route("GET", "/servers", self._list, for_all=True),
            Route("POST", "/servers/SITE/stop", self._stop, for_all=True),
        ]

    def _list(self, request: ControlRequest) -> None:
        begin(request, 200)
        rows = self._overview.servers(request.uid)
        task = self._turns.cooperate(request.write(piece) for piece in _pieces(rows))
        request.notifyFinish().addErrback(lambda _: _end(task))
        task.whenDone().addCallbacks(lambda _: request.finish(), self._broken, (), {}, (request,))

    def _broken(self, failure: Failure, request: ControlRequest) -> None:
        if failure.check(TaskStopped) is None:  # which is the client's end
            self._log.failure("{request} could not be answered", failure, request=request)
            request.abort()

    async def _stop(self, request: ControlRequest, host: str) -> None:
        uid, overview = request.uid, self._overview
        is_operator = self._roles.is_operator(uid)
        name, slash, path = host.partition("/")
        try:
            site = normalize(name.encode("latin-1"))
        except BadHost as error:
            if is_operator:
                refuse(request, 400, str(error))
            else:
                deny(request)
            return
        # The name of a site whose file has this host; any other stays as it is.
        site = key_of(self._gateway.find(site).site, slash + path)
        seen = overview.of(uid, site)
        servers = map(self._pool.policy.server, self._pool.policy.keys(site))
        if any(server in seen for server in servers):
            self._log.info("{site}: uid {uid} asks it to stop", site=site, uid=uid)
            self._pool.stop(site, f"asked to by uid {uid}")
        leaving = [overview.row(server) for server in seen if server.state in _LEAVING]
        if leaving:
            state = WORDS[State.DRAINING]
            answer(request, 202, {"site": site, "state": state, "servers": leaving})
        elif is_operator:
            await self._nothing_to_stop(request, site)
        else:
            deny(request)

    async def _nothing_to_stop(self, request: ControlRequest, site: str) -> None:
        try:
            is_site = await self._gateway.is_site(site)
        except LuisitoError as error:
            refuse(request, 503, str(error))
            return
        if is_site:
            answer(request, 200, {"site": site, "state": ASLEEP, "servers": []})
        else:
            refuse(request, 404, f"{site} is not a site here")


def _end(task: CooperativeTask[Any]) -> None:
    with suppress(TaskFinished):  # it has failed, which is why the connection was aborted
        task.stop()


def _pieces(rows: Iterator[Row]) -> Iterator[bytes]:
    before = '{"servers": ['
    while part := list(islice(rows, _ROWS)):
        yield (before + ", ".join(map(json.dumps, part))).encode()
        before = ", "
    yield (before.removesuffix(", ") + "]}\n").encode()
