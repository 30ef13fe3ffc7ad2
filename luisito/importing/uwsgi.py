"""uWSGI's options as a program: the same on a command line, listening where Luisito says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from luisito.core.host import normalize
from luisito.errors import BadHost
from luisito.importing.commands import literal
from luisito.importing.found import Place, Program, address, unix

if TYPE_CHECKING:
    from luisito.importing.files import Source
    from luisito.importing.uwsgi_files import Option

_SOCKETS: Final = frozenset({"socket", "s", "uwsgi-socket", "http-socket", "http", "suwsgi-socket"})
_FLAGS: Final = frozenset(
    {
        "master", "vacuum", "enable-threads", "single-interpreter", "lazy-apps", "lazy",
        "need-app", "thunder-lock", "no-orphans", "memory-report", "strict", "auto-procname",
        "manage-script-name", "disable-logging", "log-x-forwarded-for", "close-on-exec",
        "ignore-sigpipe", "ignore-write-errors", "disable-write-exception",
        "log-date", "threaded-logger",
    }
)  # fmt: skip
_VALUED: Final = frozenset(
    {
        "module", "wsgi-file", "file", "callable", "mount", "psgi", "rack", "paste", "plugin",
        "plugins", "pythonpath", "virtualenv", "home", "venv", "pyargv", "processes", "workers",
        "threads", "cheaper", "cheaper-initial", "cheaper-step", "cheaper-algo", "harakiri",
        "buffer-size", "post-buffering", "max-requests", "reload-on-rss", "reload-on-as",
        "evil-reload-on-rss", "worker-reload-mercy", "reload-mercy", "max-worker-lifetime",
        "static-map", "check-static", "logger", "log-format", "logformat", "touch-reload", "stats",
        "python-path", "route", "offload-threads", "async", "gevent", "socket-timeout",
        "H", "w", "p",
    }
)  # fmt: skip
_OWN: Final = frozenset(
    {
        "cheap", "daemonize", "daemonize2", "d", "pidfile", "pidfile2", "safe-pidfile",
        "chmod-socket", "chown-socket", "listen", "procname-prefix", "logto", "logto2",
        "emperor", "no-site", "die-on-idle", "umask", "http-keepalive", "abstract-socket", "uwsgi",
    }
)  # fmt: skip
"""What Luisito does in ways of its own."""

_ODD: Final = (
    "emperor-", "fastrouter", "http-to", "if-", "end-if", "exec-", "hook-", "attach-daemon",
    "smart-attach-daemon", "cron", "mule", "legion", "inherit", "vassal-", "cgroup", "chroot",
    "plugins-list", "as-root", "for-readline", "https", "spooler",
)  # fmt: skip
"""Prefixes of what would be run, or listens, and is better looked at."""

_MEGABYTE: Final = 1024 * 1024


def vassal(source: Source, read: list[Option], folder: str, *, binary: str = "uwsgi") -> Program:
    """Makes a program of a vassal's options.

    Args:
        source: of the file.
        read: its options.
        folder: in which it is started.
        binary: that runs it.

    Returns:
        The program; its command is a template.
    """
    reading = _Reading(source, folder)
    for option in read:
        reading.take(option)
    program = reading.program
    if not reading.apps:
        why = "names no module, wsgi-file or other app"
        program.lost(program.place, "", why, "write the command of its site by hand")
    program.argv = program.command = [
        binary,
        "--http-socket",
        "%SOCKET",
        "--die-on-term",
        *reading.words,
    ]
    return program


_DIE: Final = "die-on-term"  # without it, SIGTERM is a reload


class _Reading:
    """The options, one by one."""

    def __init__(self, source: Source, folder: str) -> None:
        self._source, self._folder = source, folder
        self.words: list[str] = []
        self.apps = False
        self.program = Program(
            os.path.basename(source.path),
            Place(source.path),
            [],
            sources=[source.path],
            hidden=source.hidden,
        )

    def take(self, option: Option) -> None:
        """Notes one option."""
        name, value = option.name.replace("_", "-"), option.value
        program, place = self.program, Place(self._source.path, option.number)
        values = program.values
        if name in _SOCKETS:
            self._socket(place, name, value)
        elif name.startswith("subscribe") or name == "subscribe2":
            self._subscribe(place, name, value)
        elif name == "chdir":
            values["folder"] = os.path.normpath(os.path.join(self._folder, value))
        elif name in ("uid", "gid"):
            key = "user" if name == "uid" else "group"
            values[key] = int(value) if value.isdecimal() else value
        elif name == "env":
            variable, _, text = value.partition("=")
            program.env[variable.strip()] = text
        elif name == "idle" and value.isdecimal() and int(value[:9]):
            values["idle_timeout"] = int(value[:9])
        elif name == "limit-as" and value.isdecimal():
            values["rlimits"] = {"as": int(value[:9]) * _MEGABYTE}
        elif name in _OWN or name == _DIE:
            return
        elif name.startswith(_ODD):
            why = "no key says that"
            mend = "add it to the command if the site needs it"
            self.program.lost(place, f"{name} = {value}", why, mend)
        elif name in ("ini", "yaml", "xml", "include"):
            why = "names another file, which may set a socket"
            self.program.lost(
                place, f"{name} = {value}", why, "put what is in there into this file"
            )
            program.incomplete = True
        else:
            self._word(name, value)

    def _word(self, name: str, value: str) -> None:
        if name in ("virtualenv", "home", "H", "venv"):
            self.program.values["virtualenv"] = value
        if name in (
            "module",
            "w",
            "wsgi-file",
            "file",
            "mount",
            "pythonpath",
            "psgi",
            "rack",
            "paste",
        ):
            self.apps |= name != "pythonpath"
        dashes = "-" if len(name) == 1 else "--"
        if name in _FLAGS and value.lower() in ("1", "yes", "on", "true"):
            self.words.append(f"{dashes}{name}")
        elif name in _FLAGS and value.lower() in ("0", "no", "off", "false"):
            return
        elif len(name) == 1 or name in _VALUED:
            self.words += [f"{dashes}{name}", literal(value)]
        else:  # an option that we do not know, or a name that only the file itself needs
            self.words += ["--set", f"{name}={literal(value)}"]

    def _socket(self, place: Place, name: str, value: str) -> None:
        program = self.program
        written = value.partition(",")[0]
        if written.endswith(":0"):  # any port, for whom it subscribes to
            return
        one = address(written, self._folder)
        if one is None and ":" not in written:
            one = unix(written, self._folder)
        if one is None:
            mend = "see that no other program needs it"
            self.program.lost(place, f"{name} = {value}", "is no address that is known", mend)
            return
        program.addresses.append(one)

    def _subscribe(self, place: Place, name: str, value: str) -> None:
        """Reads `SERVER:PORT:HOST[:HOST...]` or `server=...,key=HOST` (its SubscriptionServer)."""
        if "key=" in value:
            keys = [one[4:] for one in value.split(",") if one.startswith("key=")]
        else:
            keys = value.split(":")[2:]
        hosts = [one.partition("/")[0].lower() for one in keys]
        for host in hosts:
            try:
                self.program.hosts.append(normalize(host.encode()))
            except (BadHost, UnicodeError):
                why, mend = "is no host", "write its hosts into aliases"
                self.program.lost(place, f"{name} = {value}", why, mend)


def host_of_name(path: str) -> str:
    """The host that a vassal's file is named after, or ""."""
    stem = os.path.splitext(os.path.basename(path))[0]
    try:
        return normalize(stem.encode()) if "." in stem else ""
    except (BadHost, UnicodeError):
        return ""
