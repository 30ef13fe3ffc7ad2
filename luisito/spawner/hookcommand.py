"""The forked child that becomes the command of a hook, as the site's user or as Luisito's own."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING, Final

from luisito.core import hooks
from luisito.spawner import cgroupfs, privileges, rlimits, users
from luisito.spawner.child import take_up
from luisito.spawner.render import render_hook
from luisito.spawner.siteconfig import SiteConfig
from luisito.spawner.startfile import refuse_hard_link
from luisito.spawner.users import Identity, StartRefusedError
from luisito.spawner.whynot import why_not

if TYPE_CHECKING:
    from luisito.core import wire
    from luisito.spawner.config import Config
    from luisito.spawner.rlimits import Limits
    from luisito.spawner.sites import Record

_NICE: Final = 5  # whoever waits for a site comes first


def run(
    config: Config,
    record: Record | None,
    order: wire.RunHook,
    number: int,
    output: int,
    group: str | None,
    parent: int,
    limits: Limits,
) -> None:
    """Become the command, or write why not; never returns.

    Args:
        config: of the network process that orders it.
        record: of the site, where it is the site's; else None.
        order: that names it.
        number: that marks its processes.
        output: where it writes to.
        group: the folder of a cgroup that is to be joined; None where there is none.
        parent: what getppid() answers as long as the spawner lives.
        limits: that Luisito itself was started with.
    """
    try:
        os.setsid()
        privileges.drop_bounding_set()
        if group is not None:
            cgroupfs.join(group)
        os.dup2(output, 1)
        os.dup2(output, 2)
        own = None if record is None else SiteConfig.read(config, record)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.nice(_NICE)
        if own is None:
            user = network_user(config)
            take_up(config, None, None, user, parent, limits)
            config.env = {}  # which is the servers'
            _execute(config, order, number, user, limits)
        else:
            limits = {**limits, **rlimits.claim(own.rlimits)}
            _execute(own, order, number, _take_up(own, order.site, parent, limits), limits)
    except BaseException as error:  # noqa: BLE001 - whatever it is, this process must end here
        os.write(2, f"{hooks.SAID}{error}\n".encode("utf-8", "backslashreplace"))
    finally:
        os._exit(127)


def network_user(config: Config) -> Identity:
    """Tell who the commands of HOOKS run as.

    Raises:
        StartRefusedError: that is not known, or root.
    """
    if not config.root:
        return users.resolve(config, None, None)
    uid, gid = config.network_uid, config.network_gid
    if not uid or not gid:
        raise StartRefusedError("HOOKS: the network process has no user of its own")
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Identity(uid, gid, [], str(uid), "/")
    return Identity(uid, gid, [], entry.pw_name, entry.pw_dir)


def _take_up(config: SiteConfig, site: str, parent: int, limits: Limits) -> Identity:
    """Become the site's user where its server works."""
    if config.run_as_file is not None:
        raise StartRefusedError(
            "nobody but RUN_AS, a function, says who runs it; write user in the site file"
        )
    path = config.folder(site)
    early = path is not None and not config.own_folder
    folder = users.open_folder(path, config.fixed) if path is not None and early else None
    status = None if folder is None else os.fstat(folder)
    user = config.identity(config.run_as, status, path)
    if config.root and not user.uid:
        raise StartRefusedError("it would run as root; write another user in the site file")
    take_up(config, path, folder, user, parent, limits)
    config.read_variables()
    return user


def _execute(
    config: Config, order: wire.RunHook, number: int, user: Identity, limits: Limits
) -> None:
    command = config.hooks.get(order.event)
    if command is None:
        raise StartRefusedError(f"no command is known for {order.event}")
    facts = hooks.environ(order.event, order.site, order.facts)
    argv, environ = render_hook(config, order.site, number, user, command, facts)
    if config.root and isinstance(config, SiteConfig) and config.folder(order.site) is not None:
        refuse_hard_link(argv[0], user.uid)
    rlimits.limit(limits)
    try:
        os.execvpe(argv[0], argv, environ)
    except OSError as error:
        where = f"hooks.{order.event} in its site file"
        if not isinstance(config, SiteConfig):
            where = f'HOOKS["{order.event}"]'
        raise StartRefusedError(why_not(argv[0], environ["PATH"], error, where)) from None
