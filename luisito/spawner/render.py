"""What a server is run with: its command and its environment, from the templates."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from luisito.core import mainpid, wire
from luisito.core.keys import site_of
from luisito.core.siteindex import NO_WAY
from luisito.core.template import WAYS
from luisito.spawner import tree
from luisito.spawner.config import LISTENER

if TYPE_CHECKING:
    from luisito.core.template import Template
    from luisito.spawner.config import Config
    from luisito.spawner.siteconfig import SiteConfig
    from luisito.spawner.users import Identity


class Rendered(NamedTuple):
    """A command that is ready to be executed.

    Attributes:
        argv: the program and its arguments.
        environ: the whole environment.
    """

    argv: list[str]
    environ: dict[str, str]


def render(config: Config, runtime_dir: str, order: wire.Start, user: Identity) -> Rendered:
    """Put a server's values into the templates.

    Args:
        config: has the templates.
        runtime_dir: the folder of the servers' folders.
        order: names the site, the server and its port.
        user: who it runs as.

    Raises:
        TemplateError: a word cannot stand for its value.
    """
    values = command_values(config, runtime_dir, order, user.uid, user.gid)
    argv = config.command.render(values)
    return Rendered(argv, _environ(config, runtime_dir, order, user, values))


# What stands in a blank for what only an order tells; starter.c knows them, too.
SITE, PORT, PID, NAME = "\x01", "\x02", "\x03", "\x04"
_FILLED = re.compile(f"[{SITE}{PORT}{PID}{NAME}]")


def render_blank(config: Config, runtime_dir: str, server: int, user: Identity) -> Rendered | None:
    """As `render`, before it is known for which site: SITE, PORT, PID and NAME are to be filled in.

    Returns:
        None where what was written has such characters itself.

    Raises:
        TemplateError: see there.
    """
    written = [*config.command.texts, *config.inherited.values(), user.home, user.name, config.cwd]
    written.append(runtime_dir)
    for template in config.env.values():
        written += template.texts
    if any(map(_FILLED.search, (*written, *config.env))):
        return None
    order = wire.Start(server, SITE, None)
    values = command_values(config, runtime_dir, order, user.uid, user.gid)
    if config.way == "port":
        values["PORT"] = PORT
    environ = _environ(config, runtime_dir, order, user, values, PID, NAME)
    return Rendered(config.command.render(values), environ)


def render_stop(
    config: SiteConfig, runtime_dir: str, order: wire.Start, user: Identity, main_pid: int
) -> Rendered:
    """As `render`, of the command that stops a server.

    Args:
        config: that has one.
        runtime_dir: see there.
        order: by which the server was started.
        user: who it runs as.
        main_pid: of its first process, where the command is run.

    Raises:
        TemplateError: see there.
    """
    values = command_values(config, runtime_dir, order, user.uid, user.gid)
    environ = _environ(config, runtime_dir, order, user, values)
    for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"):
        environ.pop(name, None)
    environ[mainpid.NAME] = str(main_pid)
    command = config.stop_command
    assert command is not None  # noqa: S101 - for the types
    return Rendered(mainpid.with_main_pid(command.render(values), main_pid), environ)


def render_hook(
    config: Config, site: str, number: int, user: Identity, command: Template, facts: dict[str, str]
) -> Rendered:
    """As `render`, of a hook: it has the environment of the site's server, but for the way in.

    Args:
        config: a SiteConfig, whose server's variables it gets, or that of the settings.
        site: the key of the site that it is told of.
        number: that stands for a server's.
        user: who it runs as.
        command: of it.
        facts: the variables that it is told by.
    """
    order = wire.Start(number, site, None)
    config.way = NO_WAY
    config.env = {name: one for name, one in config.env.items() if not one.words & WAYS.keys()}
    values = command_values(config, "", order, user.uid, user.gid)
    environ = _environ(config, "", order, user, values) | facts
    return Rendered(command.render({"HOST": values["HOST"]}), environ)


def command_values(
    config: Config, runtime_dir: str, order: wire.Start, uid: int, gid: int
) -> dict[str, str]:
    """Tell what the words of templates stand for in one start."""
    path = config.folder(order.site) or config.cwd
    values = {"HOST": site_of(order.site), "UID": str(uid), "GID": str(gid), "PATH": path}
    if config.way == "port":
        values["PORT"] = str(order.port)
    elif config.way == "socket":
        values["SOCKET"] = wire.socket_path(runtime_dir, order.server)
    elif config.way == "fd":
        values["FD"] = str(LISTENER)
    return values


def _environ(
    config: Config,
    runtime_dir: str,
    order: wire.Start,
    user: Identity,
    values: dict[str, str],
    pid: str | None = None,
    name: str | None = None,
) -> dict[str, str]:
    environ = {
        **config.inherited,
        "HOME": user.home,
        "USER": user.name,
        "LOGNAME": user.name,
        "PYTHONUNBUFFERED": "1",  # or the last words of a crash would never reach the log
        **config.variables,
    }
    if config.way != NO_WAY:  # nobody listens to a worker
        environ["NOTIFY_SOCKET"] = wire.notify_path(runtime_dir, order.server)
    if config.way == "port":
        environ["PORT"] = values["PORT"]
    elif config.way == "fd" and "FD" not in config.command.words:
        # sd_listen_fds(3); names are separated by colons, which an IPv6 host has. Not for a command
        # that is told the descriptor: gunicorn takes it twice then, and fails.
        name = name or order.site.replace(":", "-")
        pid = pid or str(os.getpid())
        environ |= {"LISTEN_FDS": "1", "LISTEN_PID": pid, "LISTEN_FDNAMES": name}
    environ |= {name: template.render(values)[0] for name, template in config.env.items()}
    if config.virtualenv is not None:
        environ["VIRTUAL_ENV"] = config.virtualenv
        environ["PATH"] = f"{config.virtualenv}/bin:{environ['PATH']}"
    environ[tree.MARK] = str(order.server)
    return environ
