"""Carries out what is decided about preloaded interpreters, and counts what comes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from luisito.core.preloading import Key, Preloading
from luisito.core.siteindex import PRELOAD
from luisito.process.alarm import Alarm

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from twisted.internet.interfaces import IReactorTime

    from luisito.core import wire
    from luisito.core.codec import Scalar
    from luisito.process.crew import Crew


class Preloads:
    """The preloaded interpreters of all sites.

    Args:
        reactor: the clock.
        crew: whose workers they are.
        idle: seconds that one outlives the last of its servers.

    Attributes:
        preloaded: how many servers were forked by one.
        plain: how many could not be, as none was there.
        fallbacks: how many were not, although one was there.
        last: the site of the last of these, and why; None where there was none.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorTime, crew: Crew, idle: float) -> None:
        self._reactor, self._crew = reactor, crew
        self._preloading = Preloading(idle)
        self._alarm = Alarm(reactor, self._preloading.deadline, self._tick)
        self.preloaded = self.plain = self.fallbacks = 0
        self.last: tuple[str, str] | None = None

    def told(self) -> dict[str, object]:
        """What an operator is told."""
        last = self.last
        return {
            "interpreters": self._preloading.hosts,
            "preloaded": self.preloaded,
            "plain": self.plain,
            "fallbacks": self.fallbacks,
            "last_fallback": None if last is None else {"site": last[0], "error": last[1]},
        }

    def runs(self, site: str, fact: wire.Running) -> None:
        """The server of a site runs; harmless where it shares nothing."""
        if not fact.environment:
            return
        if fact.preloaded:
            self.preloaded += 1
        elif fact.why:
            self.fallbacks += 1
            self.last = site, fact.why
        else:
            self.plain += 1
        self._runs(fact.server, site, Key(fact.environment, fact.uid))

    def _runs(self, server: int, site: str, key: Key) -> None:
        site = site if self._crew.workers.names(site, PRELOAD) else ""  # no mount has workers
        self._preloading.runs(server, site, key, self._reactor.seconds())
        self._alarm.arm()

    def gone(self, server: int) -> None:
        """A server has gone."""
        self._preloading.gone(server, self._reactor.seconds())
        self._alarm.arm()

    def hosted(self, site: str, environment: str, uid: int) -> None:
        """A worker of a site runs as an interpreter."""
        self._preloading.hosted(site, Key(environment, uid), self._reactor.seconds())
        self._alarm.arm()

    def lost(self, site: str) -> None:
        """A site can be no host any more."""
        self._preloading.lost(site, self._reactor.seconds())
        self._alarm.arm()

    def adopt(self, rows: Iterable[Mapping[str, Scalar]]) -> None:
        """Takes over what the spawner lists, before the pool and the crew do."""
        for row in rows:
            site, uid = str(row["site"]), row["uid"]
            environment = row.get("environment")
            if not environment or not isinstance(uid, int):
                continue
            if row["worker"] is None:
                self._runs(int(row["server"] or 0), site, Key(str(environment), uid))
            elif row["worker"] == PRELOAD:
                self.hosted(site, str(environment), uid)

    def resign(self) -> None:
        """Forgets all."""
        self._preloading.clear()
        self._alarm.arm()

    def _tick(self) -> None:
        for want in self._preloading.tick(self._reactor.seconds()):
            self._crew.ask(want.site, PRELOAD, wanted=want.wanted)
        self._alarm.arm()
