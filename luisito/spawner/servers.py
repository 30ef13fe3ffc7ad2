"""The servers that live: starting, signalling and reaping them with all their descendants."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

from luisito.core import wire
from luisito.core.ending import code_and_signal
from luisito.core.siteindex import worker_key
from luisito.errors import SettingsError
from luisito.spawner import channel, rlimits, tree
from luisito.spawner.births import Births
from luisito.spawner.checks import BAD_START, wrong_start
from luisito.spawner.containment import Containment, kill
from luisito.spawner.ends import Ends
from luisito.spawner.hibernating import Hibernating
from luisito.spawner.kin import Kin
from luisito.spawner.render import command_values
from luisito.spawner.reserve import Reserve
from luisito.spawner.server import Server
from luisito.spawner.sites import encode_record, no_site
from luisito.spawner.stopcommand import not_stopped
from luisito.spawner.stoppers import Stoppers
from luisito.spawner.stuck import look_into
from luisito.spawner.watchers import Watchers
from luisito.spawner.weighing import Weighing

if TYPE_CHECKING:
    import select
    from collections.abc import Callable, Collection

    from luisito.core.siteindex import Row
    from luisito.spawner.cgroup import Cgroups
    from luisito.spawner.chooser import Chooser
    from luisito.spawner.config import Config
    from luisito.spawner.helpers import Helpers
    from luisito.spawner.outbox import Outbox
    from luisito.spawner.runtime import Runtime
    from luisito.spawner.sites import Sites

_TELL_AFTER = 2.0  # seconds after its end that an exit is told although something cannot die
_FILES_EACH, _FILES_BESIDE = 6, 64  # descriptors for a server, and for all the rest


def files_needed(servers: int) -> int:
    """Tell how many open files the spawner of so many servers must be allowed (RLIMIT_NOFILE)."""
    return _FILES_EACH * servers + _FILES_BESIDE


class Servers:
    """All servers by id, and the work on them.

    Args:
        config: what servers are started by.
        runtime: where their folders are.
        containment: what they live in.
        helpers: for what may take its time.
        poller: where their reports are waited for.
        others: lists children of ours that have nothing to do with servers.

    Attributes:
        outbox: of whoever orders, to whom facts are told.
        kin: which processes are whose.
        hibernating: which are frozen.
    """

    outbox: Outbox

    def __init__(
        self,
        config: Config,
        runtime: Runtime,
        containment: Containment,
        helpers: Helpers,
        poller: select.poll,
        others: Callable[[], set[int]],
        cgroups: Cgroups | None,
    ) -> None:
        self._config = config
        self._runtime = runtime
        self._containment = containment
        self._helpers = helpers
        self._others = others
        self._poller = poller
        self._chooser: Chooser | None = None
        self._cgroups = cgroups
        self._sites: Sites | None = None
        self._by_id: dict[int, Server] = {}
        self._by_pid: dict[int, Server] = {}
        self._by_status: dict[int, Server] = {}
        self._swept: dict[int, Server] = {}  # those that are being killed
        self._workers: set[tuple[str, str]] = set()  # by site and name, of those that live
        self._ends = Ends()
        self._watchers = Watchers(containment, poller)
        self._stoppers = Stoppers(containment)
        self._reserve = Reserve(runtime, containment, cgroups)
        self.kin = Kin(self, self._stoppers, containment, cgroups)
        self._weighing = Weighing(self, helpers, poller)
        self._births = Births(poller, helpers, cgroups, self.children)
        self.hibernating = Hibernating(self, helpers, poller, cgroups)
        self._files = _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._files_most = sys.maxsize if hard == resource.RLIM_INFINITY else hard
        self._limits: rlimits.Limits = {}
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # several for each server

    @staticmethod
    def check(config: Config) -> None:
        """See whether there may be so many.

        Raises:
            SettingsError: no.
        """
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        needed = files_needed(config.max_alive)
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise SettingsError(
                f"MAX_SERVERS needs {needed} open files and the limit is {hard};"
                " lower it, or raise the limit (ulimit -Hn, LimitNOFILE=)"
            )
        rlimits.claim(config.rlimits)

    def serve(
        self, config: Config, outbox: Outbox, chooser: Chooser | None, sites: Sites | None
    ) -> int:
        """Take orders of another one from now on; return the highest number so far."""
        self._config, self.outbox, self._chooser, self._sites = config, outbox, chooser, sites
        self._limits = {resource.RLIMIT_NOFILE: self._files, **rlimits.claim(config.rlimits)}
        if self._cgroups is not None:
            self._cgroups.limit(config.limits, exclusive=config.exclusive)
        self._weighing.serve(config.max_memory)
        self.hibernating.serve(config.hibernate)
        return self._reserve.serve(config, self._limits, outbox, chooser)

    # -- orders ----------------------------------------------------------------------------------
    def start(self, order: wire.Start, descriptors: list[int]) -> None:
        """Fork a server; the descriptors are closed here in any case."""
        row = self._row(order)
        way = self._config.way if row is None else row.way
        # What has no record is no mount.
        wrong = wrong_start(way, order, descriptors, mounted=row is not None) or no_site(
            self._sites, row, self._config
        )
        if order.server in self._by_id:
            channel.close(descriptors)
            self.outbox.send(wire.Refused(f"start: server {order.server} lives already"))
        elif wrong is not None:
            channel.close(descriptors)
            self.outbox.send(wire.Failed(order.server, False, BAD_START + wrong))
        elif message := self._no_room(order):
            channel.close(descriptors)
            self.outbox.send(wire.Failed(order.server, True, BAD_START + message))
        else:
            self._start(order, descriptors, row)

    def _row(self, order: wire.Start) -> Row | None:
        if self._sites is None:
            return None
        if order.worker is None:
            return self._sites.find(order.site)
        return self._sites.find(worker_key(order.site, order.worker))

    def _no_room(self, order: wire.Start) -> str:
        """Say why no more may live; "" where one more may."""
        if order.worker is not None:
            if (order.site, order.worker) in self._workers:
                return "that worker lives already"
            if files_needed(len(self._by_id) + 1) > self._files_most:
                return "too many workers live; raise the limit on open files (LimitNOFILE=)"
        elif not self._has_room():
            return f"{self._servers} servers live, more than MAX_SERVERS + OVERLAP"
        return ""

    def _start(self, order: wire.Start, descriptors: list[int], row: Row | None) -> None:
        try:
            waiting = self._reserve.take(order.server)
        except OSError as error:
            channel.close(descriptors)
            message = f"cannot start a process: {error.strerror}; raise the limit or free some"
            self.outbox.send(wire.Failed(order.server, True, message))
            return
        said, beside, kept = wire.encode_start(order), tuple(descriptors), b""
        if row is not None and self._sites is not None:
            wrong = self._limit(order.server, row)
            if wrong:
                channel.close(descriptors)
                self._reserve.refuse(waiting)
                self.outbox.send(wire.Failed(order.server, False, wrong))
                return
            record = self._sites.record(row)
            said, beside = encode_record(record, said), (record.file, *beside)
            if row.stops:  # by then its site may have another one
                kept = os.pread(record.file, record.size, record.offset)
        orders = socket.socket(fileno=waiting.orders)
        try:
            channel.send(orders, said, beside)
        except OSError:
            pass  # it has the order already, or somebody has killed it, which reaping tells
        listener = descriptors[0] if descriptors else None
        server = Server(order, waiting, listener, self._config, time.monotonic(), row, kept)
        if row is None:
            orders.close()
        else:
            server.orders = orders.detach()  # it may hand its start over
        self._by_id[server.id] = self._by_pid[server.pid] = server
        self._by_status[server.status] = server
        if order.worker is not None:
            self._workers.add((order.site, order.worker))
        self._poller.register(server.status, 0)  # its end, which is all that POLLHUP tells
        self.outbox.send(wire.Started(server.id, server.pid), (server.output, server.notify))

    def _limit(self, server: int, row: Row) -> str:
        """Have the limits of a site kept; say why they cannot be, or ""."""
        said = row.said(self._config.sites_dir or "")
        if self._cgroups is None:
            wanted = ", ".join(said.values())
            return f"{wanted}: no cgroup for each server; the log says why" if wanted else ""
        exclusive = self._config.root and not (self._config.allow_root or row.root)
        return self._cgroups.limit_one(server, row.limits, said, exclusive=exclusive)

    def signal(self, order: wire.Signal) -> None:
        """Signal a server's whole tree; KILL goes on until nothing is left of it."""
        server = self._by_id.get(order.server)
        if server is None:
            return  # it has gone meanwhile, which is told
        self.hibernating.wake(server.id)  # or it would hear nothing but SIGKILL
        again = server.stopping
        server.stopping = again or order.signal in ("TERM", "KILL")
        if server.stopping:
            self._watchers.stop(server.id)
        if order.signal == "KILL":
            server.hurry()
            if server.handed:
                self._unborn(server)  # whatever it does, nothing waits for it
            else:
                self._sweep(server, 0.0)
            return
        if order.signal == "TERM" and server.ready and not again and self._has_stopper(server):
            return
        self._signal(server, order.signal)

    def _has_stopper(self, server: Server) -> bool:
        """Have the stop command of a server run, if it has one."""
        group = None if self._cgroups is None else self._cgroups.folder_of(server.id)
        return self._stoppers.start(server, self._runtime.path, group, self._limits)

    def _signal(self, server: Server, name: str) -> None:
        if server.handed and server.stopping:
            self._births.dismiss(server)
            return
        if name == "TERM" and server.row is not None:
            name = server.row.stop_signal
        for pid in self.kin.of(server):
            kill(pid, getattr(signal, f"SIG{name}"))

    def adopt(self, order: wire.Adopt) -> None:
        """Hand a server's descriptors over again, or tell an end that nobody has been told yet."""
        ended = self._ends.take(order.server)
        if ended is not None:
            self.outbox.send(ended)
        server = None if ended is not None else self._by_id.get(order.server)
        if server is None:
            self.outbox.send(wire.Adopted(order.ask, order.server, "no such server"))
            return
        descriptors: tuple[int, ...] = (server.output, server.notify)
        if server.listener is not None:
            descriptors += (server.listener,)
        self.outbox.send(wire.Adopted(order.ask, order.server, ""), descriptors)
        if server.status < 0 and not server.handed and server.uid is not None:
            self.outbox.send(self._running(server))

    def is_ready(self, order: wire.IsReady) -> None:
        """Note that a server is ready, for whoever adopts it."""
        server = self._by_id.get(order.server)
        if server is not None:
            server.ready, server.ipv6 = True, order.ipv6

    def has_said(self, order: wire.Said) -> None:
        """Note what a server has said of itself, likewise."""
        server = self._by_id.get(order.server)
        if server is not None:
            server.said = order

    def listing(self, order: wire.AskList) -> None:
        """Tell which servers there are, and which have ended since nobody was there to be told."""
        rows: list[dict[str, wire.Scalar]] = [
            server.told_as(current=self._is_current(server))
            for server in self._by_id.values()
            if not server.told
        ]
        rows += self._ends.rows
        size = wire.SERVERS_IN_A_MESSAGE
        for at in range(0, len(rows) or 1, size):
            more = at + size < len(rows)
            self.outbox.send(wire.Servers(order.ask, rows[at : at + size], more))

    def _is_current(self, server: Server) -> bool:
        """Tell whether a start would make the same server as it is."""
        row = None if self._sites is None else self._sites.find(server.key)
        if row is None or server.row is None:
            return row is server.row and server.config.runs == self._config.runs
        alike = server.config.runs_sites == self._config.runs_sites
        return alike and row.digest == server.row.digest

    def get(self, server: int) -> Server | None:
        """Look a server up."""
        return self._by_id.get(server)

    # -- for Weighing, Hibernating and Kin -------------------------------------------------------
    @property
    def living(self) -> Collection[Server]:
        """All of them."""
        return self._by_id.values()

    def children(self) -> set[int]:
        """List all children of ours that are no orphans."""
        pids = self._by_pid.keys() | self._helpers.pids() | self._others() | self._reserve.pids
        pids |= self._watchers.pids() | self._stoppers.pids()
        return pids if self._chooser is None else pids | {self._chooser.pid}

    # -- events ----------------------------------------------------------------------------------
    def readable(self, status: int) -> None:
        """Read what a child reports, what is told of a site's folder, or what one weighs."""
        server = self._by_status.get(status)
        if server is not None:
            self._read_report(server)
        elif (born := self._births.of(status)) is not None:
            self._come(born)
        elif (touched := self._watchers.readable(status)) is not None:
            self.outbox.send(touched)
        elif not self.hibernating.readable(status):
            self._weighing.readable(status)

    def _read_report(self, server: Server) -> None:
        while (status := server.status) >= 0:
            try:
                data = os.read(status, 65536)
            except BlockingIOError:
                return
            server.reported(data)
            if not data:
                self._poller.unregister(status)
                del self._by_status[status]
                os.close(status)
                if server.handed:
                    self._births.expect(server)
                    continue
                self._births.forget(server)
                if server.stuck is not None:
                    self._explain(server)
                elif server.failure is not None and (server.uid, server.code) != (None, None):
                    self._sweep(server, 0.0)
                elif server.uid is not None and server.failure is None:
                    self._runs(server)

    def _explain(self, server: Server) -> None:
        """Find out what a child of the starter has failed by, which may take a while."""
        try:
            look_into(server, self._runtime, self._helpers, self._containment.parent)
        except OSError:
            return
        if server.status >= 0:
            self._by_status[server.status] = server
            self._poller.register(server.status, 0)

    def _come(self, server: Server) -> None:
        """The process that an interpreter has forked for a server has come, or has ended."""
        come = self._births.come(server)
        if isinstance(come, str):
            if not server.stopping:
                message = f"the process that its preloaded interpreter has forked: {come}"
                server.failure = {"message": message, "overloaded": False}
            self._unborn(server)
            return
        self._by_pid.pop(server.pid, None)
        server.pid, server.handed = come, False
        self._by_pid[come] = server
        if server.stopping:
            self._births.forget(server)
            kill(come, signal.SIGKILL)
        else:
            alike = server.uid, server.environment
            forks = (one for one in self._by_id.values() if one.forks)
            by = [one.id for one in forks if (one.uid, one.environment) == alike]
            self._births.go(server, come, by)
            self._runs(server)

    def _unborn(self, server: Server) -> None:
        """The process of a server will never come: whoever was to be it ends by itself."""
        self._births.forget(server)
        self._by_pid.pop(server.pid, None)
        server.handed, server.pid, server.code = False, 0, -signal.SIGKILL
        self._sweep(server, time.monotonic())

    def _runs(self, server: Server) -> None:
        self.outbox.send(self._running(server))
        self._watch(server)

    def _watch(self, server: Server) -> None:
        """Have its site's folder looked at; not by a record that is another one by now."""
        row = None if self._sites is None else self._sites.find(server.key)
        if server.row is None or row is None or row.digest != server.row.digest:
            return
        if self._sites is not None and not server.stopping and server.code is None:
            record = self._sites.record(row)
            user = _user_of(server)
            self._watchers.start(server.id, server.site, user, server.config, record)

    def _running(self, server: Server) -> wire.Running:
        uid, gid = _user_of(server)
        if server.row is not None:
            # What its site file says is nothing that whoever is told this need know.
            how = server.pid, server.environment, server.preloaded, server.why
            return wire.Running(server.id, uid, gid, server.user, "", [], *how)
        order = wire.Start(server.id, server.site, server.port)
        values = command_values(server.config, self._runtime.path, order, uid, gid)
        argv = wire.bounded(server.config.command.render(values))
        folder = values["PATH"][: wire.MAX_FOLDER]
        return wire.Running(server.id, uid, gid, server.user, folder, argv, server.pid)

    def reaped(self, pid: int, code: int, now: float) -> None:
        """Note that a process was reaped; kill what it left, if it was a server's first one."""
        server = self._by_pid.get(pid)
        unused = self._reserve.reaped(pid)
        if unused is not None:
            self._clean_up(unused)
        if server is None:
            self._watchers.reaped(pid)
            failed = self._by_id.get(self._stoppers.reaped(pid, code) or 0)
            if failed is not None and failed.code is None:
                self._signal(failed, "TERM")
                if failed.id not in self._swept:  # else it was killed with the rest
                    self.outbox.send(not_stopped(failed, code, current=self._is_current(failed)))
            return
        self._read_report(server)
        if server.handed:  # it was to end, and another one is to come
            del self._by_pid[pid]
            server.pid = 0
            return
        server.code = code
        self._watchers.stop(server.id)
        self.hibernating.wake(server.id)
        server.reaped_at = now
        if self._cgroups is not None and code == -signal.SIGKILL:
            server.over_memory = self._cgroups.over_memory(server.id)
        server.hurry()
        if server.listener is not None:
            # or requests would still be connected, to nobody
            os.close(server.listener)
            server.listener = None
        self._sweep(server, now)

    def tick(self, now: float) -> None:
        """Go on killing where something was left; fork a spare, or weigh, when it is time."""
        for server in list(self._swept.values()):
            if now >= server.sweep_at:
                self._sweep(server, now)
        if self._cgroups is not None:
            self._cgroups.tick(now)
        self._births.tick(now)
        if self._has_room():
            self._reserve.tick(now, max(1, self._config.max_servers - self._servers))
        self._weighing.tick(now)
        self.hibernating.tick()

    def deadline(self) -> float | None:
        """Tell when tick is worth calling next."""
        due = [server.sweep_at for server in self._swept.values()]
        if self._has_room() and (at := self._reserve.deadline()) is not None:
            due.append(at)
        if self._cgroups is not None and (at := self._cgroups.deadline()) is not None:
            due.append(at)
        more = (self._weighing.deadline(), self._births.deadline())
        due += [at for at in more if at is not None]
        return min(due, default=None)

    @property
    def _servers(self) -> int:
        """How many live, not counting workers."""
        return len(self._by_id) - len(self._workers)

    def _has_room(self) -> bool:
        return self._servers < self._config.max_alive

    def _sweep(self, server: Server, now: float) -> None:
        ended = server.forks and server.code is not None
        if ended and not self._births.settled(server, self.living, now):
            server.sweep_later(now)
            self._swept[server.id] = server
            return
        pids = self.kin.of(server)
        left = tree.living(pids)
        if left and self._cgroups is not None and not (server.forks and server.code is None):
            self._cgroups.kill(server.id)  # at once, so that none of them has time to fork
        for pid in left:
            kill(pid, signal.SIGKILL)
        if server.code is not None and left and server.left is None:
            server.left = left[0]
        # One that has ended while we looked may have left others, who are seen next time; and
        # somebody may still find out why it could not run.
        if server.code is not None and not pids and server.status < 0:
            self._forget(server)
            self._tell(server, server.code)
            return
        if server.code is not None and now >= server.reaped_at + _TELL_AFTER:
            self._tell(server, server.code)
        server.sweep_later(now)
        self._swept[server.id] = server

    def _tell(self, server: Server, ended: int) -> None:
        if server.told:
            return
        server.told = True
        fact: wire.Failed | wire.Exited
        if server.failure is not None:
            fact = wire.Failed(server.id, **server.failure)
        else:
            fact = wire.Exited(server.id, *code_and_signal(ended), server.left)
            if server.over_memory:
                fact = fact._replace(over_memory=True, limit=_memory_limit(server))
        self.outbox.send(fact)
        if self.outbox.broken:
            self._ends.keep(server.told_as(current=self._is_current(server)), fact)

    def _forget(self, server: Server) -> None:
        del self._by_id[server.id]
        self._by_pid.pop(server.pid, None)
        self._births.forget(server)
        self._swept.pop(server.id, None)
        if server.worker is not None:
            self._workers.discard((server.site, server.worker))
        channel.close([server.output, server.notify])
        if server.listener is not None:
            os.close(server.listener)
        self._clean_up(server.id)

    def _clean_up(self, server: int) -> None:
        if self._cgroups is not None:
            self._cgroups.remove(server)
        if not self._runtime.remove(server):
            self._helpers.run(
                lambda: self._runtime.remove_all(server), failed=lambda _message: None
            )


def _user_of(server: Server) -> tuple[int, int]:
    assert server.uid is not None and server.gid is not None  # noqa: S101, PT018 - for the types
    return server.uid, server.gid


def _memory_limit(server: Server) -> str:
    """Say what bounds a server's memory, and where that is written."""
    said = {} if server.row is None else server.row.said(server.config.sites_dir or "")
    return said.get("memory", "MEMORY_MAX")[: wire.MAX_TEXT]
