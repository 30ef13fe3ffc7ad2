"""What Luisito tells of itself: its servers, row by row, and its counts."""

from __future__ import annotations

import os
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from luisito import __version__
from luisito.core.keeping import Keep
from luisito.core.lifecycle import Server, State
from luisito.core.members import first_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from luisito.control.roles import Roles
    from luisito.control.succession import Succession
    from luisito.core.sites import Failure
    from luisito.core.worker import Worker
    from luisito.pool import KeptSites, Pool, Warmth
    from luisito.process.sitefiles import SiteFiles
    from luisito.proxy.counters import Counters
    from luisito.proxy.doors import Doors

    Row: TypeAlias = dict[str, str | int | float | None]

ASLEEP: Final = "asleep"
HIBERNATING: Final = "hibernating"  # frozen, so that it does not run until its next request
_OF_WORKERS: Final = (State.STARTING, State.READY, State.STOPPING, State.FAILED)
WORDS: Final[Mapping[State, str]] = {
    State.STARTING: "waking",
    State.READY: "awake",
    State.DRAINING: "draining",
    State.STOPPING: "draining",  # it has nothing in flight any more, or its time was over
    State.FAILED: "failed",
}
"""The states as people are told them; a site without any of them is asleep."""
LEAVING: Final = (State.DRAINING, State.STOPPING)
"""Of servers that get no new request."""


class Overview:
    """The pool as it is now; whoever asks is told only of what he may see.

    Args:
        pool: of servers.
        counters: of the proxy.
        roles: who sees what.
        max_servers: the setting.
        runtime_dir: the one in use.
        clock: the pool's, in seconds.
        succession: whether a successor was refused.
        site_files: which are broken; None where SITES_DIR is not set.
        kept_sites: which sites are kept awake; None for none.
        doors: the endpoints of sites.
        broken_pages: why waiting pages could not be read, by the keys of sites.
        warmth: which sites are started again.
        hooks: tells how hooks fare.

    Attributes:
        stopping: Luisito finishes what is in flight, and ends.
    """

    def __init__(
        self,
        pool: Pool,
        counters: Counters,
        roles: Roles,
        *,
        max_servers: int,
        runtime_dir: str,
        clock: Callable[[], float],
        succession: Succession,
        site_files: SiteFiles | None = None,
        kept_sites: KeptSites | None = None,
        doors: Doors,
        broken_pages: Mapping[str, str],
        warmth: Warmth,
        hooks: Callable[[], dict[str, object]] = dict,
    ) -> None:
        self._pool, self._counters, self._roles = pool, counters, roles
        self._max_servers, self._runtime_dir = max_servers, runtime_dir
        self._clock, self._began = clock, clock()
        self._succession, self._site_files = succession, site_files
        self._kept_sites, self._doors, self._broken_pages = kept_sites, doors, broken_pages
        self._warmth, self._hooks = warmth, hooks
        self.stopping = False

    def status(self) -> dict[str, object]:
        """Luisito as a whole."""
        policy = self._pool.policy
        counts, frozen = policy.counts(), policy.frozen
        servers = {
            WORDS[State.STARTING]: counts[State.STARTING],
            WORDS[State.READY]: counts[State.READY] - frozen,
            HIBERNATING: frozen,
            WORDS[State.DRAINING]: counts[State.DRAINING] + counts[State.STOPPING],
        }
        return {
            "version": __version__,
            "pid": os.getpid(),
            "state": "stopping" if self.stopping else "running",
            "not_restarted": self._succession.refusal or None,
            "uptime_seconds": round(self._clock() - self._began, 3),
            "runtime_dir": self._runtime_dir,
            "max_servers": self._max_servers,
            "memory_bytes": policy.memory,
            "max_memory": policy.limits.max_memory,
            "servers": {**servers, WORDS[State.FAILED]: len(self._failed())},
            "workers": self._count_workers(),
            "waiting": policy.waiting,
            "rewarming": self._of_rewarming(),
            "preload": self._pool.crew.preloads.told(),
            "site_files": self._of_files(),
            "hooks": self._hooks(),
            "counters": self._counters.as_dict(),
        }

    def advice(self) -> dict[str, object]:
        """What pools of other sizes would have done since this process serves."""
        policy, now = self._pool.policy, self._clock()
        reuse, sizes = policy.reuse(now), [size for _, size in policy.took()]
        return {
            "max_servers": self._max_servers,
            "max_memory": policy.limits.max_memory,
            "seconds": round(max(reuse.since(now), now - self._began), 3),
            "uses": reuse.requests,
            "sites": round(reuse.sites),
            "memory_each": round(sum(sizes) / len(sizes)) if sizes else None,
            "cold_starts": [[size, round(cold, 3)] for size, cold in reuse.curve()],
            "cold_starts_by_memory": [[size, round(cold, 3)] for size, cold in reuse.curve_in()],
        }

    def _of_rewarming(self) -> dict[str, object] | None:
        rewarming = self._warmth.rewarming
        if rewarming is None:
            return None
        counts = {turn.name.lower(): count for turn, count in rewarming.counts.items()}
        return {"over": rewarming.over, "words": rewarming.words(), **counts}

    def _of_files(self) -> dict[str, object] | None:
        files = self._site_files
        if files is None:
            return None
        return {
            "sites": len(files.records),
            "unreadable": files.failed or None,
            "maintenance": [key for key, one in files.by_key.items() if one["maintenance"]],
            "not_kept": self._not_kept(),
            "broken": [
                {"path": path, "error": why}
                for path, why in (*files.broken.items(), *self._doors.wrong.values())
            ],
            "not_replaced": self._not_replaced(),
            "waiting_pages": _by_site(self._broken_pages),
            "stop_commands": _by_site(self._pool.stop_commands.failures),
        }

    def _not_kept(self) -> str | None:
        """Why not all sites are kept as their files say."""
        kept = self._kept_sites
        return f"{kept.problem}; {kept.mend}" if kept is not None and kept.problem else None

    def _not_replaced(self) -> list[Row]:
        """The sites whose new server did not start, while the old one serves."""
        return [
            {"site": site, "error": detail.partition("; its last output")[0]}
            for site, detail in self._pool.policy.unreplaced.items()
        ]

    def _keep(self, site: str) -> str:
        kept = self._kept_sites
        return (Keep.DEMAND if kept is None else kept[site]).value

    def servers(self, uid: int) -> Iterator[Row]:
        """The servers and, for operators, the sites that failed, each as it is when it is read.

        Args:
            uid: who asks.
        """
        held = sorted(self._pool.policy.servers.values(), key=attrgetter("site", "id"))
        workers = sorted(self._pool.crew, key=attrgetter("site", "name"))
        failed = self._failed() if self._roles.is_operator(uid) else ()
        return self._rows(uid, held, workers, failed)

    def of(self, uid: int, site: str) -> list[Server]:
        """The servers of a site that a user may see, the newest at the end."""
        held = self._pool.policy.servers.values()
        its = [server for server in held if first_of(server.site) == site]
        return [server for server in its if self.sees(uid, server)]

    def sees(self, uid: int, server: Server) -> bool:
        """Whether a user may be told of a server, and stop it."""
        return self._roles.sees(uid, self.uid_of(server))

    def uid_of(self, server: Server) -> int | None:
        """Whom a server runs as; None where that is not known yet."""
        start = self._pool.start_of(server)
        return None if start is None else start.uid

    def row(self, server: Server) -> Row:
        """What is told of a server."""
        start, now = self._pool.start_of(server), self._clock()
        ready = server.ready_at > 0.0
        busy = max(0.0, self._pool.policy.said(server).busy_until - now)
        requests = server.leases - (busy > 0)  # its own lease is none
        idle = server.state is State.READY and not server.leases
        frozen = self._pool.policy.is_frozen(server)
        return {
            "site": server.site,
            "worker": None,
            "state": HIBERNATING if frozen else WORDS[server.state],
            "keep": self._keep(server.site),
            "id": server.id,
            "pid": None if start is None else start.pid or None,
            "uid": None if start is None else start.uid,
            "up_seconds": round(now - server.started_at, 3),
            "start_seconds": round(server.ready_at - server.started_at, 3) if ready else None,
            "idle_seconds": round(now - server.used_at, 3) if idle else None,
            "in_flight": requests,
            "busy_seconds": round(busy, 3) if busy else None,
            "requests": server.released + requests,
            "memory_bytes": server.memory,
            "way": None if start is None else start.way,
            "port": None if start is None else start.port,
            "retry_seconds": None,
            "error": None,
        }

    def workers(self, uid: int, site: str) -> list[Row]:
        """The workers of a site that a user may see, and those that failed."""
        of_site = [worker for worker in self._pool.crew if worker.site == site]
        return list(self._rows(uid, (), sorted(of_site, key=attrgetter("name")), ()))

    def failed(self) -> Iterator[Row]:
        """The workers and the sites that are failed, as in `servers` for an operator.

        With them those sites whose file is wrong and never was right.
        """
        workers = sorted(self._pool.crew, key=attrgetter("site", "name"))
        for worker in workers:
            if self._state_of(worker) is State.FAILED:
                yield self._row_of(worker, State.FAILED)
        yield from self._rows(0, (), (), self._failed())
        files = self._site_files
        for site, (_, why) in {} if files is None else files.never_right.items():
            yield self._row_of_failed(site, why, None)

    def as_before(self) -> Iterator[Row]:
        """The sites that are served as they were, and what of their files or servers is wrong."""
        files = self._site_files
        for site, (_, why) in {} if files is None else files.as_before.items():
            yield {"site": site, "error": why}
        yield from self._not_replaced()

    def by_host_only(self) -> Iterator[Row]:
        """The sites that have no endpoint of their own although their files name one, and why."""
        for site, (_, why) in self._doors.wrong.items():
            yield {"site": site, "error": why}

    def _count_workers(self) -> dict[str, int]:
        counts = dict.fromkeys((WORDS[state] for state in _OF_WORKERS), 0)
        for worker in self._pool.crew:
            state = self._state_of(worker)
            if state is not None:
                counts[WORDS[state]] += 1
        return counts

    def _state_of(self, worker: Worker) -> State | None:
        """What a worker does, in a server's terms; None for nothing."""
        process = self._pool.crew.process_of(worker)
        if process is None:
            return State.FAILED if worker.failures and worker.spec is not None else None
        if worker.stopping:
            return State.STOPPING
        return State.STARTING if process.uid is None else State.READY

    def _row_of(self, worker: Worker, state: State) -> Row:
        process, now = self._pool.crew.process_of(worker), self._clock()
        failed = state is State.FAILED
        return {
            "site": worker.site,
            "worker": worker.name,
            "state": WORDS[state],
            "keep": _kept_as(worker),
            "id": None if process is None else process.number,
            "pid": None if process is None else process.pid or None,
            "uid": None if process is None else process.uid,
            "up_seconds": None if process is None else round(now - worker.since, 3),
            **dict.fromkeys(("start_seconds", "idle_seconds")),
            "in_flight": 0,
            "busy_seconds": None,
            "requests": 0,
            **dict.fromkeys(("memory_bytes", "way", "port")),
            "retry_seconds": round(max(0.0, worker.until - now), 3) if failed else None,
            "error": worker.detail if failed else None,
        }

    def _rows(
        self,
        uid: int,
        held: Sequence[Server],
        workers: Sequence[Worker],
        failed: Sequence[Failure],
    ) -> Iterator[Row]:
        for server in held:
            # some may have gone since
            if server.state in WORDS and self.sees(uid, server):
                yield self.row(server)
        for worker in workers:
            state, process = self._state_of(worker), self._pool.crew.process_of(worker)
            runs_as = None if process is None else process.uid
            if state is not None and self._roles.sees(uid, runs_as):
                yield self._row_of(worker, state)
        for failure in failed:
            retry = round(max(0.0, failure.until - self._clock()), 3)
            yield self._row_of_failed(failure.site, failure.detail, retry)

    def _row_of_failed(self, site: str, why: str, retry: float | None) -> Row:
        return {
            "site": site,
            "worker": None,
            "state": WORDS[State.FAILED],
            "keep": self._keep(site),
            **dict.fromkeys(("id", "pid", "uid", "up_seconds", "start_seconds")),
            "idle_seconds": None,
            "in_flight": 0,
            "busy_seconds": None,
            "requests": 0,
            "memory_bytes": None,
            **dict.fromkeys(("way", "port")),
            "retry_seconds": retry,
            "error": why,
        }

    def _failed(self) -> list[Failure]:
        policy = self._pool.policy
        # one that has been started anew since is told of as a server
        return [one for one in policy.failures() if policy.server(one.site) is None]


def _kept_as(worker: Worker) -> str:
    if worker.spec is not None and worker.spec.asked:
        return Keep.DEMAND.value
    return "always" if worker.spec is not None and worker.spec.always else "site"


def _by_site(errors: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"site": site, "error": why} for site, why in errors.items()]
