"""Luisito for twistd: its options, and the service they describe."""

from __future__ import annotations

import atexit
import os
import pwd
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from twisted.application.service import Application
from twisted.logger import Logger
from twisted.python import usage

from luisito.errors import LuisitoError
from luisito.service import LuisitoService
from luisito.settings import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from twisted.python.components import Componentized

    from luisito.settings import Settings


class Options(usage.Options):
    """The options of `twistd luisito`."""

    longdesc = "Starts each site's app server when a request needs it, and keeps those in use."
    optParameters = [  # noqa: RUF012 - Twisted's form
        ["settings", "s", "settings.py", "The file with the settings."],
    ]

    def postOptions(self) -> None:
        """Reads the settings, so that a mistake shows before anything starts."""
        try:
            self["loaded"] = load(self["settings"])
        except LuisitoError as error:
            raise usage.UsageError(str(error)) from None


class _Service(LuisitoService):
    """The service under twistd and twist, whose ends it mends."""

    def privilegedStartService(self) -> None:
        """See LuisitoService."""
        with _one_line():
            super().privilegedStartService()
        if os.geteuid() == 0:
            _leave_pidfile()

    def startService(self) -> None:
        """See LuisitoService."""
        with _one_line():
            super().startService()

    def _spawner_lost(self, reason: str) -> None:
        # twistd itself always ends with 0; this runs after it has removed its pidfile
        atexit.register(os._exit, 1)
        super()._spawner_lost(reason)


@contextmanager
def _one_line() -> Iterator[None]:
    """Says why it cannot start, without a traceback; twistd cleans up and ends with status 1."""
    try:
        yield
    except LuisitoError as error:
        Logger(namespace="luisito").critical("Cannot start: {error}", error=error)
        # it has been said
        sys.excepthook = lambda *_: None
        raise


def _leave_pidfile() -> None:
    """Leaves twistd's pidfile to the spawner: nobody may not delete it, and would only complain."""
    # there is no public way to tell twistd once it has written it
    from twisted.scripts._twistd_unix import UnixApplicationRunner

    UnixApplicationRunner.removePID = lambda _runner, _pidfile: None  # type: ignore[method-assign]


def _user(twistd: Mapping[str, Any] | None) -> tuple[int | None, int | None]:
    """Twistd's --uid and --gid; the group of a user is its own where none is given."""
    uid, gid = (twistd.get("uid"), twistd.get("gid")) if twistd is not None else (None, None)
    if uid is not None and gid is None:
        try:
            gid = pwd.getpwuid(uid).pw_gid
        except KeyError:
            pass  # said when privileges are dropped
    return uid, gid


def makeService(options: Options) -> LuisitoService:
    """The service, for `twistd luisito` and `twist luisito`."""
    return _service(options["loaded"], options.parent)


def _service(settings: Settings, twistd: Mapping[str, Any] | None) -> LuisitoService:
    from twisted.internet import reactor

    pidfile = twistd.get("pidfile") if twistd is not None else None
    return _Service(reactor, settings, user=_user(twistd), pidfile=pidfile)


def make_application(path: str) -> Componentized:
    """The application, for a .tac file.

    Args:
        path: of the settings file.
    """
    options = Options()
    options["settings"] = path
    try:
        options.postOptions()
    except usage.UsageError as error:
        raise SystemExit(f"luisito: {error}") from None
    application: Componentized = Application("luisito")
    _service(options["loaded"], _twistd_options()).setServiceParent(application)
    return application


def _twistd_options() -> Mapping[str, Any] | None:
    """What twistd was started with: it does not tell the file that it runs."""
    # twisted.scripts.twistd imports it from here, and does not export it
    from twisted.scripts._twistd_unix import ServerOptions

    options = ServerOptions()
    try:
        options.parseOptions(sys.argv[1:])
    except (usage.UsageError, SystemExit):
        return None
    return options
