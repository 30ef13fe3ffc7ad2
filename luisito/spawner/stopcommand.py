"""The forked child that becomes a stop command: beside its server, as its user, in its bounds."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from luisito.core import wire
from luisito.core.ending import code_and_signal
from luisito.core.template import Template
from luisito.spawner import cgroupfs, privileges, rlimits, tree, users
from luisito.spawner.child import take_up
from luisito.spawner.render import render_stop
from luisito.spawner.siteconfig import SiteConfig
from luisito.spawner.startfile import refuse_hard_link
from luisito.spawner.whynot import why_not

if TYPE_CHECKING:
    from luisito.spawner.rlimits import Limits
    from luisito.spawner.server import Server


def run(server: Server, runtime_dir: str, group: str | None, parent: int, limits: Limits) -> None:
    """Become the command, or say in the server's output why not; never returns.

    Args:
        server: that runs, and has a record with such a command.
        runtime_dir: the folder of the servers' folders.
        group: the folder of its cgroup; None where it has none.
        parent: what getppid() answers as long as the spawner lives.
        limits: that servers get.
    """
    try:
        os.setsid()
        privileges.drop_bounding_set()
        if group is not None:
            cgroupfs.join(group)
        main_pid = tree.innermost(server.pid)
        # What we have is the end that is read from.
        output = os.open(f"/proc/self/fd/{server.output}", os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        _become(server, runtime_dir, main_pid, parent, limits)
    except BaseException as error:  # noqa: BLE001 - whatever it is, this process must end here
        os.write(2, f"luisito: stop_command: {error}\n".encode("utf-8", "backslashreplace"))
    finally:
        os._exit(127)


def _become(server: Server, runtime_dir: str, main_pid: int, parent: int, limits: Limits) -> None:
    config = SiteConfig(server.config, server.record)
    path = config.folder(server.site)
    early = path is not None and not config.own_folder
    folder = users.open_folder(path, config.fixed) if path is not None and early else None
    user = config.identity(server.uid, None, path)
    if user.uid != server.uid or (config.root and not user.uid):
        raise users.StartRefusedError(f"it would run as uid {user.uid}")
    limits = {**limits, **rlimits.claim(config.rlimits)}
    take_up(config, path, folder, user, parent, limits)
    config.read_variables()
    order = wire.Start(server.id, server.site, server.port)
    argv, environ = render_stop(config, runtime_dir, order, user, main_pid)
    if config.root and path is not None:
        refuse_hard_link(argv[0], user.uid)
    rlimits.limit(limits)
    try:
        os.execvpe(argv[0], argv, environ)
    except OSError as error:
        why = why_not(argv[0], environ["PATH"], error, "stop_command in its site file")
        raise users.StartRefusedError(why) from None


def not_stopped(server: Server, code: int, *, current: bool) -> wire.NotStopped:
    """Say that the command of a server has failed.

    Args:
        server: that has one.
        code: how it ended, as of waitstatus_to_exitcode.
        current: see wire.NotStopped.
    """
    assert server.row is not None  # noqa: S101 - for the types: it has a record
    program = Template.parse(json.loads(server.record)["stop_command"]).program
    said = wire.bounded([program])[0]
    ended = code_and_signal(code)
    return wire.NotStopped(server.id, said, *ended, server.row.stop_signal, current)
