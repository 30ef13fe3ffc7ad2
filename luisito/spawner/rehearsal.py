"""Goes through the motions of a start, so that memory, code and passwd are at hand when it counts.

The first write to each page after a fork costs a fault, two or three microseconds; a start makes
hundreds. Here nobody waits.
"""

from __future__ import annotations

import json
import os
import resource
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from luisito.core import wire
from luisito.errors import LuisitoError
from luisito.spawner import channel, preloaded, rlimits
from luisito.spawner.checks import wrong_start
from luisito.spawner.render import render
from luisito.spawner.siteconfig import SiteConfig
from luisito.spawner.sites import Record, decode_record, encode_record
from luisito.spawner.users import Identity, StartRefusedError, open_folder

if TYPE_CHECKING:
    from luisito.spawner.config import Config
    from luisito.spawner.rlimits import Limits
    from luisito.spawner.runtime import Runtime

_ORDER: Final = wire.Start(1, "localhost", None)
_NOBODY: Final = -2  # a uid that nobody has
_PLACE: Final = "/usr/bin"  # a folder that is there, and on no file system that may hang
# As the loader writes it (settings.sites.records): of a site that may share an interpreter.
_RECORD: Final = json.dumps(
    {
        "command": ["python3", "boot.py", "serve", "app:app", "--fd", "%FD"], "env": {"A": "b"},
        "folder": "/", "fixed": "/", "reload_on": [], "stop_command": None, "env_file": None,
        "virtualenv": None, "rlimits": {}, "memory_max": None, "cpu_max": None, "pids_max": None,
        "user": None, "group": None, "tenant": None, "runner": "app:app",
    }
).encode()  # fmt: skip


def by_spawner(config: Config) -> None:
    """Rehearse what the spawner does, once a child was forked."""
    _pass_on(config, wire.encode(_ORDER))
    wire.encode(wire.Started(1, 1))


def by_child(config: Config, runtime: Runtime, limits: Limits) -> None:
    """Rehearse what the child does between its order and exec; nothing is left but memory."""
    said = wire.encode_start(_ORDER)
    if config.sites_dir is not None:
        said = encode_record(Record(0, 0, 0), said)
    _pass_on(config, said)
    os.umask(config.umask)
    resource.setrlimit(resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE))
    if config.root:
        os.setgroups(os.getgroups())
    with suppress(LuisitoError):  # it will be said when somebody waits for it
        user = config.user or config.identity(config.run_as, None, None)
        render(config, runtime.path, _ORDER, user)
    if config.sites_dir is not None:
        _by_site_file(SiteConfig(config, _RECORD), runtime, limits)


def _by_site_file(config: SiteConfig, runtime: Runtime, limits: Limits) -> None:
    limits = {**limits, **rlimits.claim(config.rlimits)}
    with suppress(StartRefusedError):  # no server may run so
        config.identity(config.network_uid, None, None)
    with suppress(StartRefusedError):  # this machine has no such folder
        os.close(open_folder(_PLACE, f"{_PLACE}/"))
    user = Identity(_NOBODY, _NOBODY, [], "nobody", "/")
    argv, environ = render(config, runtime.path, _ORDER, user)
    name = preloaded.environment(argv, environ, user, limits, config.umask)
    with suppress(preloaded.NotPreloadedError):  # nobody listens
        preloaded.hand_over(runtime.path, _NOBODY, name, {"argv": argv, "environ": environ}, ())
    json.dumps({"environment": name, "preloaded": True, "why": ""})


def _pass_on(config: Config, said: bytes) -> None:
    """Send an order with a descriptor, and read it; not where there is no room for descriptors."""
    with suppress(OSError):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            channel.send(ours, said, (theirs.fileno(), theirs.fileno()))
            data, descriptors = channel.receive(theirs)
        held = list(descriptors)
        if held:
            _, data = decode_record(data, descriptors)
            order = wire.decode_order(data) if data.startswith(b"{") else wire.decode_start(data)
            if isinstance(order, wire.Start):
                wrong_start(config.way, order, descriptors)
        channel.close(held)
