"""What is said of a server that could not be started."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING, Any

from luisito.core import wire
from luisito.errors import LuisitoError
from luisito.spawner.users import StartRefusedError
from luisito.spawner.whynot import why_not

if TYPE_CHECKING:
    from luisito.spawner.config import Config
    from luisito.spawner.users import Identity

_OVERLOADED = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


class _TooManyError(LuisitoError):
    """The user of a server has no room for another process."""


def failure(error: BaseException) -> dict[str, Any]:
    """Tell what a start that ended so is said to have failed by: the fields of wire.Failed."""
    overloaded = isinstance(error, _TooManyError) or (
        isinstance(error, OSError) and error.errno in _OVERLOADED
    )
    message = str(error) if isinstance(error, LuisitoError) else _describe(error)
    return {"message": message[: wire.MAX_TEXT // 4], "overloaded": overloaded}


def _describe(error: BaseException) -> str:
    return f"before the command could run: {type(error).__name__}: {error}"


def not_executed(
    error: OSError, argv: list[str], environ: dict[str, str], user: Identity, config: Config
) -> OSError | LuisitoError:
    """Say why a command could not be executed; called by its user, where it would work.

    Args:
        error: of execve(2).
        argv: the command.
        environ: its environment.
        user: who we are.
        config: says where the command was written.
    """
    if error.errno == errno.EAGAIN:  # execve(2): since the change of user
        return _TooManyError(
            f"user {user.name!r} has as many processes as it may have (nproc in RLIMITS, or"
            " ulimit -u of Luisito); raise that, or end some"
        )
    if error.errno in _OVERLOADED:
        return error
    return StartRefusedError(why_not(argv[0], environ["PATH"], error, config.said_by))


def report(status: int, said: dict[str, Any]) -> None:
    """Write a line of a child's report, before exec."""
    os.write(status, json.dumps(said).encode("ascii") + b"\n")
