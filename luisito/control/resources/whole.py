"""Luisito as a whole: what it is doing, what other sizes would do, and its restart."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from twisted.logger import Logger

from luisito.control.answers import answer, refuse
from luisito.control.roles import called
from luisito.control.routes import Route

if TYPE_CHECKING:
    from luisito.control.connections import ControlRequest
    from luisito.control.overview import Overview
    from luisito.control.succession import Succession


class Whole:
    """GET /status, GET /advice and POST /restart.

    Args:
        overview: what is told.
        succession: has us replaced.
    """

    _log = Logger()

    def __init__(self, overview: Overview, succession: Succession) -> None:
        self._overview, self._succession = overview, succession

    def routes(self) -> list[Route]:
        """The resources."""
        return [
            Route("GET", "/status", self._status),
            Route("GET", "/advice", self._advice),
            Route("POST", "/restart", self._restart),
        ]

    def _status(self, request: ControlRequest) -> None:
        answer(request, 200, self._overview.status())

    def _advice(self, request: ControlRequest) -> None:
        answer(request, 200, self._overview.advice())

    def _restart(self, request: ControlRequest) -> None:
        if self._overview.stopping:
            refuse(request, 409, "Luisito is stopping")
            return
        self._log.info("{who} asks for a restart", who=called(request.uid))
        self._succession.replace()
        answer(request, 202, {"pid": os.getpid()})
