"""Starting a network process: the same command again, with a link to the spawner."""

from __future__ import annotations

import os
import resource
import socket
from typing import TYPE_CHECKING, NamedTuple

from luisito.core import wire
from luisito.core.recipe import Recipe, decode_recipe
from luisito.errors import WireError
from luisito.spawner import channel
from luisito.spawner.forking import fork
from luisito.spawner.link import Link

if TYPE_CHECKING:
    from luisito.spawner.containment import Containment

_MAX_RECIPE = 16 << 20  # bytes; the kernel takes less than that of argv and environ (execve(2))


class Remembered(NamedTuple):
    """How the first network process was started.

    Attributes:
        recipe: as it has told.
        stdout: its stdout.
        stderr: its stderr.
        files: its limits of open files.
    """

    recipe: Recipe
    stdout: int
    stderr: int
    files: tuple[int, int]


def remember(descriptors: list[int]) -> Remembered:
    """Take what comes beside `wire.Remember`, which is removed from the list.

    Raises:
        WireError: it is something else.
    """
    if len(descriptors) != 3:
        raise WireError("remember: a recipe, stdout and stderr belong to it")
    recipe = decode_recipe(os.pread(descriptors[0], _MAX_RECIPE, 0))
    _, stdout, stderr = descriptors
    del descriptors[1:]
    return Remembered(recipe, stdout, stderr, resource.getrlimit(resource.RLIMIT_NOFILE))


def start(remembered: Remembered, text: int, contained: Containment) -> Link:
    """Start a successor.

    Args:
        remembered: how.
        text: a memfd with the settings that it is to take instead of its file; -1 for the file.
        contained: what it must not live in.

    Raises:
        OSError: no process, memory or descriptors.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with theirs, contained.outside():
            pid = fork()
            if pid == 0:
                _become(remembered, theirs, text)
    except OSError:
        ours.close()
        raise
    return Link(ours, pid, again=text >= 0)


def _become(remembered: Remembered, link: socket.socket, text: int) -> None:
    """Be the successor; never returns."""
    try:
        recipe = remembered.recipe
        os.setsid()
        os.dup2(remembered.stdout, 1)
        os.dup2(remembered.stderr, 2)
        kept = [descriptor for descriptor in (link.fileno(), text) if descriptor >= 0]
        for descriptor in kept:
            os.set_inheritable(descriptor, True)
        os.umask(recipe.umask)
        os.chdir(recipe.cwd)
        resource.setrlimit(resource.RLIMIT_NOFILE, remembered.files)
        environ = {**recipe.environ, wire.SUCCEEDS: ":".join(map(str, kept))}
        os.execve(recipe.argv[0], recipe.argv, environ)
    except BaseException as error:  # noqa: BLE001 - whatever it is, this process must end here
        message = f"its successor could not be started: {type(error).__name__}: {error}"
        channel.send(link, wire.encode(wire.CannotServe(message[: wire.MAX_TEXT // 4])))
    finally:
        os._exit(127)


def to_yield(link: Link) -> int:
    """Tell a network process to make way; return its successor's end of the pair with it."""
    theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        link.send(wire.Yield(), (theirs.fileno(),))
    return ours.detach()
