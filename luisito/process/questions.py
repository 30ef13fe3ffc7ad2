"""What the spawner is asked, and how its answers find who has asked."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, TypeVar, cast

from twisted.internet.defer import Deferred

from luisito.core import wire
from luisito.errors import SettingsError, SpawnerLost, WireError
from luisito.process.told import LogFile, Tail

if TYPE_CHECKING:
    from luisito.core.wire import Order

_Answer = TypeVar("_Answer")


class Questions:
    """The first half of Spawner; SpawnerLost comes in a Deferred once that has gone."""

    def __init__(self) -> None:
        self._asks: dict[int, Deferred[object]] = {}
        self._rows: dict[int, list[dict[str, wire.Scalar]]] = {}
        self._last_ask = 0
        self._gone = False

    def _order(self, order: Order, descriptors: tuple[int, ...] = ()) -> None:
        """Sends an order."""
        raise NotImplementedError

    def folder(self, site: str) -> Deferred[wire.Folder]:
        """Ask whether a site's PROJECT_PATH exists and whose it is."""
        return self._ask(wire.AskFolder(self._next_ask(), site), wire.Folder)

    def page(self, site: str) -> Deferred[bytes]:
        """Ask for the waiting page that a site has of its own, by its key.

        Raises:
            SettingsError: (in the Deferred) it cannot be read.
        """
        return self._ask(wire.AskPage(self._next_ask(), site), bytes)

    def run_hook(self, site: str, event: str, facts: dict[str, str], *, own: bool) -> Deferred[str]:
        """Have the command of a hook run; see wire.RunHook.

        Returns:
            Why it has failed, or "", once it has ended.
        """
        order = wire.RunHook(self._next_ask(), site, event, own, facts)
        return self._ask(order, wire.HookEnded).addCallback(lambda answer: answer.message)

    def config(self, site: str) -> Deferred[bytes]:
        """Ask what counts for a site that has a file, by its key: JSON (settings.sites.effective).

        Raises:
            SettingsError: (in the Deferred) its file is wrong, or cannot be read.
        """
        return self._ask(wire.AskConfig(self._next_ask(), site), bytes)

    def owns(self, server: int, inode: int) -> Deferred[bool]:
        """Ask whether a socket's inode belongs to a process of a server."""
        asked = self._ask(wire.AskOwns(self._next_ask(), server, inode), wire.Owns)
        return asked.addCallback(lambda answer: answer.yes)

    def log(self, site: str | None) -> Deferred[int]:
        """Ask for the descriptor of the access log (None), or of a site's, to append to.

        Raises:
            OSError: (in the Deferred) it cannot be opened.
        """
        asked = self._ask(wire.AskLog(self._next_ask(), site), LogFile)
        return asked.addCallback(lambda file: file.fd)

    def output_log(self, site: str, *, rotate: bool) -> Deferred[LogFile]:
        """Ask for the file of a site's output, to append to.

        Args:
            site: whose.
            rotate: a new one, where that of now is large enough.

        Raises:
            OSError: (in the Deferred) it cannot be opened or rotated.
        """
        return self._ask(wire.AskLog(self._next_ask(), site, rotate), LogFile)

    def tail(self, site: str, after: int | None, file: str = "") -> Deferred[Tail]:
        """Ask for the end of the file of a site's output, or for what is behind so many bytes.

        Args:
            site: whose.
            after: so many bytes of the file are known.
            file: which one that is; "" for the one that has the site's name now.

        Returns:
            What stands there (core.sitelog.part).

        Raises:
            OSError: (in the Deferred) it cannot be read.
        """

        def read(log: LogFile) -> Tail:
            try:
                data = os.pread(log.fd, os.fstat(log.fd).st_size, 0)
            finally:
                os.close(log.fd)
            return Tail(data, log.size, log.file, log.over)

        order = wire.AskTail(self._next_ask(), site, after, file)
        return self._ask(order, LogFile).addCallback(read)

    def own_log(self) -> Deferred[int]:
        """Ask for the descriptor of our own log file, opened anew to append to.

        Raises:
            OSError: (in the Deferred) it cannot be opened.
        """
        asked = self._ask(wire.AskOwnLog(self._next_ask()), LogFile)
        return asked.addCallback(lambda file: file.fd)

    def sites(self) -> Deferred[dict[str, Any]]:
        """Ask to have SITES_DIR looked through again.

        Returns:
            What has changed since the last answer, or all: see wire.Sites.

        Raises:
            SettingsError: (in the Deferred) it could not be; all is as it was.
        """
        return self._ask(wire.AskSites(self._next_ask()), dict)

    def servers(self) -> Deferred[list[dict[str, wire.Scalar]]]:
        """Ask which servers live: server, site, pid, port, way, uid and gid of each."""
        return self._ask(wire.AskList(self._next_ask()), list)

    def adopt(self, server: int) -> Deferred[tuple[int, ...]]:
        """Ask for the descriptors of a living server: output, notify, listening socket if any.

        Raises:
            LookupError: (in the Deferred) there is no such server.
        """
        return self._ask(wire.Adopt(self._next_ask(), server), tuple)

    def _next_ask(self) -> int:
        self._last_ask += 1
        return self._last_ask

    def _ask(
        self,
        order: (
            wire.AskFolder
            | wire.AskPage
            | wire.AskConfig
            | wire.AskOwns
            | wire.AskLog
            | wire.AskTail
            | wire.AskOwnLog
            | wire.AskSites
            | wire.RunHook
            | wire.AskList
            | wire.Adopt
        ),
        _answer: type[_Answer],
    ) -> Deferred[_Answer]:
        asked: Deferred[object] = Deferred()
        if self._gone:
            asked.errback(SpawnerLost("the spawner has gone"))
        else:
            self._asks[order.ask] = asked
            self._order(order)
        return cast("Deferred[_Answer]", asked)

    def _answer(
        self,
        fact: (
            wire.Folder
            | wire.Page
            | wire.Owns
            | wire.Log
            | wire.Sites
            | wire.HookEnded
            | wire.Servers
            | wire.Adopted
        ),
        descriptors: list[int],
    ) -> None:
        if isinstance(fact, wire.Servers):
            rows = self._rows.setdefault(fact.ask, [])
            rows += fact.servers
            if fact.more:
                return
        asked = self._asks.pop(fact.ask, None)
        if asked is None:
            raise WireError(f"an answer that nobody waits for: {fact!r:.200}")
        if isinstance(fact, wire.Servers):
            asked.callback(self._rows.pop(fact.ask))
        elif isinstance(fact, wire.Sites | wire.Page) and not descriptors:
            asked.errback(SettingsError(fact.message or "too many open files; raise the limit"))
        elif isinstance(fact, wire.Page):
            asked.callback(os.pread(descriptors[0], os.fstat(descriptors[0]).st_size, 0))
        elif isinstance(fact, wire.Sites):
            size = os.fstat(descriptors[0]).st_size
            asked.callback(json.loads(os.pread(descriptors[0], size, 0)))
        elif isinstance(fact, wire.Log) and not descriptors:
            asked.errback(OSError(fact.message))
        elif isinstance(fact, wire.Log):
            log = LogFile(descriptors.pop(), fact.size, fact.midline, fact.file, fact.over)
            asked.callback(log)
        elif isinstance(fact, wire.Adopted) and not descriptors:
            asked.errback(LookupError(fact.message))
        elif isinstance(fact, wire.Adopted):
            handed = tuple(descriptors)
            descriptors.clear()
            asked.callback(handed)
        else:
            asked.callback(fact)

    def _answer_no_more(self, reason: str) -> None:
        asks, self._asks = self._asks, {}
        for asked in asks.values():
            asked.errback(SpawnerLost(reason))
