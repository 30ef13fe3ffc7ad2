"""Why a child of the starter could not become its server, which it tells by a number only."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from luisito.core import wire
from luisito.errors import LuisitoError
from luisito.spawner.checks import BAD_START
from luisito.spawner.child import take_up
from luisito.spawner.failing import failure, not_executed, report
from luisito.spawner.render import render

if TYPE_CHECKING:
    from luisito.spawner.config import Config
    from luisito.spawner.helpers import Helpers
    from luisito.spawner.runtime import Runtime
    from luisito.spawner.server import Server

_NO_ORDER: Final = "order"  # a step that starter.c names: to read what it was told
_EXECUTE: Final = "exec"  # the last one


def look_into(server: Server, runtime: Runtime, helpers: Helpers, parent: int) -> None:
    """Note what a server has failed by, and have a helper try the same, which can say more.

    Args:
        server: that is stuck; what its status will be is the helper's report, if there is one.
        runtime: where its folder is.
        helpers: one of them becomes the user and goes where the server would have worked.
        parent: what getppid() answers in a child.

    Raises:
        OSError: no descriptors: what was noted must do.
    """
    assert server.stuck is not None  # noqa: S101 - for the types
    step, number = server.stuck
    server.stuck = None
    if step == _NO_ORDER:
        message = f"{BAD_START}its process was told something else"
        server.failure = {"message": message, "overloaded": False}
        return
    error = OSError(number, os.strerror(number))
    server.failure = failure(OSError(number, f"{step}: {error.strerror}"))
    ours, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    config, order = server.config, wire.Start(server.id, server.site, server.port)
    executed = step == _EXECUTE
    helpers.run(
        lambda: _try(config, runtime, order, error, theirs, parent, executed=executed),
        failed=lambda _message: None,
        about=server.site,
    )
    os.close(theirs)
    server.status = ours


def _try(
    config: Config,
    runtime: Runtime,
    order: wire.Start,
    error: OSError,
    status: int,
    parent: int,
    *,
    executed: bool,
) -> None:
    user = config.user
    assert user is not None  # noqa: S101 - see Config.alike
    try:
        take_up(config, None, None, user, parent, {})
        if executed:
            argv, environ = render(config, runtime.path, order, user)
            raise not_executed(error, argv, environ, user, config)
    except (OSError, LuisitoError) as why:
        report(status, failure(why))
