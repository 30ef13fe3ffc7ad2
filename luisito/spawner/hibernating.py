"""Servers that are frozen: when that may be, how it is done, and how they run on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from luisito.core import wire
from luisito.spawner import cgroupfs, quiet, reclaiming
from luisito.spawner.errand import Errand
from luisito.spawner.scales import Load, weigh

if TYPE_CHECKING:
    import select
    from collections.abc import Callable, Iterable

    from luisito.spawner.cgroup import Cgroups
    from luisito.spawner.helpers import Helpers
    from luisito.spawner.server import Server
    from luisito.spawner.servers import Servers

NO_CGROUP = "it has no cgroup of its own; the log says why at the start"
_AT_A_TIME = 64  # servers that one helper looks at
_AT_WORK = 3.0  # seconds after which a helper leaves the rest to the next one


class Hibernating:
    """Freezes servers that are quiet, and has their memory given back; nothing in it waits.

    A server is frozen by its cgroup (cgroup.freeze, cgroups(7)): it is told nothing, takes no part
    of a processor, and dies of SIGKILL as any other.

    Args:
        servers: all of them.
        helpers: who look, and give memory back.
        poller: where their answers are waited for.
        cgroups: that servers have; None where they have none.
    """

    __slots__ = (
        "_batch", "_cgroups", "_frozen", "_heavy", "_looking", "_looks", "_means", "_reclaim",
        "_servers", "_waiting",
    )  # fmt: skip

    def __init__(
        self, servers: Servers, helpers: Helpers, poller: select.poll, cgroups: Cgroups | None
    ) -> None:
        self._servers, self._cgroups = servers, cgroups
        self._means = ""
        self._waiting: dict[int, None] = {}  # to be looked at
        self._looking: set[int] = set()  # that are looked at, as long as they are to be frozen
        self._frozen: set[int] = set()
        self._heavy: dict[int, None] = {}  # of these, whose memory is still to be given back
        self._batch: list[int] = []  # of these, whose is given back now
        self._looks = Errand(helpers, poller, self._seen)
        self._reclaim = Errand(helpers, poller, self._reclaimed)

    def serve(self, means: str) -> None:
        """Freeze by these means from now on."""
        self._means = means
        self.wake_all()

    def wake_all(self) -> None:
        """Let all run on: whoever has had them frozen has gone, and nobody else knows of it."""
        for server in [*self._waiting, *self._looking, *self._frozen]:
            self.wake(server)

    def obey(self, order: wire.Hibernate) -> None:
        """Freeze a server soon, at once if it need not be quiet; or wake it."""
        self.wake(order.server)
        server = self._servers.get(order.server)
        if not order.on or server is None or server.stopping or server.code is not None:
            return
        if self._folder(server) is None:
            self._refuse(server.id, NO_CGROUP)
        elif order.force:
            self._freeze(server)
        else:
            self._waiting[server.id] = None

    def wake(self, server: int) -> None:
        """Let a server run on, if it is frozen; or not be frozen."""
        self._waiting.pop(server, None)
        self._looking.discard(server)
        self._heavy.pop(server, None)
        if server in self._frozen:
            self._frozen.discard(server)
            of = self._servers.get(server)
            folder = None if of is None else self._folder(of)
            if folder is not None:
                _set(folder, "0")

    def readable(self, descriptor: int) -> bool:
        """Read what a helper tells; tell whether the descriptor is one's."""
        return self._looks.readable(descriptor) or self._reclaim.readable(descriptor)

    def tick(self) -> None:
        """Begin what waits."""
        if self._waiting and not self._looks.runs:
            self._look()
        if self._heavy and not self._reclaim.runs:
            self._give_back()

    # -- looking
    def _look(self) -> None:
        batch = list(self._waiting)[:_AT_A_TIME]
        for number in batch:
            del self._waiting[number]
        found = {each: of for each in batch if (of := self._servers.get(each)) is not None}
        pids = {number: self._servers.kin.of(of) for number, of in found.items()}
        self._looking = set(found)

        def work(say: Callable[[str], None]) -> None:
            before: list[dict[int, quiet.Look]] = []
            for _ in range(2):
                time.sleep(quiet.SETTLES)
                before.append({number: quiet.look(of) for number, of in pids.items()})
            time.sleep(quiet.SPAN)
            for number, of in pids.items():
                last = quiet.look(of)
                whys = [quiet.compare(looks[number], last) for looks in before]
                say(f"{number} {whys[-1] if all(whys) else ''}")

        self._looks.begin(work)

    def _seen(self, lines: list[str] | None) -> None:
        for line in lines or ():
            self._see(line)
        if lines is None:
            for number in list(self._looking):  # of whom nothing was told
                self._refuse(number, "a helper that looked at it has failed")
            self._looking.clear()

    def _see(self, line: str) -> None:
        number, why = int(line.partition(" ")[0]), line.partition(" ")[2]
        server = self._servers.get(number)
        if number not in self._looking or server is None:
            return
        self._looking.discard(number)
        if why:
            self._refuse(number, f"{why}; write hibernate = true if that may wait, or false")
        else:
            self._freeze(server)

    # -- freezing
    def _freeze(self, server: Server) -> None:
        folder = self._folder(server)
        why = NO_CGROUP if folder is None else _set(folder, "1")
        if why:
            self._refuse(server.id, why)
            return
        self._frozen.add(server.id)
        if self._means == "reclaim":
            self._heavy[server.id] = None
        else:
            self._servers.outbox.send(wire.Hibernated(server.id, "", None))

    def _refuse(self, server: int, why: str) -> None:
        self._servers.outbox.send(wire.Hibernated(server, why[: wire.MAX_TEXT], None))

    def _folder(self, server: Server) -> str | None:
        return None if self._cgroups is None else self._cgroups.folder_of(server.id)

    # -- giving memory back
    def _give_back(self) -> None:
        kin, batch = self._servers.kin, list[tuple[Load, str, list[int]]]()
        for number in self._heavy:
            server = self._servers.get(number)
            folder = None if server is None else self._folder(server)
            if server is not None and folder is not None:
                load = Load(number, server.pid, server.uid, kin.cgroup_of(server))
                batch.append((load, folder, kin.of(server)))
        orphans, end = kin.orphans, time.monotonic() + _AT_WORK

        def work(say: Callable[[str], None]) -> None:
            for load, folder, pids in batch:
                reclaim(folder, pids)
                for number, size in weigh([load], orphans()):
                    say(f"{number} {size}")
                if time.monotonic() >= end:
                    return

        self._batch = [load.server for load, _folder, _pids in batch]
        self._reclaim.begin(work)

    def _reclaimed(self, lines: list[str] | None) -> None:
        for line in lines or ():
            number, size = map(int, line.split())
            server = self._servers.get(number)
            if server is not None and number in self._heavy:
                del self._heavy[number]
                server.memory, server.weighed_at = size, time.monotonic()
                self._servers.outbox.send(wire.Hibernated(number, "", size))
        if lines is None:
            self._give_up()

    def _give_up(self) -> None:
        """Leave those alone of whom nothing was told: a helper would fail at the first again."""
        batch, self._batch = self._batch, []
        if not all(each in self._heavy for each in batch):
            return
        for number in batch:
            del self._heavy[number]
            self._servers.outbox.send(wire.Hibernated(number, "", None))


def reclaim(folder: str, pids: Iterable[int]) -> None:
    """Have the kernel give up the memory of a frozen server, as long as it is frozen."""

    def frozen() -> bool:
        return cgroupfs.text(f"{folder}/cgroup.freeze").strip() == "1"

    if not reclaiming.by_cgroup(folder, frozen):
        reclaiming.page_by_page(pids, frozen)


def _set(folder: str, value: str) -> str:
    """Freeze a cgroup, or let it run; say why that failed."""
    try:
        cgroupfs.write(f"{folder}/cgroup.freeze", value)
    except FileNotFoundError:
        return "its cgroup has no cgroup.freeze, which takes Linux 5.2"
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return ""
