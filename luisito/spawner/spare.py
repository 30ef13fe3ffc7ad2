"""A child forked before it is needed, with the pipes that will be its server's."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, NamedTuple

from luisito.spawner import channel, child
from luisito.spawner.forking import fork, fork_into

if TYPE_CHECKING:
    from luisito.spawner.config import Config
    from luisito.spawner.rlimits import Limits
    from luisito.spawner.runtime import Runtime


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
        pid = None if group is None else fork_into(group)
        if pid is not None:
            group = None  # it is there
        else:
            pid = fork()
    except OSError:
        channel.close(opened)
        raise
    output, output_end, status, status_end, own, theirs, datagrams = opened
    if pid == 0:
        pipes = child.Pipes(output_end, status_end, datagrams, theirs, questions)
        child.run(config, runtime, pipes, parent, limits, server, group, early=early, calm=calm)
    channel.close([output_end, status_end, theirs])
    for descriptor in (output, status, datagrams):
        os.set_blocking(descriptor, False)
    return Spare(pid, output, status, datagrams, own, server)
