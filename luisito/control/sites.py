"""What Luisito tells of sites, awake or asleep: one row for each, and all that is known of one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from luisito.control.overview import ASLEEP, HIBERNATING, WORDS
from luisito.core.lifecycle import Server, State
from luisito.core.members import first_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from luisito.control.overview import Overview, Row
    from luisito.control.owners import Owners
    from luisito.control.roles import Roles
    from luisito.core.past import Past
    from luisito.core.sites import Failure
    from luisito.pool import KeptSites, Pins, Pool
    from luisito.process.sitefiles import SiteFiles

_AWAKE, _WAKING = WORDS[State.READY], WORDS[State.STARTING]
_FAILED, _DRAINING = WORDS[State.FAILED], WORDS[State.DRAINING]
_OF_SERVERS = (
    "pid", "uid", "up_seconds", "idle_seconds", "in_flight", "requests", "memory_bytes",
    "start_seconds",
)  # fmt: skip


class SiteView:
    """All sites that are known: they have a file, or a server, or had one, or have failed.

    A mount is one by itself; several servers of a site are one together.

    Args:
        pool: has the servers.
        overview: tells of each of them.
        roles: who sees what.
        owners: whose sites are that sleep.
        past: what they were.
        site_files: None where there are none.
        kept_sites: how they are kept.
        pins: which are pinned.
        clock: the pool's, in seconds.
    """

    def __init__(
        self,
        pool: Pool,
        overview: Overview,
        roles: Roles,
        owners: Owners,
        past: Past,
        *,
        site_files: SiteFiles | None,
        kept_sites: KeptSites,
        pins: Pins,
        clock: Callable[[], float],
    ) -> None:
        self._pool, self._overview, self._roles, self._owners = pool, overview, roles, owners
        self._past, self._files, self._kept, self._pins = past, site_files, kept_sites, pins
        self._clock = clock

    def names(self) -> list[str]:
        """The keys of all sites."""
        files = self._files
        names = {*self.busy(), *self._past, *self._pins.sites}
        if files is not None:
            names.update(map(first_of, files.by_key), self._wrong())
        return sorted(names)

    def busy(self) -> set[str]:
        """The keys of those that have a server, or have failed to start."""
        policy = self._pool.policy
        found = {server.site for server in policy.servers.values()}
        found.update(failure.site for failure in policy.failures())
        return {*map(first_of, found)}

    def rows(self, uid: int, only: Iterable[str] | None = None) -> Iterator[Row]:
        """A row for each site that a user may see, each as it is when it is read.

        Args:
            uid: the user.
            only: these sites; None for all.
        """
        by_site = dict[str, list[Server]]()
        for server in self._pool.policy.servers.values():
            by_site.setdefault(first_of(server.site), []).append(server)
        failures, wrong = self._failures(), self._wrong()
        for site in self.names() if only is None else only:
            servers = by_site.get(site, ())
            if self._roles.sees(uid, self._owners.of(site)):
                yield self._row(site, self._his(uid, servers), failures, wrong)
            elif seen := [server for server in servers if self._overview.sees(uid, server)]:
                # why it failed, or what is wrong with its file, is for whose it is
                yield self._row(site, seen, {}, {})

    def row(self, uid: int, site: str) -> Row:
        """What a user is told of a site that he may see."""
        return self._row(site, self._servers(uid, site), self._failures(), self._wrong())

    def whole(self, uid: int, site: str) -> dict[str, object]:
        """The same, with its servers and workers and what has become of orders."""
        servers, policy = self._servers(uid, site), self._pool.policy
        errors = [policy.unreplaced.get(key) for key in policy.keys(site)]
        return {
            **self.row(uid, site),
            "servers": [self._overview.row(server) for server in servers],
            "workers": self._overview.workers(uid, site),
            "rolling": any(map(policy.is_rolling, policy.keys(site))),
            "not_replaced": next((error for error in errors if error), None),
        }

    def _servers(self, uid: int, site: str) -> list[Server]:
        held = self._pool.policy.servers.values()
        return self._his(uid, [server for server in held if first_of(server.site) == site])

    def _his(self, uid: int, servers: Sequence[Server]) -> list[Server]:
        """Those of a user's own site; of one that has just begun to start nobody knows the user."""
        return [
            server
            for server in servers
            if self._overview.uid_of(server) is None or self._overview.sees(uid, server)
        ]

    def _failures(self) -> dict[str, Failure]:
        return {first_of(failure.site): failure for failure in self._pool.policy.failures()}

    def _wrong(self) -> dict[str, tuple[str, str]]:
        return {} if self._files is None else self._files.never_right

    def _row(
        self,
        site: str,
        servers: Sequence[Server],
        failures: Mapping[str, Failure],
        wrong: Mapping[str, tuple[str, str]],
    ) -> Row:
        policy = self._pool.policy
        rows = [self._overview.row(server) for server in servers if server.state in WORDS]
        states = [str(row["state"]) for row in rows]
        failure, past = failures.get(site), self._past[site]
        record = None if self._files is None else self._files.by_key.get(site)
        path, why = wrong.get(site, (None if record is None else record["path"], None))
        if failure is not None and not {_AWAKE, HIBERNATING, _WAKING}.intersection(states):
            states.append(_FAILED)
            why = failure.detail
        elif why is not None:
            states.append(_FAILED)
        state = next(
            (word for word in (_AWAKE, HIBERNATING, _WAKING, _FAILED) if word in states),
            _DRAINING if states else ASLEEP,
        )
        failed = failure is not None and state == _FAILED
        return {
            "site": site,
            "state": state,
            "keep": self._kept[site].value,
            "pinned": site in self._pins,
            **_together(rows, state),
            "last_exit": past.exit or None,
            "last_exit_seconds": round(time.time() - past.exited_at, 3) if past.exit else None,
            "error": why,
            "retry_seconds": round(max(0.0, failure.until - self._clock()), 3)
            if failure is not None and failed
            else None,
            "waiting": sum(map(policy.waiting_for, policy.keys(site))),
            "file": path,
        }


def _together(rows: Sequence[Row], state: str) -> Row:
    """What several servers of a site are as one: what the first of those in its state is."""
    if not rows:
        return dict.fromkeys(_OF_SERVERS)
    first = next((row for row in rows if row["state"] == state), rows[-1])
    of = {name: [row[name] for row in rows if row[name] is not None] for name in _OF_SERVERS}
    together = {name: first[name] for name in _OF_SERVERS}
    for name in ("in_flight", "requests", "memory_bytes"):
        together[name] = sum(of[name]) if of[name] else None  # type: ignore[arg-type]
    if first["idle_seconds"] is not None:
        together["idle_seconds"] = min(of["idle_seconds"])  # type: ignore[type-var]
    if together["in_flight"]:
        together["idle_seconds"] = None
    return together
