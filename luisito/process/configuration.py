"""What the spawner is told of the settings, at its start and for good."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from typing import TYPE_CHECKING

from luisito.core.cgroup import CPU_PERIOD
from luisito.core.wire import RUNS, VERSION, Configure
from luisito.settings.hooks import is_webhook
from luisito.settings.values import Function

if TYPE_CHECKING:
    from luisito.settings import Settings


def configuration(
    settings: Settings,
    *,
    allow_root: bool,
    umask: int,
    network_user: tuple[int, int],
    sockets: list[str],
    pidfile: str | None,
    log: str | None,
    text: bytes | None = None,
    file: str | None = None,
) -> Configure:
    """Composes the spawner's first order.

    Args:
        settings: checked.
        allow_root: the command was typed by the person at the keyboard, so it may run as root.
        umask: of the servers.
        network_user: the uid and gid that the network process will have.
        sockets: paths of the unix sockets it listens on.
        pidfile: of the network process.
        log: the file of its own log.
        text: of the settings file, where there is one.
        file: its absolute path.
    """
    run_as, command = settings.run_as, settings.cmd_tpl
    digest = None
    if isinstance(run_as, Function) and text is not None:
        digest = hashlib.sha256(text).hexdigest()
    return Configure(
        version=VERSION,
        max_servers=settings.max_servers,
        overlap=settings.overlap,
        command=command if command is None or isinstance(command, str) else list(command),
        env=dict(settings.env),
        project_path=settings.project_path,
        cwd=os.getcwd(),
        run_as=None if isinstance(run_as, Function) else run_as,
        allow_root=allow_root or run_as == "root",
        min_uid=settings.min_uid,
        umask=umask,
        output_log_dir=settings.output_log_dir,
        log_max_size=settings.log_max_size,
        log_keep=settings.log_keep,
        access_log=settings.access_log,
        runtime_dir=settings.runtime_dir,
        network_gid=network_user[1],
        sockets=[os.path.abspath(path) for path in sockets],
        pidfile=os.path.abspath(pidfile) if pidfile else None,
        run_as_file=run_as.file if isinstance(run_as, Function) else None,
        run_as_digest=digest,
        log=None if log is None else os.path.abspath(log),
        rlimits={name: list(pair) for name, pair in settings.rlimits.items()},
        memory_max=settings.memory_max,
        cpu_max=None if settings.cpu_max is None else round(settings.cpu_max * CPU_PERIOD),
        pids_max=settings.pids_max,
        on_crash=settings.on_crash,
        network_uid=network_user[0],
        sites_dir=settings.sites_dir,
        settings_file=file,
        max_memory=settings.max_memory,
        state_dir=settings.state_dir,
        hibernate=_hibernate(settings),
        hooks={
            event: list(hook) if isinstance(hook, tuple) else shlex.split(hook)
            for event, hook in settings.hooks.items()
            if not is_webhook(hook)
        },
        hook_timeout=round(settings.hook_timeout * 1e6),
    )


def _hibernate(settings: Settings) -> str:
    """How servers are frozen, if any may be."""
    may_be = settings.hibernate_after is not None or settings.sites_dir is not None
    return settings.hibernate if may_be else ""


def digest(order: Configure) -> str:
    """Tells what would be run, so that it can be compared; see wire.RUNS."""
    runs = [getattr(order, name) for name in RUNS]
    return hashlib.sha256(json.dumps(runs).encode()).hexdigest()
