"""The values of metrics, read where they are at the time of a scrape."""

from __future__ import annotations

import platform
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import twisted
from luisito import __version__
from luisito.core.events import Kind
from luisito.core.lifecycle import State
from luisito.core.members import first_of
from luisito.core.tally import NOWHERE, OTHERS, SiteTally, Times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from luisito.control.overview import Overview
    from luisito.core.eventcounts import Counted, EventCounts
    from luisito.pool import Pool
    from luisito.proxy.gateway import Gateway

    Value = tuple[tuple[str, ...], float | tuple[list[int], float]]
    """Of its labels: what it is; of a histogram counts by BOUNDS, and the sum."""

_CLASSES: Final = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
_ALIVE: Final = (State.STARTING, State.READY, State.DRAINING)
# Of so many sites the counts are summed at a time.
_SITES: Final = 100
_OF_EVENTS: Final = {
    "luisito_spawns_total": Kind.WAKE,
    "luisito_failures_total": Kind.FAILED,
    "luisito_stops_total": Kind.STOPPED,
    "luisito_kills_total": Kind.KILLED,
    "luisito_exits_total": Kind.EXITED,
}
_OF_COUNTERS: Final = {
    "luisito_cold_requests_total": "cold",
    "luisito_open_connections": "open",
    "luisito_connections_total": "connections",
    "luisito_connections_refused_total": "refused",
    "luisito_connections_closed_for_room_total": "closed_for_room",
    "luisito_upstream_connections_total": "upstream_connections",
    "luisito_upstream_retries_total": "retries",
    "luisito_reactor_stalls_total": "stalls",
    "luisito_access_lines_total": "lines",
    "luisito_access_lines_dropped_total": "dropped_lines",
}


class Names:
    """Which sites are told of by name: those that came first, and always the same.

    Args:
        most: how many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._names: set[str] = set()

    def of(self, site: str) -> str:
        """What a site is told of as; OTHERS where there are too many."""
        if site in self._names or site in (OTHERS, NOWHERE):
            return site
        if len(self._names) >= self._most:
            return OTHERS
        self._names.add(site)
        return site


class Sources:
    """Where values are found.

    Args:
        overview: of the pool.
        pool: the same.
        gateway: counts requests.
        events: counts what becomes of servers.
        names: which sites are told of by name.
    """

    def __init__(
        self,
        overview: Overview,
        pool: Pool,
        gateway: Gateway,
        events: EventCounts,
        names: Names,
    ) -> None:
        self.overview, self.pool, self.gateway = overview, pool, gateway
        self.events, self.names = events, names


class Found:
    """The values of all metrics as they are now, of one scrape.

    What is said of sites is read a few sites at a time: first by `gather`, then by `values`.
    """

    def __init__(self, sources: Sources) -> None:
        self._from = sources
        sources.gateway.access.flush()
        self._status: Mapping[str, Any] = sources.overview.status()
        self._tallies: dict[str, SiteTally] = {}
        self._events: dict[str, Counter[Counted]] = {}
        self._by_name: dict[str, Callable[[], Iterable[Value]]] = {
            "luisito_build_info": self._build,
            "luisito_requests_total": self._requests,
            "luisito_request_duration_seconds": self._durations,
            "luisito_first_byte_seconds": self._first_bytes,
            "luisito_own_answers_total": self._own_answers,
            "luisito_evictions_total": self._evictions,
            "luisito_site_memory_bytes": self._memory_of_sites,
        }
        self._whole = self._of_the_whole()

    def gather(self) -> Iterator[None]:
        """Sums the counts of sites that are not told of by name."""
        name = self._from.names.of
        for at, (site, tally) in enumerate(list(self._from.gateway.tally.by_site.items()), 1):
            label = name(site)
            if label != OTHERS:
                self._tallies[label] = tally
            else:
                self._tallies.setdefault(OTHERS, SiteTally()).include(tally)
            if at % _SITES == 0:
                yield
        for at, (site, counts) in enumerate(list(self._from.events.by_site.items()), 1):
            self._events.setdefault(name(site), Counter()).update(counts)
            if at % _SITES == 0:
                yield

    def values(self, name: str) -> Iterable[Value]:
        """The values of a metric, by its name."""
        if name in _OF_COUNTERS:
            return [((), getattr(self._from.gateway.counters, _OF_COUNTERS[name]))]
        if name in _OF_EVENTS:
            return self._of_events(_OF_EVENTS[name])
        return self._whole[name] if name in self._whole else self._by_name[name]()

    # -- of Luisito as a whole

    def _of_the_whole(self) -> dict[str, Iterable[Value]]:
        status, policy = self._status, self._from.pool.policy
        counts, files = policy.counts(), status["site_files"] or {"sites": 0, "broken": ()}
        alive = sum(counts.get(state, 0) for state in _ALIVE)
        limit = policy.limits.max_memory
        plain = {
            "luisito_uptime_seconds": status["uptime_seconds"],
            "luisito_restart_refused": int(status["not_restarted"] is not None),
            "luisito_waiting_requests": policy.waiting,
            "luisito_servers_limit": policy.limits.max_servers,
            "luisito_servers_room": max(0, policy.limits.max_servers - alive),
            "luisito_memory_bytes": status["memory_bytes"],
            "luisito_memory_limit_bytes": limit,
            "luisito_site_files": files["sites"],
            "luisito_site_files_broken": len(files["broken"]),
        }
        states = {f"luisito_{key}": status[key] for key in ("servers", "workers")}
        times = {
            "luisito_queue_wait_seconds": self._from.gateway.tally.queued,
            "luisito_start_duration_seconds": self._from.events.starts,
        }
        return {
            **{name: _plain(value) for name, value in plain.items()},
            **{name: _by_state(by) for name, by in states.items()},
            **{name: _times(of) for name, of in times.items()},
        }

    def _build(self) -> Iterator[Value]:
        yield (__version__, platform.python_version(), twisted.__version__), 1

    def _own_answers(self) -> Iterator[Value]:
        for reason, count in sorted(self._from.gateway.tally.own.items()):
            yield (reason,), count

    # -- of sites

    def _requests(self) -> Iterator[Value]:
        for site, tally in self._tallies.items():
            for name, count in zip(_CLASSES, tally.by_class, strict=True):
                if count:
                    yield (site, name), count

    def _durations(self) -> Iterator[Value]:
        for site, tally in self._tallies.items():
            yield (site,), (tally.duration, tally.duration_sum)

    def _first_bytes(self) -> Iterator[Value]:
        for site, tally in self._tallies.items():
            warm, cold = tally.warm, tally.cold
            if any(warm):
                yield (site, "warm"), (warm, tally.warm_sum)
            if any(cold):
                yield (site, "cold"), (cold, tally.cold_sum)

    def _of_events(self, kind: Kind) -> Iterator[Value]:
        for site, counts in self._events.items():
            for (one, process, detail), count in counts.items():
                if one is kind:
                    yield (site, process, detail) if detail else (site, process), count

    def _evictions(self) -> Iterator[Value]:
        for site, counts in self._events.items():
            for (one, _, reason), count in counts.items():
                if one is Kind.EVICTED:
                    yield (site, reason), count

    def _memory_of_sites(self) -> Iterator[Value]:
        taken: Counter[str] = Counter()
        for server in self._from.pool.policy.servers.values():
            if server.memory is not None:
                taken[self._from.names.of(first_of(server.site))] += server.memory
        for site, size in taken.items():
            yield (site,), size


def _plain(value: float | None) -> Iterable[Value]:
    return [] if value is None else [((), value)]


def _by_state(counts: Mapping[str, int]) -> Iterable[Value]:
    return [((state,), count) for state, count in counts.items()]


def _times(times: Times) -> Iterable[Value]:
    return [((), (times.counts, times.total))]
