"""The starter (starter.c): a small program that has children ready, where it could be built."""

from __future__ import annotations

import os
import select
import socket
import struct
from typing import TYPE_CHECKING, Final

from luisito.errors import LuisitoError
from luisito.spawner import channel
from luisito.spawner.config import LISTENER
from luisito.spawner.forking import fork
from luisito.spawner.render import SITE, Rendered, render_blank

if TYPE_CHECKING:
    from luisito.spawner.child import Pipes
    from luisito.spawner.config import Config
    from luisito.spawner.rlimits import Limits
    from luisito.spawner.users import Identity

PROGRAM: Final = os.path.join(os.path.dirname(os.path.abspath(__file__)), "starter")
NOT_BUILT: Final = (
    "no starter could be built, which takes a C compiler: each start takes 1 ms longer (install gcc"
    " and libc6-dev, and Luisito again)"
)
_VERSION: Final = 1  # of the messages; starter.c knows it, too
_PATIENCE: Final = 250  # milliseconds for an answer that takes 0.1
_HEAD: Final = struct.Struct("=13q")
_LIMIT: Final = struct.Struct("=3q")


def is_built() -> bool:
    """Whether there is such a program."""
    return os.path.exists(PROGRAM)


class Starter:
    """The program while it runs, as a child of ours.

    Args:
        parent: what getppid() answers in our children.

    Attributes:
        pid: of it.
        deaf: it has not answered in time, and is asked no more.

    Raises:
        OSError: there is no such program, or no process for it.
    """

    __slots__ = ("_parent", "_sock", "deaf", "pid")

    def __init__(self, parent: int) -> None:
        os.stat(PROGRAM)  # rather than fork for nothing
        self._parent, self.deaf = parent, False
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        channel.refuse_descriptors(self._sock)
        with theirs:
            try:
                self.pid = fork()
            except OSError:
                self._sock.close()
                raise
            if self.pid == 0:
                _become(theirs, parent)

    def close(self) -> None:
        """Let it end; its children go on waiting."""
        self._sock.close()

    def prepare(
        self,
        config: Config,
        runtime_dir: str,
        limits: Limits,
        server: int,
        user: Identity,
        pipes: Pipes,
        group: str | None,
    ) -> int | None:
        """Have a child ready for a server, in whose folder nothing is left to be done.

        Args:
            config: of servers that are all alike.
            runtime_dir: the folder of the servers' folders.
            limits: that servers get.
            server: the number that its order must name.
            user: who it runs as.
            pipes: the child's ends, which it gets copies of.
            group: the folder of its cgroup; None where it joins none.

        Returns:
            Its process id; None where there is none, since the starter has gone, cannot do that
            here or has no room.
        """
        message = _pack(config, runtime_dir, limits, server, user, self._parent)
        if message is None:
            return None
        given = [pipes.output, pipes.status, pipes.orders]
        folder = -1
        try:
            if group is not None:
                folder = os.open(group, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                given.append(folder)
            channel.send(self._sock, message, tuple(given))
            return self._answer()
        except OSError:
            return None
        finally:
            if folder >= 0:
                os.close(folder)

    def _answer(self) -> int | None:
        waiting = select.poll()
        waiting.register(self._sock, select.POLLIN)
        if not waiting.poll(_PATIENCE):
            self.deaf = True
            self._sock.shutdown(socket.SHUT_RDWR)  # nothing that comes late must count
            return None
        said, pid, _uid = channel.receive_signed(self._sock, _HEAD.size)
        return pid if said == b"\0" and pid > 0 else None


def _become(theirs: socket.socket, parent: int) -> None:
    try:
        os.dup2(theirs.fileno(), LISTENER)
        os.closerange(LISTENER + 1, os.sysconf("SC_OPEN_MAX"))
        os.chdir("/")
        os.execve(PROGRAM, ["luisito-starter", str(_VERSION), str(parent)], {})
    finally:
        os._exit(127)


def _pack(
    config: Config, runtime_dir: str, limits: Limits, server: int, user: Identity, parent: int
) -> bytes | None:
    """Write what the starter is told of a child; None where that cannot be said beforehand."""
    try:
        rendered = render_blank(config, runtime_dir, server, user)
        return None if rendered is None else _write(config, rendered, limits, server, user, parent)
    except (LuisitoError, ValueError):  # as text that cannot be encoded: the child we fork says it
        return None


def _write(
    config: Config, rendered: Rendered, limits: Limits, server: int, user: Identity, parent: int
) -> bytes:
    argv, environ = rendered
    places = [argv[0]]
    if "/" not in argv[0]:
        places = [os.path.join(folder, argv[0]) for folder in environ["PATH"].split(os.pathsep)]
    variables = [f"{name}={value}" for name, value in environ.items()]
    numbers = (
        parent, user.uid, user.gid, config.umask, config.root, config.hibernate == "merge",
        config.way == "port", config.way == "fd",
        len(user.groups), len(limits), len(places), len(argv), len(variables),
    )  # fmt: skip
    report = f"{user.uid} {user.gid} {SITE} {user.name}\n"
    texts = [f"{server} ", config.cwd, report, *places, *argv, *variables]
    return b"".join(
        (
            _HEAD.pack(*numbers),
            struct.pack(f"={len(user.groups)}q", *user.groups),
            *(_LIMIT.pack(number, *pair) for number, pair in limits.items()),
            b"\0".join(map(os.fsencode, texts)),
            b"\0",
        )
    )
