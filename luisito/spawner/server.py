"""One app server as the spawner knows it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from luisito.core import wire
from luisito.core.siteindex import PRELOAD, worker_key
from luisito.spawner.checks import BAD_START

if TYPE_CHECKING:
    from luisito.core.siteindex import Row
    from luisito.spawner.config import Config
    from luisito.spawner.spare import Spare

FIRST_PAUSE = 0.002  # seconds between two rounds of killing; doubled up to the last
LAST_PAUSE = 0.25


class Server:
    """Its first process, and what belongs to it until all of it has gone.

    Attributes:
        id: as the network process numbers it.
        site: the site it serves.
        worker: the name of a worker that it is, beside the site's server; None for a server.
        port: that stands for %PORT; None for the other ways.
        pid: of its first process.
        status: the read end of the pipe on which its child reports; -1 once the report has ended.
        output: the read end of its output: a copy, so that nobody gets SIGPIPE while a reader is
            missing.
        notify: its NOTIFY_SOCKET.
        listener: a copy of the socket that was handed over, as long as it lives.
        uid: who it runs as; None until it does.
        gid: likewise.
        user: the name of that user.
        failure: what its child reported instead of running, or why it may not go on.
        code: how its first process ended, as of waitstatus_to_exitcode; None before that.
        reaped_at: when that was, in seconds of the monotonic clock.
        orders: our end of the pair by which its child is told what to do, as long as it may be told
            more; else -1.
        handed: its start was handed to a preloaded interpreter, whose child has not come yet.
        environment: names what it shares with others that such an interpreter may fork (see
            preloaded.environment); "" where it cannot be.
        preloaded: it was forked so.
        why: it was not, although it might have been.
        left: a process that was found alive after that; None while none was.
        sweep_at: when what is left of it is killed again, where it is being killed.
        told: the network process knows its end.
        over_memory: the kernel has ended it for its memory, by its cgroup.
        config: what it was started by.
        row: what is known of its run record; None where it has none.
        record: that record, where it has a command that stops the server; else empty.
        way: how connections reach it (core.template.way).
        started: when that was, in seconds of the monotonic clock.
        ready: it has been found to be ready.
        ipv6: and to listen on ::1.
        memory: what it took when it was last weighed, in bytes; None before.
        weighed_at: when that was, in seconds of the monotonic clock.
        stopping: it was told to stop.
        said: what it has said of itself last, as far as we were told.
        stuck: the step that a child of the starter could not take, and the error's number; None
            where it could, or why it could not is known.
    """

    __slots__ = (
        "_pause",
        "_report",
        "code",
        "config",
        "environment",
        "failure",
        "gid",
        "handed",
        "id",
        "ipv6",
        "left",
        "listener",
        "memory",
        "notify",
        "orders",
        "output",
        "over_memory",
        "pid",
        "port",
        "preloaded",
        "ready",
        "reaped_at",
        "record",
        "row",
        "said",
        "site",
        "started",
        "status",
        "stopping",
        "stuck",
        "sweep_at",
        "told",
        "uid",
        "user",
        "way",
        "weighed_at",
        "why",
        "worker",
    )  # fmt: skip

    def __init__(
        self,
        order: wire.Start,
        spare: Spare,
        listener: int | None,
        config: Config,
        started: float,
        row: Row | None = None,
        record: bytes = b"",
    ) -> None:
        self.config, self.started, self.row, self.record = config, started, row, record
        self.way = config.way if row is None else row.way
        self.ready = self.ipv6 = self.stopping = False
        self.said = wire.Said(order.server, 0, busy=False, extended=0, ready=False)
        self.id, self.site, self.port = order.server, order.site, order.port
        self.worker = order.worker
        self.pid, self.status = spare.pid, spare.status
        self.output, self.notify = spare.output, spare.notify
        self.listener = listener
        self.orders = -1
        self.handed = self.preloaded = False
        self.environment = self.why = ""
        self.uid: int | None = None
        self.gid: int | None = None
        self.user = ""
        self.failure: dict[str, Any] | None = None
        self.code: int | None = None
        self.reaped_at = 0.0
        self.left: int | None = None
        self.sweep_at = 0.0
        self.told = False
        self.over_memory = False
        self.memory: int | None = None
        self.weighed_at = 0.0
        self.stuck: tuple[str, int] | None = None
        self._report = b""
        self._pause = FIRST_PAUSE

    def reported(self, data: bytes) -> None:
        """Note what its child reports; nothing is the end."""
        if data:
            self._report += data
            return
        self.status = -1
        report, self._report = self._report, b""
        for line in report.splitlines():
            if line.startswith(b"{"):
                said = json.loads(line)
                if "message" in said:
                    self.failure = said
                else:
                    self.environment, self.why = said["environment"], said["why"]
                    self.handed = self.preloaded = said["preloaded"]
            elif line.startswith(b"!"):
                step, number = line[1:].decode("ascii").split(" ")
                self.stuck = step, int(number)
            else:
                self._reported_user(os.fsdecode(line))

    def _reported_user(self, line: str) -> None:
        uid, gid, site, self.user = line.split(" ", 3)
        self.uid, self.gid = int(uid), int(gid)
        if site != self.site:  # whoever told the child so must not have it
            message = f"{BAD_START}its process was told to serve {site!r:.100}"
            self.failure = {"message": message, "overloaded": False}

    def told_as(self, *, current: bool) -> dict[str, wire.Scalar]:
        """Make a row of wire.Servers; `current`: a start would make the same server as it is."""
        return {
            "server": self.id,
            "site": self.site,
            "worker": self.worker,
            "pid": self.pid,
            "port": self.port,
            "way": self.way,
            "uid": self.uid,
            "gid": self.gid,
            "started": int(self.started * 1e6),
            "ready": int(self.ready),
            "ipv6": int(self.ipv6),
            "stopping": int(self.stopping),
            "current": int(current),
            "busy_until": self.said.busy_until,
            "busy": int(self.said.busy),
            "extended": self.said.extended,
            "said_ready": int(self.said.ready),
            "memory": self.memory,
            "environment": self.environment,
            "preloaded": int(self.preloaded),
        }

    @property
    def forks(self) -> bool:
        """Whether it is a preloaded interpreter, whose children are servers of their own."""
        return self.worker == PRELOAD

    @property
    def key(self) -> str:
        """By which its record is found (core.siteindex)."""
        return self.site if self.worker is None else worker_key(self.site, self.worker)

    def hurry(self) -> None:
        """What is left of it is killed at short intervals, which grow again."""
        self._pause = FIRST_PAUSE

    def sweep_later(self, now: float) -> None:
        """Something is left of it, which is to be killed again."""
        self.sweep_at = now + self._pause
        self._pause = min(2 * self._pause, LAST_PAUSE)
