"""Which processes are a server's: its first one, all below it, and the orphans among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luisito.spawner import tree

if TYPE_CHECKING:
    from luisito.spawner.cgroup import Cgroups
    from luisito.spawner.containment import Containment
    from luisito.spawner.server import Server
    from luisito.spawner.servers import Servers
    from luisito.spawner.stoppers import Stoppers


class Kin:
    """Finds them by the server's cgroup, or else by descent, by what they inherited and by user.

    Args:
        servers: all of them.
        stoppers: the stop commands that run.
        containment: who becomes the parent of orphans.
        cgroups: that servers have; None where they have none.
    """

    __slots__ = ("_cgroups", "_containment", "_servers", "_stoppers")

    def __init__(
        self,
        servers: Servers,
        stoppers: Stoppers,
        containment: Containment,
        cgroups: Cgroups | None,
    ) -> None:
        self._servers, self._stoppers = servers, stoppers
        self._containment, self._cgroups = containment, cgroups

    def of(self, server: Server) -> list[int]:
        """List the processes of a server, its first one and orphans included."""
        if server.forks and server.code is None:
            # Those that it has forked for others may still be in its cgroup.
            return [server.pid, *tree.descendants(server.pid)]
        listed = self.listed(server)
        if listed is not None:
            return listed
        firsts = [server.pid] if server.code is None and server.pid else []
        firsts += self._stoppers.of(server.id)
        pids = [each for first in firsts for each in (first, *tree.descendants(first))]
        orphans = self.orphans()
        # One that hides its origin is still known by its user, where no other server has that.
        alone = server.uid is not None and all(
            other is server or other.uid not in (server.uid, None) for other in self._servers.living
        )
        for orphan in orphans:
            theirs = alone and tree.owner(orphan) == server.uid
            if theirs or tree.belongs(orphan, server.id, server.pid):
                pids += [orphan, *tree.descendants(orphan)]
        return pids

    def orphans(self) -> list[int]:
        """List processes that are some server's though their parents have gone."""
        known = self._servers.children()
        return [pid for pid in tree.children(self._containment.reaper) if pid not in known]

    def listed(self, server: Server) -> list[int] | None:
        """List the processes of a server by its cgroup; None where they must be searched for.

        Not to be asked by a helper, who may be in another pid namespace.
        """
        pids = None if self._cgroups is None else self._cgroups.pids(server.id)
        if pids is not None and server.code is None and server.pid not in (0, *pids):
            pids.insert(0, server.pid)  # it has not joined yet
        if pids is not None:
            pids += [pid for pid in self._stoppers.of(server.id) if pid not in pids]
        return pids

    def cgroup_of(self, server: Server) -> str | None:
        """Name the folder of the cgroup that none of its processes can leave."""
        return None if self._cgroups is None else self._cgroups.closed(server.id)
