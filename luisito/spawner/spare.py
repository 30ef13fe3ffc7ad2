"""A child forked before it is needed, with the pipes that will be its server's."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, NamedTuple

from luisito.spawner import channel, child
from luisito.spawner.forking import fork, fork_into
from luisito.spawner.users import StartRefusedError

if TYPE_CHECKING:
    from luisito.spawner.config import Config
    from luisito.spawner.rlimits import Limits
    from luisito.spawner.runtime import Runtime
    from luisito.spawner.starter import Starter


class Spare(NamedTuple):
    """A child that waits for an order; our ends of its pipes.

    Attributes:
        server: the number that its order must name.
    """

    pid: int
    output: int
    status: int
    notify: int
    orders: int
    server: int

    def close(self) -> None:
        """Close our ends."""
        channel.close([self.output, self.status, self.notify, self.orders])


class _Ends(NamedTuple):
    """Both ends of what connects us with a child.

    Attributes:
        ours: of a child that is still to be; its number is that of the server.
        theirs: the child's.
    """

    ours: Spare
    theirs: child.Pipes

    def handed_over(self, pid: int) -> Spare:
        """Close the child's ends, which it has; ours, with its process id."""
        channel.close([self.theirs.output, self.theirs.status, self.theirs.orders])
        for descriptor in (self.ours.output, self.ours.status, self.ours.notify):
            os.set_blocking(descriptor, False)
        return self.ours._replace(pid=pid)

    def close(self) -> None:
        """Close all."""
        channel.close([self.theirs.output, self.theirs.status, self.theirs.orders])
        self.ours.close()


def _open(server: int, questions: int) -> _Ends:
    """Open what connects us with a child; `questions` is as for child.Pipes.

    Raises:
        OSError: no descriptors; nothing is left open.
    """
    opened: list[int] = []
    try:
        for _ in range(2):
            opened += os.pipe2(os.O_CLOEXEC)
        orders, orders_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        orders.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)  # see `births`
        channel.refuse_descriptors(orders)
        opened += (orders.detach(), orders_end.detach())
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        channel.refuse_descriptors(notify)
        opened.append(notify.detach())
    except OSError:
        channel.close(opened)
        raise
    output, output_end, status, status_end, own, theirs, datagrams = opened
    return _Ends(
        Spare(0, output, status, datagrams, own, server),
        child.Pipes(output_end, status_end, datagrams, theirs, questions),
    )


def fork_spare(
    config: Config,
    runtime: Runtime,
    parent: int,
    limits: Limits,
    server: int,
    questions: int,
    group: str | None,
    *,
    early: bool,
    calm: bool,
) -> Spare:
    """Fork a child that waits for an order to start; the arguments are those of child.run.

    Two more are `questions` of child.Pipes, and `group`: the folder of its cgroup.

    Raises:
        OSError: no process, memory or descriptors; nothing is left open.
    """
    ends = _open(server, questions)
    try:
        pid = None if group is None else fork_into(group)
        if pid is not None:
            group = None  # it is there
        else:
            pid = fork()
    except OSError:
        ends.close()
        raise
    if pid == 0:
        pipes = ends.theirs
        child.run(config, runtime, pipes, parent, limits, server, group, early=early, calm=calm)
    return ends.handed_over(pid)


def have_ready(
    starter: Starter,
    config: Config,
    runtime: Runtime,
    limits: Limits,
    server: int,
    group: str | None,
) -> Spare | None:
    """Have the starter make such a child; None where it could not, and nothing is left.

    Raises:
        OSError: no descriptors; nothing is left open.
    """
    user = config.user
    assert user is not None  # noqa: S101 - see Config.alike
    ends = _open(server, -1)
    notify = socket.socket(fileno=ends.ours.notify)
    made, spare = True, None
    try:
        runtime.make(server, user, config.network_gid, notify)
        pid = starter.prepare(config, runtime.path, limits, server, user, ends.theirs, group)
        spare = None if pid is None else ends.handed_over(pid)
    except StartRefusedError:
        made = False  # its place was taken, which the child that we fork says
    except OSError:
        pass  # likewise, if it fares no better
    finally:
        notify.detach()
        if spare is None:
            ends.close()
            if made:
                runtime.remove(server)
    return spare
