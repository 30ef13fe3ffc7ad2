"""The forked child that becomes an app server: everything between fork and exec."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from luisito.core import wire
from luisito.core.keys import site_of
from luisito.spawner import (
    cgroupfs,
    channel,
    chooser,
    preloaded,
    privileges,
    rehearsal,
    rlimits,
    sites,
    users,
)  # fmt: skip
from luisito.spawner.checks import BAD_START, wrong_start
from luisito.spawner.config import LISTENER
from luisito.spawner.failing import failure, not_executed, report
from luisito.spawner.render import render
from luisito.spawner.siteconfig import SiteConfig
from luisito.spawner.startfile import refuse_hard_link

if TYPE_CHECKING:
    from luisito.spawner.config import Config
    from luisito.spawner.rlimits import Limits
    from luisito.spawner.runtime import Runtime
    from luisito.spawner.users import Identity


class Pipes(NamedTuple):
    """The ends that a child is forked with; all are out of the way of 0 to LISTENER.

    Attributes:
        output: the write end of the output pipe.
        status: the write end of the pipe that reports; closed by exec.
        notify: a datagram socket, bound by the child.
        orders: where the one order to start comes from.
        questions: where it asks who it will be (see `chooser.ask`); -1 where nobody is asked.
    """

    output: int
    status: int
    notify: int
    orders: int
    questions: int


def run(
    config: Config,
    runtime: Runtime,
    pipes: Pipes,
    parent: int,
    limits: Limits,
    server: int,
    group: str | None,
    *,
    early: bool,
    calm: bool,
) -> None:
    """Wait for an order to start, become that server, or report why not; never returns.

    It is forked before it is needed, and does what it can before the order comes, since a fork of
    the interpreter takes longer than all the rest.

    The report is a line "UID GID SITE USER" before exec, and a line of JSON when something fails.

    Args:
        config: what the spawner was told.
        runtime: where the server's folder will be.
        pipes: kept until exec; everything else is closed.
        parent: what getppid() answers as long as the spawner lives.
        limits: that servers get.
        server: the number that the order must name.
        group: the folder of a cgroup that is to be joined; None where there is none.
        early: there is time to prepare, since nobody waits yet.
        calm: and to rehearse, since nobody is about to come.
    """
    try:
        os.setsid()
        if config.hibernate == "merge":
            with suppress(OSError):  # check-settings says so
                privileges.merge_memory()
        privileges.drop_bounding_set()  # ours alone: a successor of the network process needs it
        _arrange_descriptors(pipes)
        if group is not None:
            cgroupfs.join(group)
        user = None
        with socket.socket(fileno=pipes.notify) as notify:
            if early:
                if calm:
                    _die_with_parent(parent)
                    rehearsal.by_child(config, runtime, limits)
                if config.alike:
                    user = _settle(config, runtime, server, None, notify, parent, -1, limits)
            orders = socket.socket(fileno=pipes.orders)
            data, descriptors = channel.receive(orders)
            orders.detach()  # a preloaded interpreter may get it; exec closes it
            if not data:
                os._exit(0)
            record = None
            if config.sites_dir is not None:  # then nobody but the spawner can tell us anything
                record, data = sites.decode_record(data, descriptors)
            order = wire.decode_start(data)
            if user is not None:
                _check(config, order, server, descriptors)
            elif record is not None:
                config = SiteConfig.read(config, record)
                os.close(record.file)  # it has those of all other sites
                limits = {**limits, **rlimits.claim(config.rlimits)}
            _make_way(descriptors)
            if user is None:
                asked = pipes.questions
                named = order.server, site_of(order.site)
                user = _settle(config, runtime, *named, notify, parent, asked, limits)
        _become_server(config, runtime, order, user, pipes, parent, limits)
    except BaseException as error:  # noqa: BLE001 - whatever it is, this process must end here
        report(pipes.status, failure(error))
    finally:
        os._exit(127)


def _check(config: Config, order: wire.Start, server: int, descriptors: list[int]) -> None:
    """Check an order that may have come from the network process directly."""
    wrong = wrong_start(config.way, order, descriptors)
    if wrong is None and order.server != server:
        wrong = f"server {order.server} was ordered from the spare for {server}"
    if wrong is not None:
        raise users.StartRefusedError(BAD_START + wrong)


def _die_with_parent(parent: int) -> None:
    privileges.set_parent_death_signal(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(127)


def _settle(
    config: Config,
    runtime: Runtime,
    server: int,
    site: str | None,
    notify: socket.socket,
    parent: int,
    questions: int,
    limits: Limits,
) -> Identity:
    """Make the folder of its sockets, become the user and go where it will work.

    All that a start needs from the order is the site, and not even that where the configuration
    says all (`Config.alike`); then there is none.
    """
    path = None if site is None else config.folder(site)
    early = path is not None and not config.own_folder
    folder = users.open_folder(path, config.fixed) if path is not None and early else None
    status = None if folder is None else os.fstat(folder)
    if site is not None and questions >= 0 and config.run_as_file is not None:
        user = _chosen(config, site, status, path, questions)
    else:
        user = config.user or config.identity(config.run_as, status, path)
    if isinstance(config, SiteConfig) and config.runner is not None:
        config.learned = preloaded.make_folders(runtime.path, config.state_dir, user)
    runtime.make(server, user, config.network_gid, notify)
    take_up(config, path, folder, user, parent, limits)
    return user


def take_up(
    config: Config,
    path: str | None,
    folder: int | None,
    user: Identity,
    parent: int,
    limits: Limits,
) -> None:
    """Become a user for good, and go where a server works.

    Args:
        config: what it is started by.
        path: of the folder; None for that of the configuration.
        folder: a descriptor of it; None where the user has to open it.
        user: whom to become.
        parent: what getppid() answers as long as the spawner lives.
        limits: of these, that of processes counts from now on.
    """
    if path is None:
        os.chdir(config.cwd)
    rlimits.limit_processes(limits)
    users.become(user)
    _die_with_parent(parent)  # not before, since a change of user clears it
    if path is not None and folder is None:
        folder = users.open_folder(path, f"{path}/")
    if folder is not None:
        _enter(folder, path, user)
    os.umask(config.umask)


def _chosen(
    config: Config,
    site: str,
    folder: os.stat_result | None,
    path: str | None,
    questions: int,
) -> Identity:
    run_as = chooser.ask(questions, site)
    try:
        return config.identity(run_as, folder, path)
    except users.StartRefusedError as refused:
        raise users.StartRefusedError(
            f"RUN_AS({site!r}) has returned {run_as!r}: {refused}"
        ) from None


def _become_server(
    config: Config,
    runtime: Runtime,
    order: wire.Start,
    user: Identity,
    pipes: Pipes,
    parent: int,
    limits: Limits,
) -> None:
    if isinstance(config, SiteConfig):
        config.read_variables()
        config.check_virtualenv()
    argv, environ = render(config, runtime.path, order, user)
    if config.root and config.folder(order.site) is not None and not config.allow_root:
        refuse_hard_link(argv[0], user.uid)
    os.write(pipes.status, os.fsencode(f"{user.uid} {user.gid} {order.site} {user.name}\n"))
    if isinstance(config, SiteConfig) and config.runner is not None:
        _share_interpreter(config, runtime, order, user, (argv, environ), pipes, parent, limits)
    # Only when all else is open: the limit may be below the numbers of our descriptors.
    rlimits.limit(limits)
    try:
        os.execvpe(argv[0], argv, environ)
    except OSError as error:
        raise not_executed(error, argv, environ, user, config) from None


def _share_interpreter(
    config: SiteConfig,
    runtime: Runtime,
    order: wire.Start,
    user: Identity,
    rendered: tuple[list[str], dict[str, str]],
    pipes: Pipes,
    parent: int,
    limits: Limits,
) -> None:
    """Have a preloaded interpreter fork this server, and end; or report why it cannot.

    What becomes such an interpreter gets the socket where it is asked.
    """
    argv, environ = rendered
    name = preloaded.environment(argv, environ, user, limits, config.umask)
    learned = preloaded.learned(config.learned, runtime.path, user.uid, name)
    if learned:
        one = "" if config.preloads else f"/{order.site.replace('/', '_')}"
        environ[preloaded.LEARN] = learned + one
    handed, why = False, ""
    if config.preloads:
        if config.limits.memory is None:
            environ[preloaded.WARMS] = "1"
        _make_way([preloaded.listen(runtime.path, user.uid, name).detach()])
    else:
        folder = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        said = {
            "site": order.site, "server": order.server, "argv": argv[3:], "environ": environ,
            "spawner": parent,
        }  # fmt: skip
        try:
            preloaded.hand_over(
                runtime.path, user.uid, name, said, (LISTENER, 1, folder, pipes.orders)
            )
            handed = True
        except preloaded.NotPreloadedError as error:
            why = str(error)
        os.close(folder)
    report(
        pipes.status, {"environment": name, "preloaded": handed, "why": why[: wire.MAX_TEXT // 4]}
    )
    if handed:
        os.close(pipes.status)  # what we take to end nobody need wait for
        os._exit(0)


def _enter(folder: int, path: str | None, user: Identity) -> None:
    try:
        os.fchdir(folder)
    except PermissionError:
        raise users.StartRefusedError(
            f"folder {path!r}: user {user.name!r} may not enter it; chmod or chown it"
        ) from None


def _arrange_descriptors(pipes: Pipes) -> None:
    """Put the output in its place; close all but 0 to 2 and what is needed until exec.

    The spawner's own 0 is /dev/null, and exec closes what we need until then.
    """
    os.dup2(pipes.output, 1)
    os.dup2(pipes.output, 2)
    first = LISTENER
    kept_open = [pipes.status, pipes.notify, pipes.orders, pipes.questions]
    for kept in sorted(one for one in kept_open if one >= 0):
        os.closerange(first, kept)
        first = kept + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def _make_way(descriptors: list[int]) -> None:
    """Put a handed-over socket where the command expects it."""
    if descriptors and descriptors[0] == LISTENER:
        os.set_inheritable(LISTENER, True)
    elif descriptors:
        os.dup2(descriptors[0], LISTENER)
        os.close(descriptors[0])
