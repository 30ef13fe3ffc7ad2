"""The control socket's resources: what a request asks for, and its answer in JSON."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import CooperativeTask, Cooperator, TaskFinished, TaskStopped
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from luisito.control.overview import ASLEEP, WORDS
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
    from luisito.control.succession import Succession
    from luisito.pool import Pool
    from luisito.proxy.gateway import Gateway

# So many rows are composed at a time, which takes about a millisecond; then the sites have a turn.
_ROWS: Final = 100
_LEAVING: Final = (State.DRAINING, State.STOPPING)


class Api(Resource):
    """Answers every request of the control socket.

    Args:
        reactor: for turns.
        roles: who may do what.
        overview: what is told.
        pool: what is acted upon.
        gateway: knows which hosts are sites.
        succession: has us replaced.
    """

    _log = Logger()
    isLeaf = True

    def __init__(
        self,
        reactor: IReactorTime,
        roles: Roles,
        overview: Overview,
        pool: Pool,
        gateway: Gateway,
        succession: Succession,
    ) -> None:
        super().__init__()
        self._roles, self._overview = roles, overview
        self._pool, self._gateway, self._succession = pool, gateway, succession
        self._turns = Cooperator(scheduler=lambda call: reactor.callLater(0.0, call))

    def render(self, request: ControlRequest) -> int:
        """See IResource."""
        is_operator = self._roles.is_operator(request.uid)
        match request.method, request.postpath:
            case b"GET", [b"servers"]:
                self._servers(request)
            case b"GET", [b"status"] if is_operator:
                _answer(request, 200, self._overview.status())
            case b"GET", [b"advice"] if is_operator:
                _answer(request, 200, self._overview.advice())
            case b"POST", [b"restart"] if is_operator:
                self._restart(request)
            case b"POST", [b"servers", host, b"stop"]:
                stopped = Deferred.fromCoroutine(self._stop(request, host))
                stopped.addErrback(self._broken, request)
            case _ if not is_operator:
                _deny(request)
            case _, [b"servers"] | [b"status"] | [b"advice"]:
                _refuse_method(request, b"GET")
            case _, [b"servers", _, b"stop"] | [b"restart"]:
                _refuse_method(request, b"POST")
            case _:
                _refuse(request, 404, "there is no such resource")
        return NOT_DONE_YET

    # -- GET /servers

    def _servers(self, request: ControlRequest) -> None:
        _begin(request, 200)
        rows = self._overview.servers(request.uid)
        task = self._turns.cooperate(request.write(piece) for piece in _pieces(rows))
        request.notifyFinish().addErrback(lambda _: _end(task))
        task.whenDone().addCallbacks(lambda _: request.finish(), self._broken, (), {}, (request,))

    # -- POST /restart

    def _restart(self, request: ControlRequest) -> None:
        if self._overview.stopping:
            _refuse(request, 409, "Luisito is stopping")
            return
        self._log.info("uid {uid} asks for a restart", uid=request.uid)
        self._succession.replace()
        _answer(request, 202, {"pid": os.getpid()})

    # -- POST /servers/SITE/stop

    async def _stop(self, request: ControlRequest, host: bytes) -> None:
        uid, overview = request.uid, self._overview
        is_operator = self._roles.is_operator(uid)
        name, slash, path = host.partition(b"/")
        try:
            site = normalize(name)
        except BadHost as error:
            if is_operator:
                _refuse(request, 400, str(error))
            else:
                _deny(request)
            return
        # The name of a site whose file has this host; any other stays as it is.
        site = key_of(self._gateway.find(site).site, (slash + path).decode("latin-1"))
        seen = overview.of(uid, site)
        servers = map(self._pool.policy.server, self._pool.policy.keys(site))
        if any(server in seen for server in servers):
            self._log.info("{site}: uid {uid} asks it to stop", site=site, uid=uid)
            self._pool.stop(site, f"asked to by uid {uid}")
        leaving = [overview.row(server) for server in seen if server.state in _LEAVING]
        if leaving:
            _answer(request, 202, {"site": site, "state": _slowest(leaving), "servers": leaving})
        elif is_operator:
            await self._nothing_to_stop(request, site)
        else:
            _deny(request)

    async def _nothing_to_stop(self, request: ControlRequest, site: str) -> None:
        try:
            is_site = await self._gateway.is_site(site)
        except LuisitoError as error:
            _refuse(request, 503, str(error))
            return
        if is_site:
            _answer(request, 200, {"site": site, "state": ASLEEP, "servers": []})
        else:
            _refuse(request, 404, f"{site} is not a site here")

    def _broken(self, failure: Failure, request: ControlRequest) -> None:
        if failure.check(TaskStopped) is None:  # which is the client's end
            self._log.failure("{request} could not be answered", failure, request=request)
            request.abort()


def _end(task: CooperativeTask[Any]) -> None:
    with suppress(TaskFinished):  # it has failed, which is why the connection was aborted
        task.stop()


def _slowest(leaving: list[Row]) -> str:
    """What is said of servers that are on their way out: what the last of them waits for."""
    draining = WORDS[State.DRAINING]
    return draining if any(row["state"] == draining for row in leaving) else WORDS[State.STOPPING]


def _pieces(rows: Iterator[Row]) -> Iterator[bytes]:
    before = '{"servers": ['
    while part := list(islice(rows, _ROWS)):
        yield (before + ", ".join(map(json.dumps, part))).encode()
        before = ", "
    yield (before.removesuffix(", ") + "]}\n").encode()


def _begin(request: ControlRequest, status: int) -> None:
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", b"application/json")


def _answer(request: ControlRequest, status: int, value: object) -> None:
    if request.gone:
        return
    body = json.dumps(value).encode() + b"\n"
    _begin(request, status)
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.write(body)
    request.finish()


def _refuse(request: ControlRequest, status: int, why: str) -> None:
    _answer(request, status, {"error": why})


def _refuse_method(request: ControlRequest, allowed: bytes) -> None:
    request.setHeader(b"Allow", allowed)
    _refuse(request, 405, f"use {allowed.decode()}")


def _deny(request: ControlRequest) -> None:
    # the same whatever was asked for, so that nobody learns what there is
    _refuse(request, 403, "only an operator may, or the user that the site's server runs as")
