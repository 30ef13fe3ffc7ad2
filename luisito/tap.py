"""Luisito for twistd: its options, and the service they describe."""

from __future__ import annotations

import atexit
import os
from typing import TYPE_CHECKING

from twisted.application.service import Application
from twisted.python import usage

from luisito.errors import LuisitoError
from luisito.service import LuisitoService
from luisito.settings import load

if TYPE_CHECKING:
    from luisito.settings import Settings


class Options(usage.Options):
    """The options of `twistd luisito`."""

    longdesc = "Starts each site's app server when a request needs it, and keeps those in use."
    optParameters = [  # noqa: RUF012 - Twisted's form
        ["settings", "s", "settings.py", "The file with the settings."],
    ]

    def postOptions(self) -> None:
        """Reads the settings, so that a mistake shows before anything starts."""
        self["loaded"] = _loaded(self["settings"])


def _loaded(path: str) -> Settings:
    try:
        return load(path)
    except LuisitoError as error:
        raise usage.UsageError(str(error)) from None


class _Service(LuisitoService):
    """Ends with status 1 where the spawner was lost, for whoever supervises us."""

    def _spawner_lost(self, reason: str) -> None:
        # twistd itself always ends with 0; this runs after it has removed its pidfile
        atexit.register(os._exit, 1)
        super()._spawner_lost(reason)


def makeService(options: Options) -> LuisitoService:
    """The service, for `twistd luisito` and `twist luisito`."""
    from twisted.internet import reactor

    return _Service(reactor, options["loaded"])


def make_application(path: str) -> Application:
    """The application, for a .tac file.

    Args:
        path: of the settings file.
    """
    application = Application("luisito")
    options = Options()
    options["settings"] = path
    try:
        options.postOptions()
    except usage.UsageError as error:
        raise SystemExit(f"luisito: {error}") from None
    makeService(options).setServiceParent(application)
    return application
