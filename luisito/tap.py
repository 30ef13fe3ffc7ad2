"""Luisito for twistd: its options, and the service they describe."""

from __future__ import annotations

import atexit
import errno
import os
import pwd
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from twisted.application.service import Application
from twisted.logger import ILogObserver, Logger, textFileLogObserver
from twisted.python import usage

from luisito.again import argv_of_twistd, as_successor
from luisito.errors import LuisitoError, SettingsError
from luisito.process import handshake
from luisito.service import LuisitoService
from luisito.settings import load
from luisito.settings.load import read
from luisito.tenure import argv_again

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from twisted.python.components import Componentized


class Options(usage.Options):
    """The options of `twistd luisito`."""

    longdesc = "Starts each site's app server when a request needs it, and keeps those in use."
    optParameters = [  # noqa: RUF012 - Twisted's form
        ["settings", "s", "settings.py", "The file with the settings."],
    ]

    def postOptions(self) -> None:
        """Reads the settings, so that a mistake shows before anything starts.

        Raises:
            SystemExit: a mistake, in one line; a UsageError would come below all of the usage.
        """
        claimed = None
        try:
            self["claimed"] = claimed = handshake.claim(os.environ)
            _refuse(self.parent or {})
            given = None if claimed is None else claimed.text
            self["text"] = text = read(self["settings"]).text if given is None else given
            self["loaded"] = load(self["settings"], text)
            self["file"] = os.path.abspath(self["settings"])  # as load() has it
        except LuisitoError as error:
            handshake.refuse(claimed, error)
            raise SystemExit(f"luisito: {error}") from None


def _refuse(twistd: Mapping[str, Any]) -> None:
    """Refuses options of twistd's that would not do what they say."""
    if twistd.get("chroot"):
        raise SettingsError(
            f"--chroot {twistd['chroot']}: is not supported, since app servers are started from"
            " outside; use a container, or RootDirectory= of systemd"
        )
    if twistd.get("euid"):
        raise SettingsError("--euid: Luisito gives up root for good; leave it out")


class _Service(LuisitoService):
    """The service under twistd and twist, whose ends it mends."""

    def __init__(
        self,
        reactor: Any,  # noqa: ANN401 - see LuisitoService
        options: Options,
        twistd: Mapping[str, Any],
    ) -> None:
        umask = twistd.get("umask")
        self._observed = _log_of_twistd(twistd)
        is_twistd = "nodaemon" in twistd
        stays = not is_twistd or twistd["nodaemon"] or twistd["debug"]
        super().__init__(
            reactor,
            options["loaded"],
            user=_user(twistd),
            umask=0o022 if umask is None else umask,
            pidfile=twistd.get("pidfile"),
            log=self._observed or _log_of_twist(twistd),
            argv=argv_of_twistd() if is_twistd else argv_again(),
            claimed=options["claimed"],
            text=options["text"],
            file=options["file"],
            # under a service manager the spawner is the main process
            foreground=bool(stays) and "NOTIFY_SOCKET" not in os.environ,
        )

    def setServiceParent(self, parent: Any) -> None:  # noqa: ANN401 - an IServiceCollection
        """Has twistd write its log to a file of ours: its own could not be opened again."""
        super().setServiceParent(parent)
        if self._observed is not None:
            parent.setComponent(ILogObserver, textFileLogObserver(self._observed))

    def privilegedStartService(self) -> None:
        """See LuisitoService."""
        with self._one_line():
            super().privilegedStartService()
        _leave_pidfile()

    def startService(self) -> None:
        """See LuisitoService."""
        with self._one_line():
            super().startService()

    @contextmanager
    def _one_line(self) -> Iterator[None]:
        """Says why it cannot start, without a traceback; twistd then ends with status 1."""
        try:
            yield
        except LuisitoError as error:
            self._tenure.cannot(error)
            Logger(namespace="luisito").critical("Cannot start: {error}", error=error)
            # it has been said
            sys.excepthook = lambda *_: None
            raise

    def _fail(self) -> None:
        # twistd itself always ends with 0; this runs after it has removed its pidfile
        atexit.register(os._exit, 1)
        super()._fail()


def _log_of_twistd(twistd: Mapping[str, Any]) -> TextIO | None:
    """The file that twistd is to write its log to; None where it is to write to none."""
    if "logfile" not in twistd or twistd["syslog"] or twistd["logger"]:
        return None
    foreground = twistd["nodaemon"] or twistd.get("debug")
    path = twistd["logfile"] or ("-" if foreground else "twistd.log")
    if path == "-" or (os.path.exists(path) and not os.path.isfile(path)):
        return None
    try:
        return open(os.path.abspath(path), "a", encoding="utf-8", opener=_open_log)
    except OSError as error:
        why = "is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise SettingsError(f"--logfile {path}: {why}; write another") from None


def _open_log(path: str, flags: int) -> int:
    """Opens it as the spawner opens logs: 0640, and nothing that somebody has put a link to."""
    fd = os.open(path, flags | os.O_NOFOLLOW, 0o640)
    if os.fstat(fd).st_nlink == 1:
        return fd
    os.close(fd)
    raise OSError(errno.EMLINK, "has another name, a hard link")


def _log_of_twist(twist: Mapping[str, Any]) -> TextIO | None:
    """The file that twist writes its log to."""
    file: TextIO | None = twist.get("logFile")
    if file is None or not isinstance(file.name, str) or not os.path.isfile(file.name):
        return None
    return file


def _leave_pidfile() -> None:
    """Leaves twistd's pidfile to the spawner: it is for the end of all, not for ours."""
    # there is no public way to tell twistd once it has written it
    from twisted.scripts._twistd_unix import UnixApplicationRunner

    UnixApplicationRunner.removePID = lambda _runner, _pidfile: None  # type: ignore[method-assign]


def _user(twistd: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Twistd's --uid and --gid; the group of a user is its own where none is given."""
    uid, gid = twistd.get("uid"), twistd.get("gid")
    if uid is not None and gid is None:
        try:
            gid = pwd.getpwuid(uid).pw_gid
        except KeyError:
            pass  # said when privileges are dropped
    return uid, gid


def makeService(options: Options) -> LuisitoService:
    """The service, for `twistd luisito` and `twist luisito`."""
    return _service(options, options.parent or {})


def _service(options: Options, twistd: Mapping[str, Any]) -> LuisitoService:
    from twisted.internet import reactor

    try:
        return _Service(reactor, options, twistd)
    except LuisitoError as error:
        handshake.refuse(options["claimed"], error)
        raise SystemExit(f"luisito: {error}") from None


def make_application(path: str) -> Componentized:
    """The application, for a .tac file.

    Args:
        path: of the settings file.
    """
    twistd = _twistd_options()
    options = Options()
    options.parent = twistd
    options["settings"] = path
    options.postOptions()
    if options["claimed"] is not None and "nodaemon" in twistd:
        as_successor(twistd)
    application: Componentized = Application("luisito")
    _service(options, twistd).setServiceParent(application)
    return application


def _twistd_options() -> usage.Options:
    """What twistd was started with: it does not tell the file that it runs."""
    # twisted.scripts.twistd imports it from here, and does not export it
    from twisted.scripts._twistd_unix import ServerOptions

    class Again(ServerOptions):
        def opt_reactor(self, name: str) -> None:
            """Is installed."""

        opt_r = opt_reactor

    options = Again()
    try:
        options.parseOptions(sys.argv[1:])
    except (usage.UsageError, SystemExit):
        return usage.Options()
    return options
