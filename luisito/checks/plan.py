"""What would be run for a host, by the code that runs it, and why it would be refused."""

from __future__ import annotations

import os
import pwd
import re
import shlex
from typing import TYPE_CHECKING, NamedTuple

from luisito.checks.eyes import Eyes, reach
from luisito.checks.files import make
from luisito.checks.report import Mend, Problem
from luisito.core import wire
from luisito.core.permissions import EXECUTE
from luisito.process.configuration import configuration
from luisito.settings.chooser import asked
from luisito.settings.values import Function
from luisito.spawner.chooser import NoAnswerError
from luisito.spawner.config import Config
from luisito.spawner.place import default_place
from luisito.spawner.render import Rendered, render
from luisito.spawner.users import Identity, StartRefusedError, open_folder

if TYPE_CHECKING:
    from luisito.checks.whom import Whom
    from luisito.settings import Settings

_SERVER = 1  # the first of a Luisito that has just started


class Plan(NamedTuple):
    """What would be run for a host.

    Attributes:
        folder: that the server runs in.
        is_site: its PROJECT_PATH, or its file's folder, is there, where that is set.
        why: the user is this one.
        user: who the server runs as; None where it is refused.
        rendered: its command and environment; None where it is refused.
        way_in: where it is reached.
        problem: why it is refused.
        own_folder: that folder is the site's own, and not where Luisito is started.
    """

    folder: str
    is_site: bool
    why: str
    user: Identity | None
    rendered: Rendered | None
    way_in: str
    problem: Problem | None
    own_folder: bool = False


def configured(settings: Settings, who: Whom) -> Config:
    """What the spawner makes of the settings.

    Raises:
        SettingsError: it would not take them.
    """
    order = configuration(
        settings,
        allow_root=False,
        umask=0o022,
        network_user=(who.network.uid, who.network.gid),
        sockets=[],
        pidfile=None,
        log=None,
    )
    return Config(order, root=who.root)


def plan(settings: Settings, config: Config, host: str, who: Whom, file: str = "") -> Plan:
    """Tell what would be run for a site.

    Args:
        settings: checked.
        config: what the spawner makes of them, and of the site's file where it has one.
        host: the site.
        who: Luisito.
        file: the path of that file; "" without one.

    Raises:
        TemplateError: the host cannot stand in the command.
    """
    planned = _plan(settings, config, host, who, file)
    return planned._replace(own_folder=config.folder(host) is not None)


def _plan(settings: Settings, config: Config, host: str, who: Whom, file: str) -> Plan:
    path, status = config.folder(host), None
    folder, why = path or config.cwd, _why(settings, who, file)
    if path is not None:
        problem = _missing(path, host, who, config, file) or reach(path, Eyes(who.starter), EXECUTE)
        if problem is None and not config.own_folder:  # else only the user opens it
            try:
                descriptor = open_folder(path, config.fixed)
            except StartRefusedError as refused:
                problem = Problem(file or "PROJECT_PATH", *_split(str(refused)))
            else:
                status = os.fstat(descriptor)
                os.close(descriptor)
        if problem is not None:
            return Plan(folder, False, why, None, None, "", problem)
    run_as: str | int | None = config.run_as
    if isinstance(settings.run_as, Function) and config.run_as_file is not None:
        try:
            run_as = asked(settings.run_as, host)
        except NoAnswerError as error:
            problem = Problem("RUN_AS", error.what, Mend("do", error.mend or "mend that function"))
            return Plan(folder, True, why, None, None, "", problem)
    try:
        user = config.identity(run_as, status, path)
    except StartRefusedError as refused:
        what, mend = _split(str(refused))
        mend = _mend(config, run_as, host, path, status) or mend
        where = file or "RUN_AS"
        if path is not None and run_as in (None, "owner"):
            where = path
        problem = Problem(where, what, mend)
        return Plan(folder, True, why, None, None, "", problem)
    port = settings.port_range[0] if config.way == "port" else None
    runtime_dir = settings.runtime_dir or default_place(who.starter.uid, os.environ)
    rendered = render(config, runtime_dir, wire.Start(_SERVER, host, port), user)
    if "LISTEN_PID" in rendered.environ:
        rendered.environ["LISTEN_PID"] = "PID"
    return Plan(folder, True, why, user, rendered, _way_in(config, settings, runtime_dir), None)


def _way_in(config: Config, settings: Settings, runtime_dir: str) -> str:
    if config.way == "port":
        first, last = settings.port_range
        return f"%PORT: a port of {first} to {last} on the loopback interface"
    if config.way == "socket":
        return f"%SOCKET: {wire.socket_path(runtime_dir, _SERVER)}"
    kind = "TCP" if settings.handed_socket == "tcp" else "unix"
    return f"%FD: a {kind} socket that listens, as descriptor 3"


def _why(settings: Settings, who: Whom, file: str) -> str:
    if not who.root:
        return "who starts Luisito"
    if file:
        return f"by {file}, or the settings where it says nothing"
    if isinstance(settings.run_as, Function):
        return "the function RUN_AS"
    if settings.run_as not in (None, "owner"):
        return "RUN_AS"
    if settings.project_path is not None:
        return "the owner of PROJECT_PATH"
    return "neither RUN_AS nor PROJECT_PATH is set"


def _split(refusal: str) -> tuple[str, Mend]:
    """The parts of a message that ends in its mend."""
    what, _, mend = refusal.partition("; ")
    return what, Mend("do", mend)


def _missing(path: str, host: str, who: Whom, config: Config, file: str) -> Problem | None:
    """That a site's folder is not there, as far as we can see."""
    try:
        os.stat(path)
    except FileNotFoundError:
        so = "its server cannot start" if file else "its host is no site"
        return Problem(
            path, f"is not there, so that {so}", Mend("run", _made(path, host, who, config))
        )
    except OSError:
        pass
    return None


def _made(path: str, host: str, who: Whom, config: Config) -> str:
    """The command that makes a site's folder."""
    if not who.root:
        return make(path, Eyes(who.starter))
    if config.run_as not in (None, "owner"):
        return f"install -d -o {shlex.quote(str(config.run_as))} {shlex.quote(path)}"
    name = _name(host)  # root's would be refused
    return f"{_useradd(name, path)}install -d -o {name} -g {name} {shlex.quote(path)}"


def _mend(
    config: Config,
    run_as: str | int | None,
    host: str,
    path: str | None,
    status: os.stat_result | None,
) -> Mend | None:
    """The command, or the line of settings.py, after which a server is no longer refused."""
    if not config.root:
        return None
    if path is None or status is None or run_as not in (None, "owner"):
        return None if run_as == "owner" else _mend_user(config, run_as or "nobody")
    owner = _known(status.st_uid)
    if owner is None:
        name = _name(host)
        return Mend("run", f"useradd --uid {status.st_uid} --no-create-home {name}")
    if owner.pw_uid == 0 or owner.pw_gid == 0:
        return Mend("run", _to_somebody(path, host))
    if status.st_gid == 0:
        return Mend("run", f"chgrp {owner.pw_gid} {shlex.quote(path)}")
    return _mend_user(config, owner.pw_uid)


def _mend_user(config: Config, run_as: str | int) -> Mend | None:
    user = _known(run_as)
    if user is None:
        words = f"--uid {run_as} luisito-{run_as}" if isinstance(run_as, int) else run_as
        return Mend("run", f"useradd --no-create-home {words}")
    if 0 < user.pw_uid < config.min_uid:
        return Mend("write", f"MIN_UID = {user.pw_uid}")
    if 0 in os.getgrouplist(user.pw_name, user.pw_gid) and user.pw_gid != 0:
        return Mend("run", f"gpasswd --delete {user.pw_name} root")
    return None


def _known(user: str | int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
    except KeyError:
        return None


def _to_somebody(path: str, host: str) -> str:
    """The command that gives a folder to whoever has files in it, else to a user of its own."""
    try:
        with os.scandir(path) as entries:
            owners = {entry.stat(follow_symlinks=False).st_uid for entry in entries} - {0}
    except OSError:
        owners = set()
    if len(owners) == 1 and (owner := _known(owners.pop())) is not None and owner.pw_gid:
        return f"chown {owner.pw_name}:{owner.pw_gid} {shlex.quote(path)}"
    name = _name(host)
    return f"{_useradd(name, path)}chown -R {name}: {shlex.quote(path)}"


def _name(host: str) -> str:
    """A user name for a site."""
    return "site-" + re.sub(r"[^a-z0-9]+", "-", host).strip("-")[:26].strip("-")


def _useradd(name: str, path: str) -> str:
    if _known(name) is not None:
        return ""
    return f"useradd --user-group --no-create-home --home-dir {shlex.quote(path)} {name} && "
