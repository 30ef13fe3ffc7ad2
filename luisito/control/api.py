"""Finds who answers a request of the control socket, and whether whoever asks may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import maybeDeferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from luisito.control.answers import answer, deny, refuse
from luisito.control.routes import Route, Routes, arguments

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.python.failure import Failure

    from luisito.control.connections import ControlRequest
    from luisito.control.roles import Roles


class Api(Resource):
    """Answers every request.

    Args:
        roles: who may do what.
        routes: the resources.
    """

    isLeaf = True

    def __init__(self, roles: Roles, routes: Iterable[Route]) -> None:
        super().__init__()
        self._roles = roles
        self._routes = Routes([*routes, Route("GET", "/", self._index, for_all=True)])

    def render(self, request: ControlRequest) -> int:
        """See IResource."""
        is_operator = self._roles.is_operator(request.uid)
        path = [word.decode("latin-1") for word in request.postpath or ()]
        by_method = self._routes.find(path)
        route = by_method.get(request.method.decode("latin-1"))
        if not is_operator and not (route is not None and route.for_all):
            deny(request)
        elif route is not None:
            self._answer(request, route, path)
        elif by_method:
            allowed = ", ".join(by_method)
            request.setHeader(b"Allow", allowed.encode())
            refuse(request, 405, f"use {allowed}")
        else:
            refuse(request, 404, "there is no such resource")
        return NOT_DONE_YET

    def _index(self, request: ControlRequest) -> None:
        answer(request, 200, {"resources": [f"{one.method} {one.path}" for one in self._routes]})

    def _answer(self, request: ControlRequest, route: Route, path: list[str]) -> None:
        begun = maybeDeferred(route.handler, request, *arguments(route, path))
        begun.addErrback(_broken, request)


def _broken(failure: Failure, request: ControlRequest) -> None:
    request.processingFailed(failure)
